"""An environment around another one, which changes some of what it does."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from vla_train.envs.contract import Environment, Goal
from vla_train.spec import Spec
from vla_train.types import RawObservation

# What some environments offer besides (the protocols beside Environment in contract.py), and Meta-World's groups of tasks
OFFERED = ("robustness_axes", "changed", "paraphrases", "symmetry", "remaining", "fact_sentences", "facts", "task_groups")


class Wrapper:
    """Does what ``inner`` does: subclasses change some of it. Each method is written out, so that protocols can see it."""

    def __init__(self, inner: Environment) -> None:
        self.inner = inner
        self.kind = getattr(inner, "kind", type(inner))  # the class that is at work
        self.num_envs: int = inner.num_envs
        self.io_spec: Spec = inner.io_spec
        self.stage: str = inner.stage
        self.not_applicable: dict[str, str] = inner.not_applicable
        for name in OFFERED:
            if hasattr(inner, name):
                setattr(self, name, getattr(inner, name))

    def reset(
        self, *, seed: Sequence[int] | np.ndarray, options: dict[str, Any] | None = None
    ) -> tuple[RawObservation, dict[str, Any]]:
        return self.inner.reset(seed=seed, options=options)

    def step(self, actions: np.ndarray) -> tuple[RawObservation, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        return self.inner.step(actions)

    def close(self) -> None:
        self.inner.close()

    @property
    def success(self) -> np.ndarray:
        return self.inner.success

    @property
    def goals(self) -> list[Goal]:
        return self.inner.goals

    def set_goals(self, rows: Sequence[int], goals: Sequence[Goal]) -> RawObservation:
        return self.inner.set_goals(rows, goals)

    def alternatives(self) -> list[list[Goal]]:
        return self.inner.alternatives()

    def expert_action(self, goals: Sequence[Goal] | None = None) -> np.ndarray:
        return self.inner.expert_action(goals)

    @property
    def first_touched(self) -> list[str]:
        return self.inner.first_touched

    def describe(self) -> list[str]:
        return self.inner.describe()

    def get_scenes(self) -> list[dict[str, Any]]:
        return self.inner.get_scenes()

    def set_scenes(self, rows: Sequence[int], scenes: Sequence[dict[str, Any]]) -> RawObservation:
        return self.inner.set_scenes(rows, scenes)

    def sample_instructions(self, seeds: Sequence[int] | np.ndarray) -> list[str]:
        return self.inner.sample_instructions(seeds)
