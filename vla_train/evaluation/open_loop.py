"""``OpenLoop``: what a policy would have done along recorded episodes, as pictures."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from vla_train import stopping
from vla_train.data.dataset import DemonstrationDataset
from vla_train.errors import UsageError
from vla_train.evaluation.open_loop_picture import Trace, draw
from vla_train.rollouts import evaluating, own_randomness
from vla_train.rollouts.chunks import executed
from vla_train.spec import Report


class OpenLoop:
    """Draws predicted against recorded actions, one picture ``open_loop_<episode>`` for each episode.

    The policy plans where it would plan on a robot, every ``execute`` steps, but sees the recorded observations throughout: what
    it does has no effect. Each plan is drawn with all its steps.

    Args:
        episodes: their numbers in the dataset; None: the first one that is held out.
        execute: None: half of the chunk.

    Raises UsageError for an episode that is not there.
    """

    def __init__(
        self, dataset: DemonstrationDataset, *, episodes: Sequence[int] | None, execute: int | None, batch_size: int = 64
    ) -> None:
        known = {int(number) for split in dataset.episodes.values() for number in split}
        if missing := [number for number in episodes or [] if number not in known]:
            left_out = ", some of them left out" if len(known) < dataset.num_episodes else ""
            raise UsageError(f"open_loop={missing}: the data has the episodes 0 to {dataset.num_episodes - 1}{left_out}")
        self._dataset = dataset
        self._episodes = dataset.episodes["validation"][:1].tolist() if episodes is None else list(episodes)
        self._execute = executed(execute, dataset.chunk)
        self._batch_size = batch_size

    def __call__(self, agent: Any) -> Report:
        pictures = {f"open_loop_{number}": draw(self._trace(agent, number)) for number in self._episodes}
        return Report(metrics={}, pictures=pictures)

    def _trace(self, agent: Any, number: int) -> Trace:
        dataset = self._dataset
        rows = np.flatnonzero(dataset.episode_of == number)
        held_out = number in dataset.episodes["validation"]
        return Trace(
            title=f"episode {number} ({'held out' if held_out else 'trained on'}): {dataset.instructions[number]}",
            recorded=dataset.actions[rows],
            plans=self._plans(agent, rows[:: self._execute]),
            execute=self._execute,
            rate=dataset.spec.rate,
            action=dataset.spec.action,
        )

    def _plans(self, agent: Any, rows: np.ndarray) -> np.ndarray:
        """[p, h, a]: the chunk that the policy predicts at each of the rows."""
        chunks = []
        with own_randomness(agent.device, seed=0), evaluating(agent.policy):
            for start in range(0, len(rows), self._batch_size):
                stopping.check()
                observation = self._dataset.gather(rows[start : start + self._batch_size]).observation
                chunks.append(agent.policy.act(observation.to(agent.device)).cpu())
        plans: np.ndarray = torch.cat(chunks).numpy()
        return plans
