"""From goals as arrays to goals in words."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import numpy as np

from vla_train.envs.contract import Goal
from vla_train.envs.tabletop import grammar
from vla_train.envs.tabletop.describe import slot_names
from vla_train.envs.tabletop.draws import Draw
from vla_train.envs.tabletop.goal_data import make_goal, place_name, step_data
from vla_train.envs.tabletop.goals import Kind
from vla_train.envs.tabletop.stages import Requests, Stage
from vla_train.envs.tabletop.state import State
from vla_train.envs.tabletop.world import TRAYS
from vla_train.seeds import counter_uniform

Templates = dict[str, tuple[str, ...]]
# The templates of a step among several: those of the task that asks for this alone.
_STEP_TASKS = {
    Kind.GO_OBJECT: "go to object",
    Kind.GO_REGION: "go to region",
    Kind.HOLD: "pick up",
    Kind.NEXT_TO: "put next to",
    Kind.LEFT_OF: "put left of",
    Kind.RIGHT_OF: "put right of",
    Kind.ON: "put on",
    Kind.ON_TRAY: "put on tray",
}


def word(state: State, stage: Stage, requests: Requests, split: str) -> list[Goal]:
    """The goals of all rows in the words that their seeds choose."""
    draws = counter_uniform(state.seed, Draw.TEMPLATE, _num_draws(stage)).tolist()
    table, tasks, steps = grammar.templates(split), requests.task.tolist(), _lists(requests)
    return [
        _goal(slot_names(state, row), stage.tasks[tasks[row]], steps[row], table, draws[row]) for row in range(len(state.seed))
    ]


def alternatives(state: State, stage: Stage, current: Sequence[Goal], split: str) -> list[list[Goal]]:
    """For each row the legal goals but the current one, no two with the same key."""
    requests, legal = stage.legal(state)
    count = legal.shape[1]
    draws = counter_uniform(state.seed, Draw.ALTERNATIVES, count * _num_draws(stage)).reshape(len(legal), count, -1).tolist()
    table, tasks, steps = grammar.templates(split), requests.task.tolist(), _lists(requests)
    result = []
    for row, own in enumerate(current):
        names = slot_names(state, row)
        options = [
            _goal(names, stage.tasks[tasks[row][k]], steps[row][k], table, draws[row][k]) for k in np.flatnonzero(legal[row])
        ]
        result.append(list({goal.key: goal for goal in reversed(options) if goal.key != own.key}.values())[::-1])
    return result


def _num_draws(stage: Stage) -> int:
    """Random numbers that an instruction takes: one for its template, and in several steps one more for each of them."""
    return 1 if stage.steps == 1 else 1 + stage.steps


def _lists(requests: Requests) -> list[Any]:
    """Nested lists over rows (and candidates) and steps of (kind, slot, place, other, noun, anchor)."""
    goals = requests.goals
    arrays = [*(getattr(goals, field.name) for field in fields(goals)), requests.noun, requests.anchor]
    nested: list[Any] = np.stack(arrays, axis=-1).tolist()
    return nested


def _goal(names: list[str], task: str, steps: list[list[int]], table: Templates, draws: list[float]) -> Goal:
    """One goal from its steps, each (kind, slot, place, other, noun, anchor)."""
    template = table[task][int(draws[0] * len(table[task]))]
    asked = [step for step in steps if step[0] != Kind.NONE]
    data = [step_data(kind, names[slot], place, _other(kind, names, other)) for kind, slot, place, other, *_ in asked]
    if len(steps) == 1:
        return make_goal(data, task, template, _step_words(names, asked[0], template))
    words = []
    for step, draw in zip(asked, draws[1:], strict=False):
        lines = grammar.TRAIN_TEMPLATES[_STEP_TASKS[Kind(step[0])]][: grammar.SHORT]
        words.append(_step_words(names, step, lines[int(draw * len(lines))]))
    return make_goal(data, task, template, grammar.join(template, words))


def _step_words(names: list[str], step: list[int], template: str) -> str:
    kind, slot, place, other, noun, anchor = step
    phrase = grammar.noun_phrase(grammar.Noun(noun), names[slot], names[anchor])
    return grammar.write(template, phrase, place_name(kind, place), _other(kind, names, other))


def _other(kind: int, names: list[str], other: int) -> str:
    """What an object is put to, in words; "" for other kinds."""
    if kind == Kind.ON_TRAY:
        return TRAYS[other]
    return names[other] if kind >= Kind.NEXT_TO else ""
