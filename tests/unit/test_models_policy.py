"""The policy: physical units outside, normalized ones inside."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from vla_train.models.heads.categorical import CategoricalHead
from vla_train.models.heads.gaussian import GaussianHead
from vla_train.models.heads.regression import RegressionHead
from vla_train.models.normalizer import Normalizer
from vla_train.models.policy import Policy
from vla_train.spec import ActionSpec, Spec
from vla_train.types import Demonstration, Features, Observation

METRES = ActionSpec("continuous", 2, (-0.1, 0.0), (0.1, 4.0))
MOVES = ActionSpec("discrete", 1, choices=3)


class StateEncoder(nn.Module):
    """The newest normalized state is all it sees."""

    feature_size, vision_sees_language = 2, False

    def forward(self, observation: Observation) -> Features:
        return Features(fused=observation.state[..., -1, :])


def policy(head_class: type, action: ActionSpec) -> Policy:
    torch.manual_seed(0)
    return Policy(StateEncoder(), head_class(2, action, 1), Normalizer(2, action), Spec({}, 2, action))


def observe(state: list[list[float]]) -> Observation:
    n = len(state)
    zeros = torch.zeros(n, dtype=torch.long)
    return Observation(
        images={},
        state=torch.tensor(state)[:, None],
        present=torch.ones(n, 1, dtype=torch.bool),
        tokens=torch.ones(n, 1, dtype=torch.long),
        token_mask=torch.ones(n, 1, dtype=torch.bool),
        task=zeros,
        domain=zeros,
    )


def test_loss_is_normalized_and_act_is_physical_within_bounds():
    made = policy(RegressionHead, METRES)
    made.head.layers = nn.Identity()  # predicts the normalized state
    made.normalizer.state_offset += 10
    observation = observe([[10.5, 9.5], [12.0, 7.0]])  # normalized [0.5, -0.5] and [2, -3]
    # 0 + 0.1 x 0.5 and 2 + 2 x -0.5; then 0.2 and -4, which the bounds stop
    assert made.act(observation)[:, 0].flatten().tolist() == pytest.approx([0.05, 1.0, 0.1, 0.0])
    assert made.act(observation, explore=True)[1, 0].tolist() == pytest.approx([0.2, -4.0]), "samples keep their likelihood"
    action = torch.tensor([[[0.1, 4.0]], [[0.1, 4.0]]])  # normalized [1, 1]
    batch = Demonstration(observation=observation, action=action, valid=torch.ones_like(action, dtype=torch.bool))
    assert made(batch).tolist() == pytest.approx([(0.5 + 1.5) / 2, (1 + 4) / 2], rel=1e-5)


def test_discrete_actions_pass_as_they_are():
    made = policy(CategoricalHead, MOVES)
    made.head.layers = nn.Linear(2, 3)
    with torch.no_grad():
        made.head.layers.weight.copy_(torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
        made.head.layers.bias.copy_(torch.tensor([0.5, 0.0, 0.0]))
    chosen = made.act(observe([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
    assert chosen.tolist() == [[[0]], [[1]], [[2]]]


def test_a_missing_distribution_is_named():
    made = policy(RegressionHead, METRES)
    assert not made.has_distribution
    with pytest.raises(ValueError, match="head=gaussian"):
        made.distribution(made.encode(observe([[0.0, 0.0]])))
    assert policy(GaussianHead, METRES).has_distribution


def test_each_row_is_seen_and_acts_in_the_units_of_its_domain():
    """Of the second domain both are ten times as large: the same to the network, ten times the action."""
    made = policy(RegressionHead, ActionSpec("continuous", 2))
    made.normalizer = Normalizer(2, ActionSpec("continuous", 2), domains=2)
    made.normalizer.state_scale[1] = made.normalizer.action_scale[1] = 10.0
    both = replace(observe([[1.0, 2.0], [10.0, 20.0]]), domain=torch.tensor([0, 1]))
    first, second = made.act(both)
    torch.testing.assert_close(second, 10 * first)
    action = torch.tensor([[[0.5, -0.5]], [[5.0, -5.0]]])
    loss = made.loss(Demonstration(observation=both, action=action, valid=torch.ones_like(action, dtype=torch.bool)))
    torch.testing.assert_close(loss[0], loss[1])


def test_actions_without_bounds_are_not_clipped():
    made = policy(RegressionHead, ActionSpec("continuous", 2))
    made.head.layers = nn.Identity()
    assert made.act(observe([[50.0, -70.0]])).flatten().tolist() == [50.0, -70.0]


def test_the_checkpoint_holds_weights_and_statistics_only():
    names = set(policy(RegressionHead, METRES).state_dict())
    statistics = {f"normalizer.{kind}_{part}" for kind in ("state", "action") for part in ("offset", "scale")}
    assert names == statistics | {f"head.layers.{i}.{part}" for i in (0, 2) for part in ("weight", "bias")}
