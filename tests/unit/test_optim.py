"""The gradient step: weights, micro-batches, clipping, schedule, refusal of NaN, average."""

import math

import pytest
import torch
from torch import nn

from vla_train.errors import NumericError
from vla_train.optim import Average, Optimizer, Progress, rate_share


def linear_problem(micro_batches: int = 1, **settings):
    torch.manual_seed(0)
    model = nn.Linear(3, 1)
    optimizer = Optimizer(model.parameters(), lr=0.1, micro_batches=micro_batches, progress=Progress(), **settings)
    x, y, weight = torch.randn(7, 3), torch.randn(7, 1), torch.tensor([1.0, 0, 2, 1, 1, 0.5, 1])

    def loss_of(x, y, weight):
        loss = (model(x) - y).square().squeeze(-1)
        return loss, weight, {"loss": loss}

    return model, optimizer, loss_of, (x, y, weight)


def test_gradient_is_the_weighted_mean():
    model, optimizer, loss_of, (x, y, weight) = linear_problem()
    expected = (loss_of(x, y, weight)[0] * weight).sum() / weight.sum()
    (gradient,) = torch.autograd.grad(expected, model.weight)
    metrics = optimizer.step(loss_of, x, y, weight)
    torch.testing.assert_close(model.weight.grad, gradient)
    assert float(metrics["loss"]) == pytest.approx(float(expected.detach()), rel=1e-6)


@pytest.mark.parametrize("parts", [2, 3, 4])
def test_micro_batches_agree_with_one_batch(parts):
    whole, one, loss_of, batch = linear_problem()
    split, many, split_loss_of, _ = linear_problem(parts)
    one.step(loss_of, *batch)
    many.step(split_loss_of, *batch)
    torch.testing.assert_close(whole.weight, split.weight)


def test_only_its_own_parameters_move():
    model, _, loss_of, batch = linear_problem()
    optimizer = Optimizer([model.bias], lr=0.1, progress=Progress())
    before = model.weight.clone()
    optimizer.step(loss_of, *batch)
    assert torch.equal(before, model.weight)
    assert model.weight.grad is None


def test_clipping_bounds_the_step_and_reports_the_norm_before():
    model, optimizer, loss_of, batch = linear_problem(clip=1e-3)
    metrics = optimizer.step(loss_of, *batch)
    norm = math.sqrt(sum(float(p.grad.square().sum()) for p in model.parameters()))
    assert norm == pytest.approx(1e-3, rel=1e-3)
    assert float(metrics["gradient_norm"]) > 1e-2


def test_a_nan_leaves_the_weights_as_they_were():
    model, optimizer, loss_of, (x, y, weight) = linear_problem()
    before = model.weight.clone()
    with pytest.raises(NumericError, match="gradient step 1"):
        optimizer.step(loss_of, x, y * float("nan"), weight)
    assert torch.equal(before, model.weight)


def test_weight_decay_spares_vectors():
    model, _, _, _ = linear_problem()
    optimizer = Optimizer(model.parameters(), lr=0.1, weight_decay=0.5, progress=Progress())
    before = model.bias.clone(), model.weight.clone()

    def flat(x):
        loss = (model(x) * 0.0).squeeze(-1)
        return loss, torch.ones(len(x)), {}

    optimizer.step(flat, torch.randn(4, 3))
    assert torch.equal(before[0], model.bias)
    torch.testing.assert_close(model.weight, before[1] * (1 - 0.1 * 0.5))


def test_penalties_enter_once():
    model, optimizer, _, _ = linear_problem(micro_batches=2)
    optimizer.penalties.append(lambda: model.weight.sum() * 3.0)

    def flat(x):
        return (model(x) * 0.0).squeeze(-1), torch.ones(len(x)), {}

    optimizer.step(flat, torch.randn(4, 3))
    torch.testing.assert_close(model.weight.grad, torch.full((1, 3), 3.0))


def test_schedule_worked_by_hand():
    shape = {"warmup": 0.1, "schedule": "cosine", "final": 0.2}
    assert rate_share(0.05, **shape) == pytest.approx(0.5)
    assert rate_share(0.1, **shape) == pytest.approx(1.0)
    assert rate_share(0.55, **shape) == pytest.approx(0.2 + 0.8 * 0.5)
    assert rate_share(1.0, **shape) == pytest.approx(0.2)
    assert rate_share(0.7, warmup=0.0, schedule="constant", final=0.0) == 1.0


def test_average_of_constant_weights_is_those_weights_and_follows_changes():
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 1.0)
    average = Average(model, decay=0.9)
    nn.init.constant_(model.weight, 2.0)
    average.update()  # decay min(0.9, 2 / 11): 2/11 * 1 + 9/11 * 2
    assert float(average.policy.weight) == pytest.approx(2 / 11 + 18 / 11)
    assert Average(model, decay=0.0).policy is model


@pytest.mark.parametrize("clip", [0.01, 1.0, 0.0], ids=["clips", "hardly clips", "off"])
def test_the_norm_of_each_parameter_is_kept_and_clipping_is_torch_s_to_the_bit(clip):
    model, batch, target = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2)), torch.randn(8, 3), torch.randn(8, 2)
    unused = nn.Parameter(torch.ones(4))
    parameters = [*model.parameters(), unused]
    (model(batch) - target).square().mean(1).sum().div(8).backward()
    gradients = [parameter.grad.clone() for parameter in model.parameters()]
    expected = nn.utils.clip_grad_norm_(model.parameters(), clip or math.inf)
    clipped = [parameter.grad.clone() for parameter in model.parameters()]
    optimizer = Optimizer(parameters, lr=1e-3, clip=clip, progress=Progress())

    def loss_of(batch, target):
        loss = (model(batch) - target).square().mean(1)
        return loss, torch.ones_like(loss), {}

    metrics = optimizer.step(loss_of, batch, target)
    assert torch.equal(metrics["gradient_norm"], expected)
    assert all(torch.equal(parameter.grad, mine) for parameter, mine in zip(model.parameters(), clipped, strict=True))
    assert torch.equal(optimizer.gradient_norms, torch.stack([*(gradient.norm() for gradient in gradients), torch.tensor(0.0)]))
    again = Optimizer(parameters, lr=1e-3, clip=clip, progress=Progress())
    again.load_state_dict(optimizer.state_dict())
    assert torch.equal(again.gradient_norms, optimizer.gradient_norms)
