"""LeRobotDataset v2.1 and v2.0: one file of data and one video of each camera for every episode, ``meta/`` in lines of JSON."""

from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import Any

from vla_train.data.json_rows import lines_of
from vla_train.data.lerobot_paths import file_at
from vla_train.data.lerobot_table import Parts, integers, some
from vla_train.data.parquet_tables import ParquetTables
from vla_train.data.records import damaged, leave_out_hint
from vla_train.data.videos import Clip

EPISODES, TASKS, STATISTICS = "meta/episodes.jsonl", "meta/tasks.jsonl", "meta/episodes_stats.jsonl"


def parts_of(folder: Path, info: dict[str, Any], left_out: Callable[[int], Collection[int]]) -> Parts:
    """Where the parts of this dataset lie; ``meta/`` is read, of the data files only the footers, and of those of episodes that
    are left out nothing."""
    episodes = episodes_of(folder)
    unused = some(left_out, len(episodes))
    used = [number for number in range(len(episodes)) if number not in unused]
    places = [_place(folder, info, number) for number in range(len(episodes))]
    tables = ParquetTables([data_file(folder, info, number) for number in used])
    for number, length in zip(used, tables.lengths, strict=True):
        if (said := episodes[number].get("length")) != length:
            what = f"{EPISODES} says {said} frames of episode {number}, its file holds {length}"
            raise damaged(folder, what, f"fetch it again, or {leave_out_hint(number)}")
    return Parts(
        info=info,
        tables=tables,
        texts=[str(row.get("task", "")) for row in _numbered(folder, TASKS, "task_index")],
        episodes=episodes,
        clips=partial(_clips, folder, info, places),
        left_out=unused,
    )


def episodes_of(folder: Path) -> list[dict[str, Any]]:
    """What ``meta/`` notes of the episodes, in their order."""
    return _numbered(folder, EPISODES, "episode_index")


def data_file(folder: Path, info: dict[str, Any], episode: int) -> Path:
    """Where the rows of an episode belong."""
    return file_at(folder, info, "data_path", **_place(folder, info, episode))


def _place(folder: Path, info: dict[str, Any], episode: int) -> dict[str, int]:
    size = info.get("chunks_size")
    if type(size) is not int or size < 1:
        raise damaged(folder, f"chunks_size in meta/info.json is {size!r}")
    return {"episode_chunk": episode // size, "episode_index": episode}


def _clips(folder: Path, info: dict[str, Any], places: list[dict[str, int]], feature: str) -> list[Clip] | None:
    if info.get("video_path") is None:
        return None
    return [Clip(file_at(folder, info, "video_path", video_key=feature, **place), alone=True) for place in places]


def _numbered(folder: Path, name: str, key: str) -> list[dict[str, Any]]:
    """The objects in a file of JSON lines, in the order of their ``key``, which counts from 0."""
    rows = lines_of(folder / name)
    found = integers(rows, key)
    if not rows or found is None or sorted(found) != list(range(len(rows))):
        raise damaged(folder, f"{name} needs a line for every {key} from 0 on, and no two for one")
    return sorted(rows, key=lambda row: int(row[key]))
