"""A trained policy plays: alone, or beside the expert, who says in every state that it visits what would have been right."""

from dataclasses import dataclass

import numpy as np

from vla_train.collection.noise import BURST, reach
from vla_train.collection.player import Moment, Move
from vla_train.data.records import MIXTURE
from vla_train.errors import NumericError
from vla_train.rollouts.chunks import ChunkExecutor
from vla_train.seeds import counter_uniform
from vla_train.spec import ActionSpec, Acts

_TURN = 7007  # number of a draw, which no environment uses


class PolicyPlayer:
    """The policy's own actions are executed and recorded. ``executor`` says how its chunks are executed."""

    def __init__(self, agent: Acts, executor: ChunkExecutor, *, keeps_failures: bool = True) -> None:
        self._agent, self._executor, self.keeps_failures = agent, executor, keeps_failures

    def begin(self, rows: np.ndarray | None) -> None:
        self._agent.reset(rows)

    def ended(self, success: bool) -> None:
        """Nobody counts."""

    def names(self, seeds: np.ndarray) -> list[str]:
        return ["policy"] * len(seeds)

    def move(self, moment: Moment) -> Move:
        actions = self.planned(moment)
        return Move(actions, actions)

    def planned(self, moment: Moment) -> np.ndarray:
        """The policy's actions [n, a] of this step; zeros in rows without an episode. NumericError for one that is not finite."""
        rows, fresh = moment.rows, moment.rows[moment.steps[moment.rows] == 0]
        self._executor.reset(fresh)
        due = self._executor.due(rows)
        if len(due) < len(rows):
            others = rows[~np.isin(rows, due)]
            self._agent.observe(*_view(moment, others), rows=others)
        if len(due):
            self._executor.add(due, np.asarray(self._agent.act(*_view(moment, due), rows=due)))
        chosen = self._executor.next(rows)
        if len(bad := rows[~np.isfinite(chosen).all(axis=1)]):
            raise NumericError(
                f"the policy's action is not finite in step {moment.steps[bad[0]]} of seed {moment.seeds[bad[0]]}: "
                "take another checkpoint"
            )
        actions = np.zeros((len(moment.seeds), chosen.shape[1]), chosen.dtype)
        actions[rows] = chosen
        return actions


@dataclass(frozen=True)
class Turns:
    """When the expert acts instead of the policy.

    Without ``intervene`` in a ``share`` of all bursts of 4 steps, by chance: beta of DAgger (Ross et al. 2011, "A Reduction of
    Imitation Learning and Structured Prediction to No-Regret Online Learning", algorithm 3.1; 0: the policy alone acts). With it
    where the policy's action lies further than ``intervene`` from the expert's, in halves of an action's range in any dimension
    (Zhang and Cho 2017, "Query-Efficient Imitation Learning for End-to-End Simulated Driving", equation 2); a discrete action
    is far from any other.
    """

    share: float = 0.0
    intervene: float | None = None

    def experts(self, clean: np.ndarray, planned: np.ndarray, moment: Moment, spec: ActionSpec) -> np.ndarray:
        """bool [n]: the rows in which the expert acts."""
        if self.intervene is None:
            burst = (np.asarray(moment.seeds, np.int64) << 32) + moment.steps // BURST
            acts: np.ndarray = counter_uniform(burst, _TURN, 1)[:, 0] < self.share
            return acts
        if spec.kind == "discrete":
            differs: np.ndarray = (clean != planned).any(axis=1)
            return differs
        half, low, high = reach(spec)
        distance = np.abs(clean - np.clip(planned, low, high)) / half  # what lies outside the bounds is not executed either
        far: np.ndarray = distance.max(axis=1) > self.intervene
        return far


class MixturePlayer(PolicyPlayer):
    """Policy and expert take ``turns``; what is recorded is always the expert's action. Failures are kept: in them stands what
    would have been right where the policy goes wrong."""

    def __init__(self, agent: Acts, executor: ChunkExecutor, turns: Turns, *, keeps_failures: bool = True) -> None:
        super().__init__(agent, executor, keeps_failures=keeps_failures)
        self._turns = turns

    def names(self, seeds: np.ndarray) -> list[str]:
        return [MIXTURE] * len(seeds)

    def move(self, moment: Moment) -> Move:
        clean, planned = moment.environment.expert_action(), self.planned(moment)
        helped = self._turns.experts(clean, planned, moment, moment.environment.io_spec.action)
        executed = np.where(helped[:, None], clean, planned).astype(clean.dtype)
        return Move(executed, clean, helped)


def _view(moment: Moment, rows: np.ndarray) -> tuple[dict[str, np.ndarray], list[str], np.ndarray]:
    """What an agent is told of some rows."""
    seen = moment.seen
    images = {camera: frames[rows] for camera, frames in seen["images"].items()}
    return images, [seen["instruction"][row] for row in rows], seen["state"][rows]
