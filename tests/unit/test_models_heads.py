"""Every head's loss against numbers worked by hand."""

import math

import pytest
import torch
from torch import nn
from torch.distributions import Categorical, Independent, kl_divergence

from vla_train.models.heads.categorical import CategoricalHead, Choices
from vla_train.models.heads.gaussian import GaussianHead
from vla_train.models.heads.regression import RegressionHead
from vla_train.spec import ActionSpec

PLANE = ActionSpec("continuous", 2, (-1.0, -1.0), (1.0, 1.0))
MOVES = ActionSpec("discrete", 1, choices=3)


def give(head: nn.Module, output: list[float]) -> torch.Tensor:
    """Make ``head`` put out these numbers for each of two samples; returns features to ask it with."""
    head.layers = nn.Identity()
    return torch.tensor([output, output])


def test_regression_l1_is_the_mean_over_valid_entries():
    head = RegressionHead(4, PLANE, chunk=2, loss="l1")
    fused = give(head, [1.0, 2.0, 3.0, 4.0])  # chunk [[1, 2], [3, 4]]
    action = torch.tensor([[[0.0, 0.0], [0.0, 0.0]], [[0.5, 2.0], [9.0, 9.0]]])
    valid = torch.tensor([[[True, True], [True, True]], [[True, True], [False, False]]])
    # (1 + 2 + 3 + 4) / 4 and (0.5 + 0) / 2
    assert head.loss(fused, action, valid).tolist() == [2.5, 0.25]
    assert head.act(fused).tolist()[0] == [[1.0, 2.0], [3.0, 4.0]]
    assert head.act(fused, explore=True).equal(head.act(fused))


def test_regression_l2_and_a_sample_without_valid_entries():
    head = RegressionHead(4, PLANE, chunk=2, loss="l2")
    fused = give(head, [1.0, 2.0, 3.0, 4.0])
    valid = torch.tensor([[[True, False], [True, True]], [[False, False], [False, False]]])
    # (1 + 9 + 16) / 3 and nothing
    assert head.loss(fused, torch.zeros(2, 2, 2), valid).tolist() == pytest.approx([26 / 3, 0.0])


def test_gaussian_likelihood():
    head = GaussianHead(4, ActionSpec("continuous", 1), chunk=2, min_std=0.5)
    spread = math.log(math.e**0.5 - 1)  # softplus of it is 0.5, so std = 1
    fused = give(head, [0.0, 3.0, spread, spread])  # means [0, 3], then spreads
    action = torch.tensor([[[2.0], [3.0]], [[0.0], [0.0]]])
    valid = torch.tensor([[[True], [True]], [[False], [True]]])
    constant = 0.5 * math.log(2 * math.pi)
    # -log N(2; 0, 1) = 2 + constant, -log N(3; 3, 1) = constant; then only -log N(0; 3, 1) = 4.5 + constant
    assert head.loss(fused, action, valid).tolist() == pytest.approx([1 + constant, 4.5 + constant], rel=1e-5)
    assert head.distribution(fused).log_prob(action).tolist() == pytest.approx([-2 - 2 * constant, -4.5 - 2 * constant])
    assert head.act(fused)[0].flatten().tolist() == [0.0, 3.0]


def test_gaussian_exploration_has_the_distribution():
    torch.manual_seed(0)
    head = GaussianHead(2, ActionSpec("continuous", 1), chunk=1, min_std=0.5)
    spread = math.log(math.e**1.5 - 1)  # std = 0.5 + 1.5
    give(head, [0.0, 0.0])
    samples = head.act(torch.tensor([3.0, spread]).expand(20_000, 2), explore=True)
    assert samples.mean().item() == pytest.approx(3.0, abs=0.05)
    assert samples.std().item() == pytest.approx(2.0, abs=0.05)


def test_categorical_cross_entropy():
    head = CategoricalHead(6, MOVES, chunk=2)
    logits = [math.log(1.0), math.log(2.0), math.log(5.0), 0.0, 0.0, 0.0]  # probabilities 1/8, 2/8, 5/8, then thirds
    fused = give(head, logits)
    action = torch.tensor([[[2], [0]], [[1], [-1]]])  # what is not valid may hold anything
    valid = torch.tensor([[[True], [True]], [[True], [False]]])
    assert head.loss(fused, action, valid).tolist() == pytest.approx([(math.log(8 / 5) + math.log(3)) / 2, math.log(4)])
    assert head.act(fused)[0, 0].item() == 2
    assert head.act(fused).dtype == torch.int64
    log_prob = head.distribution(fused).log_prob(action.clamp(min=0))
    assert log_prob.tolist() == pytest.approx([math.log(5 / 8) - math.log(3), math.log(1 / 4) - math.log(3)])


def test_categorical_exploration_has_the_distribution():
    torch.manual_seed(0)
    head = CategoricalHead(3, MOVES, chunk=1)
    give(head, [0.0, 0.0, 0.0])
    samples = head.act(torch.tensor([1.0, 2.0, 5.0]).log().expand(20_000, 3), explore=True)
    shares = samples.flatten().bincount(minlength=3) / 20_000
    assert shares.tolist() == pytest.approx([0.125, 0.25, 0.625], abs=0.015)


def test_choices_are_torch_s_own_distribution_in_fewer_steps():
    torch.manual_seed(0)
    logits, others = torch.randn(2, 5, 3, 1, 4)
    ours, theirs = Choices(logits), Independent(Categorical(logits=logits), 2)
    value = torch.randint(0, 4, (5, 3, 1))
    torch.testing.assert_close(ours.log_prob(value), theirs.log_prob(value))
    torch.testing.assert_close(ours.entropy(), theirs.entropy())
    expected = kl_divergence(theirs, Independent(Categorical(logits=others), 2))
    torch.testing.assert_close(kl_divergence(ours, Choices(others)), expected)
    shares = torch.nn.functional.one_hot(ours.sample((20_000,)), 4).float().mean(0)
    torch.testing.assert_close(shares, ours.probs, atol=0.02, rtol=0)


def test_fits():
    assert RegressionHead.fits(PLANE)
    assert GaussianHead.fits(PLANE)
    assert not CategoricalHead.fits(PLANE)
    assert CategoricalHead.fits(MOVES)
    assert not RegressionHead.fits(MOVES)
    assert not GaussianHead.fits(MOVES)


def test_a_head_can_be_one_layer_that_prefers_nothing_yet():
    action = ActionSpec("discrete", 1, choices=4)
    head = CategoricalHead(8, action, 1, hidden=0, begin=0.01)
    (layer,) = head.layers
    assert torch.allclose(layer.weight @ layer.weight.T, 1e-4 * torch.eye(4), atol=1e-7), "orthogonal, of length 0.01"
    assert head.distribution(torch.randn(5, 8)).probs.sub(0.25).abs().max() < 0.02
