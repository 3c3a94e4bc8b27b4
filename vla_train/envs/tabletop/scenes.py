"""Scenes from seeds: which objects stand where, and where the gripper starts.

A scene depends on the stage only by its trays and walls: they are placed first, and objects keep away from them.
"""

from functools import cache
from itertools import product

import numpy as np

from vla_train.envs.tabletop import world
from vla_train.envs.tabletop.draws import Draw
from vla_train.envs.tabletop.furniture import wall_halves
from vla_train.envs.tabletop.randomization import Randomization
from vla_train.envs.tabletop.splits import IS_HELD_OUT, scene_pairs, target_pairs
from vla_train.envs.tabletop.state import FAR, State
from vla_train.seeds import counter_integers, counter_uniform

SPREAD = 0.38  # objects stand within [-SPREAD, SPREAD]
SPACING = 0.17  # least distance between two objects
WALL_SPREAD = 0.26  # the centres of walls lie within this: both of their ends can be passed
TRAY_SPACING, WALL_SPACING = 0.165, 0.115  # least distance of an object's centre from a tray's centre and a wall's surface
BETWEEN_TRAYS, TRAY_TO_WALL = 0.23, 0.125  # least distance of a tray's centre from another's and from a wall's surface
START_SPREAD = 0.44  # the gripper starts within this
START_SPACING = 0.11  # and at least so far from every object and every region's centre
ANGLE = np.pi / 3  # angles of objects and gripper are drawn within [-ANGLE, ANGLE]
CANDIDATES = 32


def sample_scenes(
    seeds: np.ndarray,
    split: str,
    min_objects: int,
    max_objects: int,
    trays: int = 0,
    walls: int = 0,
    randomization: Randomization | None = None,
) -> State:
    """The scenes of seeds [n]. Slot 0 holds the target; slot 1 shares its colour, slot 2 its shape; slot 3 is like 1 and 2. More
    objects than ``max_objects``, where the randomization asks for them, take the slots after these.
    """
    slots = max_objects if randomization is None else randomization.slots(max_objects)
    state = State.empty(len(seeds), slots, trays, walls)
    state.seed[:] = seeds
    span = max_objects - min_objects + 1
    state.count[:] = min_objects + counter_integers(seeds, Draw.COUNT, 1, span)[:, 0]
    if slots > max_objects and randomization is not None:
        state.count[:] = np.minimum(state.count + randomization.extra(seeds), slots)
    pairs = _pairs(seeds, split, slots)
    state.colour[:], state.shape[:] = pairs // len(world.SHAPES), pairs % len(world.SHAPES)
    state.angle[:] = _between(counter_uniform(seeds, Draw.ANGLES, slots), ANGLE)
    _place_walls(state)
    _place_trays(state)
    _place_objects(state)
    _place_gripper(state)
    if randomization is not None:
        randomization.move_start(state)
    absent = ~state.present
    for array, value in ((state.colour, 0), (state.shape, 0), (state.angle, 0.0), (state.x, FAR), (state.y, FAR)):
        array[absent] = value
    state.start_x[:], state.start_y[:] = state.x, state.y
    return state


def _between(uniform: np.ndarray, limit: float) -> np.ndarray:
    """Spread uniform numbers over [-limit, limit], rounded to a micrometre or microradian."""
    return np.round((2 * uniform - 1) * limit, 6)


def _pairs(seeds: np.ndarray, split: str, max_objects: int) -> np.ndarray:
    """Differing pairs for every slot, int64 [n, m]: a quartet, and what the seed prefers of the rest."""
    n, rows = len(seeds), np.arange(len(seeds))
    targets = target_pairs(split)
    target = targets[counter_integers(seeds, Draw.TARGET, 1, len(targets))[:, 0]]
    quartets, counts = _quartets(split)
    chosen = np.empty((n, max(max_objects, 4)), np.int64)
    chosen[:, :4] = quartets[target, counter_integers(seeds, Draw.QUARTET, 1, counts[target, None])[:, 0]]
    preference = counter_uniform(seeds, Draw.DISTRACTORS, len(IS_HELD_OUT))  # the smallest number comes first
    preference[:, ~scene_pairs(split)] = np.inf
    preference[rows[:, None], chosen[:, :4]] = np.inf
    for slot in range(4, max_objects):
        chosen[:, slot] = preference.argmin(axis=1)
        preference[rows, chosen[:, slot]] = np.inf
    return chosen[:, :max_objects]


