"""``CrossModal``: whether a policy agrees with the demonstration because of what it was told."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from vla_train import metrics, stopping
from vla_train.data.dataset import DemonstrationDataset
from vla_train.evaluation.held_out import evenly
from vla_train.evaluation.scaling import Scaling
from vla_train.rollouts import evaluating, own_randomness
from vla_train.spec import Report

ANTONYMS = (("pick", "drop"), ("move", "stay"), ("go", "stop"), ("open", "close"), ("left", "right"))
_OPPOSITE = {word: other for one, two in ANTONYMS for word, other in ((one, two), (two, one))}
_WORD = re.compile(rf"\b({'|'.join(_OPPOSITE)})\b", re.IGNORECASE)
NAME = "held_out/cross_modal"


def perturbed(instruction: str) -> str:
    """The instruction with each of these words turned into its opposite; the same where it has none."""
    return _WORD.sub(lambda match: _OPPOSITE[match[0].lower()], instruction)


class CrossModal:
    """Predicts held-out actions for the instruction and for its opposite, and compares both with the recorded action.

    The figure is the mean of max(0, cos(prediction, recorded) - cos(prediction for the opposite, recorded)) over at most
    ``frames`` held-out frames whose instruction has an opposite and whose three actions have a direction. Of a mixture so
    many are taken of each part; the figures of each stand under ``<part>/``, and those of all frames together without prefix.
    """

    def __init__(self, dataset: DemonstrationDataset, *, frames: int, batch_size: int = 256) -> None:
        self._dataset, self._batch_size = dataset, batch_size
        self._scale = Scaling(dataset)
        held_out = dataset.frames("validation")
        changes = np.array([perturbed(text) != text for text in dataset.instructions], bool)
        parts = dataset.by_part(held_out[changes[dataset.episode_of[held_out]]])
        self._parts = {name: evenly(rows, frames) for name, rows in parts.items()}
        self._frames = np.concatenate(list(self._parts.values()))

    def __call__(self, agent: Any) -> Report:
        if self._dataset.spec.action.kind == "discrete":
            return Report({}, not_applicable={NAME: "categorical actions have no cosine"})
        if not len(self._frames):
            pairs = ", ".join("/".join(pair) for pair in ANTONYMS)
            return Report({}, not_applicable={NAME: f"no held-out instruction has one of the words {pairs}"})
        cosines = [self._cosines(agent, rows) for rows in self._batches()]
        gain = np.concatenate([np.maximum(told - opposite, 0.0) for told, opposite in cosines])
        found = _figures(gain)
        for name, rows in self._parts.items() if len(self._parts) > 1 else ():
            found |= _figures(gain[np.isin(self._frames, rows)], f"{name}/")
        reason = {} if found else {NAME: "no held-out action with such an instruction has a direction"}
        return Report(found, not_applicable=reason)

    def _batches(self) -> list[np.ndarray]:
        return [self._frames[start : start + self._batch_size] for start in range(0, len(self._frames), self._batch_size)]

    def _cosines(self, agent: Any, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of each frame, with the instruction and with its opposite; NaN where one of the two actions is zero."""
        stopping.check()
        batch = self._dataset.gather(rows)
        texts = [perturbed(self._dataset.instructions[episode]) for episode in self._dataset.episode_of[rows]]
        tokens, mask = (torch.from_numpy(array) for array in agent.processor.tokenize(texts))
        valid, recorded = batch.valid[:, 0].numpy() & self._scale.varying(rows), self._scale(batch.action[:, 0].numpy())
        found = []
        for observation in (batch.observation, replace(batch.observation, tokens=tokens, token_mask=mask)):
            with own_randomness(agent.device, seed=0), evaluating(agent.policy):
                predicted = agent.policy.act(observation.to(agent.device))[:, 0].float().cpu().numpy()
            found.append(metrics.cosine(self._scale(predicted), recorded, valid))
        return found[0], found[1]


def _figures(gain: np.ndarray, prefix: str = "") -> dict[str, float]:
    counted = gain[~np.isnan(gain)]
    return {f"{prefix}{NAME}": float(counted.mean()), f"{prefix}{NAME}_frames": float(len(counted))} if len(counted) else {}
