"""Whether a converted dataset is what it was made from: numbers exactly, pictures as near as their codec allows."""

import filecmp

import cv2
import numpy as np

from vla_train import stopping
from vla_train.data.progress import progress
from vla_train.data.records import place
from vla_train.data_tools.contents import Contents
from vla_train.data_tools.printing import say
from vla_train.data_tools.target import Target, clips_of
from vla_train.errors import DataError


def compare(source: Contents, made: Contents, target: Target, limits: tuple[float, float] | None) -> None:
    """Print how alike they are. DataError where a number or a text differs, or a picture is missing."""
    for name, values in source.numbers().items():
        found = made.table.numbers([new := target.names[name]])[new]
        if values.dtype != found.dtype or not np.array_equal(values, found, equal_nan=True):
            raise DataError(f"{name} of {source.table.path} came out otherwise than it went in: the conversion is not kept")
    texts = [[contents.table.texts[index] for index in contents.table.text()] for contents in (source, made)]
    lengths = source.lengths[source.episodes]
    if target.told(texts[0]) != texts[1] or not np.array_equal(lengths, made.lengths) or not _same_times(source, made):
        raise DataError(f"texts or times of {source.table.path} came out otherwise than they went in: the conversion is not kept")
    total = sum(source.columns.values())
    say(f"numbers: {total} in each of {source.num_frames:,} frames, all exact")
    copied = [name for name in source.cameras if _same_files(source, made, name, target.names[name])]
    for name in copied:
        say(f"{name}: the video files are copies, byte for byte")
    errors: dict[str, list[np.ndarray]] = {name: [] for name in source.cameras if name not in copied}
    if not errors:
        return
    with progress("comparing", source.num_frames) as advance:
        old = source.pictures(limits, stopping.check, list(errors))
        converted = made.pictures(limits, stopping.check, [target.names[name] for name in errors])
        for ours, theirs in zip(old, converted, strict=True):
            for block, other in zip(ours, theirs, strict=True):
                for name, frames in block.items():
                    errors[name].append(_mean_squares(frames, other[target.names[name]]))
                advance(len(next(iter(block.values()))))
    for name, parts in errors.items():
        if made.table.features[target.names[name]]["dtype"] != "video" and (wrong := np.flatnonzero(np.concatenate(parts))).size:
            where = place(int(wrong[0]), source.table.starts)
            raise DataError(f"{name} of {source.table.path} came out otherwise than it went in at {where}: nothing is kept")
        clouds = source.cameras[name].kind == "points"
        say(f"{name}: {'all point clouds exact' if clouds else _likeness(np.concatenate(parts))}")


def _mean_squares(frames: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Of each picture [n, y, x, c] the mean squared difference, float64 [n]; of clouds 1 where any number or its type differs."""
    if frames.dtype != np.uint8:
        same = frames.dtype == others.dtype
        return 1.0 - np.array([same and np.array_equal(*pair) for pair in zip(frames, others, strict=True)])
    pairs = zip(frames.reshape(len(frames), -1), others.reshape(len(others), -1), strict=True)
    return np.array([cv2.norm(one, other, cv2.NORM_L2SQR) / one.size for one, other in pairs])


def _same_times(source: Contents, made: Contents) -> bool:
    """As float32, in which LeRobot keeps them."""
    ours, theirs = (each.seconds().astype(np.float32) for each in (source, made))
    return np.array_equal(ours, theirs)


def _same_files(source: Contents, made: Contents, name: str, new: str) -> bool:
    """Whether a camera's videos are files of the same bytes. That they can be decoded was seen when they were copied."""
    ours, theirs = clips_of(source.table, name), clips_of(made.table, new)
    if not ours or [clip.start for clip in ours] != [clip.start for clip in theirs]:
        return False
    pairs = dict.fromkeys((mine.path, other.path) for mine, other in zip(ours, theirs, strict=True))
    return all(filecmp.cmp(*pair, shallow=False) for pair in pairs)


def _likeness(errors: np.ndarray) -> str:
    """Mean squared errors [n] in words: PSNR of a whole is that of its mean error."""
    if not errors.any():
        return "all pictures exact"
    whole, worst = (10 * np.log10(255.0**2 / error) for error in (errors.mean(), errors.max()))
    exact = f"; {int((errors == 0).sum()):,} pictures exact" if (errors == 0).any() else ""
    return f"PSNR {whole:.1f} dB, of the worst picture {worst:.1f} dB{exact}"
