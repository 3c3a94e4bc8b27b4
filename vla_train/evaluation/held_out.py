"""``HeldOut``: how well a policy predicts demonstrations that it was not trained on."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from vla_train import metrics, stopping
from vla_train.data.dataset import DemonstrationDataset
from vla_train.evaluation.horizon import POLICY, horizon_section
from vla_train.evaluation.predictors import Recording, dimension_names, predictions
from vla_train.evaluation.scaling import Scaling
from vla_train.rollouts import evaluating, own_randomness
from vla_train.spec import Report


class HeldOut:
    """Loss and first-action accuracy on the validation frames of a dataset.

    Args:
        frames: at most so many frames, at even distances over the held-out episodes; the same ones at each evaluation.
        batch_size: frames in a forward pass.
        by_horizon: also give the section ``horizon``, the error at every step of the chunk beside that of simple predictors.
        progress: called with (words, frames that are done, all of them).
        reached: how many of the parts of a mixture, from the first on, are looked at; None: all.

    Of a mixture so many ``frames`` are taken of each part. The figures of each stand under ``<part>/``, and those of all frames
    together without prefix. See docs/evaluation.md for each. The first actions are compared in units in which their bounds are
    -1 and 1.
    """

    def __init__(
        self,
        dataset: DemonstrationDataset,
        *,
        frames: int = 2048,
        batch_size: int = 256,
        by_horizon: bool = False,
        progress: Callable[[str, int, int], None] | None = None,
        reached: Callable[[], int] | None = None,
    ) -> None:
        self._dataset = dataset
        self._scale = Scaling(dataset)
        self._progress = progress
        self._batch_size = batch_size
        self._by_horizon = by_horizon
        every = dataset.by_part(dataset.frames("validation"))
        self._parts = {name: evenly(rows, frames) for name, rows in every.items()}
        self._reached = reached or (lambda: len(every))

    def __call__(self, agent: Any) -> Report:
        parts = {name: rows for name, rows in list(self._parts.items())[: self._reached()] if len(rows)}
        if not parts:
            return Report(metrics={}, not_applicable={"held_out": "no demonstrations are held out (dataset.validation is 0)"})
        indices = np.concatenate(list(parts.values()))
        losses, *chunks = self._predict(agent, indices)
        predicted, recorded, valid = (chunk[:, 0] for chunk in chunks)
        varying = valid & self._scale.varying(indices)
        found = self._figures(losses, predicted, recorded, valid, varying)
        for name, rows in parts.items() if len(self._parts) > 1 else ():
            its = np.isin(indices, rows)
            found |= self._figures(losses[its], predicted[its], recorded[its], valid[its], varying[its], f"{name}/")
        if self._dataset.spec.action.kind == "discrete":
            reasons = {
                f"held_out/{name}": "categorical actions have no distance: see agreement" for name in ("alignment", "cosine")
            }
        else:
            reasons = {"held_out/agreement": "continuous actions are hardly ever equal: see action_accuracy"}
        names = dimension_names(self._dataset.spec.action)
        histograms = {f"actions/{name}/predicted": predicted[:, index] for index, name in enumerate(names)}
        histograms |= {f"actions/{name}/recorded": recorded[:, index] for index, name in enumerate(names)}
        return Report(
            metrics=found,
            not_applicable=reasons,
            histograms=histograms,
            sections={"horizon": self._horizon(indices, *chunks)} if self._by_horizon else {},
        )

    def _figures(
        self,
        losses: np.ndarray,
        predicted: np.ndarray,
        recorded: np.ndarray,
        valid: np.ndarray,
        varying: np.ndarray,
        prefix: str = "",
    ) -> dict[str, float]:
        """The figures of some frames: losses [n], first actions [n, a], and which of their parts count for distances and for
        directions."""
        found = {"loss": float(losses.mean()), "frames": float(len(losses))}
        if self._dataset.spec.action.kind == "discrete":
            found["action_accuracy"] = found["agreement"] = float((predicted[:, 0] == recorded[:, 0]).mean())
        else:
            found |= self._compare(predicted, recorded, valid, varying)
        return {f"{prefix}held_out/{name}": value for name, value in found.items()}

    def _predict(self, agent: Any, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Loss [n]; the actions of each chunk, predicted and recorded, and which of their parts count, [n, h, a] each."""
        columns: list[tuple[torch.Tensor, ...]] = []
        with own_randomness(agent.device, seed=0), evaluating(agent.policy):
            for start in range(0, len(indices), self._batch_size):
                stopping.check()
                batch = self._dataset.gather(indices[start : start + self._batch_size]).to(agent.device)
                loss, chunk = agent.policy.loss(batch), agent.policy.act(batch.observation)
                columns.append((loss, chunk, batch.action, batch.valid))
                if self._progress is not None:
                    done = min(start + self._batch_size, len(indices))
                    self._progress("evaluating held-out demonstrations", done, len(indices))
        loss, predicted, recorded, valid = (torch.cat(column).cpu() for column in zip(*columns, strict=True))
        return loss.double().numpy(), predicted.numpy(), recorded.numpy(), valid.numpy()

    def _compare(self, predicted: np.ndarray, recorded: np.ndarray, valid: np.ndarray, varying: np.ndarray) -> dict[str, float]:
        ours, theirs = self._scale(predicted), self._scale(recorded)
        cosines = metrics.cosine(ours, theirs, varying)
        zero = {"predicted_zero": metrics.is_zero(ours, varying), "recorded_zero": metrics.is_zero(theirs, varying)}
        found = {name: float(rows.sum()) for name, rows in zero.items()}
        found["action_accuracy"] = metrics.direction_accuracy(cosines, zero["recorded_zero"])
        found["alignment"] = float(metrics.alignment(ours, theirs, valid).mean())
        directed = cosines[~np.isnan(cosines)]
        found["cosine"] = float(directed.mean()) if len(directed) else float("nan")
        return found

    def _horizon(self, indices: np.ndarray, predicted: np.ndarray, recorded: np.ndarray, valid: np.ndarray) -> dict[str, Any]:
        """The policy beside the predictors, all on the same frames: those with an action before them."""
        dataset, spec = self._dataset, self._dataset.spec
        recording = Recording.of(dataset)
        kept = ~recording.first[indices]
        rows = indices[kept]
        others, reasons = predictions(recording, rows, recorded.shape[1], spec.action)
        section = horizon_section(
            {POLICY: predicted[kept]} | others,
            recorded[kept],
            valid[kept],
            dataset.episode_of[rows],
            std=recording.std,
            spec=spec.action,
            rate=spec.rate,
        )
        return section | {"not_applicable": reasons}


def evenly(rows: np.ndarray, count: int) -> np.ndarray:
    """At most ``count`` of them, at even distances."""
    chosen: np.ndarray = rows[np.unique(np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(np.int64))]
    return chosen
