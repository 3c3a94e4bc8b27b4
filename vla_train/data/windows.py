"""Which rows make up the windows around a frame. Pure index arithmetic on whole batches; n frames, b samples."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Windows:
    """``first`` and ``end`` (exclusive) of the episode of every frame, int64 [n]. All indices given and returned are rows."""

    first: np.ndarray
    end: np.ndarray

    @classmethod
    def from_starts(cls, starts: np.ndarray) -> "Windows":
        """From int64 [e + 1], where each episode begins and the last one ends."""
        lengths = np.diff(starts)
        return cls(first=np.repeat(starts[:-1], lengths), end=np.repeat(starts[1:], lengths))

    def history(self, rows: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
        """The last ``size`` rows up to and with each one, oldest first [b, k], and which of them had begun, bool [b, k].

        Before the episode began its first row stands in.
        """
        window = rows[:, None] + np.arange(1 - size, 1)
        first = self.first[rows, None]
        return np.maximum(window, first), window >= first

    def horizon(self, rows: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
        """The next ``size`` rows from each one on [b, h], and which of them lie within the episode, bool [b, h].

        Past the end of the episode its last row stands in.
        """
        window = rows[:, None] + np.arange(size)
        end = self.end[rows, None]
        return np.minimum(window, end - 1), window < end
