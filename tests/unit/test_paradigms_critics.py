"""Squashed normal distributions and critics, by hand."""

import math

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from tests.unit.test_paradigms_ppo import CONTINUOUS, make_encoder, make_policy, observe
from vla_train.models.heads.squashed_gaussian import SquashedGaussianHead, SquashedNormal
from vla_train.paradigms.critics import Critics


def squashed(mean: float, std: float, shape=(1, 1)) -> SquashedNormal:
    return SquashedNormal(Normal(torch.full(shape, mean), torch.full(shape, std)))


def test_the_density_is_divided_by_the_slope():
    # tanh(u) = 0.5 at u = 0.549306; log N(u; 0, 1) = -0.918939 - 0.150869; log(1 - 0.25) = -0.287682.
    found = squashed(0.0, 1.0).log_prob(torch.tensor([[0.5]]))
    assert float(found) == pytest.approx(-0.918939 - 0.549306**2 / 2 - math.log(0.75), abs=1e-5)


def test_the_density_of_all_actions_is_1():
    grid = torch.linspace(-0.99999, 0.99999, 200_001).view(-1, 1, 1)
    density = squashed(0.4, 0.7).log_prob(grid).exp()
    assert float(torch.trapezoid(density, grid.flatten())) == pytest.approx(1.0, abs=1e-3)


def test_numbers_of_a_chunk_add_up():
    found = squashed(0.2, 0.5, (2, 3)).log_prob(torch.full((2, 3), 0.3))
    assert float(found) == pytest.approx(6 * float(squashed(0.2, 0.5).log_prob(torch.tensor([[0.3]]))), rel=1e-5)


def test_a_sample_comes_with_its_density_however_near_the_bound():
    torch.manual_seed(0)
    action, log_prob = squashed(0.3, 0.5, (5, 2, 3)).rsample_with_log_prob((4,))
    assert (action.shape, log_prob.shape) == ((4, 5, 2, 3), (4, 5))
    assert torch.allclose(log_prob, squashed(0.3, 0.5, (5, 2, 3)).log_prob(action), atol=1e-3)
    _, far = squashed(20.0, 0.01).rsample_with_log_prob()  # the slope there is 4 exp(-40): log 4 - 40
    assert float(far) == pytest.approx(-math.log(0.01) - 0.92 - (math.log(4) - 40), abs=4)
    assert torch.isfinite(squashed(0.0, 1.0).log_prob(torch.tensor([[1.0]])))


def test_the_divergence_is_that_before_squashing():
    one, other = squashed(0.1, 0.5, (1, 2)), squashed(0.4, 0.8, (1, 2))
    assert float(kl_divergence(one, other)) == pytest.approx(float(kl_divergence(one.normal, other.normal).sum()))


def test_actions_keep_within_the_bounds_in_physical_units():
    policy = make_policy(CONTINUOUS, SquashedGaussianHead)
    torch.nn.init.constant_(policy.head.layers[-1].bias, 50.0)
    found = policy.act(observe([0.0, 1.0]), explore=True)
    assert torch.allclose(found, torch.tensor([2.0, 3.0]).expand(2, 1, 2), atol=1e-3)


@pytest.mark.parametrize("shared", [False, True])
def test_critics_are_what_single_networks_would_be(shared):
    torch.manual_seed(0)
    policy, critics = make_policy(CONTINUOUS, SquashedGaussianHead), Critics(make_encoder, 2, hidden=5, shared=shared)
    observation, action = observe([0.5, -1.0, 2.0]), torch.rand(3, 1, 2) * 2 - 1
    found = critics(policy, observation, action)
    assert found.shape == (2, 3)
    first, last = critics.first, critics.last
    for number in range(2):
        encoder = critics.encoders[0 if shared else number]
        inputs = torch.cat([encoder(observation).fused, action[:, 0]], -1)
        weight = torch.cat([first.weight[number], critics.first_of_action[number]])
        hidden = (inputs @ weight + first.bias[number]).relu()
        assert torch.allclose(found[number], (hidden @ last.weight[number] + last.bias[number])[:, 0], atol=1e-6)
    several = critics.judge(
        critics.encode(policy, observation)[:, :, None].expand(-1, -1, 4, -1), action[:, None].expand(3, 4, 1, 2)
    )
    assert torch.allclose(several, found[..., None].expand(2, 3, 4), atol=1e-6)
