"""What a format's file makes of a dataset: named columns of numbers, cameras, episodes and their texts, as one table.

Which of it is used, and what it means to a policy, is for ``TableReader`` to say, the same for every format.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from vla_train.data.lerobot_layout import Feature
from vla_train.spec import ImageSpec, Spec

MOST_FRAMES = 100_000_000  # room for every number is made at once, so a lie must not ask for all memory

Entry = tuple[str, int]  # a number's column as stored, and its place there


@runtime_checkable
class Table(Protocol):
    """n frames in e episodes, one behind the other. Opening it reads no frame; what is wrong raises DataError with its place."""

    path: Path  # of the folder or the file
    features: Mapping[str, Feature]  # columns and cameras: dtype (image and video are cameras, as clouds), shape, names, depth
    starts: np.ndarray  # int64 [e + 1]
    rate: float  # steps per second
    texts: list[str]  # the distinct instructions
    instructions: list[str]  # of each episode the first
    episodes: list[dict[str, Any]]  # what was noted of each
    defaults: Mapping[str, tuple[str, ...]]  # the columns meant by "state" and "action" where none is named
    aliases: Mapping[str, str]  # names that the data itself gives to its features
    noted: Spec | None  # that our own writer left
    notes: Sequence[str]  # what is assumed, and what else there is to choose: sentences for a person who looks at it

    def fingerprint(self) -> str: ...

    def source(self, row: int) -> str:
        """Where the numbers of a frame lie, for messages: a file, or a part of one."""
        ...

    def has_files(self, name: str) -> bool:
        """Whether a camera that is declared is there."""
        ...

    def entries(self, name: str) -> list[Entry]:
        """The numbers that a column consists of: two columns may be parts of one."""
        ...

    def numbers(self, names: Sequence[str]) -> dict[str, np.ndarray]:
        """Columns as [n, size] each."""
        ...

    def text(self) -> np.ndarray:
        """int64 [n]: which of ``texts`` each frame has."""
        ...

    def check(self) -> None:
        """Compare what is declared of rows and times with what is there."""
        ...

    def torn(self, name: str) -> dict[int, str]:
        """Episode -> what is wrong with a camera's pictures of it, as far as that shows without decoding any."""
        ...

    def pictures(self, name: str, image: ImageSpec, rows: np.ndarray | None = None) -> Iterator[np.ndarray]:
        """A camera's frames in order, [y, x, c]: uint8, or whatever a depth map was recorded in; clouds [points, 1, c] as
        they were recorded. One array may serve for all.

        ``rows``, int64 [m] in ascending order: only these; threads may ask at once.
        """
        ...
