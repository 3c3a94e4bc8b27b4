"""The typed records that travel between data, environments, policies and paradigms.

Axes: ``*b`` batch (any leading dimensions), ``k`` history window, ``h`` action horizon (chunk), ``a`` action,
``s`` state, ``l`` tokens, ``c y x`` image, ``n`` points or environment rows, ``d`` features.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any, NotRequired, TypedDict, TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Num
from torch import Tensor


class RawObservation(TypedDict):
    """What readers and environments yield for n rows, before the Processor: plain NumPy, one frame, no history."""

    images: dict[str, np.ndarray]  # uint8 [n, y, x, c] per camera, clouds float32 [n, points, 1, c]; {} without cameras
    state: np.ndarray  # float32 [n, s]; s may be 0
    instruction: Sequence[str]  # n strings; "" without language
    extras: NotRequired[dict[str, np.ndarray]]


_NAMES: dict[type, tuple[str, ...]] = {}  # of the fields of each record: looking them up anew takes longer than what is done


def _names(kind: Any) -> tuple[str, ...]:
    found = _NAMES.get(kind)
    if found is None:
        found = _NAMES[kind] = tuple(field.name for field in fields(kind))
    return found


def _apply(value: Any, fn: Callable[[Tensor], Any]) -> Any:
    if value is None:
        return None
    if isinstance(value, Tensor):
        return fn(value)
    if isinstance(value, Struct):
        return value.map(fn)
    return {key: _apply(item, fn) for key, item in value.items()}


def _collect(value: Any, found: list[Tensor]) -> None:
    if isinstance(value, Tensor):
        found.append(value)
    elif isinstance(value, Struct):
        found += value.tensors()
    elif value is not None:
        for item in value.values():
            _collect(item, found)


def _zip(values: Sequence[Any], fn: Callable[[list[Tensor]], Tensor]) -> Any:
    first = values[0]
    if first is None:
        return None
    if isinstance(first, Tensor):
        return fn(list(values))
    if isinstance(first, Struct):
        return type(first)(**{name: _zip([getattr(value, name) for value in values], fn) for name in _names(type(first))})
    return {key: _zip([value[key] for value in values], fn) for key in first}


S = TypeVar("S", bound="Struct")  # not typing.Self: the tests' type checker wraps single methods, where Self has no meaning


@dataclass(frozen=True, kw_only=True)
class Struct:
    """A record of tensors (or dicts of tensors, or Structs) that share their leading dimensions. None fields are skipped."""

    def map(self: S, fn: Callable[[Tensor], Any]) -> S:
        return type(self)(**{name: _apply(getattr(self, name), fn) for name in _names(type(self))})

    def to(self: S, device: torch.device | str, non_blocking: bool = False) -> S:
        return self.map(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def __getitem__(self: S, index: Any) -> S:
        return self.map(lambda tensor: tensor[index])

    def split(self: S, count: int) -> list[S]:
        """``count`` parts along the first dimension, in order, as alike in size as can be; views of these tensors."""
        if count == 1:
            return [self]
        parts = zip(*(tensor.tensor_split(count) for tensor in self.tensors()), strict=True)
        return [self.filled(part) for part in parts]

    def filled(self: S, tensors: Iterable[Tensor]) -> S:
        """The same record of these tensors, which are in the order of ``tensors()``."""
        left = iter(tensors)
        return self.map(lambda _: next(left))

    @classmethod
    def stack(cls: type[S], items: Sequence[S], dim: int = 0) -> S:
        return _zip(items, lambda tensors: torch.stack(tensors, dim))  # type: ignore[no-any-return]

    @classmethod
    def cat(cls: type[S], items: Sequence[S], dim: int = 0) -> S:
        return _zip(items, lambda tensors: torch.cat(tensors, dim))  # type: ignore[no-any-return]

    def tensors(self) -> list[Tensor]:
        """Every tensor inside, in field order."""
        found: list[Tensor] = []
        for name in _names(type(self)):
            _collect(getattr(self, name), found)
        return found

    def __len__(self) -> int:
        return len(self.tensors()[0])


@dataclass(frozen=True, kw_only=True)
class Observation(Struct):
    """What a policy sees. The window of k steps is always there, oldest first; the last one is now."""

    images: dict[str, Num[Tensor, "*b k _c _y _x"]]  # uint8 as recorded, clouds float32; {} without cameras; sizes differ
    state: Float[Tensor, "*b k s"]
    present: Bool[Tensor, "*b k"]  # False before the episode began
    tokens: Int[Tensor, "*b l"]
    token_mask: Bool[Tensor, "*b l"]  # a begin token always stands first, so no row is all False
    task: Int[Tensor, "*b"]  # read by task heads and samplers only
    domain: Int[Tensor, "*b"]  # embodiment or domain: chooses the normalizer


@dataclass(frozen=True, kw_only=True)
class Demonstration(Struct):
    """A recorded decision: what was seen, and the h actions that followed."""

    observation: Observation
    action: Num[Tensor, "*b h a"]  # physical units, or int64 with a=1: Spec.action says which
    valid: Bool[Tensor, "*b h a"]  # False past the end of the episode, or for parts an embodiment lacks
    targets: dict[str, Tensor] | None = None


@dataclass(frozen=True, kw_only=True)
class Transition(Demonstration):
    """One step of experience."""

    reward: Float[Tensor, "*b"]
    discount: Float[Tensor, "*b"]  # gamma^n for n-step returns, gamma^h for chunks
    next_observation: Observation  # the true next one, never the one after a reset
    terminated: Bool[Tensor, "*b"]
    truncated: Bool[Tensor, "*b"]


@dataclass(frozen=True, kw_only=True)
class Rollout(Struct):
    """Experience of the present policy in n rows of a world over t steps, in time order. No frame is stored twice.

    What a step led to is the observation of the next step, or where ``final_index`` is not -1 that entry of ``final``: after the
    last step, and where an episode was truncated. An episode that terminated led to nothing that counts.
    """

    observation: Observation  # [t, n]
    action: Num[Tensor, "t n h a"]  # as sampled: the environment clips it
    reward: Float[Tensor, "t n"]
    terminated: Bool[Tensor, "t n"]
    truncated: Bool[Tensor, "t n"]
    final: Observation  # [m]
    final_index: Int[Tensor, "t n"]

    def __len__(self) -> int:
        """Steps of all rows together."""
        return self.reward.numel()


@dataclass(frozen=True, kw_only=True)
class Features(Struct):
    """What an encoder makes of an Observation. ``fused`` is what a head reads."""

    fused: Float[Tensor, "*b f"]
    vision: Float[Tensor, "*b v d"] | None = None
    language: Float[Tensor, "*b l d"] | None = None
