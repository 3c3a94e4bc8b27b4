"""What every environment offers to rollouts, evaluation and generation of demonstrations.

An environment is a ``gymnasium.vector.VectorEnv`` with ``AutoresetMode.DISABLED``: n rows that step together; ended rows are
reset by ``reset(seed=[...], options={"reset_mask": mask})``, each from its own seed. It never resets by itself. Observations
are ``RawObservation`` dicts of n rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from vla_train.spec import Spec
from vla_train.symmetry import Symmetry
from vla_train.types import RawObservation


@dataclass(frozen=True)
class Goal:
    """Something that can be asked for in a scene: the words, and what success means."""

    instruction: str
    key: str  # canonical text of the goal: equal keys mean the same success test, whatever the words
    task: str  # the kind of task, for success per task
    named: str  # the object that the instruction names first ("red cup"), "" if it names none
    template: str  # the template that made the words
    data: Any = None  # the environment's own description of the success test


NO_PARAPHRASES = "the environment words each goal in one way only"


@runtime_checkable
class Rewords(Protocol):
    """What an environment offers besides if it can say the same in other words."""

    def paraphrases(self, seeds: Sequence[int] | np.ndarray) -> list[str]:
        """The goals of these seeds in a wording that no demonstration has (or, where those are told, in one that some have)."""


@runtime_checkable
class Changeable(Protocol):
    """What an environment offers besides if robustness can be measured in it."""

    robustness_axes: tuple[str, ...]  # what can be changed: camera, light, ...

    def changed(self, axis: str, strength: float) -> Any:
        """The randomization that changes one axis alone, at a strength from 0 (not at all) to 1."""


@runtime_checkable
class Symmetric(Protocol):
    """What an environment offers besides if its demonstrations may be moved or renamed (``augmentation``)."""

    symmetry: Symmetry


@runtime_checkable
class Measured(Protocol):
    """What an environment offers besides if it can tell how far each row is from its goal (``reward.progress``)."""

    def remaining(self) -> np.ndarray:
        """What is still to be done, float64 [n], in a unit of the environment's; falls on the way to the goal."""


@runtime_checkable
class Told(Protocol):
    """What an environment offers besides if it tells in words what its robot does and has changed (``reward.language``)."""

    fact_sentences: tuple[str, ...]  # all that may ever be told

    def facts(self) -> np.ndarray:
        """int64 [n, f]: the places in ``fact_sentences`` of those that are true now; -1 where a row has fewer than f."""


@runtime_checkable
class Environment(Protocol):
    """See the module's docstring. n = ``num_envs``; every list and array has one entry for each row."""

    num_envs: int
    io_spec: Spec  # history and chunk are 1
    stage: str
    # feature -> reason: 'success', 'alternatives', 'first_touched', 'expert', 'scene', 'describe'
    not_applicable: dict[str, str]

    def reset(
        self, *, seed: Sequence[int] | np.ndarray, options: dict[str, Any] | None = None
    ) -> tuple[RawObservation, dict[str, Any]]:
        """``seed`` has n entries; with ``options={"reset_mask": bool [n]}`` the unmasked rows stay as they are."""

    def step(self, actions: np.ndarray) -> tuple[RawObservation, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Actions [n, a] (continuous, clipped to bounds) or int [n, 1]. Returns observation, reward, terminated, truncated, info.

        Rows that have ended keep still and give reward 0 until they are reset. A NaN or a wrong shape raises WorldError.
        """

    def close(self) -> None: ...

    @property
    def success(self) -> np.ndarray:
        """bool [n]: the goal has been reached in this episode."""

    @property
    def goals(self) -> list[Goal]:
        """The goal that each row is judged by; its instruction is what the observation shows."""

    def set_goals(self, rows: Sequence[int], goals: Sequence[Goal]) -> RawObservation:
        """Replace the goals of rows that were just reset; returns the observation with the new instructions."""

    def alternatives(self) -> list[list[Goal]]:
        """For each row the other legal goals in its scene, with differing keys; [] where the scene has none."""

    def expert_action(self, goals: Sequence[Goal] | None = None) -> np.ndarray:
        """The expert's next action for each row, towards its own goal or the one given. [n, a]"""

    @property
    def first_touched(self) -> list[str]:
        """The name of the object first touched in this episode, in words as Goal.named has it; "" if none yet."""

    def describe(self) -> list[str]:
        """The state in words."""

    def get_scenes(self) -> list[dict[str, Any]]:
        """The scene of each row as JSON values, with its goal: enough to set it up again."""

    def set_scenes(self, rows: Sequence[int], scenes: Sequence[dict[str, Any]]) -> RawObservation:
        """Put rows into given scenes."""

    def sample_instructions(self, seeds: Sequence[int] | np.ndarray) -> list[str]:
        """The instructions that these seeds would give, without building frames: for the tokenizer."""
