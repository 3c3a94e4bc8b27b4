"""Gymnasium environments that go wrong, each in its own way. Importing this registers them, in worker processes too."""

import os
import time

import gymnasium
import numpy as np

from vla_train.envs.gym import GymVectorEnv


class Broken(gymnasium.Env):
    """Ends well after 5 steps with a return of 5, but for what ``how`` does in the third step of seeds divisible by 3.

    The one that never ends gives no rewards, and its episodes are no successes.
    """

    observation_space = gymnasium.spaces.Box(-1e6, 1e6, (2,), np.float64)
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, how: str = "raise", render_mode: str | None = None):
        self.how, self.render_mode = how, render_mode

    def reset(self, *, seed=None, options=None):
        self.seed_, self.steps = seed, 0
        if self.how == "raise in reset" and seed % 3 == 0:
            raise OSError("no such scene")
        size = 3 if self.how == "change" and seed % 3 == 0 else 2
        return np.array([seed % 10, 0.0, 0.0][:size]), {}

    def step(self, action):
        self.steps += 1
        ends = self.steps >= 5
        if self.seed_ % 3 == 0:
            if self.how == "never end":
                ends = False
            elif self.steps == 3:
                {"raise": self.fail, "hang": self.hang, "die": self.die}.get(self.how, lambda: None)()
        value = np.nan if self.how == "nan" and self.seed_ % 3 == 0 and self.steps == 3 else self.steps
        reward = np.nan if self.how == "nan reward" and self.steps == 3 else float(self.how != "never end")
        return np.array([self.seed_ % 10, value]), reward, ends, False, {}

    def fail(self):
        raise LookupError("lost an object")

    def hang(self):
        time.sleep(600)

    def die(self):
        os._exit(7)


for _how in ("raise", "raise in reset", "never end", "hang", "die", "nan", "nan reward", "change"):
    gymnasium.register(f"Broken-{_how.replace(' ', '-')}-v0", entry_point=Broken, kwargs={"how": _how}, reward_threshold=5.0)


def make(num_envs: int, how: str) -> GymVectorEnv:
    return GymVectorEnv(num_envs, env_id=f"Broken-{how}-v0", horizon=20)
