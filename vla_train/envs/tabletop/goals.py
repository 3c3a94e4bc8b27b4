"""Goals as arrays, and what it means to reach each kind of them."""

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np

from vla_train.envs.tabletop import world
from vla_train.envs.tabletop.placing import put_remaining, released_in_place
from vla_train.envs.tabletop.state import State

REGION_NAMES, DIRECTION_NAMES = tuple(world.REGIONS), tuple(world.DIRECTIONS)
REGION_XY = np.array(list(world.REGIONS.values()))
DIRECTION_XY = np.array(list(world.DIRECTIONS.values()))


class Kind(enum.IntEnum):
    """What a goal asks for."""

    NONE = -1  # fills up the steps of a goal that has fewer
    GO_OBJECT = 0
    GO_REGION = 1
    HOLD = 2
    PUSH = 3
    NEXT_TO = 4  # from here on: put an object somewhere, which lasts and can be seen; in the order of ``placing.RELATIONS``
    LEFT_OF = 5
    RIGHT_OF = 6
    ON = 7
    ON_TRAY = 8


PUT_KINDS = (Kind.NEXT_TO, Kind.LEFT_OF, Kind.RIGHT_OF, Kind.ON, Kind.ON_TRAY)


@dataclass
class Goals:
    """Goals of one step (arrays [n]), or of several in their order ([n, s])."""

    kind: np.ndarray  # int64, a Kind
    slot: np.ndarray  # int64, the object's slot; 0 where the kind has no object
    place: np.ndarray  # int64, region or direction; 0 where the kind has none
    other: np.ndarray  # int64, the slot of the object or the number of the tray that the object is put to; 0 where there is none

    @classmethod
    def empty(cls, *shape: int) -> "Goals":
        return cls(*(np.zeros(shape, np.int64) for _ in range(4)))

    def assign(self, index: np.ndarray, others: "Goals") -> None:
        for field in fields(self):
            getattr(self, field.name)[index] = getattr(others, field.name)

    def step(self, number: np.ndarray | int) -> "Goals":
        """One step [n] of goals [n, s]: the same one of all rows (a view), or one for each row [n]."""
        rows = slice(None) if isinstance(number, int) else np.arange(len(self.kind))
        return Goals(*(getattr(self, field.name)[rows, number] for field in fields(self)))


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


def _placed(state: State, goals: Goals) -> np.ndarray:
    return released_in_place(state, relation(goals), goals.slot, goals.other)


def _push_remaining(state: State, goals: Goals) -> np.ndarray:
    along, _ = pushed(state, goals)
    return distance(state, goals) + np.maximum(world.PUSH - along, 0.0)


def _put_remaining(state: State, goals: Goals) -> np.ndarray:
    remaining: np.ndarray = distance(state, goals) + put_remaining(state, relation(goals), goals.slot, goals.other)
    return remaining


def relation(goals: Goals) -> np.ndarray:
    """The number in ``placing.RELATIONS`` of each goal [n]; 0 for other kinds."""
    number: np.ndarray = np.maximum(goals.kind - Kind.NEXT_TO, 0)
    return number


Judgement = Callable[[State, Goals], np.ndarray]
# For each kind: is its condition met now, and how far is it (metres, for the shaping potential).
CONDITIONS: dict[Kind, Judgement] = {
    Kind.GO_OBJECT: _arrived,
    Kind.GO_REGION: _arrived,
    Kind.HOLD: _holding,
    Kind.PUSH: _pushed,
    **dict.fromkeys(PUT_KINDS, _placed),
}
REMAINING: dict[Kind, Judgement] = {
    Kind.GO_OBJECT: distance,
    Kind.GO_REGION: distance,
    Kind.HOLD: distance,
    Kind.PUSH: _push_remaining,
    **dict.fromkeys(PUT_KINDS, _put_remaining),
}


def by_kind(table: Mapping[Kind, Judgement], kinds: Sequence[Kind], state: State, goals: Goals) -> np.ndarray:
    """For each row the value of the function that its goal's kind has in the table; a function is called once."""
    functions = list(dict.fromkeys(table[kind] for kind in kinds))
    result = functions[0](state, goals)
    for function in functions[1:]:
        mine = np.logical_or.reduce([goals.kind == kind for kind in kinds if table[kind] is function])
        result = np.where(mine[:, None] if result.ndim > 1 else mine, function(state, goals), result)
    return result
