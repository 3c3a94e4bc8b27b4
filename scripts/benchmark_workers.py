"""Environment steps per second with rows in this process and in others, in turn.

    python scripts/benchmark_workers.py [--rows 32] [--seconds 3] [--only NAME]

Random actions; ended rows are reset, which counts in the time. Prints the median, the lowest and the highest of three turns.
"""

import argparse
import functools
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from vla_train.envs.babyai import BabyAIVectorEnv
from vla_train.envs.contract import Environment
from vla_train.envs.gym import GymVectorEnv
from vla_train.envs.metaworld import MetaWorldVectorEnv
from vla_train.envs.workers import spread
from vla_train.seeds import seeds

TURNS = 3
WORLDS: dict[str, Callable[..., Any]] = {
    "babyai symbols": functools.partial(BabyAIVectorEnv, level="GoToLocal", view="symbolic"),
    "babyai pixels": functools.partial(BabyAIVectorEnv, level="GoToLocal"),
    "metaworld state": functools.partial(MetaWorldVectorEnv, cameras=()),
    "metaworld pixels": MetaWorldVectorEnv,
    "CartPole-v1": GymVectorEnv,
}


def rate(environment: Environment, seconds: float) -> float:
    """Row steps per second."""
    rows, action = environment.num_envs, environment.io_spec.action
    generator = np.random.default_rng(0)
    began, steps = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        if action.kind == "discrete":
            actions = generator.integers(0, action.choices, (rows, 1))
        else:
            actions = generator.uniform(action.low, action.high, (rows, action.size)).astype(np.float32)
        _, _, terminated, truncated, _ = environment.step(actions)
        steps += rows
        ended = terminated | truncated
        if ended.any():
            environment.reset(seed=generator.integers(0, 10**9, rows), options={"reset_mask": ended})
    return steps / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each turn")
    parser.add_argument("--only", choices=WORLDS)
    options = parser.parse_args()
    for name in [options.only] if options.only else WORLDS:
        environments = {count: spread(WORLDS[name], options.rows, count) for count in (0, 1, 2)}
        for environment in environments.values():
            environment.reset(seed=seeds("train", options.rows))
        rates: dict[int, list[float]] = {count: [] for count in environments}
        for _ in range(TURNS):
            for count, environment in environments.items():
                rates[count].append(rate(environment, options.seconds))
        for environment in environments.values():
            environment.close()
        shown = [
            f"{count}: {statistics.median(found):,.0f} ({min(found):,.0f} to {max(found):,.0f})" for count, found in rates.items()
        ]
        print(f"{name}, {options.rows} rows, steps/s by processes  " + "   ".join(shown), flush=True)


if __name__ == "__main__":
    main()
