"""The scripted expert: a function of the present state only, smooth, and the same from every side.

It slows down in proportion to what is left, never waits, and where something went wrong (a closed empty gripper, the wrong object
held) it opens first. Everything that it reacts to can be seen in one picture and the state vector.
"""

import numpy as np

from vla_train.envs.tabletop import world
from vla_train.envs.tabletop.furniture import way_round
from vla_train.envs.tabletop.goals import DIRECTION_XY, PUT_KINDS, Goals, Judgement, Kind, by_kind, relation, target_xy
from vla_train.envs.tabletop.physics import wrap
from vla_train.envs.tabletop.placing import in_place, put_place
from vla_train.envs.tabletop.progress import present_step
from vla_train.envs.tabletop.state import State

GAIN = 0.7  # share of the remaining distance that one step takes
CLOSE_DISTANCE = 0.025  # metres: nearer than this, the gripper closes
CLOSE_ANGLE = 0.2  # radians off a bottle's axis
BEHIND = 0.085  # metres from an object's centre to the point from which it is pushed
LANE = (0.05, 0.035)  # half of the length and width of the region around that point from which a push goes ahead
CONTACT_MARGIN = 0.015  # metres from contact at which the approach is straightened fully
PUSH_SPEED = 0.6  # of the largest step
RELEASE_DISTANCE = 0.03  # metres: nearer than this to its place, a carried object is let go


def expert_action(state: State, goals: Goals, kinds: tuple[Kind, ...]) -> np.ndarray:
    """The next action towards each row's goal [n, s], float64 [n, 4] within [-1, 1]."""
    return by_kind(_SKILLS, kinds, state, present_step(state, goals, kinds))


def _towards(dx: np.ndarray, dy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The motion that takes ``GAIN`` of (dx, dy) metres, at most the largest step; in units of the largest step."""
    dx, dy = dx * (GAIN / world.MOVE), dy * (GAIN / world.MOVE)
    scale = 1 / np.maximum(np.sqrt(dx * dx + dy * dy), 1.0)
    return dx * scale, dy * scale


def _unit(value: np.ndarray) -> np.ndarray:
    clipped: np.ndarray = np.minimum(np.maximum(value, -1.0), 1.0)
    return clipped


def _go(state: State, goals: Goals) -> np.ndarray:
    x, y = target_xy(state, goals)
    dx, dy = _towards(x - state.tip_x, y - state.tip_y)
    return np.stack([dx, dy, np.zeros_like(dx), np.ones_like(dx)], axis=1)


def _hold(state: State, goals: Goals) -> np.ndarray:
    rows = np.arange(len(goals.slot))
    x, y = state.x[rows, goals.slot] - state.tip_x, state.y[rows, goals.slot] - state.tip_y
    bottle = state.shape[rows, goals.slot] == world.BOTTLE
    turn = np.where(bottle, state.angle[rows, goals.slot] - state.yaw, 0.0)
    off = np.maximum(np.sqrt(x * x + y * y) / CLOSE_DISTANCE, np.abs(wrap(turn)) / CLOSE_ANGLE)
    holding, empty = state.held == goals.slot, state.held < 0
    missed = ~holding & ((state.opening < world.DOWN) | ~empty)
    grip = np.where(missed, 1.0, np.where(holding, -1.0, _unit((off - 1) * 3)))
    dx, dy = _towards(x, y)
    rate = np.where(holding, 0.0, _lifted(state))
    return np.stack([dx * rate, dy * rate, _unit(turn * (GAIN / world.TURN)) * rate, grip], axis=1)


def _lifted(state: State) -> np.ndarray:
    """0 for a closed gripper to 1 for one that is half open or more: how fast it may move without disturbing things."""
    return np.minimum(state.opening / world.DOWN, 1.0)


def _push(state: State, goals: Goals) -> np.ndarray:
    rows, u = np.arange(len(goals.slot)), DIRECTION_XY[np.where(goals.kind == Kind.PUSH, goals.place, 0)]
    ux, uy = u[:, 0], u[:, 1]
    rx, ry = state.tip_x - state.x[rows, goals.slot], state.tip_y - state.y[rows, goals.slot]
    along, across = rx * ux + ry * uy, ry * ux - rx * uy  # of the tip, seen from the object; along < 0 is behind it
    off = np.maximum(np.abs(along + BEHIND) / LANE[0], np.abs(across) / LANE[1])  # below 1 inside the lane
    ready = state.held < 0
    lowered = np.where(ready, _unit(1 - state.opening / world.DOWN) * (state.opening < world.DOWN), 0.0)
    pushing = lowered * np.minimum(np.maximum((1.25 - off) * 4, 0.0), 1.0)
    back, side = _towards(-(along + BEHIND), -across)
    lift = _lifted(state)
    # In contact the object would follow a correction sideways: push straight on.
    apart = np.minimum(np.maximum((np.sqrt(rx * rx + ry * ry) - world.BODY) / CONTACT_MARGIN, 0.0), 1.0)
    forward = pushing * PUSH_SPEED + (1 - pushing) * back * lift
    sideways = pushing * apart * _unit(-across * (0.5 / world.MOVE)) + (1 - pushing) * side * lift
    grip = np.where(ready, _unit((off - 1) * 4), 1.0)
    return np.stack([forward * ux - sideways * uy, forward * uy + sideways * ux, np.zeros_like(grip), grip], axis=1)


def _put(state: State, goals: Goals) -> np.ndarray:
    """Take hold of the object, carry it round walls to the nearest place with room, and let go."""
    action, holding = _hold(state, goals), state.held == goals.slot
    x, y, _ = put_place(state, relation(goals), goals.slot, goals.other)
    dx, dy = x - state.tip_x, y - state.tip_y
    off = np.sqrt(dx * dx + dy * dy) / RELEASE_DISTANCE
    to_x, to_y, corner = way_round(state, x, y)
    dx, dy = to_x - state.tip_x, to_y - state.tip_y
    pace = np.where(corner, world.MOVE / np.maximum(np.sqrt(dx * dx + dy * dy), 1e-6), GAIN)  # past corners at full speed
    dx, dy = _towards(dx * pace / GAIN, dy * pace / GAIN)
    carry = np.stack([dx, dy, np.zeros_like(dx), _unit(np.where(corner, -1.0, (1 - off) * 4))], axis=1)
    stays = ~holding & in_place(state, relation(goals), goals.slot, goals.other)
    rest = np.stack([np.zeros_like(dx)] * 3 + [np.ones_like(dx)], axis=1)
    chosen: np.ndarray = np.where(holding[:, None], carry, np.where(stays[:, None], rest, action))
    return chosen


_SKILLS: dict[Kind, Judgement] = {
    Kind.GO_OBJECT: _go,
    Kind.GO_REGION: _go,
    Kind.HOLD: _hold,
    Kind.PUSH: _push,
    **dict.fromkeys(PUT_KINDS, _put),
}
