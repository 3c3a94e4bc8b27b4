"""An environment in which some things are not done: actions are held within limits, and what gets too far ends."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vla_train.envs.contract import Environment
from vla_train.envs.effort import Effort
from vla_train.envs.wrapper import Wrapper
from vla_train.errors import UsageError
from vla_train.types import RawObservation

Bounds = Mapping[str, Sequence[float]]  # [low, high] by the name of a number, or by its position


class Limits:
    """``configs/safety/limits.yaml`` explains the keys. Called with an environment, it gives that environment with these limits.

    Raises UsageError for numbers that the environment does not have, limits that leave nothing, or discrete actions to limit.
    """

    def __init__(self, *, action: Bounds | None, state: Bounds | None, penalty: float, effort: float) -> None:
        self._action, self._state = action or {}, state or {}
        self.penalty, self.effort = penalty, effort

    def __call__(self, environment: Environment) -> "Guarded":
        return Guarded(environment, self)

    def action(self, environment: Environment) -> tuple[np.ndarray, np.ndarray]:
        """The least and the largest action that is executed, [a] each."""
        spec = environment.io_spec.action
        if spec.kind == "discrete":
            if self._action or self.effort:
                raise UsageError("safety.action and safety.effort are for continuous actions: leave them out for discrete ones")
            return np.full(1, -np.inf), np.full(1, np.inf)
        low, high = _bounds("action", self._action, spec.size, spec.names)
        low, high = np.maximum(low, spec.low or -np.inf), np.minimum(high, spec.high or np.inf)
        if (low > high).any():
            place = int(np.argmax(low > high))
            raise UsageError(
                f"safety.action allows nothing for number {place}: {low[place]} to {high[place]} are outside the bounds"
            )
        return low, high

    def state(self, environment: Environment) -> tuple[np.ndarray, np.ndarray]:
        """The least and the largest state in which an episode goes on, [s] each."""
        spec = environment.io_spec
        return _bounds("state", self._state, spec.state_size, spec.state_names)


def _bounds(what: str, bounds: Bounds, size: int, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    low, high = np.full(size, -np.inf), np.full(size, np.inf)
    for name, (least, most) in bounds.items():
        place = list(names).index(name) if name in names else int(name) if name.isdecimal() else size
        if place >= size:
            known = ", ".join(names) or f"no names, but the positions 0 to {size - 1}"
            raise UsageError(f"safety.{what}: there is no {name!r} in the {what}, which has {known}")
        if least > most:
            raise UsageError(f"safety.{what}.{name}: {least} is above {most}")
        low[place], high[place] = least, most
    return low, high


class Guarded(Wrapper):
    """``info["limited"]`` bool [n] tells of actions that were cut, ``info["aborted"]`` of episodes that this step ended, which
    terminate without success; ``info["reward_terms"]`` of what the reward is the sum of."""

    def __init__(self, inner: Environment, limits: Limits) -> None:
        super().__init__(inner)
        self._limits = limits
        self._action, self._state = limits.action(inner), limits.state(inner)
        self._effort = Effort(inner.io_spec.action) if limits.effort else None
        self._over = np.ones(self.num_envs, bool)  # rows whose episode has ended
        self._aborted = np.zeros(self.num_envs, bool)

    def reset(
        self, *, seed: Sequence[int] | np.ndarray, options: dict[str, Any] | None = None
    ) -> tuple[RawObservation, dict[str, Any]]:
        found = self.inner.reset(seed=seed, options=options)
        self._begin(np.flatnonzero((options or {}).get("reset_mask", np.ones(self.num_envs, bool))))
        return found

    def step(self, actions: np.ndarray) -> tuple[RawObservation, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        live = ~self._over
        executed, limited = self._limit(actions)
        observation, reward, terminated, truncated, info = self.inner.step(executed)
        low, high = self._state
        state = observation["state"]
        aborted = live & ((state < low) | (state > high)).any(axis=1)
        taken = {"safety": self._limits.penalty * aborted}
        if self._effort is not None:
            taken["effort"] = live * self._limits.effort * self._effort(executed)
        self._aborted |= aborted
        terminated, truncated = (terminated & live) | aborted, truncated & live & ~aborted
        self._over |= terminated | truncated
        terms = info.get("reward_terms", {"environment": reward * live}) | {name: -value for name, value in taken.items()}
        told = {"aborted": aborted, "limited": limited & live, "reward_terms": terms}
        return observation, reward * live - sum(taken.values()), terminated, truncated, info | told

    def _limit(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Actions as they are executed, and which rows wanted more than that; the world's own bounds count for none."""
        low, high = self._action
        if self.io_spec.action.kind == "discrete" or np.shape(actions) != (self.num_envs, len(low)):
            return actions, np.zeros(self.num_envs, bool)  # which the environment refuses
        spec = self.io_spec.action
        wanted = np.clip(actions, spec.low or -np.inf, spec.high or np.inf)
        executed = np.clip(wanted, low, high).astype(np.asarray(actions).dtype)
        return executed, (executed != wanted).any(axis=1)

    @property
    def success(self) -> np.ndarray:
        reached: np.ndarray = self.inner.success & ~self._aborted
        return reached

    def set_scenes(self, rows: Sequence[int], scenes: Sequence[dict[str, Any]]) -> RawObservation:
        found = self.inner.set_scenes(rows, scenes)
        self._begin(np.asarray(rows, np.int64))
        return found

    def _begin(self, rows: np.ndarray) -> None:
        self._over[rows] = self._aborted[rows] = False
