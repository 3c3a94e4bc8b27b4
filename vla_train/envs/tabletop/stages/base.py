"""What a stage of the tabletop curriculum is."""

from typing import Protocol, runtime_checkable

import numpy as np

from vla_train.envs.tabletop.goals import Goals, Kind
from vla_train.envs.tabletop.state import State


@runtime_checkable
class Stage(Protocol):
    """Success tests and expert skills belong to the goals' kinds; a stage says which goals there are."""

    name: str
    horizon: int  # steps
    tasks: tuple[str, ...]
    kinds: tuple[Kind, ...]

    def sample(self, state: State, objects_only: bool) -> tuple[Goals, np.ndarray]:
        """The goal of each row's seed, and the index [n] of its task in ``tasks``; with ``objects_only`` it is about slot 0."""

    def legal(self, state: State) -> tuple[Goals, np.ndarray, np.ndarray]:
        """Every goal that could be asked for: k of them (as Goals of k rows), the tasks [k], and which are legal, bool [n, k]."""
