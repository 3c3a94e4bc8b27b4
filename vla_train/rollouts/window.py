"""The last k observations of every row, as a policy wants them."""

import numpy as np

from vla_train.errors import WorldError
from vla_train.spec import StateDict


class Window:
    """Frames per row, oldest first. Before an episode began its first frame stands there, with ``present`` False.

    This is what a dataset gives, whose indices are clamped to the episode, so a policy sees the same in training and use.
    """

    def __init__(self, history: int) -> None:
        self.history = history
        self._seen = np.zeros(0, np.int64)  # observations since the row's reset, at most k
        self._arrays: dict[str, np.ndarray] = {}  # [row, k, ...]

    def reset(self, rows: np.ndarray | None) -> None:
        """Forget these rows; None: all."""
        self._grow(0 if rows is None or not len(rows) else int(rows.max()) + 1)
        self._seen[slice(None) if rows is None else rows] = 0

    def push(self, rows: np.ndarray, images: dict[str, np.ndarray], state: np.ndarray) -> None:
        """Add one observation to each of the rows: images [r, y, x, c] per camera, state [r, s]. Raises WorldError where one has
        another shape than those before."""
        self._grow(int(rows.max()) + 1 if len(rows) else 0)
        first = self._seen[rows] == 0
        for name, new in [*images.items(), ("", np.asarray(state, np.float32))]:
            if name not in self._arrays:
                self._arrays[name] = np.zeros((len(self._seen), self.history, *new.shape[1:]), new.dtype)
            array = self._arrays[name]
            if new.shape[1:] != array.shape[2:]:
                raise WorldError(
                    f"{name or 'the state'} has the shape {list(new.shape[1:])}, and had {list(array.shape[2:])} before: an "
                    "environment whose spaces change cannot be learned in; wrap it in one that always shows the same"
                )
            if self.history > 1:
                array[rows, :-1] = array[rows, 1:]
                array[rows[first], :-1] = new[first][:, None]
            array[rows, -1] = new
        self._seen[rows] = np.minimum(self._seen[rows] + 1, self.history)

    def read(self, rows: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
        """Images [r, k, y, x, c] per camera, state [r, k, s], present bool [r, k]."""
        images = {name: array[rows] for name, array in self._arrays.items() if name}
        present = np.arange(self.history) >= self.history - self._seen[rows][:, None]
        return images, self._arrays[""][rows], present

    def state_dict(self) -> StateDict:
        return {"seen": self._seen.copy(), "arrays": {name: array.copy() for name, array in self._arrays.items()}}

    def load_state_dict(self, state: StateDict) -> None:
        """Raises ``ValueError`` for windows of another length."""
        if any(len(array) != len(state["seen"]) or array.shape[1] != self.history for array in state["arrays"].values()):
            raise ValueError(f"the windows are not of {self.history} frames")
        self._seen, self._arrays = state["seen"], dict(state["arrays"])

    def _grow(self, size: int) -> None:
        missing = size - len(self._seen)
        if missing > 0:
            self._seen = np.concatenate([self._seen, np.zeros(missing, np.int64)])
            for name, array in self._arrays.items():
                self._arrays[name] = np.concatenate([array, np.zeros((missing, *array.shape[1:]), array.dtype)])
