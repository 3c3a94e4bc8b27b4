"""Actions in units in which they can be compared."""

import functools

import numpy as np

from vla_train import metrics
from vla_train.data.dataset import DemonstrationDataset
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

    @functools.cached_property
    def _statistics(self) -> FeatureStatistics:
        """Only asked for where actions have no bounds: it goes over all training frames."""
        return self._dataset.statistics()["action"]
