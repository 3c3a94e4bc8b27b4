"""Where the numbers and pictures of a run go: JSON lines, CSV, TensorBoard, picture files and the console."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from vla_train.errors import UsageError
from vla_train.tracking.board import Board, NoBoard
from vla_train.tracking.console import Console
from vla_train.tracking.table import MetricsTable
from vla_train.tracking.video import encode_gif, write_mp4

PICTURES = "pictures"


class Tracker:
    """Writes what a run measures. Its methods raise ``UsageError`` if the run's folder cannot be written.

    Args:
        run: the run's folder.
        tensorboard: whether event files are written too.
        console: shows each row.
        resume_step: step of the checkpoint that the run goes on from; later rows are dropped, so each step stands once.
    """

    def __init__(self, run: Path, *, tensorboard: bool, console: Console, resume_step: int | None = None):
        self.console = console
        self._run = run
        with self._writing():
            self._table = MetricsTable(run, resume_step)
            self._board: Board | NoBoard = Board(run / "tensorboard", resume_step) if tensorboard else NoBoard()

    def write(self, step: int, metrics: Mapping[str, Any]) -> None:
        """Log numbers (floats or 0-d tensors) of a step; a second call for the same step adds to its row."""
        numbers = {name: float(value) for name, value in metrics.items()}
        with self._writing():
            self._table.write(step, numbers)
            self._board.write(step, numbers)
        self.console.update(step, numbers)

    def histogram(self, step: int, name: str, values: Any) -> None:
        """The distribution of some numbers (array or tensor of any shape), e.g. of one action dimension."""
        array = np.asarray(values, dtype=np.float64).ravel()
        if array.size:
            with self._writing():
                self._board.histogram(step, name, array)

    def video(self, step: int, name: str, frames: np.ndarray, fps: float) -> Path:
        """Write frames, uint8 [t, y, x, 3], as MP4 and GIF under ``pictures/``, the GIF to TensorBoard too. Returns the MP4."""
        path = self._run / PICTURES / f"{name.replace('/', '_')}_{step:06d}.mp4"
        with self._writing():
            write_mp4(path, frames, fps)
            gif = encode_gif(frames, fps)
            path.with_suffix(".gif").write_bytes(gif)
            self._board.gif(step, name, gif, *frames.shape[1:3])
        return path

    def picture(self, name: str, png: bytes) -> None:
        """Write ``<run>/<name>.png``, in place of an earlier one."""
        path = self._run / f"{name}.png"
        with self._writing():
            path.with_suffix(".new").write_bytes(png)
            path.with_suffix(".new").replace(path)

    def close(self) -> None:
        self.console.close()
        self._board.close()

    def __enter__(self) -> "Tracker":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            message = (
                f"the logs in {self._run} cannot be written ({error}); free space or mend the folder, then resume={self._run}"
            )
            raise UsageError(message) from error
