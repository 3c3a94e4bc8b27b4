"""Frames out of video files, by their timestamps: each file is opened once and decoded from front to back.

A frame belongs to a time if it is the nearest and lies within ``TOLERANCE`` of it. Its own presentation time counts, never its
number: a file may hold many episodes, begin late, or have frames of unequal length.
"""

from bisect import bisect_right
from collections.abc import Collection, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np

from vla_train.data.records import TORN
from vla_train.errors import DataError
from vla_train.spec import ImageSpec

TOLERANCE = 1e-4  # seconds, as LeRobot has it
_FORMATS = {1: "gray", 3: "rgb24"}  # channels -> what a frame is converted to


@dataclass(frozen=True)
class Clip:
    """Where the frames of one episode lie: in which file, and from which second of it; ``alone``: no other's lie there."""

    path: Path
    start: float = 0.0
    alone: bool = False


def clips_with_files(folder: Path, feature: str, clips: list[Clip], left_out: Collection[int] = ()) -> list[Clip] | None:
    """The clips if their files are there, None if not one of them is. DataError where some are missing, but for the episodes
    ``left_out``."""
    there = {path: path.is_file() for path in {clip.path for clip in clips}}
    if not any(there.values()):
        return None
    wanted = [(episode, clip.path) for episode, clip in enumerate(clips) if episode not in left_out]
    if missing := [(episode, path) for episode, path in wanted if not there[path]]:
        raise DataError(
            f"the dataset at {folder} is not complete: the video {feature!r} of episode {missing[0][0]} is missing "
            f"({missing[0][1]}); fetch it, or leave out the camera (dataset.cameras) or the episode (dataset.exclude)"
        )
    return clips


def decode_clips(clips: Sequence[Clip], times: Sequence[np.ndarray], image: ImageSpec, camera: str) -> Iterator[np.ndarray]:
    """The frames of every episode in turn, uint8 [y, x, c] each; ``times`` are seconds since the episode began, [t] each.

    Raises:
        DataError: a video is cut short, cannot be read, has pictures of another size, or no frame at a time; it names camera,
            episode and file.
    """
    if image.channels not in _FORMATS:
        raise DataError(f"camera {camera!r} declares {image.channels} channels; videos of 1 or 3 are read: mend meta/info.json")
    video = None
    for episode, (clip, seconds) in enumerate(zip(clips, times, strict=True)):
        wanted, tolerance = moments(clip, seconds)
        if video is None or video.path != clip.path or wanted[0] < video.time - TOLERANCE:
            if video is not None:
                video.close()
            video = Video(clip.path, image)
        for step, time in enumerate(wanted):
            try:
                yield video.at(float(time), float(tolerance[step]))
            except UnfitError as error:
                where = f"camera {camera!r}, episode {episode}: {clip.path}"
                if error.cut_short:
                    what = f"holds {step} of its {len(wanted)} frames ({error})"
                    raise DataError(f"{where} {what}: {TORN}") from None
                raise DataError(f"{where}, step {step}: {error}: give a video that fits meta/info.json and the data") from None


def moments(clip: Clip, seconds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """When the frames of a clip are shown in its file, float64 [t], and how far from that they may lie."""
    rounding = np.spacing(np.abs(seconds.astype(np.float32)))  # timestamps are stored as float32
    return clip.start + seconds.astype(np.float64), TOLERANCE + rounding.astype(np.float64)


class UnfitError(Exception):
    """A video does not have what the dataset says."""

    def __init__(self, message: str, *, cut_short: bool = False):
        super().__init__(message)
        self.cut_short = cut_short


class Video:
    """One file, read forwards, by as many ``threads`` as FFmpeg likes (AUTO) or the one that asks (NONE)."""

    def __init__(self, path: Path, image: ImageSpec, threads: str = "AUTO"):
        self.path, self._image, self._threads = path, image, threads
        self._container: Any = None
        self._keys: list[float] | None = None  # when frames are shown that stand alone, in order; None: not asked for yet
        self.time = -np.inf  # of the current frame
        self._frame: av.VideoFrame | None = None
        self._frames = self._decode()

    def at(self, time: float, tolerance: float) -> np.ndarray:
        """The frame at a time, which is not before the one last asked for."""
        while self.time < time - tolerance:
            before = self.time
            self._advance()
            if self.time > time + tolerance:
                nearest = min((before, self.time), key=lambda other: abs(other - time))
                raise UnfitError(f"it has no frame at {time:.4f} s (the nearest is at {nearest:.4f} s)")
        if self._frame is None or self.time > time + tolerance:
            raise UnfitError(f"it has no frame at {time:.4f} s (the nearest is at {self.time:.4f} s)")
        return self._pixels(self._frame)

    def _advance(self) -> None:
        try:
            self._frame = next(self._frames)
        except StopIteration:
            raise UnfitError("the video ends there", cut_short=True) from None
        except (av.FFmpegError, OSError, UnicodeDecodeError) as error:  # the last: from names inside a damaged file
            raise UnfitError(getattr(error, "strerror", None) or str(error), cut_short=True) from None
        self.time = float(self._frame.time)

    def _decode(self) -> Generator[av.VideoFrame, None, None]:
        if self._container is None:
            # The format is named, not guessed: a playlist under the name of a video could make FFmpeg open other files.
            self._container = av.open(str(self.path.absolute()), format="mp4")
            if not self._container.streams.video:
                raise UnfitError("it has no picture stream", cut_short=True)
            self._container.streams.video[0].thread_type = self._threads
        for frame in self._container.decode(self._container.streams.video[0]):
            if frame.time is not None:
                yield frame

    def stands_alone_before(self, time: float) -> float:
        """When the last frame up to ``time`` is shown that can be decoded without those before it, as the file's index tells."""
        if self._container is None:
            next(self._decode(), None)  # opened by that
        if self._keys is None:
            stream = self._container.streams.video[0]
            self._keys = [float(entry.timestamp * stream.time_base) for entry in stream.index_entries if entry.is_keyframe]
        return self._keys[max(0, bisect_right(self._keys, time) - 1)] if self._keys else -np.inf

    def seek(self, time: float) -> None:
        """Go to a frame that stands alone, at ``time`` or before it (or to the first there is)."""
        if self._container is None:
            next(self._decode(), None)  # opened by that
        stream = self._container.streams.video[0]
        self._container.seek(round(max(time, 0.0) / stream.time_base), stream=stream)
        self.time, self._frame, self._frames = -np.inf, None, self._decode()

    def close(self) -> None:
        """Give up the file and what was decoded of it, now rather than when the interpreter next looks for cycles."""
        self._frames.close()
        self._frame = None
        if self._container is not None:
            self._container.close()

    def _pixels(self, frame: av.VideoFrame) -> np.ndarray:
        image = self._image
        if (frame.height, frame.width) != (image.height, image.width):
            raise UnfitError(f"its pictures are {frame.height} x {frame.width}, where {image.height} x {image.width} is declared")
        pixels = frame.to_ndarray(format=_FORMATS[image.channels])
        return pixels.reshape(image.height, image.width, image.channels)
