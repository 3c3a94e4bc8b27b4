"""What there is in recorded data of any format, before anything of it is chosen."""

import difflib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from vla_train.data import lerobot_layout as layout
from vla_train.data.choice import NUMERIC, Choice
from vla_train.data.clouds import checked, not_finite
from vla_train.data.depth import to_bytes
from vla_train.data.encoded import sampled_steps
from vla_train.data.lerobot_info import image_spec, read_info, unfinished
from vla_train.data.paths import refuse_names_out
from vla_train.data.reader import FORMATS, nearby, open_table
from vla_train.data.records import place, torn_pictures
from vla_train.data.statistics import CloudStatistics, Described, describe_columns
from vla_train.data.table import MOST_FRAMES, Table
from vla_train.errors import DataError
from vla_train.spec import ImageSpec

SAY_IT = (
    "say it with vla-data convert instruction='...' (or, when training, dataset.instruction), or leave them out with episodes="
)
BLOCK_FRAMES = 64  # decoded at once, of every camera

Block = dict[str, np.ndarray]  # pictures of some steps by feature, uint8 [n, y, x, c]; clouds [n, points, 1, c] as recorded


@dataclass(frozen=True)
class Contents:
    """A dataset as a table, and what its features are: ``columns`` of numbers with their sizes, ``cameras``, and the rest."""

    table: Table
    format: str
    columns: dict[str, int]
    cameras: dict[str, ImageSpec]  # that have files; point clouds among them
    lacking: list[str]  # cameras that are declared without files
    unread: dict[str, str]  # features that are neither numbers in a row nor pictures, with their dtypes
    unfinished: bool  # its writer has not finished it

    @property
    def num_frames(self) -> int:
        return int(self.table.starts[-1])

    @property
    def episodes(self) -> list[int]:
        """The numbers of those that are there."""
        return [int(episode) for episode in np.flatnonzero(self.lengths)]

    @property
    def lengths(self) -> np.ndarray:
        return np.diff(self.table.starts)

    def numbers(self) -> dict[str, np.ndarray]:
        """Every column as recorded, [n, d]."""
        found = self.table.numbers(list(self.columns))
        return {name: found[name] for name in self.columns}

    def of(self, columns: Sequence[str] | None) -> "Contents":
        """With these columns alone; None: all. DataError for one that there is not."""
        if unknown := [name for name in columns or () if name not in self.columns]:
            near = difflib.get_close_matches(unknown[0], self.columns, 1)
            hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(self.columns) or 'none'}"
            raise DataError(f"{self.table.path} has no column {unknown[0]!r}; {hint}")
        return self if columns is None else replace(self, columns={name: self.columns[name] for name in columns})

    def rows(self, episode: int) -> slice:
        """The frames of an episode."""
        return slice(int(self.table.starts[episode]), int(self.table.starts[episode + 1]))

    def silent(self) -> list[int]:
        """The episodes in which some step has no instruction."""
        blank = np.array([not text.strip() for text in self.table.texts], dtype=bool)
        rows = np.flatnonzero(blank[self.table.text()]) if blank.any() else np.zeros(0, np.int64)
        return [int(episode) for episode in np.unique(np.searchsorted(self.table.starts, rows, side="right") - 1)]

    def seconds(self) -> np.ndarray:
        """When each frame was, since its episode began, float64 [n]."""
        if "timestamp" in self.table.features:
            return self.table.numbers(["timestamp"])["timestamp"][:, 0].astype(np.float64)
        steps = np.arange(self.num_frames) - np.repeat(self.table.starts[:-1], self.lengths)
        return np.asarray(steps / self.table.rate)

    def finite_numbers(self) -> dict[str, np.ndarray]:
        """The same. DataError where one is not finite, with its place."""
        numbers = self.numbers()
        for name, values in numbers.items():
            if not np.isfinite(values).all():
                where = self.where(int(np.argwhere(~np.isfinite(values))[0, 0]))
                raise DataError(
                    f"{name} is not finite at {where} of {self.table.path}: vla-data validate lists all such places; repair "
                    "them, or convert the other episodes (episodes=)"
                )
        return numbers

    def where(self, row: int) -> str:
        """A frame in words: its step and episode, and where its numbers lie."""
        return f"{place(row, self.table.starts)} ({self.table.source(row)})"

    def statistics(self) -> dict[str, Described]:
        """Of every column, from all frames. DataError where a number is not finite."""
        numbers = self.finite_numbers()
        return describe_columns(numbers) if numbers else {}

    def cloud_statistics(self) -> dict[str, Described]:
        """Of every point cloud by channel, from a sample of each episode. DataError where a number is not finite."""
        sampled = [self.rows(episode).start + sampled_steps(int(self.lengths[episode])) for episode in self.episodes]
        found = {}
        for name, image in self.cameras.items():
            if image.kind == "points":
                shown = CloudStatistics()
                for rows in sampled:
                    frames = checked(name, self.table.pictures(name, image, rows), iter(rows.tolist()), self.table)
                    shown.add(np.stack(list(frames)))
                found[name] = shown.describe()
        return found

    def require_whole(self) -> None:
        """DataError for pictures that are not all there, as far as that shows without decoding any."""
        if found := {name: wrong for name in self.cameras if (wrong := self.table.torn(name))}:
            raise torn_pictures(found)

    def pictures(
        self,
        depth_range: tuple[float, float] | None = None,
        each: Callable[[], None] = lambda: None,
        cameras: Sequence[str] | None = None,
    ) -> Iterator[Iterator[Block]]:
        """For each of ``episodes`` in turn its pictures in blocks, those of all (or these) cameras side by side; to be used up
        before the next. ``each`` is called before a block is decoded."""
        chosen = self.cameras if cameras is None else {name: self.cameras[name] for name in cameras}
        streams = {name: self.table.pictures(name, image) for name, image in chosen.items()}

        def blocks(rows: slice) -> Iterator[Block]:
            for first in range(rows.start, rows.stop, BLOCK_FRAMES):
                each()
                part = range(first, min(first + BLOCK_FRAMES, rows.stop))
                yield {name: self._stacked(name, stream, part, depth_range) for name, stream in streams.items()}

        for episode in self.episodes:
            yield blocks(self.rows(episode))

    def _stacked(self, name: str, stream: Iterator[np.ndarray], rows: range, limits: tuple[float, float] | None) -> np.ndarray:
        image, frames = self.cameras[name], []
        for row, frame in zip(rows, stream, strict=False):
            if image.kind == "points" and (error := not_finite(name, frame, row, self.table)):
                raise error
            frames.append(to_bytes(frame, limits, name, self.table.path) if image.kind == "depth" else frame.copy())
        if len(frames) < len(rows):
            raise DataError(f"{self.table.path}: {name!r} has fewer pictures than there are steps")
        return np.stack(frames)


