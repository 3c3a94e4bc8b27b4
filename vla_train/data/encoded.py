"""Pictures of an episode as a dataset keeps them, so that they can be encoded where they were made and written elsewhere."""

from dataclasses import dataclass

import numpy as np

from vla_train.data.images import encode_png
from vla_train.data.statistics import PixelStatistics

SAMPLED_FRAMES = 8  # of each episode, evenly spread, for the statistics of its images


def sampled_steps(length: int) -> np.ndarray:
    """int64 [n]: the steps of an episode whose pictures its statistics are made from."""
    return np.unique(np.linspace(0, length - 1, SAMPLED_FRAMES).round().astype(int))


@dataclass(frozen=True)
class EncodedFrames:
    """The frames of one camera in one episode: a PNG for each, their ``shape`` (t, y, x, c), and statistics of a sample."""

    pictures: list[bytes]
    shape: tuple[int, ...]
    statistics: PixelStatistics

    @classmethod
    def of(cls, frames: np.ndarray) -> "EncodedFrames":
        """From uint8 [t, y, x, c]."""
        statistics = PixelStatistics(frames.shape[3])
        statistics.add(frames[sampled_steps(len(frames))])
        return cls([encode_png(frame) for frame in frames], frames.shape, statistics)

    def __len__(self) -> int:
        return len(self.pictures)
