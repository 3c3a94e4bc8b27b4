"""One control step: the gripper moves, closes on things, carries and pushes them.

No transcendental function is used, only correctly rounded arithmetic, so that states are the same bits on every machine.
"""

import math

import numpy as np

from vla_train.envs.tabletop import world
from vla_train.envs.tabletop.furniture import in_walls, stop_at_walls, tray_at
from vla_train.envs.tabletop.state import State


def advance(state: State, action: np.ndarray) -> None:
    """Apply actions (dx, dy, dyaw, gripper) float64 [n, 4], already within [-1, 1], to ``state`` in place.

    An open gripper is above the objects and passes over them. A gripper that closes (its opening falls below ``DOWN``) within
    ``GRASP_RADIUS`` of an object takes hold of it, a bottle only along its axis. A closed, empty gripper is at table level and
    pushes what it meets ahead, in the direction of its own motion. Walls stop a closed gripper and what is pushed, and an open
    one cannot close above them; the rim of a tray keeps pushed things on it, and others off it.
    """
    dx, dy, length = _move(state, action)
    before = state.yaw
    state.yaw = np.minimum(np.maximum(before + action[:, 2] * world.TURN, -world.YAW_LIMIT), world.YAW_LIMIT)
    was_open = state.opening >= world.DOWN
    state.opening = np.minimum(np.maximum(state.opening + action[:, 3] * world.GRIP, 0.0), 1.0)
    if state.furnished:
        above = was_open & in_walls(state, state.tip_x, state.tip_y, world.WALL_CLEARANCE)
        state.opening = np.where(above, np.maximum(state.opening, world.DOWN), state.opening)
    is_open = state.opening >= world.DOWN
    _release(state, is_open)
    _carry(state, state.yaw - before)
    state.still = (state.still + 1) * (length <= world.SLOW)
    _contact(state, dx, dy, length, was_open, is_open)


def _move(state: State, action: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Move the tip; returns the motion in x and y and its length, [n] each."""
    dx, dy = action[:, 0], action[:, 1]
    scale = world.MOVE / np.maximum(np.sqrt(dx * dx + dy * dy), 1.0)
    old_x, old_y = state.tip_x, state.tip_y
    x = np.minimum(np.maximum(old_x + dx * scale, -world.HALF), world.HALF)
    y = np.minimum(np.maximum(old_y + dy * scale, -world.HALF), world.HALF)
    if state.furnished:
        x, y = stop_at_walls(state, x, y, state.opening < world.DOWN)
    state.tip_x, state.tip_y = x, y
    dx, dy = state.tip_x - old_x, state.tip_y - old_y
    return dx, dy, np.sqrt(dx * dx + dy * dy)


def _release(state: State, is_open: np.ndarray) -> None:
    """An open gripper holds nothing. What it lets go over another object lies on top of everything from then on."""
    if state.furnished:  # without them nothing is ever put anywhere, and the order of drawing stays that of the slots
        rows = np.flatnonzero(is_open & (state.held >= 0))
        if len(rows):
            slots = state.held[rows]
            x, y = state.x[rows] - state.x[rows, slots][:, None], state.y[rows] - state.y[rows, slots][:, None]
            over = (x * x + y * y < (2 * world.BODY) ** 2).sum(axis=1) > 1  # itself and another one
            state.layer[rows[over], slots[over]] = state.layer[rows[over]].max(axis=1) + 1
    state.held[is_open] = -1


def _carry(state: State, turn: np.ndarray) -> None:
    """A held object stays centred in the gripper and turns with it."""
    rows = np.flatnonzero(state.held >= 0)
    if len(rows):
        slots = state.held[rows]
        state.x[rows, slots], state.y[rows, slots] = state.tip_x[rows], state.tip_y[rows]
        state.angle[rows, slots] = wrap(state.angle[rows, slots] + turn[rows])


def _contact(state: State, dx: np.ndarray, dy: np.ndarray, length: np.ndarray, was_open: np.ndarray, is_open: np.ndarray) -> None:
    """Grasp, push and touch for the rows whose tip is within an object's body; the nearest object counts."""
    ahead_x, ahead_y = state.x - state.tip_x[:, None], state.y - state.tip_y[:, None]
    square = ahead_x * ahead_x + ahead_y * ahead_y
    rows = np.flatnonzero((square < world.BODY**2).any(axis=1))
    if not len(rows):
        return
    slots = square[rows].argmin(axis=1)
    down = ~is_open[rows]
    free = state.held[rows] < 0
    touch = (down | (state.still[rows] > 1)) & (state.touched[rows] < 0)
    state.touched[rows[touch]] = slots[touch]

    off_axis = np.abs(wrap(state.yaw[rows] - state.angle[rows, slots]))
    fits = (off_axis <= world.GRASP_ANGLE) | (state.shape[rows, slots] != world.BOTTLE)
    grasp = was_open[rows] & down & free & fits & (square[rows, slots] <= world.GRASP_RADIUS**2)
    taken, taken_slots = rows[grasp], slots[grasp]
    state.held[taken] = taken_slots
    state.x[taken, taken_slots], state.y[taken, taken_slots] = state.tip_x[taken], state.tip_y[taken]

    push = down & free & ~grasp & (length[rows] > 0)
    rows, slots = rows[push], slots[push]
    if len(rows):
        _push(state, rows, slots, dx[rows] / length[rows], dy[rows] / length[rows], length[rows])


def _push(state: State, rows: np.ndarray, slots: np.ndarray, ux: np.ndarray, uy: np.ndarray, length: np.ndarray) -> None:
    """Move objects that lie ahead of the tip when it set out in the direction (ux, uy) until it is out of them, at most
    by the length of its motion."""
    rx, ry = state.x[rows, slots] - state.tip_x[rows], state.y[rows, slots] - state.tip_y[rows]
    along = rx * ux + ry * uy
    exit_distance = np.sqrt(np.maximum(along * along + world.BODY**2 - (rx * rx + ry * ry), 0.0)) - along
    distance = np.minimum(np.maximum(exit_distance, 0.0), length) * (along + length > 0)
    limit = world.OBJECT_LIMIT
    x = np.minimum(np.maximum(state.x[rows, slots] + ux * distance, -limit), limit)
    y = np.minimum(np.maximum(state.y[rows, slots] + uy * distance, -limit), limit)
    if state.furnished:
        old_x, old_y = state.x[rows, slots], state.y[rows, slots]
        kept = tray_at(state, rows, x, y) != tray_at(state, rows, old_x, old_y)
        kept |= in_walls(state.rows(rows), x, y, world.BODY)
        x, y = np.where(kept, old_x, x), np.where(kept, old_y, y)
    state.x[rows, slots], state.y[rows, slots] = x, y


def wrap(angle: np.ndarray) -> np.ndarray:
    """Bring angles within (-3 pi / 2, 3 pi / 2) into [-pi/2, pi/2]: things look the same after half a turn of the gripper."""
    angle = np.where(angle > world.YAW_LIMIT, angle - math.pi, angle)
    return np.where(angle < -world.YAW_LIMIT, angle + math.pi, angle)
