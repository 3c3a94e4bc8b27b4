"""Rollouts as pictures: MP4 for people, GIF for TensorBoard and a README. Small frames are enlarged without blurring."""

import io
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

_MP4_SIDE, _GIF_SIDE = 256, 128  # pixels that the shorter side has at least


def write_mp4(path: Path, frames: np.ndarray, fps: float) -> None:
    """Write frames, uint8 [t, y, x, 3], as H.264 in yuv420p, which every browser and player shows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _mp4(str(path), frames, fps, options={"movflags": "faststart"})


def encode_mp4(frames: np.ndarray, fps: float) -> bytes:
    """The same as bytes."""
    file = io.BytesIO()
    _mp4(file, frames, fps, options={})
    return file.getvalue()


def _mp4(target: Any, frames: np.ndarray, fps: float, options: dict[str, str]) -> None:
    enlarged = _enlarge(frames, _MP4_SIDE)
    with av.open(target, "w", format="mp4", options=options) as container:
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1000), options={"crf": "18"})
        stream.height, stream.width = enlarged.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for frame in enlarged:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        container.mux(stream.encode(None))


def encode_gif(frames: np.ndarray, fps: float) -> bytes:
    """Frames, uint8 [t, y, x, 3], as an endless GIF with one palette chosen for them."""
    enlarged = _enlarge(frames, _GIF_SIDE)
    file = io.BytesIO()
    with av.open(file, "w", format="gif") as container:
        stream = container.add_stream("gif", rate=Fraction(fps).limit_denominator(100))
        stream.height, stream.width = enlarged.shape[1:3]
        stream.pix_fmt = "pal8"
        for frame in _with_palette(enlarged, fps):
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


def _with_palette(frames: np.ndarray, fps: float) -> Iterator[Any]:
    """The frames in 256 colours of their own, through ffmpeg's filters palettegen and paletteuse."""
    unit = Fraction(1, 100)  # a GIF's clock
    graph = av.filter.Graph()
    height, width = frames.shape[1:3]
    source = graph.add_buffer(width=width, height=height, format=av.VideoFormat("rgb24"), time_base=unit)
    split, palette = graph.add("split"), graph.add("palettegen")
    use, sink = graph.add("paletteuse", "dither=none"), graph.add("buffersink")
    source.link_to(split)
    split.link_to(palette, 0, 0)
    split.link_to(use, 1, 0)
    palette.link_to(use, 0, 1)
    use.link_to(sink)
    graph.configure()
    for number, pixels in enumerate(frames):
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
        frame.pts, frame.time_base = round(number * 100 / fps), unit
        source.push(frame)
    source.push(None)
    for _ in frames:
        yield sink.pull()


def _enlarge(frames: np.ndarray, side: int) -> np.ndarray:
    """Repeat pixels until the shorter side has ``side`` of them; both sides become even, as yuv420p wants."""
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8 or 0 in frames.shape:
        raise ValueError(f"a video is uint8 [t, y, x, 3] and not empty, not {frames.dtype} {list(frames.shape)}")
    times = max(1, -(-side // min(frames.shape[1:3])))
    large = frames.repeat(times, axis=1).repeat(times, axis=2)
    return np.pad(large, ((0, 0), (0, large.shape[1] % 2), (0, large.shape[2] % 2), (0, 0)), mode="edge")
