"""Meta-World's pictures here and as the library draws them, in turn, on one core: frames/s and how far the pictures differ.

    python scripts/benchmark_metaworld.py [--task door-open-v3] [--size 96] [--seconds 3]

Prints the median, the lowest and the highest of five turns each. "As it comes" is the library's own renderer through gymnasium.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable

from vla_train.envs.metaworld import MetaWorldVectorEnv
from vla_train.envs.metaworld_draw import gl_name

os.environ.setdefault("MUJOCO_GL", gl_name())
os.environ.setdefault("LP_NUM_THREADS", "0")  # Mesa's software renderer draws in this thread alone

import numpy as np
from gymnasium.envs.mujoco.mujoco_rendering import MujocoRenderer

TURNS = 5


def rate(frame: Callable[[], object], seconds: float) -> float:
    """Frames per second, over whole frames."""
    frame()
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < seconds or count < 2:
        frame()
        count += 1
    return count / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="reach-v3")
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each turn")
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

    environments = {
        name: MetaWorldVectorEnv(1, task=options.task, image_size=options.size, rendering=name) for name in ("fast", "full")
    }
    for environment in environments.values():
        environment.reset(seed=[0])
    world = environments["full"].episodes[0]._world.env
    library = MujocoRenderer(world.model, world.data, None, options.size, options.size, 1000, None, "corner2")

    def as_it_comes() -> np.ndarray:
        library._get_viewer("rgb_array").make_context_current()  # ours was
        return np.flip(library.render("rgb_array"), (0, 1))

    ways: dict[str, Callable[[], np.ndarray]] = {
        "as it comes": as_it_comes,
        "rendering=full": lambda: environments["full"].episodes[0].draw()["corner2"],
        "rendering=fast": lambda: environments["fast"].episodes[0].draw()["corner2"],
    }
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(TURNS):
        for name, frame in ways.items():
            rates[name].append(rate(frame, options.seconds))
    reference = ways["as it comes"]().astype(int)
    print(f"{options.task}, {options.size} x {options.size}, one core, MUJOCO_GL={os.environ['MUJOCO_GL']}")
    for name, found in rates.items():
        middle, difference = statistics.median(found), np.abs(ways[name]() - reference).mean()
        print(
            f"{name:<15} {middle:7.1f} frames/s ({min(found):.1f} to {max(found):.1f}), "
            f"{1000 / middle:6.2f} ms, mean difference {difference:.2f} of 255"
        )


if __name__ == "__main__":
    main()
