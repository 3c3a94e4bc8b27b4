"""Writes a LeRobotDataset v3.0 with its images as PNG inside parquet: nothing is lost, and any LeRobot reader can open it.

Layout: https://huggingface.co/docs/lerobot/lerobot-dataset-v3. What LeRobot has no place for stands where its readers do not
look: our Spec under ``vla_train`` in info.json, the facts of each episode as further columns of meta/episodes.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vla_train.data import lerobot_layout as layout
from vla_train.data.lerobot_files import DataFiles
from vla_train.data.records import episode_starts, require_finite
from vla_train.data.statistics import Described, PixelStatistics, describe, describe_columns
from vla_train.spec import Spec

SAMPLED_FRAMES = 8  # of each episode, evenly spread, for the statistics of its images

_RESERVED = {"episode_index", "tasks", "task", "length", "dataset_from_index", "dataset_to_index"}


class LeRobotWriter:
    """``add_episode`` for each episode, then ``finish``. Without ``finish`` there is no info.json, so no dataset.

    ``folder`` may hold no dataset yet. ``extra`` (JSON values) is noted beside the Spec in info.json: how the data came to be.
    A data file ends with the episode that fills ``file_megabytes``.
    """

    def __init__(
        self,
        folder: Path,
        spec: Spec,
        robot_type: str,
        extra: Mapping[str, Any] | None = None,
        *,
        file_megabytes: int | float = layout.DATA_MEGABYTES,
    ):
        if (folder / layout.INFO).exists():
            raise ValueError(f"{folder} already holds a dataset; give another folder")
        self.folder, self.spec, self.robot_type, self.extra = folder, spec, robot_type, dict(extra or {})
        self.features = layout.features_of(spec)
        self._file_megabytes = file_megabytes
        self._files = DataFiles(folder, self.features, file_megabytes)
        self._texts: dict[str, int] = {}
        self._episodes: list[dict[str, Any]] = []
        self._num_frames = 0
        self._pixels = {layout.IMAGE + camera: PixelStatistics(image.channels) for camera, image in spec.images.items()}
        self._numbers: dict[str, list[np.ndarray]] = {}

    def add_episode(
        self,
        *,
        images: Mapping[str, np.ndarray],
        state: np.ndarray,
        action: np.ndarray,
        reward: np.ndarray,
        terminated: np.ndarray,
        truncated: np.ndarray,
        instruction: str,
        task: str,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """One episode of t > 0 steps: what was seen before each action, the action, and what followed from it.

        images uint8 [t, y, x, c] for each camera of the Spec, state [t, s], action [t, a] (int [t, 1] if discrete), reward,
        terminated and truncated [t]. ``metadata`` are JSON scalars under any names (nested values as JSON text); an
        ``outcome`` of "success" marks the last frame's ``next.success``. DataError at a number that is not finite.
        """
        facts = dict(metadata or {})
        self._check_facts(len(action), task, facts)
        steps = np.arange(len(action))
        done = np.asarray(terminated, dtype=bool) | np.asarray(truncated, dtype=bool)
        given = {layout.STATE: state} if self.spec.state_size else {}
        given |= {layout.ACTION: action, layout.REWARD: reward, layout.DONE: done}
        given |= {layout.TERMINATED: terminated, layout.TRUNCATED: truncated}
        given[layout.SUCCESS] = (steps == len(steps) - 1) & (facts.get("outcome") == "success")
        given |= {"timestamp": steps / self.spec.rate, "frame_index": steps, "index": self._num_frames + steps}
        given["episode_index"] = np.full(len(steps), len(self._episodes))
        given["task_index"] = np.full(len(steps), self._texts.setdefault(instruction, len(self._texts)))
        pixels = {layout.IMAGE + camera: frames for camera, frames in images.items()}
        numbers = self._checked(given, pixels, len(steps))
        file = self._files.add(numbers | pixels)
        statistics = describe_columns(numbers) | self._describe_images(pixels)
        self._note(file, len(steps), facts | {"task": task, "tasks": [instruction]}, statistics)
        for name, values in numbers.items():
            self._numbers.setdefault(name, []).append(values)

    def finish(self) -> Path:
        """Close the files and write ``meta/``, info.json last. Returns the folder."""
        if not self._episodes:
            raise ValueError(f"no episode was written to {self.folder}")
        self._files.close()
        path = self.folder / layout.EPISODES_PATH.format(chunk_index=0, file_index=0)
        path.parent.mkdir(parents=True, exist_ok=True)
        names = list(dict.fromkeys(name for row in self._episodes for name in row))
        pq.write_table(pa.table({name: [row.get(name) for row in self._episodes] for name in names}), path)
        pq.write_table(_tasks_table(list(self._texts)), self.folder / layout.TASKS)
        whole = {name: describe(np.concatenate(parts).reshape(self._num_frames, -1)) for name, parts in self._numbers.items()}
        whole |= {name: pixels.describe() for name, pixels in self._pixels.items()}
        self._write_json(
            layout.STATS, {name: {key: value.tolist() for key, value in found.items()} for name, found in whole.items()}
        )
        self._write_json(layout.INFO, self._info())
        return self.folder

    def _check_facts(self, length: int, task: str, facts: Mapping[str, Any]) -> None:
        if length == 0:
            raise ValueError("an episode needs at least one step")
        if self.spec.tasks and task not in self.spec.tasks:
            raise ValueError(f"task {task!r} is none of the Spec's {list(self.spec.tasks)}")
        if wrong := sorted(key for key in facts if key in _RESERVED or "/" in key):
            raise ValueError(f"metadata may not be called {wrong}: these names have a meaning in meta/episodes")

    def _checked(self, given: Mapping[str, Any], pixels: Mapping[str, np.ndarray], length: int) -> dict[str, np.ndarray]:
        """The numeric columns in the types that are stored, each [t, d]; ValueError at a wrong shape, DataError at a NaN."""
        if set(given) | set(pixels) != set(self.features):
            raise ValueError(f"the episode has {sorted([*given, *pixels])}, the Spec {sorted(self.features)}")
        numbers = {}
        for name, feature in self.features.items():
            values = pixels[name] if name in pixels else np.array(given[name], dtype=feature["dtype"])  # a copy: we keep it
            if values.shape == (length,) and feature["shape"] == [1]:
                values = values[:, None]
            if values.shape != (length, *feature["shape"]):
                raise ValueError(f"{name} has shape {list(values.shape)}, not {[length, *feature['shape']]}")
            if name not in pixels:
                require_finite(name, values, episode_starts([length]), "what is to be written", len(self._episodes))
                numbers[name] = values
        return numbers

    def _describe_images(self, pixels: Mapping[str, np.ndarray]) -> dict[str, Described]:
        found = {}
        for name, frames in pixels.items():
            sample = PixelStatistics(frames.shape[-1])
            sample.add(frames[np.unique(np.linspace(0, len(frames) - 1, SAMPLED_FRAMES).round().astype(int))])
            self._pixels[name].merge(sample)
            found[name] = sample.describe()
        return found

    def _note(self, file: int, length: int, facts: dict[str, Any], statistics: Mapping[str, Described]) -> None:
        row = facts | {"episode_index": len(self._episodes), "length": length}
        row |= {"data/chunk_index": file // layout.CHUNK_SIZE, "data/file_index": file % layout.CHUNK_SIZE}
        row |= {"dataset_from_index": self._num_frames, "dataset_to_index": self._num_frames + length}
        row |= {f"stats/{name}/{key}": value.tolist() for name, found in statistics.items() for key, value in found.items()}
        row |= {"meta/episodes/chunk_index": 0, "meta/episodes/file_index": 0}
        self._episodes.append(row)
        self._num_frames += length

    def _info(self) -> dict[str, Any]:
        return {
            "codebase_version": layout.VERSION,
            "robot_type": self.robot_type,
            "total_episodes": len(self._episodes),
            "total_frames": self._num_frames,
            "total_tasks": len(self._texts),
            "chunks_size": layout.CHUNK_SIZE,
            "data_files_size_in_mb": self._file_megabytes,
            "video_files_size_in_mb": layout.VIDEO_MEGABYTES,
            "fps": int(self.spec.rate) if float(self.spec.rate).is_integer() else self.spec.rate,
            "splits": {"train": f"0:{len(self._episodes)}"},
            "data_path": layout.DATA_PATH,
            "video_path": None,
            "features": self.features,
            layout.OURS: {"spec": json.loads(self.spec.to_json()), **self.extra},
        }

    def _write_json(self, name: str, value: Any) -> None:
        (self.folder / name).write_text(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def _tasks_table(texts: list[str]) -> pa.Table:
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
