"""``meta/`` of a LeRobotDataset v3.0 as it is written. ``info.json`` comes last: what it counts is whole, the rest is nothing."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vla_train.data import lerobot_layout as layout
from vla_train.data.episode_rows import common_schema, conformed, episode_table, schema_of
from vla_train.data.lerobot_files import PARTIAL, begin, settle
from vla_train.data.lerobot_info import read_info, spec_of, unfinished
from vla_train.data.lerobot_table import integers
from vla_train.data.lerobot_v3 import data_files, episode_files, in_order, texts_of
from vla_train.errors import DataError

MOST_TOLD = 5  # differences in one message
SMALL = 64  # episodes up to which a file is written anew with each that comes to it
Row = dict[str, Any]  # of one episode


class Meta:
    """The episodes and texts of a dataset, those that were there before included. ``head`` are the keys of info.json that do not
    count anything: features, fps, robot_type and our own."""

    def __init__(self, folder: Path, head: Mapping[str, Any]):
        self.folder, self.head = folder, dict(head)
        self.texts: dict[str, int] = {}
        self.num_episodes = self.num_frames = self.data_files = self._episode_files = 0
        self.before: list[Row] = []  # the rows of what was there, without those of whom nothing is asked
        self._rows: list[Row] = []  # of the last file, which is not closed
        self._noted: tuple[str, ...] = ()  # the texts that tasks.parquet has
        self._schemas: list[pa.Schema] = []  # of the files of meta/episodes, in which what was noted is as columns

    def number_of(self, text: str) -> int:
        """The task_index of an instruction."""
        return self.texts.setdefault(text, len(self.texts))

    def note(self, facts: Mapping[str, Any], length: int, data_file: int, places: Mapping[str, Any], statistics: Row) -> None:
        """One more episode, of ``length`` frames, in a data file; ``places`` are those of its videos."""
        chunk, file = divmod(data_file, layout.CHUNK_SIZE)
        row = dict(facts) | {"episode_index": self.num_episodes, "length": length}
        row |= {"data/chunk_index": chunk, "data/file_index": file}
        row |= {"dataset_from_index": self.num_frames, "dataset_to_index": self.num_frames + length}
        row |= {f"videos/{name}/{key}": value for name, place in places.items() for key, value in place.items()}
        chunk, file = divmod(self._episode_files, layout.CHUNK_SIZE)
        self._rows.append(row | statistics | {"meta/episodes/chunk_index": chunk, "meta/episodes/file_index": file})
        self.num_episodes += 1
        self.num_frames += length

    def resume(self) -> None:
        """Go on with the dataset that is in the folder; what a killed writer left beside it is taken away.

        DataError if its columns are others, it has another rate, it is laid out otherwise than we do, or a file is missing.
        """
        info = read_info(self.folder)
        self._require_same(info)
        counted = unfinished(info)
        noted = episode_files(self.folder, info)
        self.before = in_order(self.folder, noted.rows())
        self._episode_files = len(noted.files)
        self._schemas = list(dict.fromkeys(schema_of(path) for path in noted.files))
        self.data_files = self._next_file("data")
        self.num_episodes, self.num_frames = info["total_episodes"], info["total_frames"]
        texts = texts_of(self.folder)
        self.texts = {text: number for number, text in enumerate(texts)}
        if twice := [text for number, text in enumerate(texts) if self.texts[text] != number]:
            raise self._no_home(f"{layout.TASKS} has {twice[0]!r} twice")
        self.head = info | self.head | {layout.OURS: {**info.get(layout.OURS, {}), **self.head[layout.OURS]}}
        self.head[layout.OURS].pop(layout.UNFINISHED, None)
        if counted:
            for path, rows in {**noted.beyond, **data_files(self.folder, info).beyond}.items():
                write_table(path, pq.read_table(path)[:rows])
            self.sweep({layout.DATA_FILES: counted["data"], layout.EPISODE_FILES: counted["episodes"]})
        self._require_every_file()

    def next_video(self, name: str) -> int:
        """The number of the next video file of a camera."""
        return self._next_file(f"videos/{name}")

    def _next_file(self, kind: str) -> int:
        """The number behind those of the files in which the episodes lie that were there."""
        numbers = [integers(self.before, f"{kind}/{key}") for key in ("chunk_index", "file_index")]
        if None in numbers:
            raise self._no_home(f"meta/episodes does not say in which file of {kind} each episode lies")
        chunks, files = (each or [] for each in numbers)
        used = [chunk * layout.CHUNK_SIZE + file for chunk, file in zip(chunks, files, strict=True)]
        return max(used, default=-1) + 1

    def _no_home(self, why: str) -> DataError:
        return DataError(
            f"episodes cannot be added to {self.folder}: {why}. Convert it with vla-data convert, and add to the result"
        )

    def commit(self, data_files: int, *, closed: bool, finished: bool = False) -> None:
        """What was noted becomes part of the dataset, whose data files are whole. The next episode begins another file of
        meta/episodes if this one is to be ``closed``, or is no longer small."""
        episode_files = self._episode_files + bool(self._rows)
        if self._rows:
            chunk, file = divmod(self._episode_files, layout.CHUNK_SIZE)
            path = self.folder / layout.EPISODES_PATH.format(chunk_index=chunk, file_index=file)
            table = episode_table(self._rows)
            schema = common_schema([*self._schemas, table.schema])
            self._conform(schema)
            write_table(path, conformed(table, schema))
            if tuple(self.texts) != self._noted:
                self._noted = tuple(self.texts)
                write_table(self.folder / layout.TASKS, tasks_table(list(self.texts)))
            if closed or len(self._rows) >= SMALL:
                self._episode_files, self._rows = episode_files, []
        state = {} if finished else {layout.UNFINISHED: {"data": data_files, "episodes": episode_files}}
        write_json(self.folder / layout.INFO, self._info(state))

    def _conform(self, schema: pa.Schema) -> None:
        """Have the files that are there tell of the same columns. A kill between two of them leaves some to do."""
        if self._schemas == [schema]:
            return
        for number in range(self._episode_files):
            chunk, file = divmod(number, layout.CHUNK_SIZE)
            path = self.folder / layout.EPISODES_PATH.format(chunk_index=chunk, file_index=file)
            if not schema_of(path).equals(schema):
                write_table(path, conformed(pq.read_table(path), schema))
        self._schemas = [schema]

    def _info(self, state: Mapping[str, Any]) -> dict[str, Any]:
        head = dict(self.head)
        ours = head.pop(layout.OURS)
        first = {"codebase_version": layout.VERSION, "robot_type": head.pop("robot_type")}
        counts = {"total_episodes": self.num_episodes, "total_frames": self.num_frames, "total_tasks": len(self.texts)}
        last = {"splits": {"train": f"0:{self.num_episodes}"}, "data_path": layout.DATA_PATH}
        merged = first | counts | {"chunks_size": layout.CHUNK_SIZE} | head | counts | last
        order = [*first, *counts, "chunks_size", "data_files_size_in_mb", "video_files_size_in_mb", "fps", *last, "video_path"]
        ordered = {key: merged[key] for key in order} | {key: value for key, value in merged.items() if key != "features"}
        return ordered | {"features": head["features"], layout.OURS: {**ours, **state}}

    def _require_same(self, info: Mapping[str, Any]) -> None:
        ours = {"codebase_version": layout.VERSION, "data_path": layout.DATA_PATH, "chunks_size": layout.CHUNK_SIZE}
        ours |= {"fps": self.head["fps"], "video_path": self.head["video_path"]}
        theirs, features = info["features"], self.head["features"]
        wrong = [f"{key} is {info.get(key)!r}, not {value!r}" for key, value in ours.items() if info.get(key) != value]
        wrong += [f"it has no {name!r}" for name in features if name not in theirs]
        wrong += [f"it has {name!r} besides" for name in theirs if name not in features]
        for name in set(theirs) & set(features):
            mine, other = ({key: each[name].get(key) for key in _told_by(each[name])} for each in (features, theirs))
            wrong += [f"{name!r} is {other}, not {mine}"] if mine != other else []
        if wrong := sorted(wrong or self._other_meaning(info)):
            more = [f"and {len(wrong) - MOST_TOLD} more such things"] if len(wrong) > MOST_TOLD else []
            told = "; ".join(wrong[:MOST_TOLD] + more)
            raise DataError(f"episodes cannot be added to {self.folder}, which is made otherwise: {told}. Name another folder")

    def _other_meaning(self, info: Mapping[str, Any]) -> list[str]:
        """Where the Specs of columns that look alike differ, in words; episodes of other tasks and lengths may join."""
        specs = (spec_of(dict(info), self.folder), spec_of(self.head, self.folder))
        told = [
            {**asdict(spec), **{f"action.{key}": value for key, value in asdict(spec.action).items()}} for spec in specs if spec
        ]
        if len(told) < len(specs):
            return []
        theirs, ours = told
        compared = [key for key in ours if key not in ("tasks", "horizon", "action")]
        return [f"{key} is {theirs[key]}, not {ours[key]}" for key in compared if theirs[key] != ours[key]]

    def _require_every_file(self) -> None:
        """New files are numbered on, and those that are whole are told from others by how many they are."""
        paths = {layout.DATA_PATH: self.data_files, layout.EPISODES_PATH: self._episode_files}
        patterns = {layout.DATA_PATH: layout.DATA_FILES, layout.EPISODES_PATH: layout.EPISODE_FILES}
        for path, count in paths.items():
            places = (divmod(number, layout.CHUNK_SIZE) for number in range(count))
            wanted = {self.folder / path.format(chunk_index=chunk, file_index=file) for chunk, file in places}
            if wrong := sorted(wanted ^ set(self.folder.glob(patterns[path]))):
                raise self._no_home(f"its files are not numbered from 0 on without a gap ({wrong[0].relative_to(self.folder)})")

    def sweep(self, whole: Mapping[str, int]) -> None:
        """Remove what a killed writer left of episodes that are not counted."""
        for pattern, count in whole.items():
            for path in sorted(self.folder.glob(pattern))[count:]:
                path.unlink()
        for path in self.folder.rglob(f"*{PARTIAL}"):
            path.unlink()


def _told_by(feature: layout.Feature) -> tuple[str, ...]:
    """What must be the same of a column: of numbers also what each is called."""
    return ("dtype", "shape") if layout.is_picture(feature) else ("dtype", "shape", "names")


def write_json(path: Path, value: Any) -> None:
    """JSON for people, written so that there is all of it or what was there before."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    with begin(path) as file:
        file.write(text.encode())
    settle(path)


def write_table(path: Path, table: pa.Table) -> None:
    """The same for a parquet file."""
    with begin(path) as file:
        pq.write_table(table, file)
    settle(path)


def tasks_table(texts: list[str]) -> pa.Table:
    """The instructions as a pandas index would be stored, since LeRobot looks tasks up by it."""
    columns = [
        {"name": "task_index", "field_name": "task_index", "pandas_type": "int64", "numpy_type": "int64", "metadata": None},
        {"name": "task", "field_name": "task", "pandas_type": "unicode", "numpy_type": "object", "metadata": None},
    ]
    index = {
        "name": None,
        "field_name": None,
        "pandas_type": "unicode",
        "numpy_type": "object",
        "metadata": {"encoding": "UTF-8"},
    }
    pandas = {"index_columns": ["task"], "column_indexes": [index], "columns": columns, "pandas_version": "2.0.0"}
    table = pa.table({"task_index": np.arange(len(texts)), "task": texts})
    return table.replace_schema_metadata({"pandas": json.dumps(pandas)})
