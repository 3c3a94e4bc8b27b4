"""``play``: one episode for each seed, over the rows of an environment."""

from collections import deque
from collections.abc import Callable, Sequence

import numpy as np

from vla_train import stopping
from vla_train.envs.contract import Environment
from vla_train.errors import WorldError
from vla_train.rollouts.chunks import ChunkExecutor, chunk_executor
from vla_train.rollouts.episodes import Episode
from vla_train.rollouts.reel import Reel
from vla_train.spec import Acts
from vla_train.types import RawObservation

# Called with (rows, seeds) right after these rows were reset from these seeds, before anyone acts. It may set other goals and
# then returns the observation that `set_goals` gave.
Prepare = Callable[[list[int], list[int]], RawObservation | None]


def play(
    agent: Acts,
    environment: Environment,
    seeds: Sequence[int] | np.ndarray,
    *,
    execute: int = 1,
    ensemble: bool = False,
    instructions: Sequence[str] | None = None,
    prepare: Prepare | None = None,
    record: int = 0,
    failures_first: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> list[Episode]:
    """Play one episode for each seed and return them in the order of the seeds.

    Episode k depends on the k-th seed and the agent alone, not on the number of rows or on what the other rows do: rows are
    reset, planned and ended each by itself.

    Args:
        execute: actions of each chunk that are executed before planning again; without effect under ``ensemble``.
        ensemble: plan at every step and average overlapping chunks (see ``TemporalEnsemble``).
        instructions: what the agent is told in each episode instead of the environment's words; the goal stays.
        prepare: see ``Prepare``.
        record: keep the frames of so many episodes, from the first colour camera: the first ones, or see ``failures_first``.
        failures_first: film those that fail, as ``Reel`` says.
        progress: called with (episodes that have ended, all episodes) at the start and whenever one ends.

    A row whose action is not finite ends as a crash, and so does one that the environment does not end within its horizon. When
    the environment raises ``WorldError``, the episodes under way are played again: those that may be to blame (``error.rows``,
    else all) one at a time, and one that fails alone is a crash. None of this ends the others.
    """
    if instructions is not None and len(instructions) != len(seeds):
        raise ValueError(f"{len(instructions)} instructions for {len(seeds)} episodes")
    executor = chunk_executor(environment.num_envs, execute, ensemble=ensemble)
    reel = Reel(record, failures_first, environment.io_spec.horizon)
    player = _Player(agent, environment, executor, [int(seed) for seed in seeds], instructions, prepare, reel, progress)
    agent.reset()
    player.run(deque(range(len(seeds))))
    reel.close()
    return [player.finished[index] for index in range(len(seeds))]


class _Player:
    def __init__(
        self,
        agent: Acts,
        environment: Environment,
        executor: ChunkExecutor,
        seeds: list[int],
        instructions: Sequence[str] | None,
        prepare: Prepare | None,
        reel: Reel,
        progress: Callable[[int, int], None] | None,
    ) -> None:
        self.agent = agent
        self.environment = environment
        self.executor = executor
        self.seeds = seeds
        self.instructions = instructions
        self.prepare = prepare
        self.reel = reel
        self.progress = progress
        self.running: dict[int, Episode] = {}  # by row; rows without an episode are idle
        self.finished: dict[int, Episode] = {}  # by index
        colour = [name for name, image in environment.io_spec.images.items() if image.kind == "colour"]
        self.camera = colour[0] if colour else None

    def run(self, waiting: deque[int]) -> None:
        """Play the waiting episodes (by index), setting crashes apart."""
        self._tell()
        while waiting:
            try:
                self._run(waiting)
            except WorldError as error:
                running, self.running = self.running, {}
                suspects = [row for row in running if error.rows is None or row in error.rows] or list(running)
                waiting.extendleft(running[row].index for row in reversed(running) if row not in suspects)
                if len(suspects) == 1:
                    self._finish_crash(running[suspects[0]], str(error))
                else:
                    for row in suspects:
                        self.run(deque([running[row].index]))

    def _run(self, waiting: deque[int]) -> None:
        observation = self._begin_all(waiting)
        while self.running:
            stopping.check()
            actions = self._actions(observation)
            observation, reward, terminated, truncated, info = self.environment.step(actions)
            ended = terminated | truncated
            for row, episode in self.running.items():
                episode.length += 1
                episode.reward += float(reward[row])
                if "aborted" in info:
                    episode.aborted = bool(info["aborted"][row])
                    episode.limited = (episode.limited or 0) + int(info["limited"][row])
            self._keep_frames(observation)
            if any(ended[row] for row in self.running):
                self._finish([row for row in self.running if ended[row]])
            self._give_up()
            if waiting and len(self.running) < self.environment.num_envs:
                observation = self._begin_free(waiting)

    def _begin_all(self, waiting: deque[int]) -> RawObservation:
        """Reset every row. Rows for which there is no episode get the first one's scene and idle in it."""
        for row in range(min(len(waiting), self.environment.num_envs)):
            self._assign(row, waiting.popleft())
        rows = list(self.running)
        first = self.running[0].seed
        seeds = [self.running[row].seed if row in self.running else first for row in range(self.environment.num_envs)]
        observation, _ = self.environment.reset(seed=seeds)
        return self._begun(rows, observation)

    def _begin_free(self, waiting: deque[int]) -> RawObservation:
        """Put waiting episodes into the rows that have none."""
        free = [row for row in range(self.environment.num_envs) if row not in self.running]
        rows = free[: len(waiting)]
        for row in rows:
            self._assign(row, waiting.popleft())
        mask = np.zeros(self.environment.num_envs, bool)
        mask[rows] = True
        seeds = [self.running[row].seed if mask[row] else 0 for row in range(self.environment.num_envs)]
        observation, _ = self.environment.reset(seed=seeds, options={"reset_mask": mask})
        return self._begun(rows, observation)

    def _assign(self, row: int, index: int) -> None:
        self.running[row] = Episode(index=index, seed=self.seeds[index])

    def _begun(self, rows: list[int], observation: RawObservation) -> RawObservation:
        if self.prepare is not None:
            prepared = self.prepare(rows, [self.running[row].seed for row in rows])
            observation = observation if prepared is None else prepared
        goals = self.environment.goals
        for row in rows:
            episode = self.running[row]
            episode.goal = goals[row]
            told = observation["instruction"] if self.instructions is None else self.instructions
            episode.instruction = told[row if self.instructions is None else episode.index]
        index = np.array(rows, np.int64)
        self.agent.reset(index)
        self.executor.reset(index)
        self._keep_frames(observation, rows)
        return observation

    def _actions(self, observation: RawObservation) -> np.ndarray:
        """One action for every row of the environment; zeros for rows that idle. Rows with an action that is not finite end."""
        rows = np.array(sorted(self.running), np.int64)
        due = self.executor.due(rows)
        if len(due) < len(rows):
            others = rows[~np.isin(rows, due)]
            self.agent.observe(*self._view(observation, others), rows=others)
        if len(due):
            self.executor.add(due, self._plan(observation, due))
        chosen = self.executor.next(rows)
        actions = np.zeros((self.environment.num_envs, chosen.shape[1]), chosen.dtype)
        finite = np.isfinite(chosen).all(axis=1)
        actions[rows[finite]] = chosen[finite]
        for row in rows[~finite]:
            self._finish_crash(self.running.pop(int(row)), "the policy's action is not finite")
        return actions

    def _plan(self, observation: RawObservation, rows: np.ndarray) -> np.ndarray:
        chunks = np.asarray(self.agent.act(*self._view(observation, rows), rows=rows))
        size = self.environment.io_spec.action.size
        if chunks.ndim != 3 or chunks.shape[0] != len(rows) or chunks.shape[2] != size:
            raise ValueError(f"the agent gave actions of shape {chunks.shape}; [{len(rows)}, horizon, {size}] is needed")
        return chunks

    def _view(self, observation: RawObservation, rows: np.ndarray) -> tuple[dict[str, np.ndarray], list[str], np.ndarray]:
        """The part of an observation that belongs to these rows."""
        told = [self.running[int(row)].instruction for row in rows]
        if len(rows) == self.environment.num_envs:
            return observation["images"], told, observation["state"]
        return {name: image[rows] for name, image in observation["images"].items()}, told, observation["state"][rows]

    def _keep_frames(self, observation: RawObservation, rows: list[int] | None = None) -> None:
        if self.camera is None:
            return
        for row in self.running if rows is None else rows:
            self.reel.add(self.running[row], observation["images"][self.camera][row])

    def _finish(self, rows: list[int]) -> None:
        success = self.environment.success
        known = "first_touched" not in self.environment.not_applicable
        touched = self.environment.first_touched if known else [""] * self.environment.num_envs
        for row in rows:
            episode = self.running.pop(row)
            judged = "success" not in self.environment.not_applicable
            episode.outcome = ("success" if success[row] else "failure") if judged else "ended"
            episode.first_touched = touched[row]
            self._end(episode)

    def _give_up(self) -> None:
        """End the episodes that the environment should have ended by now."""
        horizon = self.environment.io_spec.horizon
        for row in [row for row, episode in self.running.items() if episode.length >= horizon]:
            self._finish_crash(self.running.pop(row), f"the environment did not end the episode within its {horizon} steps")

    def _finish_crash(self, episode: Episode, message: str) -> None:
        episode.outcome = "crash"
        episode.error = message
        self._end(episode)

    def _end(self, episode: Episode) -> None:
        self.finished[episode.index] = episode
        self.reel.ended(episode)
        self._tell()

    def _tell(self) -> None:
        if self.progress is not None:
            self.progress(len(self.finished), len(self.seeds))
