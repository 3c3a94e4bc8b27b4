"""TensorBoard event files. The package takes a second or two to import, so a run without it does not pay for it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np


class Board:
    """Writes ``<run>/tensorboard``. After a resume, TensorBoard hides what was logged beyond ``resume_step``."""

    def __init__(self, folder: Path, resume_step: int | None):
        from torch.utils.tensorboard import SummaryWriter

        purge = None if resume_step is None else resume_step + 1
        self._writer: Any = SummaryWriter(str(folder), purge_step=purge, flush_secs=10)

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, step)

    def histogram(self, step: int, name: str, values: np.ndarray) -> None:
        self._writer.add_histogram(name, values, step)

    def gif(self, step: int, name: str, gif: bytes, height: int, width: int) -> None:
        """An animated picture. SummaryWriter.add_video would need moviepy; an image summary takes any encoded bytes."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=gif)
        self._writer._get_file_writer().add_summary(Summary(value=[Summary.Value(tag=name, image=image)]), step)

    def close(self) -> None:
        self._writer.close()


class NoBoard:
    """Stands in where TensorBoard is switched off."""

    def write(self, step: int, metrics: Mapping[str, float]) -> None: ...
    def histogram(self, step: int, name: str, values: np.ndarray) -> None: ...
    def gif(self, step: int, name: str, gif: bytes, height: int, width: int) -> None: ...
    def close(self) -> None: ...
