"""A gradient step."""

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from vla_train.errors import NumericError
from vla_train.optim.adamw import AdamW
from vla_train.optim.schedule import Progress, rate_share
from vla_train.optim.traced import LossOf, TracedLosses, summed
from vla_train.spec import Metrics, Penalty, StateDict


class Optimizer:
    """AdamW (see there) with schedule, clipping, micro-batches and autocast.

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
        self._adamw = AdamW(self.parameters, lr=lr, weight_decay=weight_decay, betas=betas, eps=eps)
        self._traced = TracedLosses(self.parameters)
        self._recordable = micro_batches == 1 and precision == "fp32"
        self._shape = {"warmup": warmup, "schedule": schedule, "final": final}
        self._lr, self._clip, self._micro_batches = lr, clip or math.inf, micro_batches
        self._precision, self._progress = precision, progress
        self.penalties: list[Penalty] = []
        self.gradient_steps = 0
        self.gradient_norms: Tensor | None = None  # of each parameter in the last step, before clipping; 0 where none came

    def step(self, loss_of: LossOf, *batches: Any) -> Metrics:
        """One gradient step on the weighted mean of a loss.

        Args:
            loss_of: maps parts of the batches to (loss [b], weight [b] or None for ones, metrics: dict of [b]); runs under
                autocast. One that is ``traceable`` is recorded in its first step on a CPU.
            batches: Structs or tensors, split alike along their first dimension into micro-batches.

        Returns:
            The weighted means of the metrics, the gradient's norm before clipping, and the learning rate.

        Raises:
            NumericError: the gradient is not finite; the weights are as before.
        """
        means = self._traced.means(loss_of, batches) if self._recordable else None
        if means is None:
            means = self._means(loss_of, batches)
        for penalty in self.penalties:
            penalty().backward(inputs=self.parameters)
        norm = self._clip_gradients()
        rate = self._lr * rate_share(self._progress.value, **self._shape)  # type: ignore[arg-type]
        self._adamw.step(rate)
        self.gradient_steps += 1
        return means | {"gradient_norm": norm, "learning_rate": rate}

    def _means(self, loss_of: LossOf, batches: tuple[Any, ...]) -> Metrics:
        """The metrics; the gradient is left with the parameters."""
        for parameter in self.parameters:
            parameter.grad = None
        total: Tensor | float = 0.0
        rows: Any = 0.0
        for parts in _split(batches, self._micro_batches):
            with self.autocast():
                loss, weight, metrics = loss_of(*parts)
            objective, weights, sums = summed(loss, weight, metrics)
            objective.backward(inputs=self.parameters)  # type: ignore[no-untyped-call]
            total, rows = total + weights, rows + sums
        torch._foreach_div_(self._gradients(), total)
        return dict(zip(metrics, (rows / total).unbind(), strict=True))

    def autocast(self) -> torch.autocast:
        """The precision that losses are computed in, for what must come out the same as there."""
        return torch.autocast(self.parameters[0].device.type, torch.bfloat16, enabled=self._precision == "bf16")

    def _gradients(self) -> list[Tensor]:
        return [parameter.grad for parameter in self.parameters if parameter.grad is not None]

    def _clip_gradients(self) -> Tensor:
        """Clip as ``clip_grad_norm_`` does, to the same bits, and keep the norm of each parameter's gradient on the way."""
        gradients = self._gradients()
        norms = torch.stack(torch._foreach_norm(gradients))
        norm: Tensor = torch.linalg.vector_norm(norms)
        size = float(norm)
        if not math.isfinite(size):
            raise NumericError(f"the gradient is not finite (norm {size}) at gradient step {self.gradient_steps + 1}")
        if size > 0.99 * self._clip:  # smaller ones would be multiplied by 1
            torch._foreach_mul_(gradients, (self._clip / (norm + 1e-6)).clamp(max=1.0))
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
