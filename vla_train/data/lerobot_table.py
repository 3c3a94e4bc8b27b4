"""A LeRobotDataset as a table, whichever version laid out its files; nothing that info.json says is taken on trust."""

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from vla_train.data import lerobot_layout as layout
from vla_train.data import modality
from vla_train.data.clouds import unpacked, wrong_size
from vla_train.data.images import decode
from vla_train.data.lerobot_info import spec_of
from vla_train.data.parquet_tables import ParquetTables, SizesDiffer
from vla_train.data.records import MEND, content_fingerprint, damaged, episode_starts, leave_out_hint, place, require_finite
from vla_train.data.table import Entry
from vla_train.data.video_access import ClipAccess
from vla_train.data.video_check import torn
from vla_train.data.videos import Clip, clips_with_files, decode_clips
from vla_train.errors import DataError
from vla_train.spec import ImageSpec

BLOCK_BYTES = 32_000_000  # of point clouds that are read at once


@dataclass(frozen=True)
class Parts:
    """What the versions of the format keep in different places."""

    info: dict[str, Any]
    tables: ParquetTables  # the data files in order of episode and step, without what is left out
    texts: list[str]  # the instructions by task_index
    episodes: list[dict[str, Any]]  # a row each, in order: length, tasks, and what else was noted
    clips: Callable[[str], list[Clip] | None]  # of a video feature, where its videos belong, one an episode; None if nothing says
    left_out: Collection[int] = ()  # numbers of the episodes of which nothing is read


