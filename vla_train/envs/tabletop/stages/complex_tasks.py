"""Stage 3: put an object next to, left of, right of or on another, or on a tray, with a wall that may be in the way."""

import numpy as np

from vla_train.envs.tabletop import world
from vla_train.envs.tabletop.draws import Draw
from vla_train.envs.tabletop.goals import CONDITIONS, PUT_KINDS, Goals, Kind, relation
from vla_train.envs.tabletop.placing import RELATIONS, put_place
from vla_train.envs.tabletop.stages.base import Requests
from vla_train.envs.tabletop.state import State
from vla_train.seeds import counter_uniform

BOX = world.SHAPES.index("box")


class ComplexTasks:
    """Reached when the object has lain in its place, out of the gripper, for ``DWELL`` steps.

    Things are put on boxes and trays only. Each relation that the scene allows is asked for equally often.
    """

    name = "complex_tasks"
    horizon = 100
    tasks: tuple[str, ...] = tuple(f"put {relation}" for relation in RELATIONS)
    kinds: tuple[Kind, ...] = PUT_KINDS
    steps, trays, walls = 1, len(world.TRAYS), 1

    def sample(self, state: State, objects_only: bool) -> Requests:
        kind, slot, other = _columns(state.num_slots, objects=1)
        legal = _legal_columns(state, kind, slot, other)
        number = kind - Kind.NEXT_TO
        first = counter_uniform(state.seed, Draw.TASK, len(RELATIONS))[:, number]  # decides on the relation
        second = counter_uniform(state.seed, Draw.PLACE, len(kind))  # and among its goals
        best = np.where(legal, first, np.inf).min(axis=1)[:, None]
        chosen = np.where(legal & (first == best), second, np.inf).argmin(axis=1)
        return Requests.plain(kind[chosen], slot[chosen], np.zeros_like(chosen), other[chosen], task=number[chosen])

    def legal(self, state: State) -> tuple[Requests, np.ndarray]:
        kind, slot, other = _columns(state.num_slots, objects=state.num_slots)
        legal = _legal_columns(state, kind, slot, other)
        arrays = (kind, slot, np.zeros_like(kind), other, kind - Kind.NEXT_TO)
        return Requests.plain(*(np.broadcast_to(column, legal.shape) for column in arrays)), legal


def _columns(slots: int, objects: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Kind, object and other of everything that could be asked of the first ``objects`` slots, int64 [k] each."""
    rows = [
        (kind, slot, other)
        for slot in range(objects)
        for kind in PUT_KINDS
        for other in range(len(world.TRAYS) if kind == Kind.ON_TRAY else slots)
        if kind == Kind.ON_TRAY or other != slot
    ]
    kind, slot, other = np.array(rows, np.int64).T
    return kind, slot, other


def _legal_columns(state: State, kind: np.ndarray, slot: np.ndarray, other: np.ndarray) -> np.ndarray:
    """bool [n, k]"""
    none = np.zeros(len(state.seed), np.int64)
    return np.stack(
        [legal_put(state, Goals(none + k, none + s, none, none + o)) for k, s, o in zip(kind, slot, other, strict=True)], axis=1
    )


def legal_put(state: State, goals: Goals) -> np.ndarray:
    """bool [n]: both things are there, there is room, "on" means a box or tray, and it is not so already."""
    rows, tray = np.arange(len(goals.kind)), goals.kind == Kind.ON_TRAY
    slot = np.where(tray, 0, goals.other)
    there = state.present[rows, goals.slot] & (tray | (state.present[rows, slot] & (slot != goals.slot)))
    fits = (goals.kind != Kind.ON) | (state.shape[rows, slot] == BOX)
    _, _, room = put_place(state, relation(goals), goals.slot, goals.other)
    legal: np.ndarray = there & fits & room & ~CONDITIONS[Kind.NEXT_TO](state, goals)
    return legal
