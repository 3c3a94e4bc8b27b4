"""Reads a LeRobotDataset, whichever version laid out its files, and trusts nothing that info.json says."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from vla_train.data import choice as choosing
from vla_train.data import lerobot_layout as layout
from vla_train.data import modality
from vla_train.data.choice import Choice
from vla_train.data.images import decode_image
from vla_train.data.lerobot_info import image_spec, spec_of
from vla_train.data.parquet_tables import ParquetTables, SizesDiffer
from vla_train.data.records import Columns, DatasetMetadata, content_fingerprint, episode_starts, place, require_finite
from vla_train.data.videos import Clip, decode_clips
from vla_train.errors import DataError
from vla_train.spec import ActionSpec, ImageSpec, Spec

BLOCK_FRAMES, BLOCK_BYTES = 256, 32_000_000  # decoded at once: at most so many frames, and (but for one frame) bytes
MOST_CHOICES = 1000  # of a discrete action that others recorded: larger whole numbers are measurements, as of a servo's ticks


@dataclass(frozen=True)
class Parts:
    """What the versions of the format keep in different places."""

    info: dict[str, Any]
    tables: ParquetTables  # the data files in order of episode and step
    texts: list[str]  # the instructions by task_index
    episodes: list[dict[str, Any]]  # a row each, in order: length, tasks, and what else was noted
    clips: Callable[[str], list[Clip] | None]  # of a video feature, one an episode; None if it has no files at all


class LeRobotReader:
    """The Reader of one dataset folder. Opening it reads ``meta/`` and the footers of the data files only.

    ``notes`` are sentences for the user: what the data declares but does not have.
    """

    def __init__(self, folder: Path, parts: Parts, choice: Choice):
        self.folder, self._parts = folder, parts
        self.notes: list[str] = []
        declared: dict[str, layout.Feature] = parts.info["features"]
        self._slices = modality.parts_of(folder, declared)
        self._features = declared | modality.as_features(self._slices, declared)
        self._tables = parts.tables
        self._starts = self._checked_starts(parts.episodes)
        noted = spec_of(parts.info, folder)
        self._cameras = self._with_files(choice.cameras)
        self._state, self._action = choosing.chosen_columns(self._features, choice, folder)
        self._refuse_answers()
        instructions = self._instructions(parts)
        self.metadata = DatasetMetadata(
            spec=self._spec(noted, choice),
            instructions=instructions,
            tasks=[str(row.get("task") or text) for row, text in zip(parts.episodes, instructions, strict=True)],
            num_episodes=len(parts.episodes),
            num_frames=self._tables.num_rows,
            fingerprint=content_fingerprint(folder),
            episodes=parts.episodes,
        )

    def columns(self) -> Columns:
        """Every column but the images, checked row by row."""
        spec = self.metadata.spec
        state = choosing.corresponding_state(self._features, self._action)
        signals = [name for name in (layout.REWARD, layout.TERMINATED, layout.DONE) if name in self._features]
        like_state = [column for column, _ in filter(None, state)]
        index = ["episode_index", "frame_index", "task_index"]
        numbers = self._numbers([*index, *self._state, *self._action, *signals, *like_state])
        for name in {*index, *self._state, *self._action, *signals}:
            require_finite(name, numbers[name], self._starts, self.folder)
        self._check_order(numbers)
        text = numbers["task_index"][:, 0].astype(np.int64)
        if text.min() < 0 or text.max() >= len(self._parts.texts):
            raise self._error(f"task_index reaches {text.max()}, but there are {len(self._parts.texts)} tasks")
        ended = layout.TERMINATED if layout.TERMINATED in signals else layout.DONE
        return Columns(
            state=self._together(numbers, self._state),
            action=self._actions(numbers, spec.action),
            starts=self._starts,
            texts=self._parts.texts,
            text=text,
            reward=numbers[layout.REWARD][:, 0].astype(np.float32) if layout.REWARD in signals else None,
            terminated=numbers[ended][:, 0].astype(np.bool_) if ended in signals else None,
            reference=_picked(numbers, state) if any(state) else None,
        )

    def frames(self, cameras: Sequence[str]) -> Iterator[dict[str, np.ndarray]]:
        """Decoded blocks, uint8 [n, y, x, c], of at most 256 frames and 32 MB (more only where one frame has them).

        DataError names camera, episode and step of a broken one.
        """
        if unknown := [camera for camera in cameras if camera not in self._cameras]:
            raise self._error(f"there is no camera {unknown[0]!r} with files (there are {sorted(self._cameras)})")
        images = {camera: self.metadata.spec.images[camera] for camera in cameras}
        size = sum(image.height * image.width * image.channels for image in images.values())
        block = max(1, min(BLOCK_FRAMES, BLOCK_BYTES // size))
        pictures = {camera: self._pictures(camera, image) for camera, image in images.items()}
        for first in range(0, self._tables.num_rows, block):
            count = min(block, self._tables.num_rows - first)
            yield {camera: _stacked(pictures[camera], image, count) for camera, image in images.items()}

    def _refuse_answers(self) -> None:
        """DataError where the state has a number that is also in the action, be it under the name of a part."""
        state, action = ([entry for name in names for entry in self._entries(name)] for names in (self._state, self._action))
        if both := [f"{column}.{index}" for column, index in state if (column, index) in action]:
            raise DataError(
                f"dataset.state and dataset.action both have {both[0]!r}: a policy must not be told what it is to predict"
            )

    def _entries(self, name: str) -> list[tuple[str, int]]:
        """The numbers that a column or a part of one consists of: their columns as stored, and their places there."""
        part = self._slices.get(name) or modality.Part(name, 0, self._features[name]["shape"][0])
        return [(part.column, index) for index in range(part.start, part.end)]

    def _instructions(self, parts: Parts) -> list[str]:
        """One an episode: its first."""
        known, found = set(parts.texts), []
        for episode, row in enumerate(parts.episodes):
            tasks = row.get("tasks")
            text = tasks[0] if isinstance(tasks, list) and tasks else None
            if not isinstance(text, str) or text not in known:
                raise self._error(
                    f"episode {episode} has the tasks {tasks!r} in meta/episodes, but the first is not in meta/tasks"
                )
            found.append(text)
        return found

    def _pictures(self, camera: str, image: ImageSpec) -> Iterator[np.ndarray]:
        name = self._cameras[camera]
        if self._features[name]["dtype"] == "image":
            return self._decoded(name, camera, image)
        clips = self._parts.clips(name)
        assert clips is not None, "only cameras with files are kept"
        return decode_clips(clips, self._times(), image, camera)

    def _decoded(self, name: str, camera: str, image: ImageSpec) -> Iterator[np.ndarray]:
        frame = np.empty((image.height, image.width, image.channels), dtype=np.uint8)
        row = 0
        for batch in self._tables.batches([name], 64):
            column = batch.column(name)
            if not pa.types.is_struct(column.type) or column.type.get_field_index("bytes") < 0:
                raise self._error(f"column {name!r} holds {column.type}, not images as bytes")
            for data in column.field("bytes"):
                try:
                    decode_image(np.frombuffer(data.as_py() or b"", dtype=np.uint8), frame)
                except ValueError as error:
                    where = place(row, self._starts)
                    raise self._error(f"camera {camera!r} cannot be read at {where}: {error}") from None
                yield frame  # one array for all: it is copied before the next is asked for
                row += 1

    def _times(self) -> list[np.ndarray]:
        """The seconds since each episode began of its frames."""
        seconds = self._numbers(["timestamp"])["timestamp"]
        require_finite("timestamp", seconds, self._starts, self.folder)
        times = np.split(seconds[:, 0], self._starts[1:-1])
        for episode, steps in enumerate(times):
            if (back := np.flatnonzero(np.diff(steps) < 0)).size:
                raise self._error(f"the timestamps of episode {episode} go back after step {back[0]}")
        return times

    def _with_files(self, chosen: Sequence[str] | None) -> dict[str, str]:
        """Camera -> feature of the chosen ones. Those declared without files are noted, or refused where they were named."""
        cameras = choosing.chosen_cameras(self._features, chosen, self.folder)
        there = {camera: name for camera, name in cameras.items() if self._has_files(name)}
        lacking = [camera for camera in cameras if camera not in there]
        if lacking and (chosen or not there):
            every = choosing.chosen_cameras(self._features, None, self.folder)
            having = [camera for camera, name in every.items() if self._has_files(name)]
            others = f"these have: {', '.join(having)}" if having else "no camera has; dataset.cameras=[] trains without"
            raise DataError(
                f"the dataset at {self.folder} declares the camera {lacking[0]!r}, but has no files for it ({others})"
            )
        if lacking:
            self.notes.append(
                f"the dataset at {self.folder} declares {', '.join(lacking)} without files: going on with {', '.join(there)}"
            )
        return there

    def _has_files(self, name: str) -> bool:
        if self._features[name]["dtype"] == "image":
            return name in self._tables.names
        return self._parts.clips(name) is not None

    def _spec(self, noted: Spec | None, choice: Choice) -> Spec:
        """The Spec that our writer noted, where there is one and nothing else was chosen; else what the features say.

        Actions that others recorded have no bounds: nobody noted them, and those of the data would tell what is held out.
        """
        known = noted.images if noted else {}
        images = {camera: known.get(camera) or image_spec(self._features[name]) for camera, name in self._cameras.items()}
        if noted:
            spec = replace(noted, images=images)
        else:
            longest, rate = int(np.diff(self._starts).max()), float(self._parts.info["fps"])
            spec = Spec(images, 0, self._derived_action(), rate=rate, horizon=longest, tasks=tuple(self._parts.texts))
        if noted and choice.action is not None:
            spec = replace(spec, action=self._derived_action())
        if noted is None or choice.state is not None:
            names = choosing.dimension_names(self._features, self._state)
            spec = replace(spec, state_size=len(names), state_names=names)
        relative = choosing.relative_to(self._features, choice.relative, self._state, self._action, self.folder)
        return replace(spec, action=replace(spec.action, relative_to=relative))

    def _derived_action(self) -> ActionSpec:
        names = choosing.dimension_names(self._features, self._action)
        dtype = self._features[self._action[0]]["dtype"] if self._action else ""
        if len(names) == 1 and dtype.startswith(("int", "uint")):
            largest = int(self._whole_numbers().max())
            if largest >= MOST_CHOICES:
                raise DataError(
                    f"{self._action[0]!r} in {self.folder} holds whole numbers up to {largest}, too many to choose among "
                    f"({MOST_CHOICES} at most): with the dtype float32 in {layout.INFO} it is an action that is measured"
                )
            return ActionSpec(kind="discrete", size=1, choices=largest + 1, names=names)
        if not names:
            raise DataError(f"dataset.action is empty, so there is nothing to learn from {self.folder}: name its columns")
        return ActionSpec("continuous", len(names), names=names)

    def _numbers(self, names: Sequence[str]) -> dict[str, np.ndarray]:
        """Numeric columns as [n, size] each."""
        for name in names:
            if name not in self._features:
                raise self._error(f"info.json names no feature {name!r} (it has {sorted(self._features)})")
        whole = {self._slices[name].column if name in self._slices else name for name in names}
        try:
            numbers = self._tables.numbers({name: self._features[name]["shape"][0] for name in sorted(whole)})
        except SizesDiffer as error:
            raise self._error(self._sizes_in_words(error)) from None
        parts = {name: self._slices[name] for name in names if name in self._slices}
        return numbers | {name: numbers[part.column][:, part.start : part.end] for name, part in parts.items()}

    def _sizes_in_words(self, error: SizesDiffer) -> str:
        """The first row of another size than info.json says, and the episodes that have such rows."""
        wanted = self._features[error.name]["shape"][0]
        wrong = np.flatnonzero(error.sizes != wanted)
        episodes = np.unique(np.searchsorted(self._starts, wrong, side="right") - 1)
        return (
            f"{error.name!r} has {wanted} numbers in each row, says info.json, but {error.sizes[wrong[0]]} at "
            f"{place(int(wrong[0]), self._starts)}; {len(wrong)} rows differ, in {_listed(episodes)}"
        )

    def _together(self, numbers: dict[str, np.ndarray], columns: Sequence[str]) -> np.ndarray:
        """The columns side by side, float32 [n, s]."""
        if not columns:
            return np.zeros((self._tables.num_rows, 0), np.float32)
        values = np.concatenate([numbers[name].astype(np.float64) for name in columns], axis=1)
        with np.errstate(over="ignore"):
            together = values.astype(np.float32)
        require_finite(" and ".join(columns), together, self._starts, self.folder)  # a float64 may be too large
        return together

    def _actions(self, numbers: dict[str, np.ndarray], action: ActionSpec) -> np.ndarray:
        if action.kind == "continuous":
            return self._together(numbers, self._action)
        values = self._whole_numbers()
        outside = (values < 0) | (values >= action.choices)
        if outside.any():
            row = int(np.argwhere(outside)[0, 0])
            where = place(row, self._starts)
            raise self._error(f"action {values[row, 0]} at {where} is none of the {action.choices} choices of its Spec")
        return values.astype(np.int64)

    def _whole_numbers(self) -> np.ndarray:
        """The discrete action, int [n, 1], if the files hold what info.json declares."""
        values = self._numbers(self._action)[self._action[0]]
        if values.dtype.kind not in "iu":
            raise self._error(f"{self._action[0]!r} is declared as whole numbers, but its files hold {values.dtype}")
        return values

    def _checked_starts(self, episodes: list[dict[str, Any]]) -> np.ndarray:
        """int64 [e + 1], once info.json, meta/episodes and the data files have been found to tell the same."""
        counted = integers(episodes, "length")
        if counted is None:
            raise self._error("meta/episodes needs a column 'length' with a whole number in every row")
        lengths = np.array(counted, dtype=np.int64)
        told = {
            "episodes": (self._parts.info["total_episodes"], len(episodes), "meta/episodes"),
            "frames": (self._parts.info["total_frames"], self._tables.num_rows, "the data files"),
        }
        for what, (said, found, where) in told.items():
            if said != found:
                raise self._error(f"info.json says {said} {what}, {where} hold {found}: a file is missing or too many")
        if lengths.min() <= 0 or lengths.sum() != self._tables.num_rows:
            raise self._error(f"the lengths in meta/episodes add up to {lengths.sum()} frames, not {self._tables.num_rows}")
        return episode_starts(lengths)

    def _check_order(self, numbers: dict[str, np.ndarray]) -> None:
        """Rows must be whole episodes, one after another, steps counted from 0: windows are cut by position."""
        lengths = np.diff(self._starts)
        expected = {
            "episode_index": np.repeat(np.arange(len(lengths)), lengths),
            "frame_index": np.arange(self._starts[-1]) - np.repeat(self._starts[:-1], lengths),
        }
        for name, wanted in expected.items():
            found = numbers[name][:, 0]
            if (found != wanted).any():
                row = int((found != wanted).argmax())
                raise self._error(f"{name} of row {row} is {found[row]}, but meta/episodes puts {wanted[row]} there")

    def _error(self, what: str) -> DataError:
        return damaged(self.folder, what)


def damaged(folder: Path, what: str) -> DataError:
    """The error for a dataset that contradicts itself."""
    return DataError(f"the dataset at {folder} is damaged or not read here: {what}; fetch or make it again")


def integers(rows: list[dict[str, Any]], name: str) -> list[int] | None:
    """A column of whole numbers; None if a row has none, or something else."""
    values = [row[name] for row in rows if type(row.get(name)) is int]
    return values if len(values) == len(rows) else None


def _stacked(pictures: Iterator[np.ndarray], image: ImageSpec, count: int) -> np.ndarray:
    """The next ``count`` pictures; fewer where there are no more, which the frame cache notices."""
    block = np.empty((count, image.height, image.width, image.channels), dtype=np.uint8)
    done = 0
    for done, picture in enumerate(pictures, 1):
        block[done - 1] = picture
        if done == count:
            break
    return block[:done]


def _picked(numbers: dict[str, np.ndarray], places: Sequence[tuple[str, int] | None]) -> np.ndarray:
    """float32 [n, a]: the named places of these columns, NaN where there is none."""
    rows = len(next(iter(numbers.values())))
    missing = np.full(rows, np.nan)
    return np.stack([missing if at is None else numbers[at[0]][:, at[1]] for at in places], axis=1).astype(np.float32)


def _listed(episodes: np.ndarray) -> str:
    shown = ", ".join(str(episode) for episode in episodes[:8])
    return f"episode{'s' * (len(episodes) > 1)} {shown}" + (f" and {len(episodes) - 8} more" if len(episodes) > 8 else "")
