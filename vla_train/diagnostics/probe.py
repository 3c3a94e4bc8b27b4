"""What a policy makes of its inputs: its loss on demonstrations as they are, and with inputs exchanged between frames."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from vla_train.data.dataset import DemonstrationDataset
from vla_train.rollouts import evaluating, own_randomness
from vla_train.types import Demonstration, Observation

FRAMES = 128  # of each split: losses are compared frame by frame, so few are enough
BATCH = 64
SPLITS = {"held_out": "validation", "training": "train"}  # inputs and actions are judged on the first that has frames

Probed = dict[str, Any]  # JSON


class Probe:
    """Asks a policy about the same frames each time, spread evenly over a dataset's episodes. Which frame's inputs another gets
    is fixed too. Neither the run's random state nor the policy's mode is changed.

    ``__call__`` returns for "held_out" and "training" (those that have frames) the mean ``loss`` as it is, ``blind`` (all inputs
    of another frame) and the standard ``error`` of their difference; for the first of the two also ``inputs`` (see ``_inputs``),
    how many different instructions its episodes were ``told`` (0: a policy without language), and ``actions`` (see ``_actions``).
    """

    def __init__(self, dataset: DemonstrationDataset) -> None:
        self._dataset = dataset
        self._frames = {name: _spread(dataset.frames(split)) for name, split in SPLITS.items()}

    def __call__(self, agent: Any) -> Probed:
        found: Probed = {}
        for name, frames in self._frames.items():
            if len(frames) < 2:
                continue
            batch = self._dataset.gather(frames).to(agent.device)
            donor = torch.from_numpy(np.random.default_rng(0).permutation(len(frames))).to(agent.device)
            intact = _losses(agent, batch)
            blind = _losses(agent, _seeing(agent, batch, batch.observation[donor]))
            gain = blind - intact
            measured: Probed = {
                "loss": float(intact.mean()),
                "blind": float(blind.mean()),
                "error": float(gain.std() / len(gain) ** 0.5),
            }
            if not found:
                measured["inputs"] = _inputs(agent, batch, donor, intact, gain)
                told = {self._dataset.instructions[episode] for episode in self._dataset.episodes[SPLITS[name]]}
                measured["told"] = len(told) if self._dataset.processor.language == "instruction" else 0
                measured["actions"] = _actions(agent, batch)
            found[name] = measured
        return found


def _spread(frames: np.ndarray) -> np.ndarray:
    return frames[np.unique(np.linspace(0, max(len(frames) - 1, 0), min(FRAMES, len(frames))).round().astype(np.int64))]


def _losses(agent: Any, batch: Demonstration) -> Float[Tensor, "n"]:
    """Of each frame, in float64 on the CPU; with the same random numbers for a policy that draws some."""
    with own_randomness(agent.device, seed=0), evaluating(agent.policy):
        parts = [agent.policy.loss(batch[start : start + BATCH]) for start in range(0, len(batch), BATCH)]
        return torch.cat(parts).double().cpu()


def _seeing(agent: Any, batch: Demonstration, observation: Observation) -> Demonstration:
    """The batch with what is seen exchanged. What is to be predicted stays: relative actions move along with their origin."""
    if batch.action.is_floating_point():
        moved = agent.policy.origin(observation) - agent.policy.origin(batch.observation)
        batch = replace(batch, action=batch.action + moved)
    return replace(batch, observation=observation)


def _inputs(
    agent: Any, batch: Demonstration, donor: Int[Tensor, "n"], intact: Float[Tensor, "n"], gain: Float[Tensor, "n"]
) -> dict[str, Any]:
    """For each input that differs between a frame and its donor: the mean ``cost`` of exchanging it, over those frames, and its
    standard ``error``, beside the ``gain`` that all inputs together bring there. None for an input that never differs."""
    found: dict[str, Any] = {}
    for name, exchanged in _exchanges(batch.observation, donor):
        changed = _changed(name, batch.observation, exchanged)
        if int(changed.sum()) < 2:
            found[name] = None
            continue
        chosen = changed.cpu()
        costs = _losses(agent, _seeing(agent, batch, exchanged)[changed]) - intact[chosen]
        error = float(costs.std() / len(costs) ** 0.5)
        found[name] = {"cost": float(costs.mean()), "error": error, "gain": float(gain[chosen].mean())}
    return found


def _exchanges(observation: Observation, donor: Int[Tensor, "n"]) -> Iterator[tuple[str, Observation]]:
    """Every input by name, and the observation with only that one taken from another frame."""
    for camera, image in observation.images.items():
        yield f"camera {camera}", replace(observation, images={**observation.images, camera: image[donor]})
    yield "instruction", replace(observation, tokens=observation.tokens[donor], token_mask=observation.token_mask[donor])
    yield "state", replace(observation, state=observation.state[donor])


def _changed(name: str, before: Observation, after: Observation) -> Tensor:
    """bool [n]: the frames whose input differs from what it was."""
    kind, _, camera = name.partition(" ")
    old, new = (
        {"camera": seen.images.get(camera, seen.state), "instruction": seen.tokens, "state": seen.state}[kind]
        for seen in (before, after)
    )
    return (old != new).flatten(1).any(dim=1)


def _actions(agent: Any, batch: Demonstration) -> dict[str, list[float]]:
    """How much the first action of each chunk varies over the frames, ``predicted`` and ``recorded``: the standard deviation of
    each dimension, or of categories the share of those that are not the most frequent one."""
    with own_randomness(agent.device, seed=0), evaluating(agent.policy):
        parts = [agent.policy.act(batch.observation[start : start + BATCH])[:, 0] for start in range(0, len(batch), BATCH)]
    return {"predicted": _variety(torch.cat(parts)), "recorded": _variety(batch.action[:, 0])}


def _variety(action: Tensor) -> list[float]:
    if not action.is_floating_point():
        return [1.0 - float(action.flatten().bincount().max()) / len(action)]
    return [float(spread) for spread in action.double().std(dim=0)]
