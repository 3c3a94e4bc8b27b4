"""Whether a plan changes with the words: two instructions, the same observation, how far the two chunks lie apart."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vla_train.envs.contract import Environment, Goal
from vla_train.evaluation.scenes import Scene
from vla_train.metrics import scale_actions
from vla_train.spec import ActionSpec

NAME = "swapped/divergence"


def divergence(
    environment: Environment, agent: Any, scenes: Sequence[Scene], goals: Mapping[int, Goal]
) -> tuple[dict[str, float], dict[str, str]]:
    """The mean distance between the plans for a scene's own instruction and for that of ``goals`` (by seed), both made at the
    episode's first observation: metrics, and reasons why there are none."""
    spec = environment.io_spec.action
    if spec.kind == "continuous" and not (spec.low and np.isfinite([*spec.low, *spec.high]).all()):
        return {}, {NAME: "the actions of this environment have no bounds to measure a distance by"}
    chosen = [scene for scene in scenes if scene.seed in goals]
    found: list[float] = []
    for start in range(0, len(chosen), environment.num_envs):
        part = chosen[start : start + environment.num_envs]
        seeds = [scene.seed for scene in part]
        observation, _ = environment.reset(seed=seeds + seeds[:1] * (environment.num_envs - len(seeds)))
        plans = []
        for told in ([scene.goal.instruction for scene in part], [goals[seed].instruction for seed in seeds]):
            agent.reset()
            images = {name: image[: len(part)] for name, image in observation["images"].items()}
            plans.append(agent.act(images, told, observation["state"][: len(part)], np.arange(len(part))))
        found += distances(plans[0], plans[1], spec).tolist()
    agent.reset()
    whole = [value for value in found if np.isfinite(value)]  # a policy that gives no numbers crashes elsewhere
    return ({NAME: float(np.mean(whole))} if whole else {}), {}


def together(metrics: Mapping[str, float], stages: Sequence[str]) -> dict[str, float]:
    """Of several stages what their episodes do not tell: the mean distance over the swapped episodes of all, and how many
    episodes were left out of each condition."""
    found: dict[str, float] = {}
    for name, value in metrics.items():
        stage, _, figure = name.partition("/")
        if stage in stages and figure.endswith("/excluded"):
            found[figure] = found.get(figure, 0.0) + value
    parts = [
        (metrics[f"{stage}/{NAME}"], metrics[f"{stage}/swapped/episodes"]) for stage in stages if f"{stage}/{NAME}" in metrics
    ]
    if parts:
        found[NAME] = sum(value * count for value, count in parts) / sum(count for _, count in parts)
    return found


def distances(one: np.ndarray, two: np.ndarray, spec: ActionSpec) -> np.ndarray:
    """float64 [n] of chunks [n, h, a]: the mean over their steps of the Euclidean distance, in units in which the bounds are -1
    and 1. Categorical: the share of steps at which they differ."""
    if spec.kind == "discrete":
        shares: np.ndarray = (one != two).any(axis=2).mean(axis=1)
        return shares
    flat = [scale_actions(chunk.reshape(-1, spec.size).astype(np.float64), spec) for chunk in (one, two)]
    lengths: np.ndarray = np.linalg.norm(flat[0] - flat[1], axis=1).reshape(len(one), -1).mean(axis=1)
    return lengths
