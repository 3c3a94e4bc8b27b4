"""What a reward is made of. A term gives a number for each of n rows and steps, before it is weighted."""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import numpy as np

from vla_train.envs.contract import Environment, Measured
from vla_train.envs.effort import Effort
from vla_train.errors import UsageError
from vla_train.spec import ActionSpec


@runtime_checkable
class Term(Protocol):
    """Is called after each step of the environment that it was made for."""

    def begin(self, rows: np.ndarray) -> None:
        """bool [n]: these rows were reset, or put somewhere else."""

    def __call__(self, actions: np.ndarray, terminated: np.ndarray) -> np.ndarray:
        """float64 [n] for what was done, actions [n, a], and whether the episode terminated by it, [n]."""


class Completion:
    """1 in the step in which the goal is reached."""

    def __init__(self, environment: Environment) -> None:
        if "success" in environment.not_applicable:
            raise UsageError(
                "reward.completion is for reaching the goal, which this environment does not know of "
                f"({environment.not_applicable['success']}): set it to 0, or reward=environment"
            )
        self._environment, self._before = environment, np.zeros(environment.num_envs, bool)

    def begin(self, rows: np.ndarray) -> None:
        self._before[rows] = self._environment.success[rows]

    def __call__(self, actions: np.ndarray, terminated: np.ndarray) -> np.ndarray:
        now = self._environment.success
        gained = now & ~self._before
        self._before = now
        return gained.astype(np.float64)


class Change:
    """How a measure of the state changes: discount x after - before.

    Such a reward changes no optimal policy if what follows a termination counts 0 (``ends_at_zero``; Ng et al. 1999, "Policy
    invariance under reward transformations", with the measure as potential): it says where to go, and not what for. Without it
    what is collected in an episode is the measure at its end, less that at its beginning.
    """

    def __init__(self, measure: Callable[[], np.ndarray], num_envs: int, *, discount: float, ends_at_zero: bool) -> None:
        self._measure, self._discount, self._ends_at_zero = measure, discount, ends_at_zero
        self._before = np.zeros(num_envs)

    def begin(self, rows: np.ndarray) -> None:
        self._before[rows] = self._measure()[rows]

    def __call__(self, actions: np.ndarray, terminated: np.ndarray) -> np.ndarray:
        now = self._measure()
        after = np.where(terminated, 0.0, now) if self._ends_at_zero else now
        change: np.ndarray = self._discount * after - self._before
        self._before = now
        return change


def progress(environment: Environment, discount: float) -> Change:
    """Minus the change of what remains to the goal."""
    if not isinstance(environment, Measured):
        raise UsageError(
            "reward.progress needs an environment that tells how far the goal is, as environment=tabletop does and this one does "
            "not: choose reward=sparse, which counts reaching it, or reward=environment, what the world gives of itself"
        )
    measured = environment
    return Change(lambda: -measured.remaining(), environment.num_envs, discount=discount, ends_at_zero=True)


class Penalty:
    """Minus the effort of the action."""

    def __init__(self, action: ActionSpec) -> None:
        if action.kind == "discrete":
            raise UsageError("reward.action is a penalty on the magnitude of actions, and numbered ones have none: set it to 0")
        self._effort = Effort(action)

    def begin(self, rows: np.ndarray) -> None:
        """It forgets at once."""

    def __call__(self, actions: np.ndarray, terminated: np.ndarray) -> np.ndarray:
        return -self._effort(actions)