@cache
def _quartets(split: str) -> tuple[np.ndarray, np.ndarray]:
    """All quartets of two colours and two shapes that a split allows, by their target: int64 [16, k, 4], and how many [16].

    A quartet is (target, one of its colour, one of its shape, the fourth). Each of the four shares its colour with another and
    its shape with another, so that nothing but the words tells which of them is meant.
    """
    allowed, num_shapes = scene_pairs(split), len(world.SHAPES)
    found = []
    for target in range(len(allowed)):
        colour, shape = divmod(target, num_shapes)
        others = product(range(len(world.COLOURS)), range(num_shapes))
        quartets = [
            (target, colour * num_shapes + s, c * num_shapes + shape, c * num_shapes + s)
            for c, s in others
            if c != colour and s != shape
        ]
        found.append([quartet for quartet in quartets if allowed[list(quartet[1:])].all()])
    counts = np.array([len(quartets) for quartets in found])
    table = np.zeros((len(found), counts.max(), 4), np.int64)
    for target, quartets in enumerate(found):
        table[target, : len(quartets)] = quartets
    return table, counts


def _place_walls(state: State) -> None:
    """Any place and either direction: what follows keeps away from walls."""
    walls = state.wall_x.shape[1]
    if walls:
        draw = counter_uniform(state.seed, Draw.WALLS, 3 * walls).reshape(-1, walls, 3)
        state.wall_x[:], state.wall_y[:] = _between(draw[:, :, 0], WALL_SPREAD), _between(draw[:, :, 1], WALL_SPREAD)
        state.wall_upright[:] = draw[:, :, 2] < 0.5


def _place_trays(state: State) -> None:
    n, trays = state.tray_x.shape
    if not trays:
        return
    draw = counter_uniform(state.seed, Draw.TRAYS, trays * CANDIDATES * 2)
    places = _between(draw, SPREAD).reshape(n, trays, CANDIDATES, 2)
    for tray in range(trays):
        x, y = places[:, tray, :, 0], places[:, tray, :, 1]
        choice = _first_with_room(_furniture_room(state, x, y, tray, BETWEEN_TRAYS, TRAY_TO_WALL), SPACING)
        state.tray_x[:, tray], state.tray_y[:, tray] = x[np.arange(n), choice], y[np.arange(n), choice]


def _furniture_room(state: State, x: np.ndarray, y: np.ndarray, trays: int, to_trays: float, to_walls: float) -> np.ndarray:
    """Squared distances [n, c] to the nearest of the first trays and all walls, scaled so that ``SPACING`` suffices."""
    room = np.full(x.shape, np.inf)
    for tray in range(trays):
        square = (x - state.tray_x[:, tray, None]) ** 2 + (y - state.tray_y[:, tray, None]) ** 2
        room = np.minimum(room, square * (SPACING / to_trays) ** 2)
    for wall in range(state.wall_x.shape[1]):
        half_x, half_y = wall_halves(state, wall, 0.0)
        beside_x = np.maximum(np.abs(x - state.wall_x[:, wall, None]) - half_x[:, None], 0.0)
        beside_y = np.maximum(np.abs(y - state.wall_y[:, wall, None]) - half_y[:, None], 0.0)
        room = np.minimum(room, (beside_x * beside_x + beside_y * beside_y) * (SPACING / to_walls) ** 2)
    return room


def _place_objects(state: State) -> None:
    """Each object takes its first candidate place that keeps its distance, or else the roomiest one."""
    n, m = state.x.shape
    places = _between(counter_uniform(state.seed, Draw.POSITIONS, m * CANDIDATES * 2), SPREAD).reshape(n, m, CANDIDATES, 2)
    for slot in range(m):
        x, y = places[:, slot, :, 0], places[:, slot, :, 1]
        room = _furniture_room(state, x, y, state.tray_x.shape[1], TRAY_SPACING, WALL_SPACING)
        for other in range(slot):
            room = np.minimum(room, (x - state.x[:, other, None]) ** 2 + (y - state.y[:, other, None]) ** 2)
        choice = _first_with_room(room, SPACING)
        state.x[:, slot], state.y[:, slot] = x[np.arange(n), choice], y[np.arange(n), choice]


def _place_gripper(state: State) -> None:
    n = len(state.seed)
    draw = counter_uniform(state.seed, Draw.START, 1 + CANDIDATES * 2)
    places = _between(draw[:, 1:], START_SPREAD).reshape(n, CANDIDATES, 2)
    x, y = places[:, :, 0], places[:, :, 1]
    room = np.full((n, CANDIDATES), np.inf)
    for slot in range(state.num_slots):
        distance = (x - state.x[:, slot, None]) ** 2 + (y - state.y[:, slot, None]) ** 2
        room = np.where((slot < state.count)[:, None], np.minimum(room, distance), room)
    for region_x, region_y in world.REGIONS.values():
        room = np.minimum(room, (x - region_x) ** 2 + (y - region_y) ** 2)
    choice = _first_with_room(room, START_SPACING)
    state.tip_x[:], state.tip_y[:] = x[np.arange(n), choice], y[np.arange(n), choice]
    state.yaw[:] = _between(draw[:, 0], ANGLE)


def _first_with_room(room: np.ndarray, spacing: float) -> np.ndarray:
    """Index [n] of the first candidate whose squared distance [n, c] suffices, or of the roomiest."""
    enough = room >= spacing**2
    choice: np.ndarray = np.where(enough.any(axis=1), enough.argmax(axis=1), room.argmax(axis=1))
    return choice
