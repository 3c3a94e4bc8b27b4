"""How often the tabletop's expert succeeds, and how seldom random actions and an expert that does not listen do.

    python scripts/check_expert.py [stage ...] [--episodes 10000]

Plays test seeds and prints one line for each case: success, mean length, and how often the first touched object was the named
one. 'chance' is the expert with a uniformly random legal goal of the scene; it and random actions play a fifth of the episodes.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before NumPy is imported

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vla_train.collection.noise import perturb
from vla_train.envs.tabletop import TabletopVectorEnv
from vla_train.envs.tabletop.stages import STAGES
from vla_train.seeds import counter_uniform, seeds

BATCH = 1000
CHOICE, RANDOM = 999, 1000  # numbers of draws that no environment uses; RANDOM + step for the actions of a step

Act = Callable[[TabletopVectorEnv, np.ndarray, int], np.ndarray]  # environment, seeds [n], step


@dataclass
class Case:
    """Who plays in which variant of the environment, on which share of the episodes."""

    name: str
    act: Act
    options: dict[str, Any] = field(default_factory=dict)
    share: float = 1.0


def expert(noise: float = 0.0) -> Act:
    """The expert; ``noise`` is added to what is executed, as in demonstrations."""

    def act(env: TabletopVectorEnv, row_seeds: np.ndarray, step: int) -> np.ndarray:
        steps = np.full(env.num_envs, step)
        return perturb(env.expert_action(), row_seeds, steps, noise, env.io_spec.action)

    return act


def chance() -> Act:
    """The expert that goes for one of the scene's legal goals."""
    goals: list[Any] = []

    def act(env: TabletopVectorEnv, row_seeds: np.ndarray, step: int) -> np.ndarray:
        if step == 0:
            draw = counter_uniform(row_seeds, CHOICE, 1)[:, 0]
            legal = [[own, *others] for own, others in zip(env.goals, env.alternatives(), strict=True)]
            goals[:] = [options[int(u * len(options))] for u, options in zip(draw, legal, strict=True)]
        return env.expert_action(goals)

    return act


def random_actions(env: TabletopVectorEnv, row_seeds: np.ndarray, step: int) -> np.ndarray:
    """Uniform within the bounds, or among the choices."""
    draw = counter_uniform(row_seeds, RANDOM + step, env.io_spec.action.size)
    choices = env.io_spec.action.choices
    actions: np.ndarray = np.floor(draw * choices).astype(np.int64) if choices else 2 * draw - 1
    return actions


CASES = (
    Case("expert", expert()),
    Case("expert, noise 0.3", expert(0.3)),
    Case("expert, discrete actions", expert(), {"actions": "discrete"}),
    Case("expert, held-out pairs", expert(), {"split": "pairs"}),
    Case("expert, 8 objects", expert(), {"min_objects": 8, "max_objects": 8}),
    Case("chance", chance(), share=0.2),
    Case("random actions", random_actions, share=0.2),
    Case("random discrete actions", random_actions, {"actions": "discrete"}, share=0.2),
)


def play(stage: str, case: Case, row_seeds: np.ndarray) -> Iterator[tuple[bool, int, bool | None]]:
    """Success, length, and whether the first touched object was the named one (None: none was named) of each seed."""
    env = TabletopVectorEnv(len(row_seeds), stage, cameras=[], **case.options)
    env.reset(seed=row_seeds)
    ended, length = np.zeros(env.num_envs, bool), np.zeros(env.num_envs, np.int64)
    for step in range(env.io_spec.horizon):
        length += ~ended
        _, _, terminated, truncated, _ = env.step(case.act(env, row_seeds, step))
        ended |= terminated | truncated
        if ended.all():
            break
    for success, steps, goal, touched in zip(env.success, length, env.goals, env.first_touched, strict=True):
        yield bool(success), int(steps), touched == goal.named if goal.named else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stages", nargs="*", default=list(STAGES), metavar="stage", help=f"of {', '.join(STAGES)}; default: all")
    parser.add_argument("--episodes", type=int, default=10_000)
    options = parser.parse_args()
    print(f"{'stage':22s} {'case':26s} {'episodes':>8s} {'success':>8s} {'length':>7s} {'touched':>8s}")
    for stage in options.stages:
        for case in CASES:
            episodes = max(1, round(options.episodes * case.share))
            starts = range(0, episodes, BATCH)
            played = [r for start in starts for r in play(stage, case, seeds("test", min(BATCH, episodes - start), start))]
            touched = [right for *_, right in played if right is not None]
            success, length = np.mean([row[0] for row in played]), np.mean([row[1] for row in played])
            print(f"{stage:22s} {case.name:26s} {episodes:8,d} {success:8.2%} {length:7.1f} {np.mean(touched):8.2%}", flush=True)


if __name__ == "__main__":
    main()
