"""Which rows make up the windows around a frame. Pure index arithmetic on whole batches; n frames, b samples."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Windows:
    """``starts``, int64 [e + 1]: where each episode begins and the last one ends. All indices given and returned are rows."""

    starts: np.ndarray

    def episode(self, rows: np.ndarray) -> np.ndarray:
        """The number of each row's episode, int64 of the same shape."""
        found: np.ndarray = np.searchsorted(self.starts, rows, side="right") - 1
        return found

    def first(self, rows: np.ndarray) -> np.ndarray:
        """Where the episode of each row begins."""
        begins: np.ndarray = self.starts[self.episode(rows)]
        return begins

    def end(self, rows: np.ndarray) -> np.ndarray:
        """Where the episode of each row ends (exclusive)."""
        ends: np.ndarray = self.starts[self.episode(rows) + 1]
        return ends

    def history(self, rows: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
        """The last ``size`` rows up to and with each one, oldest first [b, k], and which of them had begun, bool [b, k].

        Before the episode began its first row stands in.
        """
        window = rows[:, None] + np.arange(1 - size, 1)
        first = self.first(rows)[:, None]
        return np.maximum(window, first), window >= first

    def horizon(self, rows: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
        """The next ``size`` rows from each one on [b, h], and which of them lie within the episode, bool [b, h].

        Past the end of the episode its last row stands in.
        """
        window = rows[:, None] + np.arange(size)
        end = self.end(rows)[:, None]
        return np.minimum(window, end - 1), window < end


def runs(rows: np.ndarray, longest: int) -> Iterator[slice]:
    """Ascending rows, int64 [m], as slices of rows that follow on each other, at most ``longest`` in one."""
    for part in np.split(rows, np.flatnonzero(np.diff(rows) != 1) + 1):
        for first in range(0, len(part), longest):
            last = min(first + longest, len(part)) - 1
            yield slice(int(part[first]), int(part[last]) + 1)
