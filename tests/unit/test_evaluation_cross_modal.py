"""Cross-modal consistency: antonyms, and the formula with worked numbers."""

import numpy as np
import pytest
import torch

from tests.fakes import corridor_policy
from tests.unit.test_evaluation_held_out import CHOICE, PLANE, Recorded
from vla_train.evaluation.cross_modal import NAME, CrossModal, perturbed
from vla_train.rollouts import Agent


class Told(Recorded):
    """Frame i belongs to episode i, whose instruction is the i-th."""

    def __init__(self, actions, instructions, spec=PLANE):
        super().__init__(actions, spec)
        self.instructions = instructions

    @property
    def episode_of(self):
        return np.arange(len(self.instructions))


def agent_that_obeys(told, opposite):
    """Predicts ``told`` [n, 2] for the recorded words (which ``Recorded`` gives as token 0 alone), else ``opposite``."""
    policy, processor = corridor_policy(history=1)

    def act(observation):
        table = torch.tensor(told if observation.tokens.shape[-1] == 1 else opposite)
        return table[observation.state[:, 0, 0].long()][:, None].expand(-1, 2, -1)

    policy.act = act
    return Agent(policy, processor)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("pick the cup", "drop the cup"),
        ("Move left, then open it", "stay right, then close it"),
        ("go to the goal", "stop to the goal"),
        ("stop", "go"),
        ("push the leftmost, reopen it", "push the leftmost, reopen it"),
    ],
)
def test_words_turn_into_their_opposites(said, meant):
    assert perturbed(said) == meant


def test_consistency_by_hand():
    # Recorded (1, 0). Told: cosines 1, 0.6, -1. For the opposite: 0, 0.8, 0. max(0, .): 1, 0, 0; the fourth has no antonym, and
    # the fifth predicts nothing for the opposite: left out. Mean 1 / 3.
    dataset = Told([[1.0, 0.0]] * 5, ["go", "pick it", "left", "push", "open"])
    told = [[1.0, 0.0], [0.6, 0.8], [-1.0, 0.0], [1.0, 0.0], [1.0, 0.0]]
    opposite = [[0.0, 1.0], [0.8, 0.6], [0.0, 1.0], [-1.0, 0.0], [0.0, 0.0]]
    report = CrossModal(dataset, frames=10)(agent_that_obeys(told, opposite))
    assert report.metrics == {NAME: pytest.approx(1 / 3), f"{NAME}_frames": 3.0}
    assert dataset.asked == [0, 1, 2, 4]


def test_a_policy_that_does_not_listen_has_none():
    same = [[1.0, 0.0], [0.0, 1.0]]
    report = CrossModal(Told(same, ["go", "left"]), frames=10)(agent_that_obeys(same, same))
    assert report.metrics[NAME] == 0.0


@pytest.mark.parametrize(
    ("dataset", "why"),
    [
        (Told([[1.0, 0.0]], ["push it"]), "no held-out instruction has one of the words pick/drop"),
        (Told([[0.0, 0.0]], ["go"]), "no held-out action with such an instruction has a direction"),
        (Told([[1]], ["go"], CHOICE), "categorical actions have no cosine"),
    ],
)
def test_why_there_is_none(dataset, why):
    report = CrossModal(dataset, frames=10)(agent_that_obeys([[1.0, 0.0]], [[1.0, 0.0]]))
    assert report.not_applicable[NAME].startswith(why)
    assert not report.metrics


def test_each_part_of_a_mixture_by_itself():
    dataset = Told([[1.0, 0.0]] * 3, ["go", "left", "open"])
    dataset.trained = np.array([[1.0, 0.0], [0.0, 1.0]] * 2)
    dataset.by_part = lambda frames: {"one": frames[: len(frames) // 2], "two": frames[len(frames) // 2 :]}
    told, opposite = [[1.0, 0.0], [1.0, 0.0], [0.6, 0.8]], [[0.0, 1.0]] * 3
    metrics = CrossModal(dataset, frames=10)(agent_that_obeys(told, opposite)).metrics
    assert metrics[f"one/{NAME}"] == 1.0
    assert metrics[f"two/{NAME}"] == pytest.approx(0.8)
    assert metrics[NAME] == pytest.approx(2.6 / 3)
    assert metrics[f"two/{NAME}_frames"] == 2.0
