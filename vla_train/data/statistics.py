"""Statistics of recorded features, in float64: exact for numbers, from a sample of frames for pixels.

The names are those of LeRobotDataset v3.0: min, max, mean, std (of the population), count, and linear quantiles.
"""

from collections.abc import Mapping, Sequence

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


def together(parts: Sequence[Described]) -> Described:
    """Statistics of parts as those of the whole, as LeRobot does it: exact but for quantiles, which are averaged."""
    weights = np.array([float(part["count"][0]) for part in parts])
    stacked = {key: np.stack([np.asarray(part[key], np.float64) for part in parts]) for key in parts[0] if key != "count"}

    def average(values: np.ndarray) -> np.ndarray:
        return np.asarray(np.average(values, axis=0, weights=weights))

    mean = average(stacked["mean"])
    found = {key: average(values) for key, values in stacked.items()} | {"mean": mean}
    found |= {"min": stacked["min"].min(axis=0), "max": stacked["max"].max(axis=0)}
    found["std"] = np.sqrt(average(stacked["std"] ** 2 + (stacked["mean"] - mean) ** 2))
    return found | {"count": np.array([int(weights.sum())])}


class CloudStatistics:
    """Statistics of point clouds by channel, over all points of the frames added: of what is added at once exact, together as
    ``together`` has it."""

    def __init__(self) -> None:
        self._parts: list[Described] = []

    @property
    def num_frames(self) -> int:
        return sum(int(part["count"][0]) for part in self._parts)

    def add(self, frames: np.ndarray) -> None:
        """Frames [n, points, 1, c]."""
        if len(frames):
            self._parts.append(describe(frames.reshape(-1, frames.shape[-1])) | {"count": np.array([len(frames)])})

    def merge(self, other: "CloudStatistics") -> None:
        self._parts += other._parts

    def describe(self) -> Described:
        """In the units of the clouds, float64 [c] each; ``count`` is the number of frames."""
        return together(self._parts)


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
