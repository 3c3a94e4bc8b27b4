"""What a stage of the tabletop curriculum is."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from vla_train.envs.tabletop.goals import Goals, Kind
from vla_train.envs.tabletop.state import State


@dataclass
class Requests:
    """Goals and how they are to be put into words. Arrays are [..., s] with s steps, ``task`` is [...]."""

    goals: Goals
    task: np.ndarray  # int64, index in the stage's ``tasks``
    noun: np.ndarray  # int64, a ``grammar.Noun`` for each step's object
    anchor: np.ndarray  # int64, slot of the object that a relation starts from; 0 where there is none

    @classmethod
    def plain(cls, kind: np.ndarray, slot: np.ndarray, place: np.ndarray, other: np.ndarray, task: np.ndarray) -> "Requests":
        """Goals of one step whose objects are named, from arrays [...]."""
        arrays = (np.asarray(array, np.int64)[..., None] for array in (kind, slot, place, other))
        goals = Goals(*arrays)
        return cls(goals, np.asarray(task, np.int64), np.zeros_like(goals.kind), np.zeros_like(goals.kind))


@runtime_checkable
class Stage(Protocol):
    """Success tests and expert skills belong to the goals' kinds; a stage says which goals there are."""

    name: str
    horizon: int  # control steps
    tasks: tuple[str, ...]
    kinds: tuple[Kind, ...]
    steps: int  # of its longest goals
    trays: int
    walls: int

    def sample(self, state: State, objects_only: bool) -> Requests:
        """The goal of each row's seed, [n]; with ``objects_only`` it is about slot 0."""

    def legal(self, state: State) -> tuple[Requests, np.ndarray]:
        """Goals that could be asked for, [n, k], and which of them are legal, bool [n, k]."""
