"""Stage 4: two or three steps in a stated order, and objects that are referred to by where they are."""

import numpy as np

from vla_train.envs.tabletop import world
from vla_train.envs.tabletop.draws import Draw
from vla_train.envs.tabletop.goals import PUT_KINDS, REGION_XY, Goals, Kind
from vla_train.envs.tabletop.stages.base import Requests
from vla_train.envs.tabletop.stages.proposals import TASK_SHARES, THREE, Proposal, propose
from vla_train.envs.tabletop.state import State
from vla_train.seeds import counter_uniform

PROPOSALS = 32  # that a scene may refuse before it gets the goal that every scene allows
ALTERNATIVES = 48  # proposals for other goals of a scene


class MultiStepReasoning:
    """Every step but the last puts something somewhere; the last one puts, goes or picks up.

    So all that has been done can be seen, and a policy needs no memory to know what comes next.
    """

    name = "multi_step_reasoning"
    horizon = 200
    tasks: tuple[str, ...] = ("two steps", "two steps by relation", "three steps")
    kinds: tuple[Kind, ...] = (Kind.GO_OBJECT, Kind.GO_REGION, Kind.HOLD, *PUT_KINDS)
    steps, trays, walls = 3, len(world.TRAYS), 1

    def sample(self, state: State, objects_only: bool) -> Requests:
        """The first legal one of ``PROPOSALS`` whose first object is that in slot 0."""
        n = len(state.seed)
        chosen, open_rows = _certain(state), np.arange(n)
        task = np.searchsorted(np.cumsum(TASK_SHARES)[:-1], counter_uniform(state.seed, Draw.TASK, 1)[:, 0], side="right")
        draws = counter_uniform(state.seed, Draw.SUBGOALS, PROPOSALS * Proposal.DRAWS).reshape(n, PROPOSALS, -1)
        for number in range(PROPOSALS):
            part = state.rows(open_rows)
            requests, legal = propose(part, draws[open_rows, number], task[open_rows], first_slot=True)
            _assign(chosen, open_rows[legal], requests, legal)
            open_rows = open_rows[~legal]
            if not len(open_rows):
                break
        return chosen

    def legal(self, state: State) -> tuple[Requests, np.ndarray]:
        """``ALTERNATIVES`` proposals of any kind: there are too many goals in several steps to name them all."""
        n = len(state.seed)
        draws = counter_uniform(state.seed, Draw.OTHER_SUBGOALS, ALTERNATIVES * Proposal.DRAWS).reshape(n, ALTERNATIVES, -1)
        tasks = np.arange(ALTERNATIVES) % len(TASK_SHARES)
        found = [propose(state, draws[:, k], np.full(n, tasks[k]), first_slot=False) for k in range(ALTERNATIVES)]
        return _stack([requests for requests, _ in found]), np.stack([legal for _, legal in found], axis=1)


def _certain(state: State) -> Requests:
    """What every scene allows: put the first object on the first tray, then go to the region farthest from there."""
    n = len(state.seed)
    goals, none = Goals.empty(n, THREE), np.zeros((n, THREE), np.int64)
    goals.kind[:] = (Kind.ON_TRAY, Kind.GO_REGION, Kind.NONE)
    away = (state.tray_x[:, :1] - REGION_XY[:, 0]) ** 2 + (state.tray_y[:, :1] - REGION_XY[:, 1]) ** 2
    goals.place[:, 1] = away.argmax(axis=1)
    return Requests(goals, np.zeros(n, np.int64), none, none.copy())


def _assign(chosen: Requests, rows: np.ndarray, requests: Requests, legal: np.ndarray) -> None:
    """Put the legal ones of some requests at ``rows``."""
    picked = Goals(*(getattr(requests.goals, name)[legal] for name in ("kind", "slot", "place", "other")))
    chosen.goals.assign(rows, picked)
    chosen.task[rows], chosen.noun[rows], chosen.anchor[rows] = requests.task[legal], requests.noun[legal], requests.anchor[legal]


def _stack(found: list[Requests]) -> Requests:
    """k requests of n rows as one, [n, k]."""
    arrays = [[r.goals.kind, r.goals.slot, r.goals.place, r.goals.other, r.task, r.noun, r.anchor] for r in found]
    kind, slot, place, other, task, noun, anchor = (np.stack(column, axis=1) for column in zip(*arrays, strict=True))
    return Requests(Goals(kind, slot, place, other), task, noun, anchor)
