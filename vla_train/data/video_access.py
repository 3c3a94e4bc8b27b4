"""Chosen frames of videos: files stay open from one question to the next, and seek to the nearest frame that stands alone."""

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np

from vla_train.data.records import TORN
from vla_train.data.videos import Clip, UnfitError, Video, moments
from vla_train.errors import DataError
from vla_train.spec import ImageSpec

MOST_OPEN = 8  # files of a camera: each takes a few MB
FORWARD = 0.5  # seconds: what lies nearer is reached by decoding on, not by a seek; so is what no frame before stands alone for
FIRST_STEP_BACK = 1.0  # seconds, where a seek came out behind what was asked for; doubled each time


class ClipAccess:
    """The frames of a camera, episode i in ``clips[i]`` at ``times[i]`` seconds, by row. Threads may ask at once: each takes the
    video that it reads out of the store, and puts it back."""

    def __init__(self, clips: Sequence[Clip], times: Sequence[np.ndarray], starts: np.ndarray, image: ImageSpec, camera: str):
        self._clips, self._times, self._starts = clips, times, starts
        self._image, self._camera = image, camera
        self._lock = threading.Lock()
        self._open: OrderedDict[Path, Video] = OrderedDict()

    def frames(self, rows: np.ndarray) -> Iterator[np.ndarray]:
        """uint8 [y, x, c] at each of the rows, int64 [m] ascending; the same to the bit as decoding from front to back.

        DataError where a video does not have them: it names camera, episode, file and step.
        """
        numbers, first = np.unique(np.searchsorted(self._starts, rows, side="right") - 1, return_index=True)
        for episode, own in zip(numbers.tolist(), np.split(rows, first[1:]), strict=True):
            yield from self._of_episode(episode, own - self._starts[episode])

    def _of_episode(self, episode: int, steps: np.ndarray) -> Iterator[np.ndarray]:
        clip, seconds = self._clips[episode], self._times[episode]
        wanted, tolerance = moments(clip, seconds)
        with self._video(clip.path) as video:
            for step in steps.tolist():
                try:
                    yield _found(video, float(wanted[step]), float(tolerance[step]))
                except (UnfitError, av.FFmpegError, OSError, UnicodeDecodeError) as error:
                    where = f"camera {self._camera!r}, episode {episode}: {clip.path}, step {step}"
                    raise DataError(f"{where}: {error}: {TORN}") from None

    @contextmanager
    def _video(self, path: Path) -> Iterator[Video]:
        with self._lock:
            video = self._open.pop(path, None)
        video = video or Video(path, self._image, threads="NONE")
        sound = False
        try:
            yield video
            sound = True
        except GeneratorExit:  # whoever asked has seen enough
            sound = True
            raise
        finally:
            spare = [video]
            if sound:
                with self._lock:
                    spare = [self._open.pop(path)] if path in self._open else []
                    self._open[path] = video
                    spare += [self._open.popitem(last=False)[1] for _ in range(len(self._open) - MOST_OPEN)]
            for old in spare:
                old.close()


def _found(video: Video, time: float, tolerance: float) -> np.ndarray:
    if video.time > time + tolerance or (video.time < time - FORWARD and video.time < video.stands_alone_before(time)):
        video.seek(time)
    back = FIRST_STEP_BACK
    while True:
        try:
            return video.at(time, tolerance)
        except UnfitError:
            # A seek goes by decoding order, and where that differs from the order of showing may come out too late.
            if back > 2 * time + 2 * FIRST_STEP_BACK:
                raise
            video.seek(time - back)
            back *= 2
