"""Where the pictures of a batch come from: the frame cache, or decoders where the frames are too many for one."""

import math
import os
import threading
import warnings
from collections import OrderedDict
from concurrent.futures import Future
from itertools import pairwise
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from vla_train.data.cache import cache_bytes, has_cache, open_cache
from vla_train.data.records import RandomReader, Reader
from vla_train.errors import DataError, Notice
from vla_train.processor import Processor

MAPPED_BYTES = 256_000_000  # of frames: larger caches are read, not mapped
RUN_FRAMES, RUN_BYTES = 64, 32_000_000  # decoded at once: at most so many frames, and (but for one frame) bytes
SLACK = 8  # runs held at least besides those of a shuffle buffer: of windows that reach out of it, and of batches made ahead

Pictures = dict[str, np.ndarray]


@runtime_checkable
class Frames(Protocol):
    """The frames of a dataset as its Processor resized them. Threads may ask at once."""

    def take(self, rows: np.ndarray) -> Pictures:
        """Those at rows, int64 [b, k], as [b, k, y, x, c] for each camera: of clouds float32, else uint8."""
        ...


def open_frames(
    folder: Path,
    reader: Reader,
    processor: Processor,
    starts: np.ndarray,
    *,
    cache_gb: float | None,
    buffer: int | None,
    ordered: np.ndarray | None = None,
    whole: bool = True,
) -> Frames:
    """The cache below ``folder`` (made first if it is not there), unless it would take more than ``cache_gb`` (None: never too
    much). Then frames are decoded as they are drawn; with a shuffle ``buffer`` of so many samples those of the episodes that are
    ``ordered`` (None: all) are, in runs, once an epoch.

    Where few frames are looked at (not the ``whole``), a cache is used if it is there, and none is made where the reader gives
    chosen frames. DataError where a plug-in's reader gives none and must.
    """
    if not whole and isinstance(reader, RandomReader) and not has_cache(folder, reader, processor):
        return DecodedFrames(reader, processor, starts, None)
    size = cache_bytes(reader, processor)
    if cache_gb is None or size / 1e9 <= cache_gb:
        return CachedFrames(open_cache(folder, reader, processor))
    told = f"the frames of {reader.folder} take {size / 1e9:.3g} GB, and dataset.cache_gb={cache_gb:g}"
    if not isinstance(reader, RandomReader):
        raise DataError(f"{told}; their reader gives frames in order only (it has no frames_at): allow that much")
    how = "as they are drawn, which is slow: source.shuffle=10000 reads them in order" if buffer is None else "in order"
    warnings.warn(f"{told}: they are decoded {how}", Notice, stacklevel=3)
    return DecodedFrames(reader, processor, starts, buffer, ordered)


class CachedFrames:
    """The cache's memory maps, [n, y, x, c] for each camera; frame by frame from the same files where they are large."""

    def __init__(self, arrays: Pictures):
        self._arrays = arrays
        large = sum(array.nbytes for array in arrays.values()) > MAPPED_BYTES
        self._files = {camera: _FrameFile(array) for camera, array in arrays.items()} if large else {}

    def take(self, rows: np.ndarray) -> Pictures:
        if self._files:
            return {camera: file.take(rows) for camera, file in self._files.items()}
        return {camera: _take(frames, rows) for camera, frames in self._arrays.items()}


class _FrameFile:
    """One file of the cache, read. A page that is mapped brings up to 2 MB with it, and all of them count as this process's
    memory: mapped, a long run would look as large as its data."""

    def __init__(self, array: np.ndarray):
        mapped = array if isinstance(array, np.memmap) else array.base
        assert isinstance(mapped, np.memmap), "open_cache gives views of memory maps"
        self._path, self._offset, self._shape = Path(str(mapped.filename)), mapped.offset, array.shape[1:]
        self._dtype, self._bytes = array.dtype, math.prod(array.shape[1:]) * array.itemsize
        self._file = self._path.open("rb", buffering=0)

    def take(self, rows: np.ndarray) -> np.ndarray:
        size, handle = self._bytes, self._file.fileno()
        found = np.empty((rows.size, size), np.uint8)
        for frame, row in zip(found, rows.ravel().tolist(), strict=True):
            if os.preadv(handle, [frame.data], self._offset + row * size) != size:
                raise DataError(f"the frame cache {self._path} has become shorter: start again, and it is made again")
        return found.view(self._dtype).reshape(*rows.shape, *self._shape)


class DecodedFrames:
    """Frames decoded when they are asked for. With a ``buffer`` those of ``ordered`` episodes (None: all) are in whole runs, and
    the last ``buffer`` and some more are held, the oldest given up first. Of others, and without a buffer, nothing is held."""

    def __init__(
        self,
        reader: RandomReader,
        processor: Processor,
        starts: np.ndarray,
        buffer: int | None,
        ordered: np.ndarray | None = None,
    ):
        self._reader, self._processor = reader, processor
        images = [processor.spec.images[camera] for camera in processor.cameras]
        each = sum(image.nbytes for image in images)
        self._run = max(1, min(RUN_FRAMES, RUN_BYTES // each))
        cuts = [np.arange(first, end, self._run) for first, end in pairwise(starts)]
        self._bounds = np.append(np.concatenate(cuts), starts[-1])  # of the runs: none reaches over the end of an episode
        self._in_runs = np.zeros(len(starts) - 1, bool)
        self._in_runs[slice(None) if ordered is None else ordered] = buffer is not None
        self._in_runs = np.repeat(self._in_runs, [len(cut) for cut in cuts])
        self._most = 0 if buffer is None else buffer + max(SLACK * self._run, buffer // 4)
        self._lock = threading.Lock()
        self._runs: OrderedDict[int, Future[Pictures]] = OrderedDict()
        self._held = 0  # frames in ``_runs``

    def take(self, rows: np.ndarray) -> Pictures:
        asked, places = np.unique(rows, return_inverse=True)
        found = {
            camera: np.empty((len(asked), *image.shape), image.dtype) for camera, image in self._processor.image_specs.items()
        }
        numbers = np.searchsorted(self._bounds, asked, side="right") - 1
        for number in np.unique(numbers).tolist():
            own = np.flatnonzero(numbers == number)
            if self._in_runs[number]:
                run = self._held_run(number)
                pictures = {camera: frames[asked[own] - self._bounds[number]] for camera, frames in run.items()}
            else:
                pictures = self._decoded(asked[own])
            for camera, frames in pictures.items():
                found[camera][own] = frames
        return {camera: _take(frames, places.reshape(rows.shape)) for camera, frames in found.items()}

    def _held_run(self, number: int) -> Pictures:
        with self._lock:
            run = self._runs.get(number)
            if mine := run is None:
                run = self._runs[number] = Future()
                self._held += self._length(number)
                while self._held > self._most and len(self._runs) > 1:
                    self._held -= self._length(self._runs.popitem(last=False)[0])
        if mine:
            try:
                run.set_result(self._decoded(np.arange(self._bounds[number], self._bounds[number + 1])))
            except BaseException as error:
                run.set_exception(error)  # whoever waits for this run, or asks again, is told the same
        return run.result()

    def _length(self, number: int) -> int:
        return int(self._bounds[number + 1] - self._bounds[number])

    def _decoded(self, rows: np.ndarray) -> Pictures:
        return self._processor.resize(self._reader.frames_at(self._processor.cameras, rows))


def _take(frames: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Frames [n, y, x, c] at rows [b, k] as [b, k, y, x, c]: one copy, in runs of whole frames."""
    return frames.reshape(len(frames), -1).take(rows.ravel(), axis=0).reshape(*rows.shape, *frames.shape[1:])
