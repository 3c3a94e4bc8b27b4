"""Goals in several steps, proposed at random and checked against the scene."""

import numpy as np

from vla_train.envs.tabletop import world
from vla_train.envs.tabletop.goals import REGION_XY, Goals, Kind
from vla_train.envs.tabletop.grammar import Noun
from vla_train.envs.tabletop.placing import anchor_xy
from vla_train.envs.tabletop.stages.base import Requests
from vla_train.envs.tabletop.stages.complex_tasks import legal_put
from vla_train.envs.tabletop.stages.relations import is_nearest, same_kind
from vla_train.envs.tabletop.state import State

TASK_SHARES = (0.45, 0.3, 0.25)  # of two steps, two steps by relation, three steps
RELATION_TASK, THREE_TASK, THREE = 1, 2, 3
PUT_LAST = 0.5  # share of the goals in two steps whose second step puts something, too
APART = 0.25  # metres between the places of two steps: what one leaves is out of the other's way

# What is proposed, not what comes of it: boxes are rare, so "on" is refused often.
_PUT_KINDS = np.array([Kind.ON] * 6 + [Kind.ON_TRAY] * 4 + [Kind.NEXT_TO] * 4 + [Kind.LEFT_OF] * 3 + [Kind.RIGHT_OF] * 3)
_LAST_KINDS = np.array([Kind.GO_OBJECT, Kind.GO_REGION, Kind.HOLD])


class Proposal:
    """Which random number of a proposal decides what."""

    OBJECTS = slice(0, world.MAX_OBJECTS)  # put the objects in an order
    ANCHORS = slice(world.MAX_OBJECTS, 2 * world.MAX_OBJECTS)  # and those from which a relation may start
    FIRST, SECOND, LAST, PUT_LAST, TRAY, PLACE, NOUN, STEP = range(2 * world.MAX_OBJECTS, 2 * world.MAX_OBJECTS + 8)
    DRAWS = 2 * world.MAX_OBJECTS + 8


def propose(state: State, draw: np.ndarray, task: np.ndarray, first_slot: bool) -> tuple[Requests, np.ndarray]:
    """One goal for each row, from random numbers [n, ``Proposal.DRAWS``] and its task [n]; and whether it is legal, bool [n].

    With ``first_slot`` the first object is that in slot 0.
    """
    goals, enough = _steps(state, draw, task, first_slot)
    noun, anchor, clear = _references(state, goals, draw, task)
    legal = enough & clear & _apart(state, goals)
    for number in range(THREE):
        legal &= _legal_step(state, goals.step(number))
    return Requests(goals, task, noun, anchor), legal


def _pick(draw: np.ndarray, values: np.ndarray) -> np.ndarray:
    picked: np.ndarray = values[(draw * len(values)).astype(np.int64)]
    return picked


def _steps(state: State, draw: np.ndarray, task: np.ndarray, first_slot: bool) -> tuple[Goals, np.ndarray]:
    """Kinds and objects, all different; bool [n] says whether there are enough objects."""
    n, goals, three = len(task), Goals.empty(len(task), THREE), task == THREE_TASK
    last = _pick(draw[:, Proposal.LAST], _LAST_KINDS)
    second = _pick(draw[:, Proposal.SECOND], _PUT_KINDS)
    puts = three | (draw[:, Proposal.PUT_LAST] < PUT_LAST)
    goals.kind[:, 0] = _pick(draw[:, Proposal.FIRST], _PUT_KINDS)
    goals.kind[:, 1] = np.where(puts, second, last)
    goals.kind[:, 2] = np.where(three, last, Kind.NONE)
    order = np.where(state.present, draw[:, Proposal.OBJECTS][:, : state.num_slots], 2.0)
    if first_slot:
        order[:, 0] = -1.0
    order, rows = order.argsort(axis=1, kind="stable"), np.arange(n)
    used, trays = np.zeros(n, np.int64), (draw[:, Proposal.TRAY] < 0.5).astype(np.int64)
    for number in range(THREE):
        kind = goals.kind[:, number]
        names_object = (kind != Kind.NONE) & (kind != Kind.GO_REGION)
        names_other = (kind >= Kind.NEXT_TO) & (kind != Kind.ON_TRAY)
        last_slot = state.num_slots - 1
        goals.slot[:, number] = np.where(names_object, order[rows, np.minimum(used, last_slot)], 0)
        used = used + names_object
        other = np.where(names_other, order[rows, np.minimum(used, last_slot)], 0)
        used = used + names_other
        goals.other[:, number] = np.where(kind == Kind.ON_TRAY, (trays + number) % len(world.TRAYS), other)
    goals.place[:] = np.floor(draw[:, Proposal.PLACE, None] * np.where(goals.kind == Kind.GO_REGION, len(REGION_XY), 0))
    return goals, used <= state.count


