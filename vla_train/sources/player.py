"""The present policy at play in the rows of a world: what every source of experience is made from."""

import warnings
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import numpy as np

from vla_train.envs.contract import Environment
from vla_train.errors import Notice, NumericError, WorldError
from vla_train.processor import Processor
from vla_train.seeds import RANGES, counter_integers
from vla_train.sources.tally import Tally
from vla_train.sources.view import View
from vla_train.spec import StateDict
from vla_train.types import Observation

MOST_CRASHES = 10  # without a single step between them


@runtime_checkable
class Recorder(Protocol):
    """What is told of every step, [n] rows each."""

    def add(
        self, observation: Observation, action: np.ndarray, reward: np.ndarray, terminated: np.ndarray, truncated: np.ndarray
    ) -> None:
        """What was seen, what was done [n, h, a], and what came of it. No row is both terminated and truncated."""

    def after(self, observation: Observation) -> None:
        """What that step led to, before any row begins another episode."""

    def cut(self, now: Observation) -> None:
        """All episodes end here as if truncated after the last step. Those that have none yet have nothing to cut."""


class Player:
    """Steps ``num_envs`` rows; rows whose episode ended begin another at once.

    Every episode has a training seed of its own; they are counted up from a place that follows from ``seed``. Where the
    environment raises ``WorldError``, nobody knows what state its rows are in: their episodes are cut after the last step that
    was whole, as if they had been truncated there, and all rows begin others.

    Args:
        make_environment: called with ``num_envs`` when the first step is near.
        explore: the policy's actions for n observations, [n, h, a]; the first of each chunk is executed.
    """

    def __init__(
        self,
        *,
        num_envs: int,
        make_environment: Callable[[int], Environment],
        processor: Processor,
        explore: Callable[[Observation], np.ndarray],
        seed: int,
    ) -> None:
        self.num_envs = num_envs
        self._make, self._explore = make_environment, explore
        self._environment: Environment | None = None
        self._view, self._tally = View(processor, num_envs), Tally(num_envs)
        self._first_seed = int(counter_integers(np.array([seed]), 0, 1, len(RANGES["train"]))[0, 0])
        self._begun = 0  # episodes, each with the next seed
        self._seeds = np.zeros(num_envs, np.int64)  # of the episodes under way
        self._crashes = 0  # since the last whole step
        self._now: Observation | None = None  # [n]: what the next actions answer to

    def prepare(self) -> None:
        """Make the environment, and begin an episode in each row."""
        if self._now is None:
            self._environment = self._environment or self._make(self.num_envs)
            self._begin(np.ones(self.num_envs, bool), None)

    @property
    def seen(self) -> Observation:
        """What the rows show now, [n]."""
        assert self._now is not None, "prepare begins episodes"
        return self._now

    @property
    def lengths(self) -> np.ndarray:
        """Steps of the episodes under way, int64 [n]."""
        return self._tally.length

    @property
    def safety(self) -> dict[str, int]:
        """In a guarded environment: steps and episodes so far, episodes that it aborted, actions that it limited."""
        return dict(self._tally.totals)

    def count_into(self, totals: dict[str, int]) -> None:
        """Go on with these counts, those of stages before; they are changed in place."""
        self._tally.totals = totals

    def figures(self) -> dict[str, float]:
        """Of the episodes that ended since this was last asked: mean return and length, share of successes, how many."""
        return self._tally.take()

    def step(self, recorder: Recorder) -> None:
        """One step of all rows; none is recorded where the environment fails."""
        action = self._explore(self.seen)
        if not np.isfinite(action).all():
            raise NumericError("the policy's action is not finite: go on from an earlier checkpoint with a lower optimizer.lr")
        try:
            raw, reward, terminated, truncated, info = self._world.step(action[:, 0])
        except WorldError as error:
            self._crash(error, recorder)
            return
        self._crashes = 0
        self._check(reward)
        truncated = truncated & ~terminated
        recorder.add(self.seen, action, reward, terminated, truncated)
        self._now = self._view.see(raw)
        ended = terminated | truncated
        judged = ended.any() and "success" not in self._world.not_applicable
        self._tally.add(reward, ended, self._world.success if judged else None, info.get("reward_terms", {}))
        self._tally.guard(info, ended)
        if ended.any():
            recorder.after(self._now)
            self._begin(ended, recorder)

    def _check(self, reward: np.ndarray) -> None:
        if not np.isfinite(reward).all():
            row = int(np.argmin(np.isfinite(reward)))
            raise WorldError(
                f"the reward is {reward[row]} in step {self._tally.length[row]} of the episode with seed {self._seeds[row]}: "
                "mend the environment's reward, nothing can be learned from that",
                rows=[row],
            )

    def _begin(self, mask: np.ndarray, recorder: Recorder | None) -> None:
        """New episodes in these rows; where a reset fails, in all."""
        numbers = self._first_seed + self._begun + np.arange(int(mask.sum()))
        self._begun += len(numbers)
        self._seeds[mask] = RANGES["train"].start + numbers % len(RANGES["train"])
        try:
            raw, _ = self._world.reset(seed=self._seeds, options={"reset_mask": mask})
        except WorldError as error:
            self._crash(error, recorder)
            return
        self._view.reset(mask)
        self._tally.begin(mask)
        self._now = self._view.see(raw, mask)

    def _crash(self, error: WorldError, recorder: Recorder | None) -> None:
        self._crashes += 1
        if self._crashes > MOST_CRASHES:
            raise WorldError(f"the environment failed {self._crashes} times without a step between: {error}", error.rows)
        self._tally.crashes += 1
        if self._now is not None and recorder is not None:
            recorder.cut(self._now)
        self._begin(np.ones(self.num_envs, bool), recorder)

    def close(self) -> None:
        """Leave the world. A player that is used again begins new episodes."""
        if self._environment is not None:
            self._environment.close()
        self._environment = self._now = None

    def state_dict(self) -> StateDict:
        state = {"begun": self._begun, "tally": self._tally.state_dict(), "rows": None}
        environment = self._environment
        if environment is None or self._now is None or "scene" in environment.not_applicable:
            return state
        rows = {"scenes": environment.get_scenes(), "seeds": self._seeds.copy(), "view": self._view.state_dict()}
        return state | {"rows": rows}

    def load_state_dict(self, state: StateDict) -> None:
        """Raises ``ValueError`` or ``LookupError`` for what no player of so many rows has given. Episodes that do not come back
        as they were are told of in a Notice."""
        if type(state["begun"]) is not int or state["begun"] < 0:
            raise ValueError(f"source.begun is {state['begun']!r}")
        self._begun = state["begun"]
        self._tally.load_state_dict(state["tally"])
        self._environment = self._environment or self._make(self.num_envs)
        rows = state["rows"]
        if rows is None:
            if self._begun:
                self._say("the environment cannot be put into the middle of an episode", self.num_envs)
            self._begin(np.ones(self.num_envs, bool), None)
            return
        if len(rows["scenes"]) != self.num_envs or rows["seeds"].shape != (self.num_envs,):
            raise ValueError(f"the source had {len(rows['scenes'])} rows, and has {self.num_envs}")
        self._seeds = rows["seeds"]
        self._view.load_state_dict(rows["view"])
        self._go_on(self._world, rows["scenes"])

    def _go_on(self, environment: Environment, scenes: list[dict[str, Any]]) -> None:
        """Put the rows into their scenes. Those that then show something else than before begin new episodes."""
        try:
            raw = environment.set_scenes(range(self.num_envs), scenes)
        except WorldError as error:
            self._say(f"the environment failed when its episodes were played again ({error})", self.num_envs)
            self._begin(np.ones(self.num_envs, bool), None)
            return
        self._now = self._view.observation()
        other = self._view.differs(raw)
        if other.any():
            self._say("the environment shows something else after the same actions from the same seed", int(other.sum()))
            self._begin(other, None)

    def _say(self, why: str, rows: int) -> None:
        what = f"{rows} of {self.num_envs} episodes under way begin anew, so the run is not the one that was never stopped"
        warnings.warn(f"{why}: {what}", Notice, stacklevel=4)

    @property
    def _world(self) -> Environment:
        assert self._environment is not None, "prepare makes it"
        return self._environment
