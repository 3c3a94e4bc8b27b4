"""Stage 2: pick up, grasp, push."""

import numpy as np

from vla_train.envs.tabletop import world
from vla_train.envs.tabletop.draws import Draw
from vla_train.envs.tabletop.goals import DIRECTION_XY, Kind
from vla_train.envs.tabletop.stages.base import Requests
from vla_train.envs.tabletop.state import State
from vla_train.seeds import counter_uniform

PUSH_SHARE, GRASP_SHARE = 0.6, 0.2  # of the episodes; the rest are 'pick up'. Most legal goals are pushes
LANE_BEHIND, LANE_AHEAD, LANE_WIDTH = 0.14, 0.26, 0.09  # metres that must be free of other objects around a push
ROOM_BEHIND, ROOM_AHEAD = 0.10, 0.22  # metres of table that a push needs


class SimpleManipulation:
    """Picking up and grasping differ in words only: both are reached when the object has been held for ``DWELL`` steps.

    A push is reached when the object, not held, has been ``PUSH`` metres from where it stood, in the named direction and less
    than half as far across it, for ``DWELL`` steps.
    """

    name = "simple_manipulation"
    horizon = 80
    tasks: tuple[str, ...] = ("pick up", "grasp", "push")
    kinds: tuple[Kind, ...] = (Kind.HOLD, Kind.PUSH)

    steps, trays, walls = 1, 0, 0

    def sample(self, state: State, objects_only: bool) -> Requests:
        draw = counter_uniform(state.seed, Draw.TASK, 1)[:, 0]
        free = pushes(state)[:, 0]  # [n, direction], of slot 0
        push = (draw < PUSH_SHARE) & free.any(axis=1)
        grasp = (draw >= PUSH_SHARE) & (draw < PUSH_SHARE + GRASP_SHARE)
        order = counter_uniform(state.seed, Draw.PLACE, len(DIRECTION_XY))
        place = np.where(push, np.where(free, order, np.inf).argmin(axis=1), 0)
        none = np.zeros_like(place)
        return Requests.plain(np.where(push, Kind.PUSH, Kind.HOLD), none, place, none, task=np.where(push, 2, grasp))

    def legal(self, state: State) -> tuple[Requests, np.ndarray]:
        slots, directions = state.num_slots, len(DIRECTION_XY)
        kind = np.repeat([Kind.HOLD, Kind.PUSH], [slots, slots * directions])
        slot = np.r_[np.arange(slots), np.repeat(np.arange(slots), directions)]
        place = np.r_[np.zeros(slots, np.int64), np.tile(np.arange(directions), slots)]
        legal = np.concatenate([state.present, pushes(state).reshape(len(state.seed), -1)], axis=1)
        task = np.where(kind == Kind.PUSH, 2, 0)
        columns = (np.broadcast_to(column, legal.shape) for column in (kind, slot, place, np.zeros_like(slot), task))
        return Requests.plain(*columns), legal


def pushes(state: State) -> np.ndarray:
    """bool [n, m, direction]: the pushes with enough table before and behind, and no other object in the way."""
    n, m = state.x.shape
    possible = np.empty((n, m, len(DIRECTION_XY)), bool)
    rx, ry = state.x[:, None] - state.x[:, :, None], state.y[:, None] - state.y[:, :, None]  # [n, pushed, other]
    others = state.present[:, None] & ~np.eye(m, dtype=bool)
    for index, (ux, uy) in enumerate(DIRECTION_XY):
        along, across = rx * ux + ry * uy, np.abs(ry * ux - rx * uy)
        blocked = (along > -LANE_BEHIND) & (along < LANE_AHEAD) & (across < LANE_WIDTH) & others
        here = state.x * ux + state.y * uy
        room = (here + ROOM_AHEAD <= world.OBJECT_LIMIT) & (here - ROOM_BEHIND >= -world.OBJECT_LIMIT)
        possible[:, :, index] = room & ~blocked.any(axis=2) & state.present
    return possible
