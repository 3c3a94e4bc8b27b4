"""How large an action is, whatever its units: what a penalty on it is taken from."""

import numpy as np

from vla_train.spec import ActionSpec


class Effort:
    """The mean square of the action as it is executed, in units in which its largest magnitude is 1. Raises ``ValueError`` for
    numbered actions, which have no magnitude."""

    def __init__(self, action: ActionSpec) -> None:
        if action.kind == "discrete":
            raise ValueError("numbered actions have no magnitude")
        self._low = np.array(action.low or [-np.inf] * action.size)
        self._high = np.array(action.high or [np.inf] * action.size)
        largest = np.maximum(np.abs(self._low), np.abs(self._high))
        self._scale = np.where(np.isfinite(largest) & (largest > 0), largest, 1.0)

    def __call__(self, actions: np.ndarray) -> np.ndarray:
        """float64 [n] for actions [n, a]."""
        share = np.clip(actions, self._low, self._high) / self._scale
        mean: np.ndarray = np.square(share, dtype=np.float64).mean(axis=1)
        return mean
