"""Actions in units in which they can be compared."""

import functools

import numpy as np

from vla_train import metrics
from vla_train.data.dataset import DemonstrationDataset
from vla_train.evaluation.predictors import deviation
from vla_train.spec import FeatureStatistics


class Scaling:
    """Brings actions [n, a] of a dataset to units in which their bounds are -1 and 1 (without bounds: the smallest and largest
    training action)."""

    def __init__(self, dataset: DemonstrationDataset) -> None:
        self._dataset = dataset

    def __call__(self, action: np.ndarray) -> np.ndarray:
        spec = self._dataset.spec.action
        bounded = bool(spec.low) and bool(np.isfinite([*spec.low, *spec.high]).all())
        return metrics.scale_actions(action.astype(np.float64), spec, None if bounded else self._statistics)

    def varying(self, frames: np.ndarray) -> np.ndarray:
        """bool [n, a]: which numbers of the actions at sorted ``frames`` vary in training (of a mixture: in that of their part).

        What never does says nothing of the direction of an action, and would make any two of them alike.
        """
        parts = self._dataset.by_part(frames).items()
        return np.concatenate([np.repeat(self._varies[name][None], len(rows), axis=0) for name, rows in parts])

    @functools.cached_property
    def _varies(self) -> dict[str, np.ndarray]:
        dataset = self._dataset
        return {name: deviation(dataset.actions[rows]) > 0 for name, rows in dataset.by_part(dataset.frames("train")).items()}

    @functools.cached_property
    def _statistics(self) -> FeatureStatistics:
        """Only asked for where actions have no bounds: it goes over all training frames."""
        return self._dataset.statistics()["action"]
