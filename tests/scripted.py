"""A world in which everything follows from the seed and the number of the step, so that what a source gives can be foretold."""

import numpy as np

from vla_train.envs.contract import Goal
from vla_train.errors import WorldError
from vla_train.spec import ActionSpec, Spec

SCRIPTED = Spec(images={}, state_size=2, action=ActionSpec("discrete", 1, choices=2), horizon=3, tasks=("count",))


class Scripted:
    """Shows [seed % 1000, steps so far] and says so in words. Step k is rewarded by k. Even seeds terminate after 3 steps and
    succeed; odd ones are truncated after 2.

    ``fails``: numbers of calls of step that raise; ``bad_seeds``: whether the reset from a seed raises; ``drift`` is added to
    what a restored row shows.
    """

    def __init__(self, num_envs, fails=(), bad_seeds=lambda seed: False, drift=0.0, nan_at=None, lacking=()):
        self.num_envs, self.io_spec, self.stage = num_envs, SCRIPTED, "none"
        self.not_applicable = dict.fromkeys(lacking, "it is scripted")
        self.fails, self.bad_seeds, self.drift, self.nan_at = set(fails), bad_seeds, drift, nan_at
        self.calls, self.closed, self.played = 0, False, []
        self.seeds, self.steps = np.zeros(num_envs, np.int64), np.zeros(num_envs, np.int64)
        self.shift = np.zeros(num_envs)

    def _observation(self):
        state = np.stack([self.seeds % 1000 + self.shift, self.steps], axis=1).astype(np.float32)
        return {"images": {}, "state": state, "instruction": [f"count {seed % 3}" for seed in self.seeds]}

    def reset(self, *, seed, options=None):
        mask = np.ones(self.num_envs, bool) if options is None else options["reset_mask"]
        if any(self.bad_seeds(each) for each in np.asarray(seed)[mask].tolist()):
            raise WorldError("the reset is broken")
        self.seeds[mask], self.steps[mask], self.shift[mask] = np.asarray(seed)[mask], 0, 0
        self.played += np.asarray(seed)[mask].tolist()
        return self._observation(), {}

    def step(self, actions):
        assert actions.shape == (self.num_envs, 1)
        self.calls += 1
        if self.calls in self.fails:
            self.steps[0] += 1  # some rows have stepped, others not
            raise WorldError("a row is broken", rows=[0])
        self.steps += 1
        reward = self.steps.astype(np.float64)
        if self.calls == self.nan_at:
            reward[-1] = np.nan
        even = self.seeds % 2 == 0
        return self._observation(), reward, even & (self.steps >= 3), ~even & (self.steps >= 2), {}

    @property
    def success(self):
        return (self.seeds % 2 == 0) & (self.steps >= 3)

    @property
    def goals(self):
        return [Goal("count", "count", "count", "", "count")] * self.num_envs

    def get_scenes(self):
        return [{"seed": int(seed), "steps": int(steps)} for seed, steps in zip(self.seeds, self.steps, strict=True)]

    def set_scenes(self, rows, scenes):
        for row, scene in zip(rows, scenes, strict=True):
            self.seeds[row], self.steps[row] = scene["seed"], scene["steps"]
        self.shift[-1] = self.drift
        return self._observation()

    def set_goals(self, rows, goals):
        return self._observation()

    def alternatives(self):
        return [[]] * self.num_envs

    def expert_action(self, goals=None):
        return np.zeros((self.num_envs, 1), np.int64)

    @property
    def first_touched(self):
        return [""] * self.num_envs

    def describe(self):
        return [""] * self.num_envs

    def sample_instructions(self, seeds):
        return [f"count {seed % 3}" for seed in seeds]

    def close(self):
        self.closed = True
