"""Losses with their gradients, and actions, as lists of tensor operations that are recorded once and then played again: a step of
a small network takes most of its time in Python and in autograd, which are then not asked any more."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from vla_train.spec import Metrics

LossOf = Callable[..., tuple[Tensor, Tensor | None, Metrics]]
L = TypeVar("L", bound=Callable[..., Any])
Play = Callable[..., list[Tensor]]
MOST = 4  # shapes of batches that are recorded; others are computed as ever


def traceable(loss_of: L) -> L:
    """Marks a loss that may be recorded: but for its arguments it depends on nothing that changes, other than what stands in
    tensors that stay the same objects (parameters, buffers). What it decides in Python it decides once.
    """
    loss_of.traceable = True  # type: ignore[attr-defined]
    return loss_of


def summed(loss: Tensor, weight: Tensor | None, metrics: Metrics) -> tuple[Tensor, Tensor | float, Tensor]:
    """Sum of weight x loss [b], sum of the weights, and sum of weight x each metric [m]."""
    loss = loss.float()
    with torch.no_grad():
        rows = torch.stack([value.float() for value in metrics.values()]) if metrics else loss.new_zeros(0, len(loss))
    if weight is None:
        return loss.sum(), float(len(loss)), rows.sum(1)
    weight = weight.float()
    return (loss * weight).sum(), weight.sum().clamp(min=1e-12), rows @ weight


class TracedLosses:
    """The recordings of the losses of some parameters."""

    def __init__(self, parameters: Sequence[nn.Parameter]) -> None:
        self._parameters = parameters
        self._recordings: dict[Any, _Recording | None] = {}

    def means(self, loss_of: LossOf, batches: Sequence[Any]) -> Metrics | None:
        """The means of the metrics over the batches (Structs or tensors); the parameters are left with the gradient of the loss.
        None, and nothing is done, for what cannot be recorded: a loss that is not traceable or where values decide what is
        computed, and what is not on a CPU."""
        if not getattr(loss_of, "traceable", False) or self._parameters[0].device.type != "cpu":
            return None
        leaves = [leaf for batch in batches for leaf in ([batch] if isinstance(batch, Tensor) else batch.tensors())]
        key = (loss_of, *((leaf.shape, leaf.dtype) for leaf in leaves))
        if key not in self._recordings:
            full = len(self._recordings) >= MOST
            self._recordings[key] = None if full else self._record(loss_of, batches, leaves)
        recording = self._recordings[key]
        if recording is None:
            return None
        with torch.no_grad():
            means, *gradients = recording.play(*leaves)
        left = iter(gradients)
        for parameter, reached in zip(self._parameters, recording.reached, strict=True):
            parameter.grad = next(left) if reached else None
        return dict(zip(recording.names, means.unbind(), strict=True))

    def _record(self, loss_of: LossOf, batches: Sequence[Any], leaves: Sequence[Tensor]) -> "_Recording | None":
        names: list[str] = []
        reached: list[bool] = []

        def step(*tensors: Tensor) -> list[Tensor]:
            found = iter(tensors)
            parts = [next(found) if isinstance(batch, Tensor) else batch.filled(found) for batch in batches]
            loss, weight, metrics = loss_of(*parts)
            objective, total, sums = summed(loss, weight, metrics)
            gradients = torch.autograd.grad(objective, self._parameters, allow_unused=True)
            names[:], reached[:] = metrics, [gradient is not None for gradient in gradients]
            there = [gradient for gradient in gradients if gradient is not None]
            return [sums / total, *torch._foreach_div(there, total)]  # new tensors: those of autograd may share their memory

        owner = getattr(loss_of, "__self__", None)
        play = record(step, leaves, owner if isinstance(owner, nn.Module) else None)
        return None if play is None else _Recording(play, tuple(names), tuple(reached))


@dataclass(frozen=True)
class _Recording:
    play: Play  # gives means of the metrics [m], and the gradients
    names: tuple[str, ...]  # of the metrics
    reached: tuple[bool, ...]  # the parameters that have a gradient


class TracedCall:
    """``function`` of a Struct, which gives a tensor and needs no gradients, of a module whose mode never changes there."""

    def __init__(self, function: Callable[[Any], Tensor], owner: nn.Module) -> None:
        self._function, self._owner = function, owner
        self._recordings: dict[Any, Play | None] = {}

    def __call__(self, argument: Any) -> Tensor:
        leaves = argument.tensors()
        if leaves[0].device.type != "cpu":
            return self._function(argument)
        key = tuple(leaf.shape for leaf in leaves)
        if key not in self._recordings:
            full = len(self._recordings) >= MOST
            function = self._function
            self._recordings[key] = (
                None if full else record(lambda *found: [function(argument.filled(found))], leaves, self._owner)
            )
        play = self._recordings[key]
        with torch.no_grad():
            return self._function(argument) if play is None else play(*leaves)[0]


def record(function: Play, leaves: Sequence[Tensor], owner: nn.Module | None) -> Play | None:
    """What ``function`` does with tensors of these shapes, as one call; None where values decide what it does, or where modules
    of ``owner`` are a plug-in's, of which nobody knows what else they do. Draws no random numbers."""
    from torch.fx.experimental.proxy_tensor import make_fx

    if owner is not None and any(
        type(part).__module__.partition(".")[0] not in ("torch", "vla_train") for part in owner.modules()
    ):
        return None
    try:
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings(), torch.inference_mode(False):
            warnings.simplefilter("ignore")  # that torch.jit is no longer developed
            graph = make_fx(function)(*(leaf.clone() for leaf in leaves))
            for node in graph.graph.find_nodes(op="call_function", target=torch.ops.aten.detach.default):
                node.replace_all_uses_with(node.args[0])  # nothing is attached where it is played
                graph.graph.erase_node(node)
            graph.recompile()
            with torch.no_grad():
                traced: Play = torch.jit.trace(graph, tuple(leaf.clone() for leaf in leaves), check_trace=False)  # type: ignore[no-untyped-call]
    except Exception:  # whatever it, or this version of torch, has against it
        return None
    return traced
