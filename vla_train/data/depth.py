"""Depth maps as one more camera: bytes, like every other picture that is cached and shown."""

from pathlib import Path

import numpy as np

from vla_train.errors import DataError


def to_bytes(frame: np.ndarray, limits: tuple[float, float] | None, camera: str, path: Path) -> np.ndarray:
    """A depth map [y, x, 1] as uint8: bytes stay, for other numbers see ``depth_bytes``.

    DataError without limits, or for more than one channel.
    """
    if frame.ndim != 3 or frame.shape[2] != 1:
        raise DataError(f"camera {camera!r} of {path} is a depth map, but has {frame.shape[2:]} channels: leave it out")
    if frame.dtype == np.uint8:
        return frame
    if limits is None:
        raise DataError(
            f"camera {camera!r} of {path} holds depth as {frame.dtype}: say in its own units what is near and what is far with "
            "dataset.depth_range=[0.0,2.0]"
        )
    from vla_train.processor import depth_bytes  # which brings torch: what looks at data without such maps starts at once

    return depth_bytes(frame, limits)
