"""Goals as the contract has them: a canonical key, and JSON values from which the arrays can be made again."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from vla_train.envs.contract import Goal
from vla_train.envs.tabletop import world
from vla_train.envs.tabletop.describe import parse_name, slot_names
from vla_train.envs.tabletop.goals import DIRECTION_NAMES, PUT_KINDS, REGION_NAMES, Goals, Kind
from vla_train.envs.tabletop.placing import RELATIONS
from vla_train.envs.tabletop.state import State
from vla_train.errors import WorldError

Step = dict[str, str]  # kind, object, place; and other, where something is put


def place_name(kind: int, place: int) -> str:
    """The region or direction of a goal in words; "" if its kind has none."""
    return REGION_NAMES[place] if kind == Kind.GO_REGION else DIRECTION_NAMES[place] if kind == Kind.PUSH else ""


def step_data(kind: int, name: str, place: int, other: str) -> Step:
    """One step of a goal as JSON values."""
    name = "" if kind == Kind.GO_REGION else name
    data = {"kind": Kind(kind).name.lower(), "object": name, "place": place_name(kind, place)}
    return data | ({"other": other} if other else {})


def make_goal(steps: Sequence[Step], task: str, template: str, instruction: str) -> Goal:
    """The goal as the contract has it. ``named`` is the first object that is to be touched."""
    data: dict[str, Any] = dict(steps[0]) if len(steps) == 1 else {"steps": list(steps)}
    return Goal(instruction, ", then ".join(key(step) for step in steps), task, steps[0]["object"], template, data)


def key(step: Step) -> str:
    """The canonical text of a step."""
    kind, name, place = Kind[step["kind"].upper()], step["object"], step["place"]
    if kind in PUT_KINDS:
        return f"put {name} {RELATIONS[kind - Kind.NEXT_TO].removesuffix(' tray')} {step['other']}"
    if kind == Kind.GO_OBJECT:
        return f"go to {name}"
    if kind == Kind.GO_REGION:
        return f"go to {place}"
    return f"hold {name}" if kind == Kind.HOLD else f"push {name} {place}"


def to_arrays(state: State, rows: Sequence[int] | np.ndarray, goals: Sequence[Goal], num_steps: int) -> Goals:
    """Goals in words as arrays [k, s], for given rows of the state [k]. Raises WorldError where one does not fit its row."""
    index, arrays = np.asarray(rows, np.int64), Goals.empty(len(goals), num_steps)
    arrays.kind[:] = Kind.NONE
    for goal in goals:
        steps = goal.data.get("steps", [goal.data])
        if len(steps) > num_steps:
            raise WorldError(f"tabletop: the goal {goal.key!r} has {len(steps)} steps; this stage has at most {num_steps}")
    for number in range(num_steps):
        asked = [row for row, goal in enumerate(goals) if number < len(goal.data.get("steps", [goal.data]))]
        steps = [goals[row].data.get("steps", [goals[row].data])[number] for row in asked]
        _fill(arrays, state, index, number, np.array(asked, np.int64), steps, goals)
    return arrays


def _fill(
    arrays: Goals, state: State, index: np.ndarray, number: int, asked: np.ndarray, steps: list[Step], goals: Sequence[Goal]
) -> None:
    """Put step ``number`` of the goals ``asked`` into the arrays."""
    if not len(asked):
        return
    codes = np.array([_code(s["kind"], s["object"], s["place"], s.get("other", "")) for s in steps], np.int64)
    kind, pair, place, other_pair, tray = codes.T
    slot, found = _slots(state, index[asked], pair)
    other, other_found = _slots(state, index[asked], other_pair)
    no_tray = (kind == Kind.ON_TRAY) & (state.tray_x.shape[1] == 0)
    missing = np.flatnonzero(~found | ~other_found | no_tray)
    if len(missing):
        row = index[asked[missing[0]]]
        there = ", ".join(slot_names(state, row))
        raise WorldError(f"tabletop: the goal {goals[asked[missing[0]]].key!r} does not fit row {row}, where there is {there}")
    arrays.kind[asked, number], arrays.slot[asked, number], arrays.place[asked, number] = kind, slot, place
    arrays.other[asked, number] = np.where(kind == Kind.ON_TRAY, tray, other)


def _slots(state: State, rows: np.ndarray, pair: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The slots of pairs [k] in given rows, and whether they are there; a pair of -1 stands for none and is always there."""
    pairs = state.colour[rows] * len(world.SHAPES) + state.shape[rows]
    match = (pairs == pair[:, None]) & state.present[rows]
    return match.argmax(axis=1), match.any(axis=1) | (pair < 0)


@cache
def _code(kind_name: str, named: str, place: str, other: str) -> tuple[int, int, int, int, int]:
    """Kind, the object's pair, place, the other's pair and tray as numbers; -1 for a pair and 0 for what the kind has not."""
    kind = Kind[kind_name.upper()]
    where = REGION_NAMES.index(place) if kind == Kind.GO_REGION else DIRECTION_NAMES.index(place) if kind == Kind.PUSH else 0
    tray = world.TRAYS.index(other) if kind == Kind.ON_TRAY else 0
    return kind, _pair(named), where, _pair(other if kind != Kind.ON_TRAY else ""), tray


def _pair(name: str) -> int:
    if not name:
        return -1
    colour, shape = parse_name(name)
    return colour * len(world.SHAPES) + shape
