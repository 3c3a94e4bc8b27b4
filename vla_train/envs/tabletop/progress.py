"""How far each row is with its goal: success, the order of its steps, and what remains."""

from collections.abc import Sequence

import numpy as np

from vla_train.envs.tabletop import world
from vla_train.envs.tabletop.goals import CONDITIONS, REMAINING, Goals, Kind, by_kind
from vla_train.envs.tabletop.state import State


class Progress:
    """A step of a goal is done when its condition has held for ``DWELL`` control steps while it was that step's turn.

    The goal is reached with its last step, if what the earlier ones changed on the table still stands. Whoever makes the change
    of a later step before its turn has failed: the order that the words state could not be told from another otherwise.
    """

    def __init__(self, num_envs: int, num_steps: int, kinds: tuple[Kind, ...]):
        self.kinds = kinds
        self.goals = Goals.empty(num_envs, num_steps)
        self._first = self.goals.step(0)  # a view
        self.done = np.zeros(num_envs, np.int64)  # steps done
        self.dwell = np.zeros(num_envs, np.int64)  # control steps for which the present one's condition has held

    def begin(self, rows: np.ndarray, goals: Goals) -> None:
        """New goals [k, s] for some rows."""
        self.goals.assign(rows, goals)
        self.done[rows], self.dwell[rows] = 0, 0

    def judge(self, state: State, ended: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """After a control step: which rows have reached their goal now, and which have failed it, bool [n]."""
        goals = self.goals
        if goals.kind.shape[1] == 1:
            met = by_kind(CONDITIONS, self.kinds, state, self._first)
            self.dwell = np.where(ended, self.dwell, (self.dwell + 1) * met)
            return (self.dwell >= world.DWELL) & ~ended, np.zeros(len(ended), bool)
        every, rows = met_steps(state, goals, self.kinds), np.arange(len(ended))
        self.dwell = np.where(ended, self.dwell, (self.dwell + 1) * every[rows, self.done])
        numbers, lasting, done = np.arange(goals.kind.shape[1]), goals.kind >= Kind.NEXT_TO, self.done[:, None]
        failed = (every & lasting & (numbers > done)).any(axis=1) & ~ended
        reached = (self.dwell >= world.DWELL) & ~ended & ~failed
        last = self.done == (goals.kind != Kind.NONE).sum(axis=1) - 1
        stands = (every | ~lasting | (numbers >= done)).all(axis=1)
        self.done += reached & ~last
        self.dwell[reached & ~last] = 0
        return reached & last & stands, failed

    def remaining(self, state: State) -> np.ndarray:
        """Metres that remain, summed over the steps that are not done, [n]."""
        total = by_kind(REMAINING, self.kinds, state, self._first)
        if self.goals.kind.shape[1] == 1:
            return total
        total = np.where(self.done > 0, 0.0, total)
        for number in range(1, self.goals.kind.shape[1]):
            goals = self.goals.step(number)
            counts = (self.done <= number) & (goals.kind != Kind.NONE)
            total += np.where(counts, by_kind(REMAINING, self.kinds, state, goals), 0.0)
        return total


def met_steps(state: State, goals: Goals, kinds: Sequence[Kind]) -> np.ndarray:
    """bool [n, s]: the steps whose condition is met now."""
    columns = range(goals.kind.shape[1])
    met = np.stack([by_kind(CONDITIONS, kinds, state, goals.step(number)) for number in columns], axis=1)
    met &= goals.kind != Kind.NONE
    return met


def present_step(state: State, goals: Goals, kinds: Sequence[Kind]) -> Goals:
    """The step [n] that is to be done next, told from the state alone: the first change that does not stand, or else the last.

    This is what can be seen, so a policy needs no memory: all steps but the last are of kinds that leave a trace.
    """
    if goals.kind.shape[1] == 1:
        return goals.step(0)
    open_ = (goals.kind != Kind.NONE) & ~(met_steps(state, goals, kinds) & (goals.kind >= Kind.NEXT_TO))
    last = (goals.kind != Kind.NONE).sum(axis=1) - 1
    return goals.step(np.where(open_.any(axis=1), open_.argmax(axis=1), last))
