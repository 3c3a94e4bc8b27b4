"""The only place where a gradient step happens, and the schedules and averages that go with it."""

import copy
import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from vla_train.errors import NumericError
from vla_train.spec import Metrics, Penalty, StateDict

LossOf = Callable[..., tuple[Tensor, Tensor, Metrics]]


class Progress:
    """How much of the run is done, in [0, 1]. The trainer moves it; rates, epsilons and the like read it."""

    def __init__(self) -> None:
        self.value = 0.0


def rate_share(progress: float, *, warmup: float, schedule: str, final: float) -> float:
    """Share of the full learning rate: linear warm-up, then constant, or a line or a half cosine down to ``final``.

    Source: Loshchilov and Hutter 2017, "SGDR", equation 5, without restarts.
    """
    if progress < warmup:
        return max(progress, 1e-3 * warmup) / warmup
    if schedule == "constant":
        return 1.0
    done = min((progress - warmup) / max(1.0 - warmup, 1e-9), 1.0)
    if schedule == "linear":
        return final + (1.0 - final) * (1.0 - done)
    return final + (1.0 - final) * 0.5 * (1.0 + math.cos(math.pi * done))


class Optimizer:
    """AdamW (Loshchilov and Hutter 2019) with schedule, clipping, micro-batches and autocast.

    Weight decay applies to matrices only: not to biases, norms and other vectors.

    Args:
        parameters: the parameters that this optimizer moves; ``step`` touches no others.
        eps: what is added to the root of the second moment: larger values calm steps whose gradients are tiny.
        lr: full learning rate; ``warmup`` (share of the run), ``schedule`` and ``final`` shape it over ``progress``.
        clip: largest norm of the gradient over all parameters; 0 does not clip.
        micro_batches: parts into which each batch is split, one backward pass each, one step together.
        precision: "fp32", or "bf16" for autocast of the losses.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        *,
        lr: float,
        weight_decay: float = 0.0,
        betas: Sequence[float] = (0.9, 0.999),
        eps: float = 1e-8,
        warmup: float = 0.0,
        schedule: str = "constant",
        final: float = 0.0,
        clip: float = 0.0,
        micro_batches: int = 1,
        precision: str = "fp32",
        progress: Progress,
    ):
        self.parameters = [parameter for parameter in parameters if parameter.requires_grad]
        groups = [
            {"params": [p for p in self.parameters if p.ndim >= 2], "weight_decay": weight_decay},
            {"params": [p for p in self.parameters if p.ndim < 2], "weight_decay": 0.0},
        ]
        groups = [group for group in groups if group["params"]]
        self._adamw = torch.optim.AdamW(groups, lr=lr, betas=(betas[0], betas[1]), eps=eps, fused=True)
        self._shape = {"warmup": warmup, "schedule": schedule, "final": final}
        self._lr, self._clip, self._micro_batches = lr, clip or math.inf, micro_batches
        self._precision, self._progress = precision, progress
        self.penalties: list[Penalty] = []
        self.gradient_steps = 0
        self.gradient_norms: Tensor | None = None  # of each parameter in the last step, before clipping; 0 where none came

    def step(self, loss_of: LossOf, *batches: Any) -> Metrics:
        """One gradient step on the weighted mean of a loss.

        Args:
            loss_of: maps parts of the batches to (loss [b], weight [b], metrics: dict of [b]); runs under autocast.
            batches: Structs or tensors, split alike along their first dimension into micro-batches.

        Returns:
            The weighted means of the metrics, the gradient's norm before clipping, and the learning rate.

        Raises:
            NumericError: the gradient is not finite; the weights are as before.
        """
        self._adamw.zero_grad(set_to_none=True)
        device = self.parameters[0].device
        total = torch.zeros((), device=device)
        sums: dict[str, Tensor] = {}
        for parts in _split(batches, self._micro_batches):
            with self.autocast():
                loss, weight, metrics = loss_of(*parts)
            weight = weight.float()
            (loss.float() * weight).sum().backward(inputs=self.parameters)  # type: ignore[no-untyped-call]
            with torch.no_grad():
                total += weight.sum()
                for name, value in metrics.items():
                    part = (value.detach().float() * weight).sum()
                    sums[name] = sums[name] + part if name in sums else part
        torch._foreach_div_(self._gradients(), total.clamp(min=1e-12))
        for penalty in self.penalties:
            penalty().backward(inputs=self.parameters)
        norm = self._clip_gradients()
        if not torch.isfinite(norm):
            raise NumericError(f"the gradient is not finite (norm {norm.item()}) at gradient step {self.gradient_steps + 1}")
        rate = self._lr * rate_share(self._progress.value, **self._shape)  # type: ignore[arg-type]
        for group in self._adamw.param_groups:
            group["lr"] = rate
        self._adamw.step()
        self.gradient_steps += 1
        return {name: value / total for name, value in sums.items()} | {"gradient_norm": norm.detach(), "learning_rate": rate}

    def autocast(self) -> torch.autocast:
        """The precision that losses are computed in, for what must come out the same as there."""
        return torch.autocast(self.parameters[0].device.type, torch.bfloat16, enabled=self._precision == "bf16")

    def _gradients(self) -> list[Tensor]:
        return [parameter.grad for parameter in self.parameters if parameter.grad is not None]

    def _clip_gradients(self) -> Tensor:
        """Clip as ``clip_grad_norm_`` does, to the same bits, and keep the norm of each parameter's gradient on the way."""
        norms = torch.stack(torch._foreach_norm(self._gradients()))
        norm: Tensor = torch.linalg.vector_norm(norms)
        nn.utils.clip_grads_with_norm_(self.parameters, self._clip, norm)
        if len(norms) == len(self.parameters):
            self.gradient_norms = norms
        else:
            reached = torch.tensor([parameter.grad is not None for parameter in self.parameters], device=norms.device)
            self.gradient_norms = norms.new_zeros(len(self.parameters)).masked_scatter(reached, norms)
        return norm

    def state_dict(self) -> StateDict:
        norms = self.gradient_norms
        return {"adamw": self._adamw.state_dict(), "gradient_steps": self.gradient_steps, "gradient_norms": norms}

    def load_state_dict(self, state: StateDict) -> None:
        """Raises ``ValueError`` or ``LookupError`` for the state of another optimizer."""
        self._adamw.load_state_dict(state["adamw"])
        for parameter in self.parameters:
            moments = self._adamw.state.get(parameter, {})
            if moments and {moments[name].shape for name in ("exp_avg", "exp_avg_sq")} != {parameter.shape}:
                raise ValueError(f"the optimizer's moments of a parameter {list(parameter.shape)} have another shape")
        if type(state["gradient_steps"]) is not int:
            raise ValueError(f"the optimizer's gradient steps are {state['gradient_steps']!r}")
        self.gradient_steps = state["gradient_steps"]
        self.gradient_norms = state.get("gradient_norms")  # which older checkpoints lack


