"""HeldOut: the comparison of predicted with recorded actions, worked out by hand."""

import numpy as np
import pytest
import torch

from tests.fakes import corridor_policy
from vla_train.data.dataset import DemonstrationDataset
from vla_train.evaluation.figures import metric_names
from vla_train.evaluation.held_out import HeldOut
from vla_train.rollouts import Agent
from vla_train.spec import ActionSpec, Spec
from vla_train.types import Demonstration, Observation

PLANE = ActionSpec("continuous", 2, low=(-2.0, -2.0), high=(2.0, 2.0), names=("dx", "dy"))
CHOICE = ActionSpec("discrete", 1, choices=3)


class Recorded(DemonstrationDataset):
    """``actions`` [n, a] are the first actions of n held-out frames, ``trained`` [m, a] those of the training frames behind
    them; the state is the frame's number."""

    def __init__(self, actions, action_spec, trained=None):
        self.spec = Spec(images={}, state_size=1, action=action_spec)
        self.recorded = torch.tensor(actions)
        self.trained = np.eye(2, action_spec.size) if trained is None else np.array(trained)
        self.asked = []

    @property
    def actions(self):
        return np.concatenate([self.recorded.numpy(), self.trained])

    def frames(self, split):
        count = len(self.recorded)
        return np.arange(count) if split == "validation" else np.arange(count, count + len(self.trained))

    def gather(self, indices):
        self.asked += indices.tolist()
        count, state = len(indices), torch.from_numpy(indices).float()[:, None, None]
        ones, zeros = torch.ones(count, 1, dtype=torch.bool), torch.zeros(count, dtype=torch.int64)
        observation = Observation(
            images={}, state=state, present=ones, tokens=zeros[:, None], token_mask=ones, task=zeros, domain=zeros
        )
        action = self.recorded[indices][:, None].expand(-1, 2, -1)
        return Demonstration(observation=observation, action=action, valid=torch.ones(action.shape, dtype=torch.bool))


def agent_that_predicts(actions):
    policy, processor = corridor_policy(history=1)
    predictions = torch.tensor(actions)
    policy.act = lambda observation: predictions[observation.state[:, 0, 0].long()][:, None].expand(-1, 2, -1)
    policy.loss = lambda batch: batch.observation.state[:, 0, 0]  # the frame's number
    return Agent(policy, processor)


@pytest.mark.parametrize(("action", "actions"), [(PLANE, [[1.0, 0.0]] * 5), (CHOICE, [[1]] * 5)])
def test_progress_and_the_names_of_what_is_measured(action, actions):
    told = []
    evaluator = HeldOut(Recorded(actions, action), batch_size=2, progress=lambda *words: told.append(words))
    metrics = evaluator(agent_that_predicts(actions)).metrics
    assert told == [("evaluating held-out demonstrations", done, 5) for done in (2, 4, 5)]
    discrete = action.kind == "discrete"
    names = metric_names((), (), has_environment=False, has_held_out=True, discrete=discrete)
    counts = {"held_out/frames"} | (set() if discrete else {"held_out/predicted_zero", "held_out/recorded_zero"})
    assert set(metrics) - counts == set(names)


def test_continuous_actions_by_hand():
    recorded = [[2.0, 0.0], [0.0, 2.0], [2.0, 0.0], [0.0, 0.0], [1.0, 1.0]]
    predicted = [[2.0, 0.0], [2.0, 0.0], [0.0, 0.0], [2.0, 0.0], [1.0, 0.0]]
    # scaled by 1/2. distances: 0, sqrt 2, 1, 1, 1/2. cosines: 1, 0, none, none, 0.7071 (below 0.8)
    report = HeldOut(Recorded(recorded, PLANE), frames=10, batch_size=2)(agent_that_predicts(predicted))
    metrics = {name.removeprefix("held_out/"): value for name, value in report.metrics.items()}
    assert metrics["frames"] == 5
    assert metrics["loss"] == pytest.approx((0 + 1 + 2 + 3 + 4) / 5)
    assert metrics["action_accuracy"] == pytest.approx(1 / 4)  # the recorded zero is left out, the predicted one is wrong
    assert metrics["alignment"] == pytest.approx((1 + 1 / (1 + 2**0.5) + 1 / 2 + 1 / 2 + 1 / 1.5) / 5)
    assert metrics["cosine"] == pytest.approx((1 + 0 + 0.5**0.5) / 3)
    assert (metrics["predicted_zero"], metrics["recorded_zero"]) == (1, 1)
    assert report.histograms["actions/dx/predicted"].tolist() == [2.0, 2.0, 0.0, 2.0, 1.0]
    assert report.histograms["actions/dy/recorded"].tolist() == [0.0, 2.0, 0.0, 0.0, 1.0]


