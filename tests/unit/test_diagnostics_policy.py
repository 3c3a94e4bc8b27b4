"""What a probe measures of a policy that can be worked out by hand, and what is made of it."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from tests.toy_dataset import open_toy, write_toy
from vla_train.diagnostics.actions import judge_predicted, judge_recorded
from vla_train.diagnostics.inputs import judge_inputs, judge_stagnation
from vla_train.diagnostics.probe import Probe
from vla_train.diagnostics.ranges import Range
from vla_train.spec import ActionSpec, FeatureStatistics


class ByState(nn.Module):
    """Reads the right action, (10 e + t, -t), off the state (e, t), and looks at nothing else; ``scale`` 0 predicts nothing."""

    def __init__(self, scale=1.0):
        super().__init__()
        self.scale = scale

    def act(self, observation, *, explore=False):
        episode, step = observation.state[:, -1, 0], observation.state[:, -1, 1]
        return self.scale * torch.stack([10 * episode + step, -step], dim=-1)[:, None]

    def origin(self, observation):
        return torch.zeros(())

    def loss(self, batch):
        return (self.act(batch.observation) - batch.action).square().flatten(1).mean(1)


class Relative(ByState):
    """Predicts always the same, 0, relative to the state."""

    def origin(self, observation):
        return observation.state[:, -1:, :]

    def loss(self, batch):
        return (batch.action - self.origin(batch.observation)).square().flatten(1).mean(1)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return open_toy(write_toy(tmp_path_factory.mktemp("toy") / "data", num_episodes=30), validation=0.5)


def probe(dataset, policy):
    return Probe(dataset)(SimpleNamespace(policy=policy, device=torch.device("cpu")))


def kinds(verdict):
    return [(finding.kind, finding.where) for finding in verdict.findings]


def test_what_the_policy_does_not_look_at_is_dead(dataset):
    probed = probe(dataset, ByState())
    held_out = probed["held_out"]
    assert held_out["loss"] == 0.0
    assert held_out["inputs"]["state"]["cost"] == held_out["inputs"]["state"]["gain"] > 0, "the state is all that it looks at"
    verdict = judge_inputs(probed)
    assert kinds(verdict) == [("dead_input", "camera top"), ("dead_input", "instruction")]
    assert verdict.figures == {"inputs/camera top": 0.0, "inputs/instruction": 0.0, "inputs/state": 1.0}
    assert kinds(judge_stagnation(probed)) == []


def test_a_probe_draws_no_random_number_of_the_run_and_repeats_itself(dataset):
    torch.manual_seed(0)
    np.random.seed(0)
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()
    policy = ByState().train()
    first, second = probe(dataset, policy), probe(dataset, policy)
    assert first == second
    assert policy.training
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.random.get_state()[1].tolist() == before[1]


def test_a_policy_that_learned_nothing_stagnates_and_no_input_is_blamed(dataset):
    probed = probe(dataset, ByState(scale=0.0))
    assert kinds(judge_stagnation(probed)) == [("stagnation", "")]
    assert kinds(judge_inputs(probed)) == []
    assert "no better" in judge_inputs(probed).not_applicable["inputs/state"]
    assert kinds(judge_predicted(dataset.spec.action, probed)) == []


def test_a_constant_relative_to_the_state_looks_at_nothing(dataset):
    """The state of another frame moves the origin, and would move what is to be predicted if the action did not move along."""
    probed = probe(dataset, Relative())
    for measured in (probed["held_out"], probed["training"]):
        assert measured["blind"] == pytest.approx(measured["loss"])
    assert probed["held_out"]["inputs"]["state"]["cost"] == pytest.approx(0.0, abs=1e-4)
    assert kinds(judge_stagnation(probed)) == [("stagnation", "")]
    assert kinds(judge_inputs(probed)) == []


def test_without_variety_an_input_is_not_applicable(tmp_path):
    """One instruction is no fault of anybody. A camera that shows one picture only is at fault, and so are words cut off."""
    toy = open_toy(write_toy(tmp_path / "data", num_episodes=4))
    gather = toy.gather

    def gather_the_same(indices):
        batch = gather(indices)
        return replace(batch, observation=batch.observation.map(lambda tensor: tensor[:1].expand(tensor.shape)))

    toy.gather = gather_the_same
    learned = {"loss": 0.0, "blind": 1.0, "error": 0.0}
    toy.instructions = ["go"] * 4
    verdict = judge_inputs({"training": probe(toy, ByState())["training"] | learned})
    assert kinds(verdict) == [("dead_input", "camera top")]
    assert set(verdict.not_applicable) == {"inputs/instruction", "inputs/state"}
    toy.instructions = ["go", "stay"] * 2
    verdict = judge_inputs({"training": probe(toy, ByState())["training"] | learned})
    assert kinds(verdict) == [("dead_input", "camera top"), ("dead_input", "instruction")]


def measured(**inputs):
    return {"held_out": {"loss": 1.0, "blind": 2.0, "error": 0.01, "told": 2, "inputs": inputs}}


def test_an_input_is_dead_below_one_percent_or_below_five_within_noise():
    def of(cost, error):
        return kinds(judge_inputs(measured(state={"cost": cost, "error": error, "gain": 1.0})))

    assert of(0.009, 0.001) == [("dead_input", "state")]
    assert of(0.011, 0.001) == []
    assert of(0.04, 0.03) == [("dead_input", "state")]  # within two standard errors of nothing
    assert of(0.06, 0.05) == []
    assert judge_inputs(measured(state={"cost": 0.1, "error": 0.1, "gain": -0.1})).not_applicable


def test_a_state_that_pictures_may_show_is_a_note():
    dead, seen = {"cost": 0.0, "error": 0.0, "gain": 1.0}, {"cost": 0.9, "error": 0.0, "gain": 1.0}

    def severities(**inputs):
        return [finding.severity for finding in judge_inputs(measured(**inputs)).findings]

    assert severities(**{"camera view": seen}, state=dead) == ["note"]
    assert severities(state=dead) == severities(**{"camera view": dead}, state=seen) == ["warning"]
    assert severities(**{"camera view": None}, state=dead) == ["warning", "warning"]  # the camera shows one picture


def statistics(**changes):
    values = {"mean": 0.0, "std": 0.5, "min": -1.0, "max": 1.0, "q01": -1.0, "q99": 1.0} | changes
    return FeatureStatistics(count=9, **{name: np.atleast_1d(np.asarray(value, float)) for name, value in values.items()})


JOINT = ActionSpec("continuous", 1, low=(-2.0,), high=(2.0,), names=("joint",))


def test_a_constant_action_is_noted_and_a_trembling_one_warned_of():
    def of(**changes):
        return [(finding.kind, finding.severity) for finding in judge_recorded(JOINT, statistics(**changes)).findings]

    assert of() == []
    assert of(std=0.0, min=0.5, max=0.5, mean=0.5) == [("constant_action", "note")]
    assert of(std=0.001, min=-0.002, max=0.002) == [("near_constant_action", "warning")]  # 0.001 / 4 < 0.001
    assert of(std=0.003, min=-0.01, max=0.01) == [("near_constant_action", "warning")]  # 0.00075 of the range of 4
    assert of(std=0.003, min=0.0, max=1.0) == [], "a gripper that closes once is no trembling"
    assert judge_recorded(ActionSpec("discrete", 1, choices=3), statistics()).not_applicable


def test_an_action_that_the_policy_hardly_moves_has_collapsed():
    def of(predicted, recorded, action=JOINT):
        state = {"cost": 1.0, "error": 0.0, "gain": 1.0}
        probed = measured(state=state)
        probed["held_out"]["actions"] = {"predicted": [predicted], "recorded": [recorded]}
        return kinds(judge_predicted(action, probed))

    assert of(0.01, 0.5) == [("collapsed_action", "joint")]
    assert of(0.1, 0.5) == []
    assert of(0.0, 0.0) == [], "what never moves in the data need not move"
    discrete = ActionSpec("discrete", 1, choices=3)
    assert of(0.0, 0.5, discrete) == [("collapsed_action", "category")]
    assert of(0.0, 0.05, discrete) == [], "the rare category may well be the wrong guess in all of few frames"


def test_the_variety_of_categories_is_the_share_of_all_but_the_most_frequent():
    from vla_train.diagnostics.probe import _variety

    assert _variety(torch.tensor([[0], [0], [2], [1]])) == [0.5]
    assert _variety(torch.tensor([[1.0, 4.0], [3.0, 4.0]])) == pytest.approx([2**0.5, 0.0])


def test_values_outside_the_training_range_and_a_margin_are_counted():
    """[-1, 1] with a margin of a tenth of 2 is [-1.2, 1.2]: two of 100 values lie outside."""
    watched = Range(statistics())
    values = np.zeros((100, 1))
    values[:2, 0] = [1.25, -3.0]
    watched.add(values[:50])
    watched.add(values[50:])
    seen = watched.take()
    assert seen == {"total": 100, "outside": [2], "least": [-3.0], "most": [1.25]}
    verdict = watched.judge(seen, "state in the world", ["x"])
    assert kinds(verdict) == [("out_of_range", "state in the world, x")]
    assert verdict.findings[0].figure == 0.02
    watched.add(np.full((1000, 1), 1.19))
    assert kinds(watched.judge(watched.take(), "state in the world", ["x"])) == []
    assert watched.judge(watched.take(), "state in the world", ["x"]).not_applicable
