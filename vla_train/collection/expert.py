"""Plays a list of seeds, by the environment's expert or another player, and hands the episodes back in their order."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vla_train import stopping
from vla_train.collection.player import Moment, Player
from vla_train.data.encoded import EncodedFrames
from vla_train.envs.contract import Environment, Goal
from vla_train.types import RawObservation

REFILL = 8  # rows are refilled when one in so many is free: a reset costs the same for one row and for many
# Episodes wait for those of smaller seeds. When so much waits, no new ones begin until it has been handed on.
WAITING_BYTES = 512 * 2**20


@dataclass
class ExpertEpisode:
    """One recorded episode of t steps: what was seen before each action, the action, and what followed from it."""

    index: int  # place in the list of seeds
    seed: int
    goal: Goal
    scene: str  # JSON of the scene at its start, "" where the environment cannot give it
    randomization: str = "none"  # JSON of what domain randomization drew for it
    player: str = "expert"  # who played it
    success: bool = False
    helped: int | None = None  # steps in which the expert acted in the player's place; None: such help is not given
    steps: list[tuple[dict[str, np.ndarray], np.ndarray, np.ndarray, float, bool, bool]] = field(default_factory=list)
    encoded: dict[str, EncodedFrames | np.ndarray] = field(default_factory=dict)  # instead of those in ``steps``

    def add(
        self,
        seen: RawObservation,
        row: int,
        action: np.ndarray,
        reward: np.ndarray,
        terminated: np.ndarray,
        truncated: np.ndarray,
    ) -> None:
        """Keep one row of a step; copied, since a row's view would keep the whole batch in memory."""
        images = {camera: frames[row].copy() for camera, frames in seen["images"].items()}
        kept = (images, seen["state"][row].copy(), action[row].copy(), float(reward[row]))
        self.steps.append((*kept, bool(terminated[row]), bool(truncated[row])))

    def cut_short(self) -> None:
        """It ended with the last step that it has, if it has any."""
        if self.steps:
            *kept, _ = self.steps[-1]
            self.steps[-1] = (*kept, True)  # type: ignore[assignment]  # truncated

    def encode(self) -> None:
        """Encode the pictures as a dataset keeps them: work that need not be done where it is written."""
        if self.steps:
            self.encoded = {
                camera: EncodedFrames.of(frames) if frames.dtype == np.uint8 else frames
                for camera, frames in self._frames().items()
            }
            self.steps = [({}, *others) for _, *others in self.steps]  # type: ignore[misc]  # as many as there were

    def _frames(self) -> dict[str, np.ndarray]:
        return {camera: np.stack([step[0][camera] for step in self.steps]) for camera in self.steps[0][0]}

    def columns(self) -> dict[str, Any]:
        """images {camera: [t, y, x, c], or encoded}, state [t, s], action [t, a], reward, terminated and truncated [t]."""
        _, state, action, reward, terminated, truncated = zip(*self.steps, strict=True)
        return {
            "images": self.encoded or self._frames(),
            "state": np.stack(state),
            "action": np.stack(action),
            "reward": np.array(reward, np.float32),
            "terminated": np.array(terminated),
            "truncated": np.array(truncated),
        }

    @property
    def nbytes(self) -> int:
        return len(self.steps) * sum(frame.nbytes for frame in self.steps[0][0].values()) if self.steps else 0


class ExpertRun:
    """The episodes of ``seeds``, in their order whatever the number of rows, so that this cannot change a dataset.

    The ``player`` decides what is executed and what is recorded, and whether failed episodes keep their steps.
    """

    def __init__(self, environment: Environment, seeds: Sequence[int] | np.ndarray, player: Player) -> None:
        self.environment, self.player = environment, player
        self.seeds = np.asarray(seeds, np.int64)
        self._rows: list[ExpertEpisode | None] = [None] * environment.num_envs
        self._row_seeds = np.resize(self.seeds, environment.num_envs)
        self._waiting: dict[int, ExpertEpisode] = {}
        self._begun = self._handed = 0

    def __iter__(self) -> Iterator[ExpertEpisode]:
        """Every episode, failed ones too (``success`` tells). Raises Interrupted when a stop was asked for."""
        seen = self._refill(None)
        while self._handed < len(self.seeds):
            stopping.check()
            seen = self._step(seen)
            while self._handed in self._waiting:
                self._handed += 1
                yield self._waiting.pop(self._handed - 1)
            free = sum(row is None for row in self._rows)
            if self._begun < len(self.seeds) and free * REFILL >= len(self._rows):
                seen = self._refill(seen)

    def _step(self, seen: RawObservation) -> RawObservation:
        environment = self.environment
        lengths = np.array([len(row.steps) if row else 0 for row in self._rows])
        active = np.flatnonzero([row is not None for row in self._rows])
        move = self.player.move(Moment(environment, seen, active, self._row_seeds, lengths))
        after, reward, terminated, truncated, info = environment.step(move.executed)
        over = terminated | truncated
        # An episode that the environment does not end in time is given up: it shall not go on for ever.
        ended = over | info.get("expert_failed", False) | (lengths + 1 >= environment.io_spec.horizon)
        given_up = np.zeros(len(ended), bool) if move.given_up is None else move.given_up
        success = over & (environment.success if "success" not in environment.not_applicable else False)
        for row, episode in enumerate(self._rows):
            if episode is None:
                continue
            if given_up[row]:
                episode.cut_short()
            else:
                episode.add(seen, row, move.recorded, reward, terminated, truncated | (ended & ~terminated))
            if move.helped is not None:
                episode.helped = (episode.helped or 0) + int(move.helped[row])
            if ended[row] or given_up[row]:
                episode.success = bool(success[row]) and not given_up[row]
                self.player.ended(episode.success)
                if not episode.success and not self.player.keeps_failures:
                    episode.steps.clear()  # nobody learns from it: free the frames
                self._waiting[episode.index] = episode
                self._rows[row] = None
        return after

    def _refill(self, seen: RawObservation | None) -> RawObservation:
        """Begin the next seeds in the free rows, unless too much is waiting."""
        if seen is not None and sum(episode.nbytes for episode in self._waiting.values()) > WAITING_BYTES:
            return seen
        free = [row for row, episode in enumerate(self._rows) if episode is None][: len(self.seeds) - self._begun]
        mask = np.zeros(len(self._rows), bool)
        mask[free] = True
        self._row_seeds[free] = self.seeds[self._begun : self._begun + len(free)]
        options = None if seen is None else {"reset_mask": mask}
        seen, _ = self.environment.reset(seed=self._row_seeds, options=options)
        goals = self.environment.goals
        scenes = None if "scene" in self.environment.not_applicable else self.environment.get_scenes()
        players = self.player.names(self._row_seeds)
        self.player.begin(None if options is None else np.array(free, np.int64))
        for row in free:
            drawn = scenes[row].pop("randomization", None) if scenes else None
            scene, seed = json.dumps(scenes[row]) if scenes else "", int(self._row_seeds[row])
            looks = "none" if drawn is None else json.dumps(drawn)
            self._rows[row] = ExpertEpisode(self._begun, seed, goals[row], scene, looks, players[row])
            self._begun += 1
        return seen
