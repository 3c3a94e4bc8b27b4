"""Goals as arrays, and what it means to reach each kind of them."""

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vla_train.envs.contract import Goal
from vla_train.envs.tabletop import world
from vla_train.envs.tabletop.state import State

REGION_NAMES, DIRECTION_NAMES = tuple(world.REGIONS), tuple(world.DIRECTIONS)
REGION_XY = np.array(list(world.REGIONS.values()))
DIRECTION_XY = np.array(list(world.DIRECTIONS.values()))


class Kind(enum.IntEnum):
    """What a goal asks for."""

    GO_OBJECT = 0
    GO_REGION = 1
    HOLD = 2
    PUSH = 3


@dataclass
class Goals:
    """One goal for each of n rows."""

    kind: np.ndarray  # int64 [n], a Kind
    slot: np.ndarray  # int64 [n], the object's slot; 0 where the kind has no object
    place: np.ndarray  # int64 [n], region or direction; 0 where the kind has none

    @classmethod
    def empty(cls, num_envs: int) -> "Goals":
        return cls(*(np.zeros(num_envs, np.int64) for _ in range(3)))

    def assign(self, index: np.ndarray, other: "Goals") -> None:
        self.kind[index], self.slot[index], self.place[index] = other.kind, other.slot, other.place


def target_xy(state: State, goals: Goals) -> tuple[np.ndarray, np.ndarray]:
    """Where the goal's object or region is, [n] each."""
    rows = np.arange(len(goals.kind))
    region = goals.kind == Kind.GO_REGION
    place = np.where(region, goals.place, 0)
    x = np.where(region, REGION_XY[place, 0], state.x[rows, goals.slot])
    return x, np.where(region, REGION_XY[place, 1], state.y[rows, goals.slot])


def distance(state: State, goals: Goals) -> np.ndarray:
    """Metres between the tip and the goal's object or region, [n]."""
    x, y = target_xy(state, goals)
    x, y = x - state.tip_x, y - state.tip_y
    length: np.ndarray = np.sqrt(x * x + y * y)
    return length


def pushed(state: State, goals: Goals) -> tuple[np.ndarray, np.ndarray]:
    """How far the object has moved along the goal's direction and across it since the episode began, [n] each."""
    rows, direction = np.arange(len(goals.kind)), DIRECTION_XY[np.where(goals.kind == Kind.PUSH, goals.place, 0)]
    x = state.x[rows, goals.slot] - state.start_x[rows, goals.slot]
    y = state.y[rows, goals.slot] - state.start_y[rows, goals.slot]
    return x * direction[:, 0] + y * direction[:, 1], np.abs(y * direction[:, 0] - x * direction[:, 1])


def _arrived(state: State, goals: Goals) -> np.ndarray:
    return (distance(state, goals) <= world.RADIUS) & (state.still > 0)


def _holding(state: State, goals: Goals) -> np.ndarray:
    held: np.ndarray = state.held == goals.slot
    return held


def _pushed(state: State, goals: Goals) -> np.ndarray:
    along, across = pushed(state, goals)
    done: np.ndarray = (along >= world.PUSH) & (across <= along / 2) & (state.held != goals.slot)
    return done


def _remaining(state: State, goals: Goals) -> np.ndarray:
    along, _ = pushed(state, goals)
    return distance(state, goals) + np.maximum(world.PUSH - along, 0.0)


# For each kind: is its condition met now, and how far is it (metres, for the shaping potential).
CONDITIONS: dict[Kind, Callable[[State, Goals], np.ndarray]] = {
    Kind.GO_OBJECT: _arrived,
    Kind.GO_REGION: _arrived,
    Kind.HOLD: _holding,
    Kind.PUSH: _pushed,
}
REMAINING: dict[Kind, Callable[[State, Goals], np.ndarray]] = {
    Kind.GO_OBJECT: distance,
    Kind.GO_REGION: distance,
    Kind.HOLD: distance,
    Kind.PUSH: _remaining,
}


def by_kind(
    table: dict[Kind, Callable[[State, Goals], np.ndarray]], kinds: Sequence[Kind], state: State, goals: Goals
) -> np.ndarray:
    """For each row the value of the function that its goal's kind has in the table; a function is called once."""
    functions = list(dict.fromkeys(table[kind] for kind in kinds))
    result = functions[0](state, goals)
    for function in functions[1:]:
        mine = np.logical_or.reduce([goals.kind == kind for kind in kinds if table[kind] is function])
        result = np.where(mine[:, None] if result.ndim > 1 else mine, function(state, goals), result)
    return result


def place_name(kind: int, place: int) -> str:
    """The region or direction of a goal in words; "" if its kind has none."""
    return REGION_NAMES[place] if kind == Kind.GO_REGION else DIRECTION_NAMES[place] if kind == Kind.PUSH else ""


def key(kind: int, name: str, place: str) -> str:
    """The canonical text of a goal."""
    if kind == Kind.GO_OBJECT:
        return f"go to {name}"
    if kind == Kind.GO_REGION:
        return f"go to {place}"
    return f"hold {name}" if kind == Kind.HOLD else f"push {name} {place}"


def make_goal(kind: int, name: str, place: str, task: str, template: str, instruction: str) -> Goal:
    """The goal as the contract has it; ``data`` holds JSON values only."""
    name = "" if kind == Kind.GO_REGION else name
    data: dict[str, Any] = {"kind": Kind(kind).name.lower(), "object": name, "place": place}
    return Goal(instruction, key(kind, name, place), task, name, template, data)
