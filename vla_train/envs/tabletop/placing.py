"""Putting one thing next to, left of, right of or on another: what counts, and where there is room for it."""

import math

import numpy as np

from vla_train.envs.tabletop import world
from vla_train.envs.tabletop.furniture import in_walls, near_trays
from vla_train.envs.tabletop.state import State

RELATIONS = ("next to", "left of", "right of", "on", "on tray")
_TRAY = RELATIONS.index("on tray")
_ON = RELATIONS.index("on")

ROOM = 0.10  # metres that a place beside an object must keep from all other objects
EDGE = 0.42  # and the largest coordinate that it may have
RIM, WALL = 0.05, 0.06  # metres that it must keep from trays and walls

_inf = math.inf
# Least and largest distance, least and largest x, largest y: of an object's centre, seen from what it is put to.
_LIMITS = np.array(
    [
        (*world.NEXT_TO, -_inf, _inf, _inf),
        (0, _inf, -world.SIDE[1], -world.SIDE[0], world.SIDE_WIDTH),
        (0, _inf, *world.SIDE, world.SIDE_WIDTH),
        (0, world.ON, -_inf, _inf, _inf),
        (0, _inf, -world.ON_TRAY, world.ON_TRAY, world.ON_TRAY),
    ]
)
_DIAGONAL = world.BESIDE * math.sqrt(0.5)
_COMPASS = [(x * world.BESIDE, y * world.BESIDE) for x, y in ((1, 0), (0, 1), (-1, 0), (0, -1))] + [
    (x * _DIAGONAL, y * _DIAGONAL) for x in (-1, 1) for y in (-1, 1)
]
# Where to put things, seen from what they are put to: float64 [relation, 8, 2].
_PLACES = np.array([_COMPASS, [(-world.BESIDE, 0)] * 8, [(world.BESIDE, 0)] * 8, [(0, 0)] * 8, [(0, 0)] * 8], np.float64)


def anchor_xy(state: State, relation: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The centre of the object or tray that something is put to, [n] each."""
    rows, tray = np.arange(len(relation)), relation == _TRAY
    slot = np.where(tray, 0, other)
    x, y = state.x[rows, slot], state.y[rows, slot]
    if not state.tray_x.shape[1]:
        return x, y
    number = np.where(tray, other, 0)
    return np.where(tray, state.tray_x[rows, number], x), np.where(tray, state.tray_y[rows, number], y)


def in_place(state: State, relation: np.ndarray, slot: np.ndarray, other: np.ndarray) -> np.ndarray:
    """bool [n]: the object lies, or is held, where the relation wants it."""
    rows = np.arange(len(relation))
    x, y = anchor_xy(state, relation, other)
    return _within(state.x[rows, slot] - x, state.y[rows, slot] - y, _LIMITS[relation].T)


def related(state: State, relation: int) -> np.ndarray:
    """bool [n, m, m]: the first object lies so to the second."""
    return _within(state.x[:, :, None] - state.x[:, None], state.y[:, :, None] - state.y[:, None], _LIMITS[relation])


def _within(x: np.ndarray, y: np.ndarray, limits: np.ndarray) -> np.ndarray:
    square = x * x + y * y
    ring = (square >= limits[0] ** 2) & (square <= limits[1] ** 2)
    inside: np.ndarray = ring & (x >= limits[2]) & (x <= limits[3]) & (np.abs(y) <= limits[4])
    return inside


def released_in_place(state: State, relation: np.ndarray, slot: np.ndarray, other: np.ndarray) -> np.ndarray:
    """bool [n]: the object lies where the relation wants it, out of the gripper."""
    released: np.ndarray = in_place(state, relation, slot, other) & (state.held != slot)
    return released


def put_remaining(state: State, relation: np.ndarray, slot: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Metres between the object and the nearest place that the relation names, room or no room, [n]."""
    rows = np.arange(len(relation))
    x, y = anchor_xy(state, relation, other)
    places = _PLACES[relation]
    x, y = (
        x[:, None] + places[:, :, 0] - state.x[rows, slot][:, None],
        y[:, None] + places[:, :, 1] - state.y[rows, slot][:, None],
    )
    remaining: np.ndarray = np.sqrt((x * x + y * y).min(axis=1))
    return remaining


def put_place(
    state: State, relation: np.ndarray, slot: np.ndarray, other: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where to put the object: the place nearest to the tip of those with room, x and y [n]; and whether there is room at all."""
    rows = np.arange(len(relation))
    x, y = anchor_xy(state, relation, other)
    places = _PLACES[relation]
    x, y = x[:, None] + places[:, :, 0], y[:, None] + places[:, :, 1]
    room = _has_room(state, x, y, slot, other) | (relation >= _ON)[:, None]
    from_x, from_y = x - state.tip_x[:, None], y - state.tip_y[:, None]
    choice = (from_x * from_x + from_y * from_y + 100.0 * ~room).argmin(axis=1)
    return x[rows, choice], y[rows, choice], np.asarray(room.any(axis=1))


def _has_room(state: State, x: np.ndarray, y: np.ndarray, slot: np.ndarray, other: np.ndarray) -> np.ndarray:
    """bool [n, k]: the places on bare table, away from edges, walls, trays and all objects but the two in question."""
    room: np.ndarray = (np.abs(x) <= EDGE) & (np.abs(y) <= EDGE)
    room &= ~in_walls(state, x, y, WALL) & ~near_trays(state, x, y, RIM)
    for number in range(state.num_slots):
        dx, dy = x - state.x[:, number, None], y - state.y[:, number, None]
        counts = np.not_equal(number, slot) & np.not_equal(number, other)
        room &= ~(counts[:, None] & (dx * dx + dy * dy < ROOM**2))
    return room
