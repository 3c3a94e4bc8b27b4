"""Return, length and success of the episodes that are played while a policy learns."""

import numpy as np

from vla_train.spec import StateDict

_SUMS = ("episodes", "return", "length", "success", "judged")


class Tally:
    """Adds up the episodes under way in ``num_envs`` rows, and those that ended since it was last asked."""

    def __init__(self, num_envs: int) -> None:
        self.length = np.zeros(num_envs, np.int64)  # steps of the episodes under way
        self._return = np.zeros(num_envs)
        self._sums = dict.fromkeys(_SUMS, 0.0)
        self.crashes = 0

    def begin(self, mask: np.ndarray) -> None:
        """New episodes in these rows."""
        self.length[mask], self._return[mask] = 0, 0.0

    def add(self, reward: np.ndarray, ended: np.ndarray, success: np.ndarray | None) -> None:
        """A step of all rows, [n] each. ``success`` None: it does not apply, or no row has ended."""
        self.length += 1
        self._return += reward
        self._sums["episodes"] += float(ended.sum())
        self._sums["return"] += float(self._return[ended].sum())
        self._sums["length"] += float(self.length[ended].sum())
        if success is not None:
            self._sums["success"] += float(success[ended].sum())
            self._sums["judged"] += float(ended.sum())

    def take(self) -> dict[str, float]:
        """Means over the episodes that ended since this was last called. Crashes are named only where there were some."""
        sums, count = self._sums, self._sums["episodes"]
        found = {"episodes": count} | ({"crashes": float(self.crashes)} if self.crashes else {})
        if count:
            found |= {"return": sums["return"] / count, "length": sums["length"] / count}
        if sums["judged"]:
            found["success"] = sums["success"] / sums["judged"]
        self._sums, self.crashes = dict.fromkeys(_SUMS, 0.0), 0
        return found

    def state_dict(self) -> StateDict:
        rows = {"length": self.length.copy(), "return": self._return.copy()}
        return {**rows, "sums": dict(self._sums), "crashes": self.crashes}

    def load_state_dict(self, state: StateDict) -> None:
        """Raises ``ValueError`` for the state of another number of rows."""
        if (
            state["length"].shape != self.length.shape
            or state["return"].shape != self.length.shape
            or set(state["sums"]) != {*_SUMS}
        ):
            raise ValueError("the tally of episodes is not one of so many rows")
        self.length, self._return = state["length"], state["return"]
        self._sums, self.crashes = dict(state["sums"]), state["crashes"]
