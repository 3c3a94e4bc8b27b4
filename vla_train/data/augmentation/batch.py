"""What augmentation works on: raw records of a batch, before words become tokens and arrays tensors."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np


@dataclass
class Batch:
    """b samples in windows of k observations, with chunks of h actions. Arrays are the batch's own and are changed in place."""

    images: dict[str, np.ndarray]  # [b, k, y, x, c] for each camera: of clouds float32, else uint8
    state: np.ndarray  # float32 [b, k, s]
    action: np.ndarray  # float32 [b, h, a], or int64 [b, h, 1]
    texts: list[list[str]]  # b instructions; a second list, of as many, where there are next observations
    episode: np.ndarray  # int64 [b], the number of each sample's episode


Augment = Callable[[Batch], None]  # changes a batch in place


@runtime_checkable
class Change(Protocol):
    """One kind of augmentation."""

    def __call__(self, batch: Batch, key: np.ndarray) -> None:
        """Change some samples in place, each a pure function of what it holds and of its number in ``key``, int64 [b], which is
        another one in every epoch: all randomness comes from it."""
