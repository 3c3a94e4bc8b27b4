"""Policies to compare with: one that moves at random, and one that is skilled but does not listen ('chance')."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vla_train.envs.contract import Environment, Goal
from vla_train.evaluation.scenes import DRAW_RANDOM
from vla_train.seeds import counter_uniform
from vla_train.types import RawObservation


class RandomAgent:
    """Uniform actions within the bounds. A chunk is a whole episode's, drawn from the episode's seed.

    Give ``begin`` to ``play`` as ``prepare``, and let it execute the whole chunk. Bounds that are missing are taken as -1 and 1.
    """

    def __init__(self, environment: Environment) -> None:
        self.horizon = environment.io_spec.horizon
        self._action = environment.io_spec.action
        self._seeds = np.zeros(environment.num_envs, np.int64)

    def begin(self, rows: list[int], seeds: list[int]) -> RawObservation | None:
        self._seeds[rows] = seeds
        return None

    def act(self, images: dict[str, Any], instruction: Sequence[str], state: Any, rows: Any = None) -> Any:
        size = self._action.size
        uniform = counter_uniform(self._seeds[rows], DRAW_RANDOM, self.horizon * size).reshape(-1, self.horizon, size)
        if self._action.kind == "discrete":
            return np.floor(uniform * self._action.choices).astype(np.int64)
        low = np.array(self._action.low or (-1.0,) * size)
        high = np.array(self._action.high or (1.0,) * size)
        return (low + uniform * (high - low)).astype(np.float32)

    def observe(self, images: dict[str, Any], instruction: Sequence[str], state: Any, rows: Any = None) -> None:
        """It does not look."""

    def reset(self, rows: Any = None) -> None:
        """It remembers nothing."""


class Expert:
    """The environment's expert, which sees the true state. ``goals`` by seed: what it goes for; without, each episode's own goal.

    Give ``begin`` to ``play`` as ``prepare``.
    """

    def __init__(self, environment: Environment, goals: Mapping[int, Goal] | None = None) -> None:
        self._environment = environment
        self._goals = goals
        self._targets: dict[int, Goal] = {}  # by row

    def begin(self, rows: list[int], seeds: list[int]) -> RawObservation | None:
        if self._goals is not None:
            self._targets.update({row: self._goals[seed] for row, seed in zip(rows, seeds, strict=True)})
        return None

    def act(self, images: dict[str, Any], instruction: Sequence[str], state: Any, rows: Any = None) -> Any:
        goals = None
        if self._goals is not None:
            goals = [self._targets.get(row, own) for row, own in enumerate(self._environment.goals)]
        actions = self._environment.expert_action(goals)
        return np.asarray(actions)[rows][:, None]

    def observe(self, images: dict[str, Any], instruction: Sequence[str], state: Any, rows: Any = None) -> None:
        """It sees the state itself."""

    def reset(self, rows: Any = None) -> None:
        """It remembers nothing but its target, which ``begin`` replaces."""
