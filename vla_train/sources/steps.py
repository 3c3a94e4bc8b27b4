"""The steps of one batch as they are taken, and the observations that follow some of them."""

import numpy as np
import torch

from vla_train.types import Observation, Rollout


class Steps:
    """Takes ``size`` steps of ``num_envs`` rows, and makes a ``Rollout`` of them."""

    def __init__(self, size: int, num_envs: int) -> None:
        self._size, self._count = size, 0
        self._observations: list[Observation] = []
        self._actions: list[torch.Tensor] = []
        self._finals: list[Observation] = []
        self._num_finals = 0
        self._final_index = np.full((size, num_envs), -1, np.int64)
        self._reward = np.zeros((size, num_envs), np.float32)
        self._terminated = np.zeros((size, num_envs), bool)
        self._truncated = np.zeros((size, num_envs), bool)

    @property
    def full(self) -> bool:
        return self._count == self._size

    def add(
        self, observation: Observation, action: np.ndarray, reward: np.ndarray, terminated: np.ndarray, truncated: np.ndarray
    ) -> None:
        """A step of all rows: what was seen [n], what was done [n, h, a], and what came of it [n]."""
        self._observations.append(observation)
        self._actions.append(torch.from_numpy(action))
        self._reward[self._count] = reward
        self._terminated[self._count], self._truncated[self._count] = terminated, truncated
        self._count += 1

    def after(self, observation: Observation) -> None:
        """What the last step led to: kept of rows that were truncated, for it will not be the next step's observation."""
        self._keep(observation, self._truncated[self._count - 1])

    def _keep(self, after: Observation, mask: np.ndarray) -> None:
        rows = np.flatnonzero(mask)
        if len(rows):
            self._finals.append(after[torch.from_numpy(rows)])
            self._final_index[self._count - 1, rows] = np.arange(self._num_finals, self._num_finals + len(rows))
            self._num_finals += len(rows)

    def cut(self, now: Observation) -> None:
        """The episodes under way end here, as if truncated after the last step. Those that begin here have none to cut."""
        if self._count:
            last = self._count - 1
            running = ~(self._terminated[last] | self._truncated[last])
            self._truncated[last] |= running
            self._keep(now, running)

    def batch(self, now: Observation) -> Rollout:
        """All of it; ``now`` [n] is what the rows show at the end."""
        last = self._size - 1
        self._keep(now, ~(self._terminated[last] | self._truncated[last]))
        return Rollout(
            observation=Observation.stack(self._observations),
            action=torch.stack(self._actions),
            reward=torch.from_numpy(self._reward),
            terminated=torch.from_numpy(self._terminated),
            truncated=torch.from_numpy(self._truncated),
            final=Observation.cat(self._finals) if self._finals else now[:0],
            final_index=torch.from_numpy(self._final_index),
        )