def _split(batches: tuple[Any, ...], parts: int) -> list[tuple[Any, ...]]:
    size = len(batches[0])
    bounds = [size * part // parts for part in range(parts + 1)]
    if parts == 1:
        return [batches]
    spans = [slice(start, stop) for start, stop in itertools.pairwise(bounds) if stop > start]
    return [tuple(batch[span] for batch in batches) for span in spans]


class Average:
    """Exponential moving average of a policy's weights (Polyak averaging); with decay 0 the policy itself.

    The average warms up as min(decay, (1 + n) / (10 + n)) after n updates, so that early weights are soon forgotten.
    """

    def __init__(self, policy: nn.Module, decay: float):
        self._source, self._decay, self._updates = policy, decay, 0
        self.policy = copy.deepcopy(policy).requires_grad_(False) if decay else policy

    @property
    def on(self) -> bool:
        return self._decay > 0

    @torch.no_grad()
    def update(self) -> None:
        if not self.on:
            return
        self._updates += 1
        decay = min(self._decay, (1 + self._updates) / (10 + self._updates))
        averages: list[Tensor] = list(self.policy.parameters())
        sources: list[Tensor] = list(self._source.parameters())
        torch._foreach_lerp_(averages, sources, 1.0 - decay)
        for average, source in zip(self.policy.buffers(), self._source.buffers(), strict=True):
            average.copy_(source)

    def state_dict(self) -> StateDict:
        return {"updates": self._updates}

    def load_state_dict(self, state: StateDict) -> None:
        if type(state["updates"]) is not int:
            raise ValueError(f"the average's updates are {state['updates']!r}")
        self._updates = state["updates"]