def _references(state: State, goals: Goals, draw: np.ndarray, task: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For the task by relation, noun and anchor [n, s] of the one step whose object is not named; and whether that is clear."""
    n, rows, relation = len(task), np.arange(len(task)), task == RELATION_TASK
    step = (draw[:, Proposal.STEP] < 0.5).astype(np.int64)
    kind, slot, other = goals.kind[rows, step], goals.slot[rows, step], goals.other[rows, step]
    noun_of = np.where(draw[:, Proposal.NOUN] < 0.5, Noun.SHAPE, Noun.COLOUR)
    alike = same_kind(state, slot, noun_of)
    # A step before this one moves its object: it must be neither the anchor nor of the kind in question.
    moved = np.where(step > 0, goals.slot[:, 0], -1)
    free = state.present & ~alike & (np.arange(state.num_slots) != moved[:, None])
    free &= (np.arange(state.num_slots) != other[:, None]) | (kind == Kind.ON_TRAY)[:, None]
    anchors = draw[:, Proposal.ANCHORS][:, : state.num_slots]
    anchor_of = np.where(free, anchors, 2.0).argmin(axis=1)
    clear = free.any(axis=1) & is_nearest(state, slot, noun_of, anchor_of) & ~((moved >= 0) & alike[rows, moved])
    clear &= kind != Kind.GO_REGION
    noun, anchor = np.zeros((n, THREE), np.int64), np.zeros((n, THREE), np.int64)
    noun[rows, step], anchor[rows, step] = np.where(relation, noun_of, Noun.NAME), np.where(relation, anchor_of, 0)
    return noun, anchor, clear | ~relation


def _legal_step(state: State, goals: Goals) -> np.ndarray:
    """bool [n]: the step could be asked for alone."""
    puts = goals.kind >= Kind.NEXT_TO
    kind, other = np.where(puts, goals.kind, Kind.ON_TRAY), np.where(puts, goals.other, 0)
    legal: np.ndarray = ~puts | legal_put(state, Goals(kind, goals.slot, goals.place, other))
    return legal


def _apart(state: State, goals: Goals) -> np.ndarray:
    """bool [n]: the steps happen so far from one another that none disturbs another, or is done by it."""
    places = [_where(state, goals.step(number)) for number in range(THREE)]
    apart = np.ones(len(goals.kind), bool)
    for later in range(1, THREE):
        for number in range(later):
            dx, dy = places[later][0] - places[number][0], places[later][1] - places[number][1]
            apart &= (dx * dx + dy * dy >= APART**2) | (goals.kind[:, later] == Kind.NONE)
    return apart


def _where(state: State, goals: Goals) -> tuple[np.ndarray, np.ndarray]:
    """Where a step happens in the end, [n] each."""
    rows, kind = np.arange(len(goals.kind)), goals.kind
    region = np.where(kind == Kind.GO_REGION, goals.place, 0)
    put, relation = kind >= Kind.NEXT_TO, np.maximum(kind - Kind.NEXT_TO, 0)
    x, y = anchor_xy(state, relation, goals.other)
    x, y = np.where(put, x, state.x[rows, goals.slot]), np.where(put, y, state.y[rows, goals.slot])
    return np.where(kind == Kind.GO_REGION, REGION_XY[region, 0], x), np.where(kind == Kind.GO_REGION, REGION_XY[region, 1], y)
