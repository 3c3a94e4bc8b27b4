"""DQN: its targets and its loss by hand, how much it tries, when its target network follows."""

import copy

import pytest
import torch
from torch import nn

from tests.unit.test_paradigms_ppo import CONTINUOUS, DISCRETE, make_policy, observe
from vla_train import config as configuration
from vla_train.errors import UsageError
from vla_train.models.heads.action_values import ActionValuesHead
from vla_train.models.heads.categorical import CategoricalHead
from vla_train.models.heads.regression import RegressionHead
from vla_train.optim import Optimizer, Progress
from vla_train.paradigms.dqn import DQN
from vla_train.paradigms.off_policy import Aimed
from vla_train.types import Transition


class Table(nn.Module):
    """In place of an encoder and a head: the values of actions 0 and 1 are state x first, state x second."""

    def __init__(self, first: float, second: float) -> None:
        super().__init__()
        self.worth = nn.Parameter(torch.tensor([first, second]))

    def forward(self, fused):
        return (fused[..., -1:] * self.worth)[..., None, None, :]

    def act(self, fused, explore=False):
        return self(fused).argmax(-1)


def make_dqn(policy=None, lr=1e-2, progress=None, **changes):
    node = configuration.load_choice("paradigm", "dqn")
    keys = {key: value for key, value in node.items() if key not in ("_target_", "heads", "steps", "chunk")} | changes
    progress = progress or Progress()

    def make_optimizer(parameters):
        return Optimizer(parameters, lr=lr, progress=progress)

    return DQN(policy or make_policy(head=ActionValuesHead), make_optimizer=make_optimizer, progress=progress, **keys)


def with_table(dqn, policy, target):
    """The policy and its target network value actions 0 and 1 so, at state 1."""
    for network, worth in ((dqn.policy, policy), (dqn.target, target)):
        network.head = Table(*worth)
        network.encode = lambda observation: type("F", (), {"fused": observation.state[..., -1, :]})()
    return dqn


def make_batch(states, actions, rewards, discounts, after, terminated):
    action = torch.tensor(actions)[:, None, None]
    return Transition(
        observation=observe(states),
        action=action,
        valid=torch.ones(action.shape, dtype=torch.bool),
        reward=torch.tensor(rewards),
        discount=torch.tensor(discounts),
        next_observation=observe(after),
        terminated=torch.tensor(terminated),
        truncated=torch.zeros(len(rewards), dtype=torch.bool),
    )


BATCH = make_batch([1.0, 1.0, 1.0], [0, 1, 0], [1.0, 2.0, 3.0], [0.5, 0.25, 0.5], [2.0, 4.0, 2.0], [False, False, True])


def test_targets_by_hand():
    """The target network finds action 0 worth 10 s and action 1 worth 3 s; the policy prefers action 1."""
    simple = with_table(make_dqn(double=False), (1.0, 2.0), (10.0, 3.0))
    # 1 + 0.5 x max(20, 6); 2 + 0.25 x max(40, 12), two rewards added up; 3, for the episode ended there
    assert simple._targets(BATCH).tolist() == [11.0, 12.0, 3.0]
    double = with_table(make_dqn(double=True), (1.0, 2.0), (10.0, 3.0))
    # the policy's action is 1: 1 + 0.5 x 6; 2 + 0.25 x 12; 3
    assert double._targets(BATCH).tolist() == [4.0, 5.0, 3.0]


def test_the_loss_is_squared_near_and_linear_far():
    """Values are 1 and 2 at state 1; Huber's loss of an error e beyond d is d (|e| - d / 2)."""
    dqn = with_table(make_dqn(huber=2.0), (1.0, 2.0), (0.0, 0.0))
    part = Aimed(observation=observe([1.0, 1.0]), action=torch.tensor([0, 1]), target=torch.tensor([2.0, 7.0]))
    loss, weight, metrics = dqn._loss(part)
    assert loss.tolist() == [0.5 * 1.0**2, 2.0 * (5.0 - 1.0)]
    assert weight is None
    assert metrics["value"].tolist() == [1.0, 2.0]
    assert metrics["td_error"].tolist() == [1.0, 5.0]


