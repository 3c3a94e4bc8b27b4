"""From goals as arrays to goals in words, and back."""

from collections.abc import Sequence
from functools import cache

import numpy as np

from vla_train.envs.contract import Goal
from vla_train.envs.tabletop import grammar
from vla_train.envs.tabletop.describe import parse_name, slot_names
from vla_train.envs.tabletop.draws import Draw
from vla_train.envs.tabletop.goals import DIRECTION_NAMES, REGION_NAMES, Goals, Kind, make_goal, place_name
from vla_train.envs.tabletop.stages import Stage
from vla_train.envs.tabletop.state import State
from vla_train.envs.tabletop.world import object_name
from vla_train.errors import WorldError
from vla_train.seeds import counter_uniform


def word(state: State, stage: Stage, goals: Goals, tasks: np.ndarray, split: str) -> list[Goal]:
    """The goals of all rows in the words that their seeds choose."""
    draw = counter_uniform(state.seed, Draw.TEMPLATE, 1)[:, 0]
    table, rows = grammar.templates(split), np.arange(len(draw))
    colour, shape = state.colour[rows, goals.slot], state.shape[rows, goals.slot]
    columns = (array.tolist() for array in (goals.kind, colour, shape, goals.place, tasks, draw))
    return [
        _goal(kind, object_name(c, s), place, stage.tasks[task], table, u)
        for kind, c, s, place, task, u in zip(*columns, strict=True)
    ]


def alternatives(state: State, stage: Stage, current: Sequence[Goal], split: str) -> list[list[Goal]]:
    """For each row every legal goal but the current one."""
    goals, tasks, legal = stage.legal(state)
    draw = counter_uniform(state.seed, Draw.ALTERNATIVES, len(tasks))
    table = grammar.templates(split)
    result = []
    for row, own in enumerate(current):
        names = slot_names(state, row)
        options = [
            _goal(int(goals.kind[k]), names[goals.slot[k]], int(goals.place[k]), stage.tasks[tasks[k]], table, draw[row, k])
            for k in np.flatnonzero(legal[row])
        ]
        result.append([goal for goal in options if goal.key != own.key])
    return result


def _goal(kind: int, name: str, place: int, task: str, table: dict[str, tuple[str, ...]], draw: float) -> Goal:
    template = table[task][int(draw * len(table[task]))]
    where = place_name(kind, place)
    return make_goal(kind, name, where, task, template, grammar.write(template, name, where))


def to_arrays(state: State, rows: Sequence[int] | np.ndarray, goals: Sequence[Goal]) -> Goals:
    """Goals in words as arrays of k rows, for given rows of the state [k]."""
    index = np.asarray(rows, np.int64)
    codes = np.array([_code(goal.data["kind"], goal.data["object"], goal.data["place"]) for goal in goals], np.int64).reshape(
        -1, 4
    )
    kind, colour, shape, place = codes.T
    match = (state.colour[index] == colour[:, None]) & (state.shape[index] == shape[:, None]) & state.present[index]
    missing = np.flatnonzero((kind != Kind.GO_REGION) & ~match.any(axis=1))
    if len(missing):
        first = missing[0]
        there = ", ".join(slot_names(state, index[first]))
        raise WorldError(f"tabletop: the goal {goals[first].key!r} does not fit row {index[first]}, where there is {there}")
    return Goals(kind, match.argmax(axis=1), place)


@cache
def _code(kind_name: str, named: str, place: str) -> tuple[int, int, int, int]:
    """Kind, colour, shape and place as numbers; 0 where the kind has none."""
    kind = Kind[kind_name.upper()]
    if kind == Kind.GO_REGION:
        return kind, -1, -1, REGION_NAMES.index(place)
    return kind, *parse_name(named), DIRECTION_NAMES.index(place) if kind == Kind.PUSH else 0
