"""Transitions drawn from a ring, with the rewards of several steps added up."""

import numpy as np
import torch

from vla_train.sources.ring import Ring
from vla_train.types import Transition


class Draws:
    """Draws uniformly among the transitions that are whole: the frames before and after are there, with their windows.

    A transition adds up to ``steps`` rewards (Watkins 1989; Sutton and Barto 2018, "Reinforcement learning", section 7.1):
    R = r_1 + g r_2 + ... + g^(m-1) r_m, discount g^m, and the observation after m steps. m is smaller than ``steps`` where the
    episode ends before, or where no more has been played yet.
    """

    def __init__(self, ring: Ring, history: int, *, steps: int, discount: float) -> None:
        self._ring, self._reach = ring, history - 1
        self._steps, self._discount = steps, discount

    def draw(self, random: np.random.Generator, size: int) -> Transition:
        """[size] of them. Two steps of each row must have been recorded."""
        rows, numbers = self._candidates(random, size)
        while len(wrong := np.flatnonzero(~self._whole(rows, numbers))):
            rows[wrong], numbers[wrong] = self._candidates(random, len(wrong))
        return self.transitions(rows, numbers)

    def _candidates(self, random: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Any frames of any rows but the newest one of each."""
        oldest = self._ring.oldest
        ends = np.cumsum(self._ring.written - 1 - oldest)
        place = random.integers(ends[-1], size=size)
        rows = np.searchsorted(ends, place, side="right")
        return rows, self._ring.written[rows] - 1 - (ends[rows] - place)

    def _whole(self, rows: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """bool [b]: a step was taken there that led to the next frame, and no frame of the window is overwritten."""
        age = self._ring.arrays["age"][self._ring.places(rows, numbers)]
        whole: np.ndarray = self._follows(rows, numbers)
        if self._reach:
            whole &= numbers - np.minimum(age, self._reach) >= self._ring.oldest[rows]
        return whole

    def _follows(self, rows: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """bool [b]: the next frame is there, and of the same episode."""
        ring, age = self._ring, self._ring.arrays["age"]
        next_age = age[ring.places(rows, numbers + 1)]
        found: np.ndarray = (numbers + 1 < ring.written[rows]) & (next_age == age[ring.places(rows, numbers)] + 1)
        return found

    def transitions(self, rows: np.ndarray, numbers: np.ndarray) -> Transition:
        """Those that begin at these frames, which must be whole."""
        arrays, size = self._ring.arrays, len(rows)
        reward, taken = np.zeros(size, np.float64), np.zeros(size, np.int64)
        going = np.ones(size, bool)
        for step in range(self._steps):
            led_to = self._ring.places(rows, numbers + step + 1)
            reward += np.where(going, self._discount**step * arrays["reward"][led_to], 0.0)
            taken += going
            if step + 1 < self._steps:
                going = going & self._follows(rows, numbers + step + 1)
        end = self._ring.places(rows, numbers + taken)
        action = torch.from_numpy(arrays["action"][self._ring.places(rows, numbers)])
        return Transition(
            observation=self._ring.observation(rows, numbers),
            action=action,
            valid=torch.ones(action.shape, dtype=torch.bool),
            reward=torch.from_numpy(reward.astype(np.float32)),
            discount=torch.from_numpy((self._discount**taken).astype(np.float32)),
            next_observation=self._ring.observation(rows, numbers + taken),
            terminated=torch.from_numpy(arrays["terminated"][end]),
            truncated=torch.from_numpy(arrays["truncated"][end]),
        )
