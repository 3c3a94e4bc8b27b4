"""Reads a LeRobotDataset v3.0 whose images lie in parquet (``dtype: image``), and trusts nothing that info.json says."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from vla_train.data import lerobot_layout as layout
from vla_train.data.images import decode_image
from vla_train.data.lerobot_info import derive_spec, feature_names, read_info, spec_of
from vla_train.data.parquet_tables import ParquetTables
from vla_train.data.records import Columns, DatasetMetadata, content_fingerprint, episode_starts, place, require_finite
from vla_train.errors import DataError
from vla_train.spec import ActionSpec, Spec

BLOCK = 256  # frames decoded at once

_BOOKKEEPING = ("stats/", "data/", "videos/", "meta/")  # columns of meta/episodes that are no facts about an episode


class LeRobotV3:
    """The Reader of one dataset folder. Opening it reads ``meta/`` and the footers of the data files only."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._info = read_info(folder)
        self._features: dict[str, layout.Feature] = self._info["features"]
        self._tables = ParquetTables(folder, "data/*/*.parquet")
        self._texts = self._read_tasks()
        episodes = ParquetTables(folder, "meta/episodes/*/*.parquet").rows(leave_out=_BOOKKEEPING)
        self._starts = self._checked_starts(episodes)
        instructions = [_first_instruction(row) for row in episodes]
        self.metadata = DatasetMetadata(
            spec=spec_of(self._info, folder) or self._derived_spec(),
            instructions=instructions,
            tasks=[str(row.get("task") or text) for row, text in zip(episodes, instructions, strict=True)],
            num_episodes=len(episodes),
            num_frames=self._tables.num_rows,
            fingerprint=content_fingerprint(folder),
            episodes=episodes,
        )

    def columns(self) -> Columns:
        """Every column but the images, checked row by row."""
        self._check_order()
        spec = self.metadata.spec
        text = self._numbers("task_index")[:, 0].astype(np.int64)
        if text.min() < 0 or text.max() >= len(self._texts):
            raise self._error(f"task_index reaches {text.max()}, but {layout.TASKS} names {len(self._texts)} tasks")
        state = self._numbers(layout.STATE) if spec.state_size else np.zeros((len(text), 0))
        return Columns(
            state=state.astype(np.float32),
            action=self._actions(spec.action),
            starts=self._starts,
            texts=self._texts,
            text=text,
            reward=self._signal(layout.REWARD, np.float32),
            terminated=self._signal(layout.TERMINATED if layout.TERMINATED in self._features else layout.DONE, np.bool_),
        )

    def frames(self, cameras: Sequence[str]) -> Iterator[dict[str, np.ndarray]]:
        """Decoded blocks of at most 256 frames, uint8 [n, y, x, c]. DataError names camera, episode and step of a broken one."""
        names = {camera: self._image_feature(camera) for camera in cameras}
        row = 0
        for batch in self._tables.batches(list(names.values()), BLOCK):
            yield {camera: self._decoded(batch.column(name), camera, row) for camera, name in names.items()}
            row += len(batch)

    def _decoded(self, column: pa.StructArray, camera: str, row: int) -> np.ndarray:
        image = self.metadata.spec.images[camera]
        block = np.empty((len(column), image.height, image.width, image.channels), dtype=np.uint8)
        for i, data in enumerate(column.field("bytes")):
            try:
                decode_image(np.frombuffer(data.as_py() or b"", dtype=np.uint8), block[i])
            except ValueError as error:
                where = place(row + i, self._starts)
                raise self._error(f"camera {camera!r} cannot be read at {where}: {error}") from None
        return block

    def _image_feature(self, camera: str) -> str:
        name = layout.IMAGE + camera if layout.IMAGE + camera in self._features else camera
        kind = self._features.get(name, {}).get("dtype", "none of its features")
        if kind != "image":
            raise self._error(f"camera {camera!r} is {kind}: only images inside parquet are read from {layout.VERSION}")
        if name not in self._tables.names:
            raise self._error(f"info.json names {name!r}, but the data files have no such column")
        return name

    def _numbers(self, name: str) -> np.ndarray:
        if name not in self._features:
            raise self._error(f"info.json names no feature {name!r} (it has {sorted(self._features)})")
        values = self._tables.numbers(name, self._features[name]["shape"][0])
        require_finite(name, values, self._starts, self.folder)
        return values

    def _signal(self, name: str, dtype: type[np.generic]) -> np.ndarray | None:
        return self._numbers(name)[:, 0].astype(dtype) if name in self._features else None

    def _actions(self, action: ActionSpec) -> np.ndarray:
        values = self._numbers(layout.ACTION)
        if action.kind == "continuous":
            return values.astype(np.float32)
        outside = (values < 0) | (values >= action.choices)
        if outside.any():
            row = int(np.argwhere(outside)[0, 0])
            where = place(row, self._starts)
            raise self._error(f"action {values[row, 0]} at {where} is none of the {action.choices} choices of its Spec")
        return values.astype(np.int64)

    def _read_tasks(self) -> list[str]:
        """The instructions by task_index. Their column is pandas' index: ``task``, or nameless in older files."""
        rows = ParquetTables(self.folder, layout.TASKS).rows()
        column = next((name for name in ("task", "__index_level_0__") if rows and name in rows[0]), None)
        places = _integers(rows, "task_index")
        if column is None or places is None or sorted(places) != list(range(len(rows))):
            raise self._error(f"{layout.TASKS} needs a column 'task' and task_index 0 to n - 1")
        return [str(rows[place][column]) for place in np.argsort(places)]

    def _checked_starts(self, episodes: list[dict[str, Any]]) -> np.ndarray:
        """int64 [e + 1], once info.json, meta/episodes and the data files have been found to tell the same."""
        counted = _integers(episodes, "length")
        if counted is None:
            raise self._error("meta/episodes needs a column 'length' with a whole number in every row")
        lengths = np.array(counted, dtype=np.int64)
        told = {
            "episodes": (self._info["total_episodes"], len(episodes), "meta/episodes"),
            "frames": (self._info["total_frames"], self._tables.num_rows, "the data files"),
        }
        for what, (said, found, where) in told.items():
            if said != found:
                raise self._error(f"info.json says {said} {what}, {where} hold {found}: a file is missing or too many")
        if lengths.min() <= 0 or lengths.sum() != self._tables.num_rows:
            raise self._error(f"the lengths in meta/episodes add up to {lengths.sum()} frames, not {self._tables.num_rows}")
        return episode_starts(lengths)

    def _check_order(self) -> None:
        """Rows must be whole episodes, one after another, steps counted from 0: windows are cut by position."""
        lengths = np.diff(self._starts)
        expected = {
            "episode_index": np.repeat(np.arange(len(lengths)), lengths),
            "frame_index": np.arange(self._starts[-1]) - np.repeat(self._starts[:-1], lengths),
        }
        for name, wanted in expected.items():
            found = self._numbers(name)[:, 0]
            if (found != wanted).any():
                row = int((found != wanted).argmax())
                raise self._error(f"{name} of row {row} is {found[row]}, but meta/episodes puts {wanted[row]} there")

    def _derived_spec(self) -> Spec:
        feature = self._features.get(layout.ACTION, {})
        actions = self._numbers(layout.ACTION)
        if np.issubdtype(actions.dtype, np.integer) and actions.shape[1] == 1:
            action = ActionSpec(kind="discrete", size=1, choices=int(actions.max()) + 1)
        else:
            low, high = (tuple(float(value) for value in bound) for bound in (actions.min(axis=0), actions.max(axis=0)))
            action = ActionSpec("continuous", actions.shape[1], low=low, high=high, names=feature_names(feature))
        return derive_spec(self._info, action, tuple(self._texts), int(np.diff(self._starts).max()))

    def _error(self, what: str) -> DataError:
        return DataError(f"the dataset at {self.folder} is damaged or not read here: {what}; fetch or make it again")


def _integers(rows: list[dict[str, Any]], name: str) -> list[int] | None:
    """A column of whole numbers; None if a row has none, or something else."""
    values = [row[name] for row in rows if isinstance(row.get(name), int)]
    return values if len(values) == len(rows) else None


def _first_instruction(episode: dict[str, Any]) -> str:
    tasks = episode.get("tasks")
    return str(tasks[0]) if isinstance(tasks, list) and tasks else ""
