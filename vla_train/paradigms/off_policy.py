"""What paradigms share that learn from what was done at any time, by whomever."""

from dataclasses import dataclass
from typing import TypeVar

from jaxtyping import Float, Num
from torch import Tensor

from vla_train.types import Observation, Struct

S = TypeVar("S", bound=Struct)


@dataclass(frozen=True, kw_only=True)
class Aimed(Struct):
    """Actions, and what their values are to become."""

    observation: Observation
    action: Num[Tensor, "b *chunk"]  # [b] of numbered ones, else [b, h, a] in the head's units
    target: Float[Tensor, "b"]


def split(batch: S, count: int) -> list[S]:
    """``count`` batches of the same size, in order; what is left over is in none."""
    left_over = len(batch) % count
    return (batch[:-left_over] if left_over else batch).split(count)
