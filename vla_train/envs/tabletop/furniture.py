"""Trays and walls as geometry: what stops what, what lies where, and the way round."""

import numpy as np

from vla_train.envs.tabletop import world
from vla_train.envs.tabletop.state import State

_TOUCH = 1e-9  # metres: a point this close to a border lies on it, not inside
_TEST, _CORNER = 0.010, 0.025  # metres beyond the closed gripper's clearance: what counts as blocked, and where to pass


def wall_halves(state: State, wall: int, beyond: float) -> tuple[np.ndarray, np.ndarray]:
    """Half of a wall's extent in x and y, plus ``beyond`` metres, [n] each."""
    length, thickness = (half + beyond for half in world.WALL_HALF)
    upright = state.wall_upright[:, wall] == 1
    return np.where(upright, thickness, length), np.where(upright, length, thickness)


def in_walls(state: State, x: np.ndarray, y: np.ndarray, beyond: float) -> np.ndarray:
    """bool of the shape of ``x`` [n] or [n, k]: the points less than ``beyond`` metres from a wall, measured in x and in y."""
    inside = np.zeros(x.shape, bool)
    shape = (len(x),) + (1,) * (x.ndim - 1)
    for wall in range(state.wall_x.shape[1]):
        half_x, half_y = wall_halves(state, wall, beyond - _TOUCH)
        wall_x, wall_y = state.wall_x[:, wall], state.wall_y[:, wall]
        beside_x = np.abs(x - wall_x.reshape(shape)) < half_x.reshape(shape)
        inside |= beside_x & (np.abs(y - wall_y.reshape(shape)) < half_y.reshape(shape))
    return inside


def stop_at_walls(state: State, x: np.ndarray, y: np.ndarray, closed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where closed grippers end that set out from the tip for (x, y): they slide along walls. Open ones pass above."""
    for wall in range(state.wall_x.shape[1]):
        half_x, half_y = wall_halves(state, wall, world.WALL_CLEARANCE)
        inner_x, inner_y = half_x - _TOUCH, half_y - _TOUCH
        from_x, from_y = state.tip_x - state.wall_x[:, wall], state.tip_y - state.wall_y[:, wall]
        to_x, to_y = x - state.wall_x[:, wall], y - state.wall_y[:, wall]
        stops = closed & ~((np.abs(from_x) < inner_x) & (np.abs(from_y) < inner_y))  # one inside may leave
        hit = stops & (np.abs(to_x) < inner_x) & (np.abs(from_y) < inner_y)
        to_x = np.where(hit, np.copysign(half_x, from_x), to_x)
        hit = stops & (np.abs(to_x) < inner_x) & (np.abs(to_y) < inner_y)
        to_y = np.where(hit, np.copysign(half_y, from_y), to_y)
        x, y = state.wall_x[:, wall] + to_x, state.wall_y[:, wall] + to_y
    return x, y


def tray_at(state: State, rows: np.ndarray, x: np.ndarray, y: np.ndarray, half: float = world.TRAY_HALF) -> np.ndarray:
    """The tray under each point of given rows, int64 [k], or -1."""
    if not state.tray_x.shape[1]:
        return np.full(len(rows), -1, np.int64)
    inside = (np.abs(x[:, None] - state.tray_x[rows]) <= half) & (np.abs(y[:, None] - state.tray_y[rows]) <= half)
    return np.where(inside.any(axis=1), inside.argmax(axis=1), -1)


def near_trays(state: State, x: np.ndarray, y: np.ndarray, beyond: float) -> np.ndarray:
    """bool [n, k]: the points on a tray or less than ``beyond`` metres from it."""
    half, near = world.TRAY_HALF + beyond, np.zeros(x.shape, bool)
    for tray in range(state.tray_x.shape[1]):
        near |= (np.abs(x - state.tray_x[:, tray, None]) < half) & (np.abs(y - state.tray_y[:, tray, None]) < half)
    return near


def crosses(
    x: np.ndarray, y: np.ndarray, to_x: np.ndarray, to_y: np.ndarray, half_x: np.ndarray, half_y: np.ndarray
) -> np.ndarray:
    """bool: the straight way from (x, y) to (to_x, to_y) leads through the rectangle of these half sizes around (0, 0)."""
    enter, leave = np.zeros(x.shape), np.ones(x.shape)
    for start, end, half in ((x, to_x, half_x), (y, to_y, half_y)):
        step = end - start
        step = np.where(np.abs(step) < _TOUCH, _TOUCH, step)
        one, two = (-half - start) / step, (half - start) / step
        enter, leave = np.maximum(enter, np.minimum(one, two)), np.minimum(leave, np.maximum(one, two))
    through: np.ndarray = enter < leave
    return through


def way_round(state: State, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where a closed gripper should head for to reach (x, y) [n], and whether that is only a point on its way round a wall."""
    round_ = np.zeros(len(x), bool)
    for wall in range(state.wall_x.shape[1]):
        upright, wall_x, wall_y = state.wall_upright[:, wall] == 1, state.wall_x[:, wall], state.wall_y[:, wall]
        a, b = _along_first(upright, state.tip_x - wall_x, state.tip_y - wall_y)
        goal_a, goal_b = _along_first(upright, x - wall_x, y - wall_y)
        via_a, via_b, blocked = _next_corner(a, b, goal_a, goal_b)
        via_x, via_y = _along_first(upright, via_a, via_b)
        x, y, round_ = np.where(blocked, wall_x + via_x, x), np.where(blocked, wall_y + via_y, y), round_ | blocked
    return x, y, round_


def _next_corner(
    a: np.ndarray, b: np.ndarray, goal_a: np.ndarray, goal_b: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The point to head for, and whether the wall is in the way; in the wall's own frame, a along it and b across it, [n] each.

    Round the end that makes the shorter way: to the corner beyond the wall if it is in sight, else to the one on this side, and
    if that is hidden too, straight away from the wall.
    """
    least_a, least_b = (half + world.WALL_CLEARANCE for half in world.WALL_HALF)
    close = (np.abs(a) < least_a + _TEST) & (np.abs(b) < least_b + _TEST)  # nearer than wanted: then only the wall itself counts
    half_a, half_b = np.where(close, least_a, least_a + _TEST), np.where(close, least_b, least_b + _TEST)
    corner_a, corner_b = (half + world.WALL_CLEARANCE + _CORNER for half in world.WALL_HALF)
    lengths = [_length(a - end, b) + _length(goal_a - end, goal_b) for end in (-corner_a, corner_a)]
    end = np.where(lengths[0] < lengths[1], -corner_a, corner_a)
    near_b, far_b = np.copysign(corner_b, b), np.copysign(corner_b, goal_b)
    hidden = crosses(a, b, end, far_b, half_a, half_b)
    stuck = hidden & crosses(a, b, end, near_b, half_a, half_b)
    return np.where(stuck, a, end), np.where(hidden, near_b, far_b), crosses(a, b, goal_a, goal_b, half_a, half_b)


def _along_first(upright: np.ndarray, first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Swap two coordinates where a wall is upright."""
    return np.where(upright, second, first), np.where(upright, first, second)


def _length(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    length: np.ndarray = np.sqrt(x * x + y * y)
    return length