GRASP = ActionSpec("continuous", 3, low=(-2.0,) * 3, high=(2.0,) * 3, names=("dx", "dy", "gripper"))


def test_what_never_varies_in_training_is_no_direction():
    # The gripper stays open: with it, the opposite movement (cosine 0.6) and none at all (0.894) would look like a good guess.
    recorded, predicted = [[1.0, 0.0, 2.0]] * 3, [[-1.0, 0.0, 2.0], [1.0, 0.1, 2.0], [0.0, 0.0, 2.0]]
    dataset = Recorded(recorded, GRASP, trained=[[1.0, 0.0, 2.0], [0.0, 1.0, 2.0]])
    metrics = HeldOut(dataset)(agent_that_predicts(predicted)).metrics
    assert metrics["held_out/action_accuracy"] == pytest.approx(1 / 3)
    assert metrics["held_out/cosine"] == pytest.approx((-1 + 1 / 1.01**0.5) / 2)
    assert (metrics["held_out/predicted_zero"], metrics["held_out/recorded_zero"]) == (1, 0)
    gripper = Recorded(recorded, GRASP, trained=[[1.0, 0.0, 2.0], [0.0, 1.0, -2.0]])
    assert HeldOut(gripper)(agent_that_predicts(predicted)).metrics["held_out/cosine"] > 0.8


def test_in_each_part_of_a_mixture_it_is_what_never_varies_there():
    trained = [[1.0, 0.0, 2.0], [0.0, 1.0, -2.0], [0.0, 1.0, 2.0], [1.0, 0.0, 2.0]]
    dataset = Recorded([[1.0, 0.0, 2.0]] * 2, GRASP, trained)
    dataset.by_part = lambda frames: dict(zip(("carry", "walk"), np.split(frames, 2), strict=True))
    metrics = HeldOut(dataset)(agent_that_predicts([[-1.0, 0.0, 2.0]] * 2)).metrics
    assert (metrics["carry/held_out/cosine"], metrics["walk/held_out/cosine"]) == pytest.approx((0.6, -1.0))
    assert metrics["held_out/cosine"] == pytest.approx(-0.2)


def test_categorical_actions_agree_or_not():
    report = HeldOut(Recorded([[0], [1], [2], [2]], CHOICE))(agent_that_predicts([[0], [1], [1], [2]]))
    assert report.metrics["held_out/action_accuracy"] == report.metrics["held_out/agreement"] == 0.75
    assert set(report.not_applicable) == {"held_out/alignment", "held_out/cosine"}


def test_frames_are_spread_evenly_and_stay_the_same():
    dataset = Recorded([[0.0, 1.0]] * 101, PLANE)
    held_out, agent = HeldOut(dataset, frames=5), agent_that_predicts([[0.0, 1.0]] * 101)
    first = held_out(agent)
    held_out(agent)
    assert dataset.asked == [0, 25, 50, 75, 100] * 2
    assert first.metrics["held_out/action_accuracy"] == 1.0


def test_without_held_out_demonstrations_it_says_so():
    report = HeldOut(Recorded(np.zeros((0, 2), np.float32), PLANE))(agent_that_predicts([[0.0, 0.0]]))
    assert report.metrics == {}
    assert "dataset.validation is 0" in report.not_applicable["held_out"]


def test_training_random_state_and_modes_are_left_alone():
    agent = agent_that_predicts([[0.0, 1.0]])
    agent.policy.train()
    before = torch.get_rng_state()
    HeldOut(Recorded([[0.0, 1.0]], PLANE))(agent)
    assert torch.equal(torch.get_rng_state(), before)
    assert agent.policy.training
