"""From predicted chunks of actions to the one action of this step, for rows that began their episodes at different times."""

from typing import Protocol, runtime_checkable

import numpy as np


@runtime_checkable
class ChunkExecutor(Protocol):
    """Decides for each row when to plan, and which action to take. ``rows`` are row numbers, int [r]."""

    def reset(self, rows: np.ndarray) -> None:
        """Forget what was planned for these rows."""

    def due(self, rows: np.ndarray) -> np.ndarray:
        """Those of the rows that need a new chunk before their next action."""

    def add(self, rows: np.ndarray, chunks: np.ndarray) -> None:
        """New chunks [r, h, a], the first action being for now."""

    def next(self, rows: np.ndarray) -> np.ndarray:
        """The actions [r, a] of this step; moves these rows on by one step."""


class RecedingHorizon:
    """Execute the first ``execute`` actions of a chunk, then plan again (Chi et al. 2023, "Diffusion Policy", section 2.3)."""

    def __init__(self, num_rows: int, execute: int) -> None:
        if execute < 1:
            raise ValueError(f"execute is {execute}; at least one action of a chunk must be executed")
        self._execute = execute
        self._cursor = np.full(num_rows, execute)
        self._plan = np.zeros((num_rows, 0, 0))

    def reset(self, rows: np.ndarray) -> None:
        self._cursor[rows] = self._execute

    def due(self, rows: np.ndarray) -> np.ndarray:
        due: np.ndarray = rows[self._cursor[rows] >= self._execute]
        return due

    def add(self, rows: np.ndarray, chunks: np.ndarray) -> None:
        if chunks.shape[1] < self._execute:
            raise ValueError(f"{self._execute} actions cannot be executed from chunks of {chunks.shape[1]}")
        if self._plan.shape[1:] != chunks.shape[1:]:
            self._plan = np.zeros((len(self._cursor), *chunks.shape[1:]), chunks.dtype)
        self._plan[rows] = chunks
        self._cursor[rows] = 0

    def next(self, rows: np.ndarray) -> np.ndarray:
        actions: np.ndarray = self._plan[rows, self._cursor[rows]]
        self._cursor[rows] += 1
        return actions


class TemporalEnsemble:
    """Plan at every step and average what the last h chunks say about now.

    Zhao et al. 2023, "Learning Fine-Grained Bimanual Manipulation with Low-Cost Hardware" (ACT), algorithm 2: weights
    exp(-m i) with m = 0.01, where i = 0 is the oldest prediction.
    """

    def __init__(self, num_rows: int, decay: float = 0.01) -> None:
        self._decay = decay
        self._made = np.zeros(num_rows, np.int64)
        self._chunks = np.zeros((num_rows, 0, 0, 0))  # [row, age of the chunk, step of the chunk, a]

    def reset(self, rows: np.ndarray) -> None:
        self._made[rows] = 0

    def due(self, rows: np.ndarray) -> np.ndarray:
        return rows

    def add(self, rows: np.ndarray, chunks: np.ndarray) -> None:
        if not np.issubdtype(chunks.dtype, np.floating):
            raise ValueError("temporal ensembling averages actions, and categorical ones have no average")
        horizon = chunks.shape[1]
        if self._chunks.shape[2:] != chunks.shape[1:]:
            self._chunks = np.zeros((len(self._made), horizon, *chunks.shape[1:]), chunks.dtype)
        self._chunks[rows, 1:] = self._chunks[rows, :-1]
        self._chunks[rows, 0] = chunks
        self._made[rows] = np.minimum(self._made[rows] + 1, horizon)

    def next(self, rows: np.ndarray) -> np.ndarray:
        horizon = self._chunks.shape[1]
        age = np.arange(horizon)
        now = self._chunks[rows][:, age, age]  # a chunk made `age` steps ago speaks of now in its entry `age`: [r, h, a]
        order = self._made[rows][:, None] - 1 - age  # i in the paper; negative where no chunk has been made yet
        weights = np.where(order >= 0, np.exp(-self._decay * order), 0.0)
        weights /= weights.sum(axis=1, keepdims=True)
        # Chunks older than the episode are left-overs of another one: a NaN there must not come through a zero weight.
        now = np.where(order[:, :, None] >= 0, now, 0.0)
        actions: np.ndarray = np.einsum("rh,rha->ra", weights, now).astype(self._chunks.dtype)
        return actions


def executed(execute: int | None, chunk: int) -> int:
    """How many actions of each chunk are executed: as many as were asked for, or half of the ``chunk``, at least one."""
    return execute or max(1, chunk // 2)


def chunk_executor(num_rows: int, execute: int, *, ensemble: bool) -> ChunkExecutor:
    """How ``evaluation.execute`` and ``evaluation.ensemble`` say that chunks are executed."""
    return TemporalEnsemble(num_rows) if ensemble else RecedingHorizon(num_rows, execute)
