"""LeRobotDataset v3.0: many episodes in each file of data and of video, their places in ``meta/episodes``."""

from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from vla_train.data import lerobot_layout as layout
from vla_train.data.lerobot_info import unfinished
from vla_train.data.lerobot_paths import file_at
from vla_train.data.lerobot_table import Parts, integers, some
from vla_train.data.parquet_tables import ParquetTables
from vla_train.data.records import damaged
from vla_train.data.videos import Clip

PLACE = ("data/chunk_index", "data/file_index")  # of an episode's rows
_BOOKKEEPING = ("stats/", "data/", "videos/", "meta/")  # columns of meta/episodes that are no facts about an episode


def parts_of(folder: Path, info: dict[str, Any], left_out: Callable[[int], Collection[int]]) -> Parts:
    """Where the parts of this dataset lie; ``meta/`` is read, of the data files only the footers, and of those in which all
    episodes are left out nothing."""
    noted = episode_files(folder, info)
    episodes = in_order(folder, noted.rows(leave_out=_BOOKKEEPING))
    unused = some(left_out, len(episodes))
    return Parts(
        info=info,
        tables=_tables(folder, info, noted, unused),
        texts=texts_of(folder),
        episodes=episodes,
        clips=partial(_clips, folder, info, noted),
        left_out=unused,
    )


def episode_files(folder: Path, info: Mapping[str, Any], *, cut: bool = True) -> ParquetTables:
    """Those of ``meta/episodes``; of a dataset that is being written only what info.json counts: so many files and, with
    ``cut``, so many rows."""
    whole = unfinished(info)
    limit = info["total_episodes"] if whole and cut else None
    return ParquetTables.matching(folder, layout.EPISODE_FILES, (whole or {}).get("episodes"), limit)


def in_order(folder: Path, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of meta/episodes, if they are."""
    if integers(rows, "episode_index") != list(range(len(rows))):
        raise damaged(folder, "meta/episodes needs a row for every episode_index from 0 on, in their order")
    return rows


def data_files(folder: Path, info: Mapping[str, Any], *, cut: bool = True) -> ParquetTables:
    """The files of data, likewise."""
    whole = unfinished(info)
    return ParquetTables.matching(
        folder, layout.DATA_FILES, (whole or {}).get("data"), info["total_frames"] if whole and cut else None
    )


def data_file(folder: Path, info: dict[str, Any], row: Mapping[str, Any]) -> Path | None:
    """Where the rows of an episode lie, if its row of meta/episodes says so."""
    chunk, file = (row.get(name) for name in PLACE)
    if type(chunk) is not int or type(file) is not int:
        return None
    return file_at(folder, info, "data_path", chunk_index=chunk, file_index=file)


def _tables(folder: Path, info: dict[str, Any], noted: ParquetTables, unused: Collection[int]) -> ParquetTables:
    """The data files. Where episodes are left out, those files in which others lie, without their rows."""
    if not unused or not set(PLACE) <= noted.names:
        tables = data_files(folder, info)
    else:
        rows = noted.rows(only=PLACE)
        files = dict.fromkeys(data_file(folder, info, row) for episode, row in enumerate(rows) if episode not in unused)
        if None in files:
            raise damaged(folder, "meta/episodes does not say in which data file each episode lies")
        tables = ParquetTables([path for path in files if path])
    if unused:
        tables.leave_out(unused)
    return tables


def texts_of(folder: Path) -> list[str]:
    """The instructions by task_index. Their column is pandas' index: ``task``, or nameless in older files."""
    rows = ParquetTables([folder / layout.TASKS]).rows()
    column = next((name for name in ("task", "__index_level_0__") if rows and name in rows[0]), None)
    places = integers(rows, "task_index")
    if column is None or places is None or sorted(places) != list(range(len(rows))):
        raise damaged(folder, f"{layout.TASKS} needs a column 'task' and task_index 0 to n - 1")
    return [str(rows[place][column]) for place in np.argsort(places)]


def _clips(folder: Path, info: dict[str, Any], noted: ParquetTables, feature: str) -> list[Clip] | None:
    names = {key: f"videos/{feature}/{key}" for key in ("chunk_index", "file_index", "from_timestamp")}
    if info.get("video_path") is None or not set(names.values()) <= noted.names:
        return None
    clips = []
    for episode, row in enumerate(noted.rows(only=list(names.values()))):
        chunk, file, start = (row[name] for name in names.values())
        if type(chunk) is not int or type(file) is not int or not isinstance(start, float) or not np.isfinite(start):
            raise damaged(folder, f"meta/episodes does not say where the video {feature!r} of episode {episode} lies")
        clips.append(Clip(file_at(folder, info, "video_path", video_key=feature, chunk_index=chunk, file_index=file), start))
    return clips
