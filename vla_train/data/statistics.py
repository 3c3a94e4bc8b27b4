"""Statistics of recorded features, in float64: exact for numbers, from a sample of frames for pixels.

The names are those of LeRobotDataset v3.0: min, max, mean, std (of the population), count, and linear quantiles.
"""

from collections.abc import Mapping

import numpy as np

from vla_train.spec import FeatureStatistics

QUANTILES = {"q01": 0.01, "q10": 0.10, "q50": 0.50, "q90": 0.90, "q99": 0.99}

Described = dict[str, np.ndarray]


def describe(values: np.ndarray) -> Described:
    """Statistics over the rows of [n, d], n > 0: float64 [d] each, and ``count`` int64 [1]."""
    values = np.asarray(values, dtype=np.float64)
    quantiles = np.quantile(values, list(QUANTILES.values()), axis=0)
    return {
        "min": values.min(axis=0),
        "max": values.max(axis=0),
        "mean": values.mean(axis=0),
        "std": values.std(axis=0),
        "count": np.array([len(values)]),
        **dict(zip(QUANTILES, quantiles, strict=True)),
    }


def describe_columns(columns: Mapping[str, np.ndarray]) -> dict[str, Described]:
    """``describe`` for each of many columns [n, d_i], side by side: a quantile for each alone takes several times as long."""
    edges = np.cumsum([values.shape[1] for values in columns.values()])[:-1]
    together = describe(np.concatenate([values.astype(np.float64) for values in columns.values()], axis=1))
    count = together.pop("count")
    parts = {key: np.split(value, edges) for key, value in together.items()}
    return {name: {key: part[i] for key, part in parts.items()} | {"count": count} for i, name in enumerate(columns)}


def feature_statistics(values: np.ndarray) -> FeatureStatistics:
    """The statistics that normalizers are fitted to, over the rows of [n, d], n > 0."""
    found = describe(values)
    kept = {name: found[name] for name in ("mean", "std", "min", "max", "q01", "q99")}
    return FeatureStatistics(count=len(values), **kept)


class PixelStatistics:
    """Statistics of uint8 pixels by channel, kept as histograms: one pass, little memory, exact for the pixels added."""

    def __init__(self, channels: int):
        self.histogram = np.zeros((channels, 256), dtype=np.int64)
        self.num_frames = 0

    def add(self, frames: np.ndarray) -> None:
        """Frames uint8 [n, y, x, c]."""
        for channel, counts in enumerate(self.histogram):
            counts += np.bincount(frames[..., channel].ravel(), minlength=256)
        self.num_frames += len(frames)

    def merge(self, other: "PixelStatistics") -> None:
        self.histogram += other.histogram
        self.num_frames += other.num_frames

    def describe(self) -> Described:
        """In [0, 1], float64 [c, 1, 1] each; ``count`` is the number of frames, as LeRobot has it."""
        levels = np.arange(256) / 255.0
        cumulative = self.histogram.cumsum(axis=1)
        total = cumulative[:, -1:]
        mean = self.histogram @ levels / total[:, 0]
        variance = (self.histogram * (levels - mean[:, None]) ** 2).sum(axis=1) / total[:, 0]

        def level_at(share: float) -> np.ndarray:
            places = (cumulative > np.floor(share * (total - 1))).argmax(axis=1)
            return np.asarray(levels[places])

        found = {"min": level_at(0.0), "max": level_at(1.0), "mean": mean, "std": np.sqrt(variance)}
        found |= {name: level_at(share) for name, share in QUANTILES.items()}
        return {name: value[:, None, None] for name, value in found.items()} | {"count": np.array([self.num_frames])}
