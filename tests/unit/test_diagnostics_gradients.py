"""Gradient flow: groups of layers, and worked norms that vanish, explode, or never come."""

import pytest
import torch
from torch import nn

from vla_train.diagnostics.gradients import WINDOW, GradientFlow, judge_flow, judge_peak, layer_groups
from vla_train.optim import Optimizer, Progress


def kinds(findings):
    return [finding.kind for finding in findings]


def test_groups_are_the_first_level_at_which_names_part():
    names = ["encoder.net.stem.conv.weight", "encoder.net.layers.0.a.bias", "encoder.net.layers.1.a.bias", "encoder.net.gain"]
    assert layer_groups(names) == ["encoder.net.stem", "encoder.net.layers.0", "encoder.net.layers.1", "encoder.net"]
    assert layer_groups(["head.layers.0.weight", "head.layers.2.weight"]) == ["head.layers.0", "head.layers.2"]
    assert layer_groups(["critic.weight", "critic.bias", "log_alpha"]) == ["critic", "critic", "log_alpha"]


def test_a_group_without_gradient_in_all_readings_is_dead():
    dead = [{"stem": (0.0, 4.0), "head": (1.0, 5.0)}] * WINDOW
    verdict = judge_flow(dead)
    assert [(finding.kind, finding.where) for finding in verdict.findings] == [("dead_layers", "stem")]
    once = [*dead[1:], {"stem": (1.0, 4.0), "head": (1.0, 5.0)}]
    assert "dead_layers" not in kinds(judge_flow(once).findings)


def test_a_faint_gradient_is_measured_beside_the_weights_and_the_other_groups():
    """Ratios 1e-1, 2e-1, 3e-1 and 1e-6 / 4: the median is 0.15, of which the last has 1.7e-6."""
    flow = {"a": (0.1, 1.0), "b": (0.4, 2.0), "c": (3.0, 10.0), "d": (1e-6, 4.0)}
    verdict = judge_flow([flow] * WINDOW)
    assert [(finding.kind, finding.where) for finding in verdict.findings] == [("vanishing_gradient", "d")]
    assert verdict.findings[0].figure == pytest.approx(2.5e-7 / 0.15)
    assert kinds(judge_flow([{**flow, "d": (1e-3, 4.0)}] * WINDOW).findings) == [], "layers differ, and healthily so"


def test_an_explosion_is_a_hundred_times_the_ordinary_norm_and_more_than_the_weights():
    ordinary = [0.2, 0.3, 0.4]
    assert kinds(judge_peak(ordinary, norm=40.0, weights=20.0, step=7.0)) == ["exploding_gradient"]
    assert judge_peak(ordinary, norm=29.0, weights=20.0, step=7.0) == []
    assert judge_peak(ordinary, norm=40.0, weights=50.0, step=7.0) == [], "a steep start is none"


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.policy = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 1, bias=False))


def step(net, optimizer, scale):
    def loss_of(batch):
        loss = scale * net.policy(batch).squeeze(-1)
        return loss, torch.ones_like(loss), {}

    return {"train/gradient_norm": float(optimizer.step(loss_of, torch.tensor([[3.0, 4.0]]))["gradient_norm"])}


def test_norms_are_read_by_group_and_survive_a_stop():
    """y = b A x with A the identity and b = (1, 0): dA = b x^T has the norm 5, db = A x the norm 5."""
    net = Net()
    net.policy[0].weight.data = torch.eye(2)
    net.policy[1].weight.data = torch.tensor([[1.0, 0.0]])
    optimizer = Optimizer(net.parameters(), lr=1e-9, progress=Progress())
    flow = GradientFlow(net, {"policy": optimizer})
    assert flow.read(0, {}) == {}, "before the first update there are none"
    assert flow.read(1, step(net, optimizer, 1.0)) == pytest.approx({"gradient/0": 5.0, "gradient/1": 5.0})
    assert "1 logged" in flow.judge().not_applicable["gradients"]
    for index in range(2, WINDOW + 2):
        flow.read(index, step(net, optimizer, 1000.0 if index == 3 else 1.0))
    restored = GradientFlow(net, {"policy": optimizer})
    restored.load_state_dict(flow.state_dict())
    assert kinds(restored.judge().findings) == kinds(flow.judge().findings) == ["exploding_gradient"]
    assert "update 3" in flow.judge().findings[0].message
