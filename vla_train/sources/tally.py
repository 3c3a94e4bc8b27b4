"""Return, length and success of the episodes that are played while a policy learns."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from vla_train.spec import StateDict

_SUMS = ("episodes", "return", "length", "success", "judged")
GUARDED = ("aborted", "limited")  # what a guarded environment tells of a step: episodes that it ended, actions that it cut


class Tally:
    """Adds up the episodes under way in ``num_envs`` rows, and those that ended since it was last asked."""

    def __init__(self, num_envs: int) -> None:
        self.length = np.zeros(num_envs, np.int64)  # steps of the episodes under way
        self._return = np.zeros(num_envs)
        self._terms: dict[str, np.ndarray] = {}  # the parts of the return, by the terms of the reward, if it has any
        self._sums = dict.fromkeys(_SUMS, 0.0)
        self.crashes = 0
        self.totals: dict[str, int] = {}  # since the beginning: steps and episodes, and those of them that were not safe

    def begin(self, mask: np.ndarray) -> None:
        """New episodes in these rows."""
        self.length[mask], self._return[mask] = 0, 0.0
        for part in self._terms.values():
            part[mask] = 0.0

    def add(
        self, reward: np.ndarray, ended: np.ndarray, success: np.ndarray | None, terms: Mapping[str, np.ndarray] | None = None
    ) -> None:
        """A step of all rows, [n] each. ``success`` None: it does not apply, or no row has ended. ``terms``: what the reward is
        the sum of."""
        self.length += 1
        self._return += reward
        for name, value in (terms or {}).items():
            self._terms[name] = self._terms.get(name, 0.0) + value
            self._add(f"return_{name}", self._terms[name][ended])
        self._add("episodes", ended)
        self._add("return", self._return[ended])
        self._add("length", self.length[ended])
        if success is not None:
            self._add("success", success[ended])
            self._add("judged", ended)

    def guard(self, info: Mapping[str, Any], ended: np.ndarray) -> None:
        """Count what was not safe in a step of all rows."""
        if GUARDED[0] in info:
            counts = {"steps": len(ended), "episodes": ended.sum(), **{name: info[name].sum() for name in GUARDED}}
            for name, count in counts.items():
                self.totals[name] = self.totals.get(name, 0) + int(count)

    def _add(self, name: str, values: np.ndarray) -> None:
        self._sums[name] = self._sums.get(name, 0.0) + float(values.sum())

    def take(self) -> dict[str, float]:
        """Means over the episodes that ended since this was last called. Crashes are named only where there were some."""
        sums, count = self._sums, self._sums["episodes"]
        found = {"episodes": count} | ({"crashes": float(self.crashes)} if self.crashes else {})
        if count:
            found |= {name: total / count for name, total in sums.items() if name.startswith(("return", "length"))}
        if sums["judged"]:
            found["success"] = sums["success"] / sums["judged"]
        found |= {name: float(self.totals[name]) for name in GUARDED if name in self.totals}
        self._sums, self.crashes = dict.fromkeys(_SUMS, 0.0), 0
        return found

    def state_dict(self) -> StateDict:
        rows = {"length": self.length.copy(), "return": self._return.copy()}
        terms = {name: part.copy() for name, part in self._terms.items()}
        return {**rows, "terms": terms, "sums": dict(self._sums), "crashes": self.crashes, "totals": dict(self.totals)}

    def load_state_dict(self, state: StateDict) -> None:
        """Raises ``ValueError`` for the state of another number of rows."""
        terms, expected = state.get("terms", {}), {*_SUMS}
        if any(
            array.shape != self.length.shape for array in (state["length"], state["return"], *terms.values())
        ) or not expected <= set(state["sums"]) <= expected | {f"return_{name}" for name in terms}:
            raise ValueError("the tally of episodes is not one of so many rows")
        self.length, self._return, self._terms = state["length"], state["return"], dict(terms)
        self._sums, self.crashes = dict(state["sums"]), state["crashes"]
        self.totals.clear()  # and not another dict: several tallies may count into one
        self.totals.update(state.get("totals", {}))
