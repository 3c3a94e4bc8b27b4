"""What the evaluation episodes ask for, looked up once: their goals, other goals of the same scenes, words from other episodes.

Every choice is a pure function of an episode's seed, so it is the same in each run and for any number of environments.
"""

import string
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vla_train.envs.contract import Environment, Goal
from vla_train.seeds import counter_uniform

# Numbers of the draws, far from those with which environments draw their scenes.
DRAW_SWAPPED, DRAW_FOREIGN, DRAW_CHANCE, DRAW_RANDOM, DRAW_GARBAGE = range(7_000_001, 7_000_006)


@dataclass(frozen=True)
class Scene:
    """What the reset from one seed asks for, and what else could be asked for in that scene."""

    seed: int
    goal: Goal
    alternatives: tuple[Goal, ...]


def survey(environment: Environment, seeds: Sequence[int] | np.ndarray) -> list[Scene]:
    """The scene of each seed. Environments without alternatives give none."""
    known = "alternatives" not in environment.not_applicable
    scenes: list[Scene] = []
    for start in range(0, len(seeds), environment.num_envs):
        part = [int(seed) for seed in seeds[start : start + environment.num_envs]]
        environment.reset(seed=part + part[:1] * (environment.num_envs - len(part)))
        goals = environment.goals
        others = environment.alternatives() if known else [[] for _ in goals]
        scenes += [Scene(seed, goals[row], tuple(others[row])) for row, seed in enumerate(part)]
    return scenes


def _pick(seed: int, draw: int, count: int) -> int:
    return int(counter_uniform(np.array([seed]), draw, 1)[0, 0] * count)


def swapped_goals(scenes: Sequence[Scene]) -> dict[int, Goal]:
    """By seed, one of the other goals of its scene, uniformly; scenes without one are left out."""
    return {
        scene.seed: scene.alternatives[_pick(scene.seed, DRAW_SWAPPED, len(scene.alternatives))]
        for scene in scenes
        if scene.alternatives
    }


def chance_goals(scenes: Sequence[Scene]) -> dict[int, Goal]:
    """By seed, the goal of an expert that does not listen: uniform among the episode's own and the other goals of its scene."""
    goals = {}
    for scene in scenes:
        legal = (scene.goal, *scene.alternatives)
        goals[scene.seed] = legal[_pick(scene.seed, DRAW_CHANCE, len(legal))]
    return goals


def garbage(seed: int) -> str:
    """Four words of five letters each that mean nothing."""
    letters = [string.ascii_lowercase[int(draw * 26)] for draw in counter_uniform(np.array([seed]), DRAW_GARBAGE, 20)[0]]
    return " ".join("".join(letters[start : start + 5]) for start in range(0, 20, 5))


def words(instruction: str) -> tuple[str, ...]:
    """The words of an instruction in alphabetic order: equal for texts that differ only in order, case or punctuation."""
    return tuple(sorted(instruction.lower().translate(str.maketrans("", "", string.punctuation)).split()))


def foreign_instructions(scenes: Sequence[Scene]) -> dict[int, str]:
    """By seed, the instruction of another of the episodes: its goal differs, and so do its words, whatever their order.

    The search begins at a random episode; episodes for which there is no such other are left out.
    """
    bags = [words(scene.goal.instruction) for scene in scenes]
    if len({scene.goal.key for scene in scenes}) < 2 or len(set(bags)) < 2:
        return {}  # where all are alike, each would search through all of them
    found = {}
    for index, scene in enumerate(scenes):
        start = _pick(scene.seed, DRAW_FOREIGN, len(scenes))
        for step in range(len(scenes)):
            other = (start + step) % len(scenes)
            if scenes[other].goal.key != scene.goal.key and bags[other] != bags[index]:
                found[scene.seed] = scenes[other].goal.instruction
                break
    return found
