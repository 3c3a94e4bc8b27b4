"""The videos of a LeRobotDataset v3.0 as they are written: one MP4 file holds many episodes, one behind the other."""

import os
import shutil
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import av
import numpy as np

from vla_train.data import lerobot_layout as layout
from vla_train.data.lerobot_files import begin, partial_of, settle
from vla_train.data.videos import Clip
from vla_train.errors import UsageError

# Codec -> (FFmpeg's encoder, its options). Every tenth picture stands alone, so that a step is found without decoding all before
# it. The quality is near what 4:2:0 colour can give: halved colour resolution, not the coarseness, is then the larger loss.
# x264's slower presets gain 0.4 dB at the same size and take half as long again.
CODECS = {
    "h264": ("libx264", {"crf": "12", "preset": "veryfast", "g": "10", "bf": "0"}),
    "av1": ("libsvtav1", {"crf": "18", "preset": "8", "g": "10", "svtav1-params": "log-level=error"}),
}
_CLOCK = 1000  # the largest denominator of a rate: 29.97 frames a second are 2997 / 100

Place = dict[str, int | float]  # chunk_index, file_index, from_timestamp, to_timestamp: as meta/episodes has it


@runtime_checkable
class Videos(Protocol):
    """Where the pictures of a camera go, episode by episode."""

    def add(self, frames: np.ndarray) -> None:
        """The next pictures of this episode, uint8 [n, y, x, 3]."""

    def end_episode(self) -> Place:
        """Where the pictures since the last episode lie."""

    def abandon(self) -> None:
        """This episode is not to be: its pictures belong to none."""

    def close(self) -> None:
        """Make the files whole that are not yet."""


class EncodedVideos:
    """Encodes pictures. A file ends with the episode that fills ``megabytes``, and has its name from then on.

    UsageError for pictures that the codec cannot hold: it needs 3 channels and even sides.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        feature: layout.Feature,
        rate: int | float,
        *,
        codec: str,
        megabytes: int | float,
        first: int = 0,
    ):
        height, width, channels = feature["shape"]
        if channels != 3 or height % 2 or width % 2:
            raise UsageError(
                f"{name!r} has pictures of {height} x {width} x {channels}, but video needs 3 channels and even sides: "
                "store them as images in parquet"
            )
        self._folder, self._name, self._size = folder, name, (height, width)
        self._rate = Fraction(rate).limit_denominator(_CLOCK)
        self._codec, self._megabytes = codec, megabytes
        self._number = first - 1  # of the file that is or was open last
        self._container: Any = None
        self._stream: Any = None
        self._frames = self._start = self._bytes = 0  # in this file; before this episode; encoded

    def add(self, frames: np.ndarray) -> None:
        if self._container is None:
            self._open()
        for pixels in frames:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            frame.pts, frame.time_base = self._frames, 1 / self._rate
            if self._frames == self._start:
                frame.pict_type = av.video.frame.PictureType.I  # an episode can be read without the one before it
            packets = self._stream.encode(frame)
            self._bytes += sum(packet.size for packet in packets)
            self._container.mux(packets)
            self._frames += 1

    def end_episode(self) -> Place:
        place = _place(self._number, float(self._start / self._rate), float(self._frames / self._rate))
        self._start = self._frames
        if self._bytes >= self._megabytes * 2**20:
            self.close()
        return place

    def abandon(self) -> None:
        self._start = self._frames  # they stay in the file, where no episode points at them

    def close(self) -> None:
        if self._container is not None:
            self._container.mux(self._stream.encode(None))
            self._container.close()
            self._container = None
            settle(self._path())

    def _open(self) -> None:
        self._number, self._frames, self._start, self._bytes = self._number + 1, 0, 0, 0
        path = self._path()
        begin(path).close()
        os.environ.setdefault("SVT_LOG", "1")  # the encoder of AV1 tells a page about itself otherwise
        self._container = av.open(str(partial_of(path)), "w", format="mp4")
        encoder, options = CODECS[self._codec]
        self._stream = self._container.add_stream(encoder, rate=self._rate, options=options)
        self._stream.height, self._stream.width = self._size
        self._stream.pix_fmt = "yuv420p"
        self._stream.codec_context.time_base = 1 / self._rate

    def _path(self) -> Path:
        return _file(self._folder, self._name, self._number)


class CopiedVideos:
    """Copies whole files instead of encoding again: nothing is lost. ``clips`` are those of all episodes, in their order."""

    def __init__(self, folder: Path, name: str, clips: list[Clip], lengths: list[float], first_episode: int = 0):
        self._folder, self._name, self._clips, self._lengths = folder, name, clips, lengths
        self._numbers = {path: number for number, path in enumerate(dict.fromkeys(clip.path for clip in clips))}
        self._episode = first_episode

    def add(self, frames: np.ndarray) -> None:
        """They are in the file that is copied."""

    def end_episode(self) -> Place:
        clip, seconds = self._clips[self._episode], self._lengths[self._episode]
        path = _file(self._folder, self._name, number := self._numbers[clip.path])
        if not path.exists():
            begin(path).close()
            shutil.copyfile(clip.path, partial_of(path))
            settle(path)
        self._episode += 1
        return _place(number, clip.start, clip.start + seconds)

    def abandon(self) -> None:
        """Nothing was written."""

    def close(self) -> None:
        """Every file that was copied is whole."""


def _place(number: int, start: float, end: float) -> Place:
    chunk, file = divmod(number, layout.CHUNK_SIZE)
    return {"chunk_index": chunk, "file_index": file, "from_timestamp": start, "to_timestamp": end}


def _file(folder: Path, name: str, number: int) -> Path:
    chunk, file = divmod(number, layout.CHUNK_SIZE)
    return folder / layout.VIDEO_PATH.format(video_key=name, chunk_index=chunk, file_index=file)
