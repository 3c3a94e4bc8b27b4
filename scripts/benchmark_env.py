"""How fast the tabletop steps and draws on one core, beside BabyAI (minigrid's own environment, one at a time).

    python scripts/benchmark_env.py [--num-envs 256] [--rounds 7]

All are driven with random actions in one process with one thread, in turn (A B C, A B C, ...), so that a slow minute of the
machine hits all of them. Targets: 1 million state steps/s and 50 thousand 64 x 64 frames/s.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before NumPy is imported

import argparse
import contextlib
import io
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from vla_train.envs.tabletop import TabletopVectorEnv
from vla_train.envs.tabletop.stages import STAGES


@dataclass
class Contender:
    """``work`` does a piece of work and says how many steps it was; ``prepare`` goes before it, untimed."""

    work: Callable[[], int]
    prepare: Callable[[], object] = lambda: None

    def rate(self) -> float:
        """Steps per second of one piece of work."""
        self.prepare()
        start = time.perf_counter()
        return self.work() / (time.perf_counter() - start)


def tabletop(stage: str, cameras: list[str], num_envs: int, resets: bool) -> Contender:
    """Four whole episodes with their resets, or 50 steps from a reset that is not timed."""
    env = TabletopVectorEnv(num_envs, stage, cameras=cameras)
    actions = np.random.default_rng(0).uniform(-1, 1, (50, num_envs, 4)).astype(np.float32)
    episodes, steps = (4, env.io_spec.horizon) if resets else (1, len(actions))

    def work() -> int:
        for episode in range(episodes):
            if resets:
                env.reset(seed=np.arange(num_envs) + episode * num_envs)
            for step in range(steps):
                env.step(actions[step % len(actions)])
        return episodes * steps * num_envs

    return Contender(work, lambda: env.reset(seed=np.arange(num_envs)))


def babyai(rgb: bool, steps: int) -> Contender:
    """``steps`` steps of one BabyAI level as its library offers it, with its resets."""
    with contextlib.redirect_stdout(io.StringIO()):
        import gymnasium as gym
        import minigrid  # noqa: F401  # registers its levels
        from minigrid.wrappers import RGBImgPartialObsWrapper

        env: Any = gym.make("BabyAI-GoToRedBallGrey-v0")
    wrapper: Any = RGBImgPartialObsWrapper
    env = wrapper(env, tile_size=8) if rgb else env
    env.reset(seed=0)
    actions = np.random.default_rng(0).integers(0, 3, steps)

    def work() -> int:
        with contextlib.redirect_stdout(io.StringIO()):
            for action in actions:
                _, _, terminated, truncated, _ = env.step(action)
                if terminated or truncated:
                    env.reset()
        return steps

    return Contender(work)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num-envs", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    contenders: dict[str, Contender] = {}
    for stage in STAGES:
        contenders[f"tabletop {stage}, state"] = tabletop(stage, [], options.num_envs, resets=False)
        contenders[f"tabletop {stage}, state, with resets"] = tabletop(stage, [], options.num_envs, resets=True)
        contenders[f"tabletop {stage}, 64 x 64 frames"] = tabletop(stage, ["top"], options.num_envs, resets=False)
    contenders["BabyAI GoToRedBallGrey, symbols"] = babyai(rgb=False, steps=1000)
    contenders["BabyAI GoToRedBallGrey, 56 x 56 frames"] = babyai(rgb=True, steps=300)
    for contender in contenders.values():
        contender.rate()  # warm up
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(options.rounds):
        for name, contender in contenders.items():
            rates[name].append(contender.rate())
    print(f"{'steps per second':50s} {'median':>12s} {'min':>12s} {'max':>12s}")
    for name, values in rates.items():
        print(f"{name:50s} {statistics.median(values):12,.0f} {min(values):12,.0f} {max(values):12,.0f}")


if __name__ == "__main__":
    main()
