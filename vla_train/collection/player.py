"""``Player``: who decides what is executed in the episodes of a dataset, and what is recorded of it."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from vla_train.envs.contract import Environment
from vla_train.types import RawObservation


@dataclass(frozen=True)
class Moment:
    """What a player decides about. ``rows`` int [r] are those with an episode; arrays have an entry for each of all n rows."""

    environment: Environment
    seen: RawObservation
    rows: np.ndarray
    seeds: np.ndarray  # int64 [n]
    steps: np.ndarray  # int64 [n], taken so far in the row's episode


@dataclass(frozen=True)
class Move:
    """For each of all n rows, [n, a]: what is done, and what is recorded as the action to learn.

    ``helped`` bool [n]: the expert acted in the place of another; None: nobody is helped. ``given_up`` bool [n]: the episode ends
    before this action; None: none does.
    """

    executed: np.ndarray
    recorded: np.ndarray
    helped: np.ndarray | None = None
    given_up: np.ndarray | None = None


@runtime_checkable
class Player(Protocol):
    """Plays all rows of an environment, each episode by itself."""

    @property
    def keeps_failures(self) -> bool:
        """Whether something is learned from an episode that failed."""

    def begin(self, rows: np.ndarray | None) -> None:
        """These rows have begun a new episode; None: all of them, and whatever was drawn before is forgotten."""

    def move(self, moment: Moment) -> Move: ...

    def ended(self, success: bool) -> None:
        """An episode is over."""

    def names(self, seeds: np.ndarray) -> list[str]:
        """Who plays the episodes of these seeds."""
