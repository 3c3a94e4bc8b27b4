"""SAC: its targets, losses and temperature by hand, and what each step moves."""

import copy
import math

import pytest
import torch
from torch import nn

from tests.unit.test_paradigms_ppo import CONTINUOUS, changed, make_encoder, make_policy, observe
from vla_train import config as configuration
from vla_train.errors import UsageError
from vla_train.models.heads.gaussian import GaussianHead
from vla_train.models.heads.squashed_gaussian import SquashedGaussianHead
from vla_train.optim import Optimizer, Progress
from vla_train.paradigms.off_policy import Aimed
from vla_train.paradigms.sac import SAC
from vla_train.types import Transition


class Known(nn.Module):
    """Two critics that say state + number and state + 2 number, where number is the sum of the action."""

    def encode(self, policy, observation):
        return observation.state[..., -1, :].expand(2, -1, -1)

    def judge(self, features, action):
        return features[..., 0] + torch.tensor([[1.0], [2.0]]) * action.sum((-2, -1))

    def forward(self, policy, observation, action):
        return self.judge(self.encode(policy, observation), action)


class Fixed(nn.Module):
    """In place of the head: always these actions and this log-probability."""

    def __init__(self, action, log_probability):
        super().__init__()
        self.action, self.log_probability = action, log_probability

    def sample(self, fused):
        return torch.full((len(fused), 1, 2), self.action), torch.full((len(fused),), self.log_probability)


def make_sac(policy=None, lr=1e-2, **changes) -> SAC:
    node = configuration.load_choice("paradigm", "sac")
    keys = {key: value for key, value in node.items() if key not in ("_target_", "heads", "steps", "chunk")} | changes
    policy = policy or make_policy(CONTINUOUS, SquashedGaussianHead)

    def make_optimizer(parameters):
        return Optimizer(parameters, lr=lr, progress=Progress())

    return SAC(policy, make_optimizer=make_optimizer, make_encoder=make_encoder, **keys)


def make_batch(size=4, seed=0) -> Transition:
    generator = torch.Generator().manual_seed(seed)
    action = torch.rand(size, 1, 2, generator=generator)
    return Transition(
        observation=observe(torch.randn(size, generator=generator)),
        action=action,
        valid=torch.ones(action.shape, dtype=torch.bool),
        reward=torch.arange(size).float(),
        discount=torch.full((size,), 0.5),
        next_observation=observe([4.0] * size),
        terminated=torch.arange(size) == 1,
        truncated=torch.zeros(size, dtype=torch.bool),
    )


def test_targets_by_hand():
    """a' = (0.5, 0.5): the critics say 4 + 1 and 4 + 2. Temperature 0.1, log-probability -3: 0.5 (5 + 0.3) = 2.65."""
    sac = make_sac(temperature=0.1)
    sac.targets, sac.policy.head = Known(), Fixed(0.5, -3.0)
    assert sac._targets(make_batch(3)).tolist() == pytest.approx([2.65, 1.0, 2.0 + 2.65]), "the second one terminated"


def test_the_loss_of_the_critics_by_hand():
    """State 1, action (0.5, 0.25): they say 1.75 and 2.5. Target 2: ((-0.25)^2 + 0.5^2) / 2."""
    sac = make_sac()
    sac.critics = Known()
    part = Aimed(observation=observe([1.0]), action=torch.tensor([[[0.5, 0.25]]]), target=torch.tensor([2.0]))
    loss, weight, metrics = sac._critic_loss(part)
    assert loss.tolist() == pytest.approx([(0.25**2 + 0.5**2) / 2])
    assert weight is None
    assert metrics["value"].tolist() == pytest.approx([2.125])


def test_the_loss_of_the_policy_by_hand():
    """Action (-0.5, -0.5) at state 1: min(1 - 1, 1 - 2) = -1; temperature 0.5, log-probability 2: 0.5 x 2 + 1."""
    sac = make_sac(temperature=0.5)
    sac.critics, sac.policy.head = Known(), Fixed(-0.5, 2.0)
    loss, _, metrics = sac._policy_loss(observe([1.0]))
    assert loss.tolist() == pytest.approx([2.0])
    assert metrics["entropy"].tolist() == [-2.0]


@pytest.mark.parametrize(("entropy", "direction"), [(-3.0, 1.0), (-1.0, -1.0)])
def test_the_temperature_rises_while_the_entropy_is_too_small(entropy, direction):
    """Two numbers in the action, so the aim is -2. The loss is log(temperature) x (entropy + 2)."""
    sac = make_sac(temperature=0.2)
    loss, _, _ = sac._temperature_loss(torch.tensor([entropy]))
    assert loss.item() == pytest.approx(math.log(0.2) * (entropy + 2.0))
    sac.optimizers["temperature"].step(sac._temperature_loss, torch.tensor([entropy]))
    assert math.copysign(1.0, math.log(float(sac.temperature) / 0.2)) == direction


def test_each_step_moves_its_own_weights_alone():
    sac = make_sac()
    before = copy.deepcopy(sac.state_dict())
    batch = make_batch()
    sac.optimizers["policy"].step(sac._policy_loss, batch.observation)
    assert changed(sac, before) == {"policy"}
    before = copy.deepcopy(sac.state_dict())
    aimed = Aimed(observation=batch.observation, action=batch.action, target=sac._targets(batch))
    sac.optimizers["critics"].step(sac._critic_loss, aimed)
    assert changed(sac, before) == {"critics"}


def test_the_targets_follow_slowly():
    sac = make_sac(tau=0.25)
    before = copy.deepcopy(sac.targets)
    sac.update(make_batch())
    for old, new, ours in zip(before.parameters(), sac.targets.parameters(), sac.critics.parameters(), strict=True):
        assert torch.allclose(new, old + 0.25 * (ours - old), atol=1e-7)


def test_a_batch_is_split_into_steps_of_everything():
    sac = make_sac(minibatches=2)
    sac.update(make_batch(6))
    assert {name: optimizer.gradient_steps for name, optimizer in sac.optimizers.items()} == dict.fromkeys(
        ("policy", "critics", "temperature"), 2
    )


def test_a_fixed_temperature_stays():
    sac = make_sac(learn_temperature=False, temperature=0.3)
    sac.update(make_batch())
    assert float(sac.temperature) == pytest.approx(0.3)
    assert "temperature_loss" not in sac.update(make_batch())


def test_it_tries_anything_within_the_bounds_before_it_has_learned():
    sac, seen = make_sac(), observe(torch.zeros(2000))
    tried = sac.explore(seen)
    for number, (low, high) in enumerate([(-2.0, 2.0), (-1.0, 3.0)]):
        values = tried[:, 0, number]
        assert low <= values.min() < low + 0.02
        assert high - 0.02 < values.max() <= high
        assert abs(values.mean() - (low + high) / 2) < 0.1
    other = make_sac(random_start=False)
    torch.manual_seed(1)
    own = other.explore(seen)
    torch.manual_seed(1)
    assert torch.equal(own, sac.policy.act(seen, explore=True))
    sac.updates += 1
    torch.manual_seed(1)
    assert torch.equal(own, sac.explore(seen))


def test_a_policy_that_is_not_squashed_is_refused():
    with pytest.raises(UsageError, match=r"GaussianHead does not do: train with head=squashed_gaussian"):
        make_sac(make_policy(CONTINUOUS, GaussianHead))
