"""The frame cache: every frame decoded and resized once, kept as one array a camera and read by memory map.

A cache is a folder named by what it was made from (dataset fingerprint, the Processor's cameras and sizes). It is built in a
``.partial`` folder under a lock and renamed when it is whole, so a process sees all of it or none; what is torn all the same
(a lost disk, a copy cut short) is noticed by its sizes and built again.
"""

import hashlib
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from filelock import FileLock, Timeout
from numpy.lib.format import open_memmap, write_array_header_1_0

from vla_train import stopping
from vla_train.data.paths import refuse_names_out
from vla_train.data.progress import progress
from vla_train.data.records import Reader
from vla_train.errors import DataError
from vla_train.processor import Processor
from vla_train.spec import ImageSpec

VERSION = 1  # of the layout of the cache; a higher number leaves older caches unused
SECONDS_BETWEEN_TRIES = 0.2


def open_cache(folder: Path, reader: Reader, processor: Processor) -> dict[str, np.ndarray]:
    """For each camera a read-only memory map [n, y, x, c], of clouds float32, else uint8; built first if it is not there. {}
    without cameras."""
    images = processor.image_specs
    if not images:
        return {}
    home = _home(folder, reader, processor)
    count = reader.metadata.num_frames
    if not _whole(home, images, count):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with polite_lock(folder / f"{home.name}.lock"):
                if not _whole(home, images, count):
                    _build(home, reader, processor)
        except OSError as error:
            raise DataError(
                f"the frame cache cannot be written to {folder} ({error}): it needs "
                f"{cache_bytes(reader, processor) / 1e9:.1f} GB there; free space, or give a folder that can be written"
            ) from error
    return {camera: np.asarray(open_memmap(_file(home, camera), mode="r")) for camera in images}


def has_cache(folder: Path, reader: Reader, processor: Processor) -> bool:
    """Whether ``open_cache`` would find everything there."""
    return _whole(_home(folder, reader, processor), processor.image_specs, reader.metadata.num_frames)


def cache_bytes(reader: Reader, processor: Processor) -> int:
    """How much room the cache takes, or would take."""
    return reader.metadata.num_frames * sum(image.nbytes for image in processor.image_specs.values())


def _home(folder: Path, reader: Reader, processor: Processor) -> Path:
    return folder / hashlib.sha256(f"{VERSION} {reader.metadata.fingerprint} {processor.cache_key}".encode()).hexdigest()[:16]


@contextmanager
def polite_lock(path: Path, waiting: str = "") -> Iterator[None]:
    """A file lock whose holder may take minutes: whoever waits for it can still be asked to stop, and is told so (``waiting``).
    The system takes it back from a process that dies."""
    lock = FileLock(path)
    while not lock.is_locked:
        stopping.check()
        try:
            lock.acquire(timeout=SECONDS_BETWEEN_TRIES)
        except Timeout:
            if waiting:
                print(waiting, file=sys.stderr, flush=True)
            waiting = ""
    try:
        yield
    finally:
        lock.release()


def _file(home: Path, camera: str) -> Path:
    refuse_names_out([camera], home)  # also of a reader that does not look at them, as a plug-in's may be
    return home / f"{camera}.npy"


def _whole(home: Path, images: Mapping[str, ImageSpec], count: int) -> bool:
    """Every camera's file is there with the right header and, to the byte, the right size."""
    for camera, image in images.items():
        path = _file(home, camera)
        try:
            array = open_memmap(path, mode="r")
        except (OSError, ValueError, EOFError):  # missing; cut short or no array; empty
            return False
        fits = array.shape == (count, *image.shape) and array.dtype == image.dtype
        if not fits or path.stat().st_size != array.offset + array.nbytes:
            return False
    return True


def _build(home: Path, reader: Reader, processor: Processor) -> None:
    partial = home.with_name(home.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)  # of a process that was killed: the lock is ours, so nobody writes it
    shutil.rmtree(home, ignore_errors=True)
    partial.mkdir()
    try:
        # Written as a file, not through a memory map: a full disk is then an error, not a bus error that ends the process.
        files = {camera: _file(partial, camera).open("wb") for camera in processor.image_specs}
        try:
            _fill(files, reader, processor)
        finally:
            for file in files.values():
                file.close()
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    partial.rename(home)


def _fill(files: Mapping[str, BinaryIO], reader: Reader, processor: Processor) -> None:
    num_frames, images = reader.metadata.num_frames, processor.image_specs
    for camera, file in files.items():
        shape = (num_frames, *images[camera].shape)
        write_array_header_1_0(file, {"descr": images[camera].dtype.str, "fortran_order": False, "shape": shape})
    written = 0
    with progress("decoding frames", num_frames) as advance:
        for block in reader.frames(list(files)):
            stopping.check()
            for camera, frames in processor.resize(block).items():
                assert frames.shape[1:] == images[camera].shape, (camera, frames.shape, images[camera])
                files[camera].write(np.ascontiguousarray(frames).data)
            count = len(next(iter(block.values())))
            written += count
            advance(count)
    if written != num_frames:
        raise DataError(f"{num_frames} frames are declared, but {written} could be read; fetch or make the dataset again")
    for file in files.values():
        file.flush()
        os.fsync(file.fileno())  # or a power cut could leave a whole-looking file of zeros under the final name
