"""Losses that are recorded and played: the same numbers as computed anew each time, or not recorded at all."""

import copy

import pytest
import torch
from torch import nn

from vla_train.optim import Optimizer, Progress, TracedCall, traceable
from vla_train.optim.adamw import AdamW
from vla_train.types import Observation


class Problem:
    """A small network, an optimizer, and a loss of it; ``recorded`` says whether the optimizer may record the loss."""

    def __init__(self, *, recorded: bool, kind: str = "plain", **settings) -> None:
        torch.manual_seed(0)
        self.model, self.shift = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2)), torch.zeros(())
        self.unused = nn.Parameter(torch.ones(4))
        self.optimizer = Optimizer([*self.model.parameters(), self.unused], lr=0.05, progress=Progress(), **settings)
        loss_of = getattr(self, f"_{kind}")
        self.loss_of = traceable(loss_of.__func__).__get__(self) if recorded else (lambda *parts: loss_of(*parts))

    def _plain(self, x, y):
        error = (self.model(x) - y + self.shift).square().mean(1)
        return error, None, {"error": error, "large": error > 1.0}

    def _weighted(self, x, y):
        error = (self.model(x) - y).square().mean(1)
        return error, x[:, 0].abs(), {"error": error}

    def _noisy(self, x, y):
        error = (self.model(x + torch.randn_like(x)) - y).square().mean(1)
        return error, None, {"error": error}

    def _deciding(self, x, y):
        error = (self.model(x) - y).square().mean(1)
        return (error if float(x.sum()) > 0 else 2.0 * error), None, {"error": error}

    def step(self, *batch) -> dict[str, float]:
        return {name: float(value) for name, value in self.optimizer.step(self.loss_of, *batch).items()}

    @property
    def recordings(self) -> list:
        return list(self.optimizer._traced._recordings.values())


def batches(count: int, size: int = 16):
    generator = torch.Generator().manual_seed(1)
    return [(torch.randn(size, 3, generator=generator), torch.randn(size, 2, generator=generator)) for _ in range(count)]


@pytest.mark.parametrize("clip", [0.0, 0.1])
@pytest.mark.parametrize("kind", ["plain", "weighted", "noisy"])
def test_what_is_played_is_what_is_computed_to_the_bit(kind, clip):
    played, computed = Problem(recorded=True, kind=kind, clip=clip), Problem(recorded=False, kind=kind, clip=clip)
    found = []
    for problem in (played, computed):
        torch.manual_seed(7)
        found.append([problem.step(*batch) for batch in batches(6)])
    assert [recording is not None for recording in played.recordings] == [True]
    assert found[0] == found[1]
    for ours, theirs in zip(played.model.parameters(), computed.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert played.unused.grad is None
    assert torch.equal(played.optimizer.gradient_norms, computed.optimizer.gradient_norms)


def test_tensors_that_stay_the_same_objects_may_change():
    played, computed = Problem(recorded=True), Problem(recorded=False)
    (batch,) = batches(1)
    for problem in (played, computed):
        problem.step(*batch)
        problem.shift.fill_(3.0)
    assert played.step(*batch) == computed.step(*batch)


def test_where_values_decide_the_loss_is_computed_anew():
    played, computed = Problem(recorded=True, kind="deciding"), Problem(recorded=False, kind="deciding")
    for batch in batches(6):
        assert played.step(*batch) == computed.step(*batch)
    assert played.recordings == [None]


def test_each_shape_is_recorded_and_not_for_ever():
    problem = Problem(recorded=True)
    for size in (4, 5, 4, 6, 7, 8, 9):
        problem.step(*batches(1, size)[0])
    assert [recording is not None for recording in problem.recordings] == [True] * 4 + [False] * 2


def test_micro_batches_and_bf16_are_not_recorded():
    for settings in ({"micro_batches": 2}, {"precision": "bf16"}):
        problem = Problem(recorded=True, **settings)
        problem.step(*batches(1)[0])
        assert problem.recordings == []


def test_a_run_goes_on_from_its_state_to_the_bit():
    whole, stopped = Problem(recorded=True, kind="noisy"), Problem(recorded=True, kind="noisy")
    torch.manual_seed(7)
    for batch in batches(6):
        whole.step(*batch)
    torch.manual_seed(7)
    for batch in batches(6)[:3]:
        stopped.step(*batch)
    random = torch.get_rng_state()
    resumed = Problem(recorded=True, kind="noisy")
    torch.set_rng_state(random)
    resumed.model.load_state_dict(stopped.model.state_dict())
    resumed.optimizer.load_state_dict(copy.deepcopy(stopped.optimizer.state_dict()))
    for batch in batches(6)[3:]:  # in the middle of which it is recorded anew, which draws no random numbers
        resumed.step(*batch)
    for ours, theirs in zip(whole.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_a_call_is_recorded_without_gradients_and_follows_the_weights():
    torch.manual_seed(0)
    model, calls = nn.Linear(3, 2), []

    def function(batch):
        calls.append(1)
        return model(batch.state[:, 0]) + torch.rand(())

    traced, batch = TracedCall(function, model), observe_numbers(torch.randn(4, 3))
    for weight in (1.0, 2.0):
        nn.init.constant_(model.weight, weight)
        torch.manual_seed(3)
        found = traced(batch)
        torch.manual_seed(3)
        assert torch.equal(found, model(batch.state[:, 0]) + torch.rand(()))
        assert not found.requires_grad
    assert len(calls) == 1


def observe_numbers(state: torch.Tensor) -> Observation:
    """[n, s] as what a policy sees."""
    one = torch.ones(len(state), 1, dtype=torch.int64)
    names = {"tokens": one, "token_mask": one.bool(), "present": one.bool(), "task": one[:, 0], "domain": one[:, 0]}
    return Observation(images={}, state=state[:, None], **names)


def test_adamw_is_torch_s_to_the_bit_also_where_gradients_are_missing():
    torch.manual_seed(0)
    ours = [nn.Parameter(torch.randn(3, 4)), nn.Parameter(torch.randn(4)), nn.Parameter(torch.randn(2, 2))]
    theirs = [nn.Parameter(parameter.detach().clone()) for parameter in ours]
    settings = {"lr": 0.1, "betas": (0.9, 0.99), "eps": 1e-6}
    adamw = AdamW(ours, weight_decay=0.3, **settings)
    groups = [{"params": [theirs[0], theirs[2]], "weight_decay": 0.3}, {"params": [theirs[1]], "weight_decay": 0.0}]
    expected = torch.optim.AdamW(groups, fused=True, **settings)
    for step in range(6):
        for one, other in zip(ours, theirs, strict=True):
            missing = step in (0, 3) and one.ndim == 1  # at first it has no moments, later it rests
            one.grad = None if missing else torch.randn(one.shape)
            other.grad = None if missing else one.grad.clone()
        for group in expected.param_groups:
            group["lr"] = 0.1 / (step + 1)
        adamw.step(0.1 / (step + 1))
        expected.step()
        if step == 4:
            adamw.load_state_dict(copy.deepcopy(adamw.state_dict()))
    assert all(torch.equal(one, other) for one, other in zip(ours, theirs, strict=True))