class LeRobotTable:
    """The Table of one dataset folder. Opening it reads ``meta/`` and the footers of the data files, and a column only where that
    says which episodes rows are of, or what their instructions are (``modality.json``). Episodes that are left out have no
    frames; their files may be damaged or missing."""

    def __init__(self, folder: Path, parts: Parts):
        self.path, self._parts, self._tables, self._left_out = folder, parts, parts.tables, frozenset(parts.left_out)
        declared: dict[str, layout.Feature] = parts.info["features"]
        named = modality.read(folder, declared)
        self._slices = named.parts
        self.features: Mapping[str, layout.Feature] = declared | modality.as_features(self._slices, declared)
        self.aliases: Mapping[str, str] = named.cameras
        self._language = named.language or "task_index"
        self.defaults: Mapping[str, tuple[str, ...]] = {}
        self.notes: Sequence[str] = ()
        self.rate = float(parts.info["fps"])
        self.starts = self._checked_starts(parts.episodes)
        self.noted = spec_of(parts.info, folder)
        self.texts, self.episodes = parts.texts, parts.episodes
        self.instructions = self._instructions(parts)
        self._access: dict[str, ClipAccess] = {}
        self._lock = threading.Lock()

    def fingerprint(self) -> str:
        return content_fingerprint(self.path)

    def source(self, row: int) -> str:
        return self._tables.file_of(row).relative_to(self.path).as_posix()

    def has_files(self, name: str) -> bool:
        if self.features[name]["dtype"] != "video":
            return name in self._tables.names
        return self.clips(name) is not None

    def entries(self, name: str) -> list[Entry]:
        part = self._slices.get(name) or modality.Part(name, 0, self.features[name]["shape"][0])
        return [(part.column, index) for index in range(part.start, part.end)]

    def numbers(self, names: Sequence[str]) -> dict[str, np.ndarray]:
        for name in names:
            if name not in self.features:
                raise self._error(f"info.json names no feature {name!r} (it has {sorted(self.features)})")
        whole = {self._slices[name].column if name in self._slices else name for name in names}
        try:
            numbers = self._tables.numbers({name: self.features[name]["shape"][0] for name in sorted(whole)})
        except SizesDiffer as error:
            raise self._error(self._sizes_in_words(error)) from None
        parts = {name: self._slices[name] for name in names if name in self._slices}
        return numbers | {name: numbers[part.column][:, part.start : part.end] for name, part in parts.items()}

    def text(self) -> np.ndarray:
        values = self.numbers([self._language])[self._language][:, 0]
        require_finite(self._language, values[:, None], self.starts, self.path, source=self.source)
        text = values.astype(np.int64)
        if text.min() < 0 or text.max() >= len(self.texts):
            raise self._error(f"{self._language} reaches {text.max()}, but there are {len(self.texts)} tasks")
        return text

    def check(self) -> None:
        """Windows are cut by position: rows must be whole episodes, in order of step (counted from 0) and time."""
        lengths = np.diff(self.starts)
        timed = ["timestamp"] if "timestamp" in self.features else []
        numbers = self.numbers(["episode_index", "frame_index", *timed])
        expected = {
            "episode_index": np.repeat(np.arange(len(lengths)), lengths),
            "frame_index": np.arange(self.starts[-1]) - np.repeat(self.starts[:-1], lengths),
        }
        for name, wanted in expected.items():
            require_finite(name, numbers[name], self.starts, self.path, source=self.source)
            found = numbers[name][:, 0]
            if (found != wanted).any():
                row = int((found != wanted).argmax())
                raise self._error(f"{name} of row {row} is {found[row]}, but meta/episodes puts {wanted[row]} there")
        if timed:
            self._checked_times(numbers["timestamp"])

    def times(self) -> list[np.ndarray]:
        """The seconds since each episode began of its frames."""
        return self._checked_times(self.numbers(["timestamp"])["timestamp"])

    def _checked_times(self, seconds: np.ndarray) -> list[np.ndarray]:
        times = np.split(seconds[:, 0], self.starts[1:-1])
        for episode, steps in enumerate(times):
            if (none := np.flatnonzero(~np.isfinite(steps))).size:
                what = f"the timestamp of step {none[0]} of episode {episode} is {steps[none[0]]}"
                raise self._error(f"{what}", f"repair that episode, or {leave_out_hint(episode)}")
            if (back := np.flatnonzero(np.diff(steps) < 0)).size:
                what = f"the timestamps of episode {episode} go back after step {back[0]}"
                raise self._error(f"{what}", f"repair that episode, or {leave_out_hint(episode)}")
        return times

    def torn(self, name: str) -> dict[int, str]:
        clips = self.clips(name) if self.features[name]["dtype"] == "video" else None
        return torn(clips, self.times()) if clips else {}

    def pictures(self, name: str, image: ImageSpec, rows: np.ndarray | None = None) -> Iterator[np.ndarray]:
        if self.features[name]["dtype"] == "image":
            return self._decoded(name, image, rows)
        if not layout.is_picture(self.features[name]):
            return self._clouds(name, image, rows)
        if rows is not None:
            return self._random(name, image).frames(rows)
        clips = self.clips(name)
        assert clips is not None, "only cameras with files are kept"
        return decode_clips(clips, self.times(), image, name.rpartition(".")[2])

    def _random(self, name: str, image: ImageSpec) -> ClipAccess:
        """The camera's videos, kept open from one question to the next."""
        with self._lock:
            if name not in self._access:
                clips = self.clips(name)
                assert clips is not None, "only cameras with files are kept"
                self._access[name] = ClipAccess(clips, self.times(), self.starts, image, name.rpartition(".")[2])
            return self._access[name]

    def clips(self, name: str) -> list[Clip] | None:
        """Where a camera's videos lie, one an episode; None if it has none. DataError where some are missing."""
        clips = self._parts.clips(name)
        return None if clips is None else clips_with_files(self.path, name, clips, self._left_out)

    def _decoded(self, name: str, image: ImageSpec, rows: np.ndarray | None) -> Iterator[np.ndarray]:
        columns = self._column(name, rows, 64)
        number = count() if rows is None else iter(rows.tolist())
        for column in columns:
            if not pa.types.is_struct(column.type) or column.type.get_field_index("bytes") < 0:
                raise self._error(f"column {name!r} holds {column.type}, not images as bytes")
            for data, row in zip(column.field("bytes"), number, strict=False):
                try:
                    frame = decode(np.frombuffer(data.as_py() or b"", dtype=np.uint8), image)
                except ValueError as error:
                    camera, where = name.rpartition(".")[2], place(row, self.starts)
                    raise self._error(f"camera {camera!r} cannot be read at {where}: {error}") from None
                yield frame

    def _clouds(self, name: str, image: ImageSpec, rows: np.ndarray | None) -> Iterator[np.ndarray]:
        shape = (image.height, image.channels)
        number = count() if rows is None else iter(rows.tolist())
        for column in self._column(name, rows, max(1, min(64, BLOCK_BYTES // image.nbytes))):
            try:
                clouds = unpacked(column, shape)
            except ValueError as error:
                raise self._error(f"column {name!r} {error}") from None
            for cloud, _ in zip(clouds, number, strict=False):
                yield cloud[:, None]
            if len(clouds) < len(column):
                raise wrong_size(self, name, shape, next(number))

    def _column(self, name: str, rows: np.ndarray | None, size: int) -> Iterator[pa.Array]:
        """A column in parts, in order: of at most ``size`` rows, or at these rows."""
        if rows is not None:
            return self._tables.at(name, rows)
        return (batch.column(name) for batch in self._tables.batches([name], size))

    def _instructions(self, parts: Parts) -> list[str]:
        """One an episode: its first."""
        if self._language != "task_index":
            first = np.minimum(self.starts[:-1], self.starts[-1] - 1)  # of the last ones that are left out there is none
            return [parts.texts[index] for index in self.text()[first]]
        known, found = set(parts.texts), []
        for episode, row in enumerate(parts.episodes):
            if episode in self._left_out:
                found.append("")
                continue
            tasks = row.get("tasks")
            text = tasks[0] if isinstance(tasks, list) and tasks else None
            if not isinstance(text, str) or text not in known:
                raise self._error(
                    f"episode {episode} has the tasks {tasks!r} in meta/episodes, but the first is not in meta/tasks"
                )
            found.append(text)
        return found

    def _sizes_in_words(self, error: SizesDiffer) -> str:
        """The first row of another size than info.json says, and the episodes that have such rows."""
        wanted = self.features[error.name]["shape"][0]
        wrong = np.flatnonzero(error.sizes != wanted)
        episodes = np.unique(np.searchsorted(self.starts, wrong, side="right") - 1)
        return (
            f"{error.name!r} has {wanted} numbers in each row, says info.json, but {error.sizes[wrong[0]]} at "
            f"{place(int(wrong[0]), self.starts)}; {len(wrong)} rows differ, in {_listed(episodes)}"
        )

    def _checked_starts(self, episodes: list[dict[str, Any]]) -> np.ndarray:
        """int64 [e + 1], once info.json, meta/episodes and the data files have been found to tell the same."""
        used = [number for number in range(len(episodes)) if number not in self._left_out]
        counted = integers([episodes[number] for number in used], "length")
        if counted is None:
            raise self._error("meta/episodes needs a column 'length' with a whole number in every row")
        lengths = np.zeros(len(episodes), dtype=np.int64)
        lengths[used] = counted
        told = {"episodes": (self._parts.info["total_episodes"], len(episodes), "meta/episodes")}
        if not self._left_out:  # of the others nobody looks how many frames they have
            told["frames"] = (self._parts.info["total_frames"], self._tables.num_rows, "the data files")
        for what, (said, found, where) in told.items():
            if said != found:
                raise self._error(f"info.json says {said} {what}, {where} hold {found}: a file is missing or too many")
        if min(counted) <= 0 or lengths.sum() != self._tables.num_rows:
            raise self._error(f"the lengths in meta/episodes add up to {lengths.sum()} frames, not {self._tables.num_rows}")
        return episode_starts(lengths)

    def _error(self, what: str, mend: str = MEND) -> DataError:
        return damaged(self.path, what, mend)


def some(left_out: Callable[[int], Collection[int]], count: int) -> Collection[int]:
    """Those of ``count`` episodes that are left out; none where all would be, which is for ``Selection`` to refuse."""
    found = left_out(count)
    return found if any(number not in found for number in range(count)) else ()


def integers(rows: list[dict[str, Any]], name: str) -> list[int] | None:
    """A column of whole numbers; None if a row has none, or something else."""
    values = [row[name] for row in rows if type(row.get(name)) is int]
    return values if len(values) == len(rows) else None


def _listed(episodes: np.ndarray) -> str:
    shown = ", ".join(str(episode) for episode in episodes[:8])
    return f"episode{'s' * (len(episodes) > 1)} {shown}" + (f" and {len(episodes) - 8} more" if len(episodes) > 8 else "")