def test_an_update_by_hand():
    """One sample: Q = 1, target 1.5; a plain step of AdamW moves the taken action's worth by lr towards it."""
    dqn = with_table(make_dqn(lr=0.1, huber=1.0), (1.0, 0.0), (1.0, 0.0))
    dqn.optimizers = {"policy": Optimizer(dqn.policy.head.parameters(), lr=0.1, progress=Progress())}
    metrics = dqn.update(make_batch([1.0], [0], [1.0], [0.5], [1.0], [False]))
    assert float(metrics["loss"]) == pytest.approx(0.5 * 0.5**2)
    assert dqn.policy.head.worth.tolist() == pytest.approx([1.1, 0.0], abs=1e-5)
    assert float(metrics["target"]) == 1.5


def test_epsilon_falls_along_a_line_and_stays():
    progress = Progress()
    dqn = make_dqn(progress=progress, epsilon=1.0, epsilon_final=0.2, exploration=0.4)
    found = []
    for progress.value in (0.0, 0.1, 0.2, 0.4, 1.0):
        found.append(dqn.epsilon)
    assert found == pytest.approx([1.0, 0.8, 0.6, 0.2, 0.2])


def test_it_tries_as_often_as_epsilon_says_and_always_before_it_has_learned():
    progress = Progress()
    dqn = make_dqn(progress=progress, epsilon=1.0, epsilon_final=0.3)
    progress.value = 1.0
    torch.manual_seed(0)
    seen = observe(torch.zeros(4000))
    best = dqn.policy.act(seen)
    assert 0.45 < (dqn.explore(seen) == best).float().mean() < 0.55, "of two actions one is the best"
    dqn.updates += 1
    assert 0.83 < (dqn.explore(seen) == best).float().mean() < 0.87, "0.7 + 0.3 / 2"


def test_the_target_network_follows_when_it_is_due():
    dqn = make_dqn(target_every=2, tau=0.5)
    before = copy.deepcopy(dqn.target.state_dict())
    dqn.update(BATCH)
    assert all(torch.equal(before[name], value) for name, value in dqn.target.state_dict().items())
    dqn.update(BATCH)
    for name, value in dqn.target.named_parameters():
        middle = (before[name] + dqn.policy.get_parameter(name)) / 2
        assert torch.allclose(value, middle, atol=1e-7), name


def test_a_batch_is_split_into_gradient_steps():
    batch = Transition.cat([BATCH, BATCH])
    split, whole = make_dqn(minibatches=3), make_dqn()
    split.update(batch)
    whole.update(batch)
    assert (split.optimizers["policy"].gradient_steps, whole.optimizers["policy"].gradient_steps) == (3, 1)
    parts = make_dqn()
    target = parts._targets(batch)
    for k in range(3):
        at = slice(2 * k, 2 * k + 2)
        part = Aimed(observation=batch.observation[at], action=batch.action[at, 0, 0], target=target[at])
        parts.optimizers["policy"].step(parts._loss, part)
    assert all(torch.equal(one, other) for one, other in zip(split.policy.parameters(), parts.policy.parameters(), strict=True))


def test_dueling_values_by_hand():
    """V = 3, A = (1, 5): Q = 3 + 1 - 3 and 3 + 5 - 3."""
    head = ActionValuesHead(2, DISCRETE.action, 1, hidden=4, dueling=True)
    with torch.no_grad():
        for layers, bias in ((head.layers, [1.0, 5.0]), (head.state_value, [3.0])):
            layers[-1].weight.zero_()
            layers[-1].bias.copy_(torch.tensor(bias))
    assert head(torch.randn(1, 2)).flatten().tolist() == [1.0, 5.0]


def test_a_demonstrated_action_is_to_be_worth_more_by_a_margin():
    head = ActionValuesHead(2, DISCRETE.action, 1, hidden=4)
    with torch.no_grad():
        head.layers[-1].weight.zero_()
        head.layers[-1].bias.copy_(torch.tensor([1.0, 1.5]))
    valid = torch.ones(1, 1, 1, dtype=torch.bool)
    loss = [head.loss(torch.zeros(1, 2), torch.tensor([[[action]]]), valid).item() for action in (0, 1)]
    assert loss == pytest.approx([1.5 + 0.8 - 1.0, 1.0 + 0.8 - 1.5])


@pytest.mark.parametrize(("spec", "head"), [(DISCRETE, CategoricalHead), (CONTINUOUS, RegressionHead)])
def test_a_head_without_values_is_refused(spec, head):
    with pytest.raises(UsageError, match="does not say that: train with head=action_values"):
        make_dqn(make_policy(spec, head))
