"""What the robot is doing and what it has changed, as short sentences with a number each: n rows are told without a loop.

What merely lies about is not told (``describe`` tells all of it): it is the same whatever the robot does.
"""

import numpy as np

from vla_train.envs.tabletop import world
from vla_train.envs.tabletop.furniture import tray_at
from vla_train.envs.tabletop.goals import DIRECTION_NAMES, DIRECTION_XY, REGION_NAMES, REGION_XY
from vla_train.envs.tabletop.placing import RELATIONS, related
from vla_train.envs.tabletop.state import State
from vla_train.envs.tabletop.world import TRAYS

PAIRS = len(world.COLOURS) * len(world.SHAPES)
NAMES = [world.object_name(pair // len(world.SHAPES), pair % len(world.SHAPES)) for pair in range(PAIRS)]
BANDS = (("at", world.RADIUS), ("close to", 0.12), ("near", 0.25))  # words for distances up to so many metres
MOVED = (("a little ", 0.03), ("", world.PUSH))  # words for an object that lies so many metres from where it was at first
_BETWEEN = RELATIONS[:-1]  # of two objects

_WHERE = (
    "the gripper is over the bare table",
    *(f"the gripper is {band} the {name}" for band, _ in BANDS for name in NAMES),
    *(f"the gripper is {band} the {place}" for band, _ in BANDS for place in REGION_NAMES),
    *(f"the gripper holds the {name}" for name in NAMES),
)
_PUSHED = tuple(f"the {name} was pushed {little}{way}" for little, _ in MOVED for name in NAMES for way in DIRECTION_NAMES)
_PUT = (
    *(f"the {name} is on the {tray}" for name in NAMES for tray in TRAYS),
    *(f"the {name} is {relation} the {other}" for name in NAMES for relation in _BETWEEN for other in NAMES),
)
_AT_OBJECT = 1  # the numbers of the first sentences of each kind
_AT_PLACE = _AT_OBJECT + len(BANDS) * PAIRS
_HOLDS = _AT_PLACE + len(BANDS) * len(REGION_NAMES)
_CHANGED = len(_WHERE)
_RELATED = _CHANGED + PAIRS * len(TRAYS)


def sentences(furnished: bool) -> tuple[str, ...]:
    """All that ``facts`` may tell: things are put somewhere where there are trays and walls, and pushed where there are none."""
    return _WHERE + (_PUT if furnished else _PUSHED)


def facts(state: State) -> np.ndarray:
    """int64 [n, f]: the places in ``sentences`` of those that are true of each row, -1 where there are fewer than f."""
    pair = state.colour * len(world.SHAPES) + state.shape
    held, slots = state.held[:, None], np.arange(state.num_slots)
    moved_x, moved_y = state.x - state.start_x, state.y - state.start_y
    lying = state.present & (slots != held)
    moved = lying & (_length(moved_x, moved_y) >= MOVED[0][1])
    if state.furnished:
        told = [_trays(state, pair, moved), _relations(state, pair, lying, moved)]
    else:
        told = [_pushed(pair, moved_x, moved_y, moved)]
    return np.concatenate([_where(state, pair), *told], axis=1)


def _where(state: State, pair: np.ndarray) -> np.ndarray:
    """[n, 3]: the nearest object, the nearest region, and what is held."""
    rows = np.arange(len(state.seed))
    distance = _length(state.x - state.tip_x[:, None], state.y - state.tip_y[:, None])
    nearest = distance.argmin(axis=1)
    band = _band(distance[rows, nearest])
    to_place = _length(REGION_XY[:, 0] - state.tip_x[:, None], REGION_XY[:, 1] - state.tip_y[:, None])
    place = to_place.argmin(axis=1)
    place_band = _band(to_place[rows, place])
    bare = np.where((band < 0) & (place_band < 0), 0, -1)
    at = np.where(band >= 0, _AT_OBJECT + band * PAIRS + pair[rows, nearest], bare)
    at_place = np.where(place_band >= 0, _AT_PLACE + place_band * len(REGION_NAMES) + place, -1)
    holds = np.where(state.held >= 0, _HOLDS + pair[rows, state.held], -1)
    return np.stack([at, at_place, holds], axis=1)


def _band(distance: np.ndarray) -> np.ndarray:
    """The number of the narrowest band [n], -1 beyond all."""
    number = np.searchsorted([limit for _, limit in BANDS], distance)
    return np.where(number < len(BANDS), number, -1)


def _pushed(pair: np.ndarray, moved_x: np.ndarray, moved_y: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """[n, m]: which way the objects went that lie elsewhere than at first."""
    along = np.stack([moved_x * x + moved_y * y for x, y in DIRECTION_XY], axis=-1)
    way, far = along.argmax(axis=-1), along.max(axis=-1) >= MOVED[1][1]
    return np.where(moved, _CHANGED + (far * PAIRS + pair) * len(DIRECTION_NAMES) + way, -1)


def _trays(state: State, pair: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """[n, m]: the trays on which objects were put."""
    n, m = pair.shape
    tray = tray_at(state, np.repeat(np.arange(n), m), state.x.ravel(), state.y.ravel(), world.ON_TRAY).reshape(n, m)
    return np.where(moved & (tray >= 0), _CHANGED + pair * len(TRAYS) + tray, -1)


def _relations(state: State, pair: np.ndarray, lying: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """[n, relation * m * m]: how objects that were moved lie to others."""
    n, m = pair.shape
    told = []
    for number in range(len(_BETWEEN)):
        true = related(state, number) & moved[:, :, None] & lying[:, None, :] & ~np.eye(m, dtype=bool)
        code = _RELATED + (pair[:, :, None] * len(_BETWEEN) + number) * PAIRS + pair[:, None, :]
        told.append(np.where(true, code, -1).reshape(n, m * m))
    return np.concatenate(told, axis=1)


def _length(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    length: np.ndarray = np.sqrt(x * x + y * y)
    return length