def open_contents(path: Path, only: Sequence[int] | None = None) -> Contents:
    """What there is at a path; ``only`` these episodes. DataError if it is no data that can be read, or has no such episode."""
    if not path.exists():
        raise DataError(f"there is no {path}; name the folder (or file) of a dataset")
    found = next((name for name, known in FORMATS.items() if known.recognises(path)), None)
    if found is None and (path / layout.LOCK).is_file():
        read_info(path)  # which says what that means
    if found is None:
        raise DataError(
            f"{path} is no dataset of a known format ({', '.join(FORMATS)}); LeRobot's has a {layout.INFO}{nearby(path)}"
        )
    table = open_table(path, found, Choice(only=None if only is None else tuple(only)))
    refuse_names_out([*table.features, *table.aliases.values()], path)
    if (frames := int(table.starts[-1])) > MOST_FRAMES:
        raise DataError(f"{path} declares {frames:,} frames, and at most {MOST_FRAMES:,} are read")
    info = read_info(path) if found == "lerobot" else {}
    declared = {name: feature for name, feature in table.features.items() if layout.is_camera(name, feature)}
    cameras = {name: _image(table, name, feature) for name, feature in declared.items() if table.has_files(name)}
    columns = {name: feature["shape"][0] for name, feature in table.features.items() if _is_column(table, name, feature)}
    rest = {name: feature for name, feature in table.features.items() if name not in {**declared, **columns}}
    return Contents(
        table=table,
        format=f"LeRobot {info['codebase_version']}" if info else found,
        columns=columns,
        cameras=cameras,
        lacking=[name for name in declared if name not in cameras],
        unread={name: f["dtype"] for name, f in rest.items() if name not in layout.INDEX_FEATURES and not _is_part(table, name)},
        unfinished=unfinished(info) is not None,
    )


def facts_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """What was noted of an episode as scalars, nested values as JSON text."""
    kept = {str(key).replace("/", "."): value for key, value in row.items() if key not in layout.OF_EPISODES}
    return {key: value if isinstance(value, str | int | float | None) else json.dumps(value) for key, value in kept.items()}


def joined(names: Sequence[str], most: int = 8) -> str:
    """Names in a sentence."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _image(table: Table, name: str, feature: layout.Feature) -> ImageSpec:
    """The camera, of the kind that our own writer noted."""
    known = {layout.feature_name(camera, image): image for camera, image in table.noted.images.items()} if table.noted else {}
    return known.get(name) or image_spec(feature)


def _is_column(table: Table, name: str, feature: layout.Feature) -> bool:
    return _is_vector(feature) and name not in layout.INDEX_FEATURES and not _is_part(table, name)


def _is_part(table: Table, name: str) -> bool:
    """Whether it is another name for some numbers of a column."""
    feature = table.features[name]
    return _is_vector(feature) and any(column != name for column, _ in table.entries(name))


def _is_vector(feature: layout.Feature) -> bool:
    return feature["dtype"].startswith(NUMERIC) and len(feature["shape"]) == 1
