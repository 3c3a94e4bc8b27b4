"""What ``meta/`` of a LeRobotDataset counts, against what its data files hold, and the mending of it.

Only files of ``meta/`` are ever written, each at once and whole.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vla_train.data import lerobot_layout as layout
from vla_train.data import lerobot_v3, lerobot_v21
from vla_train.data.lerobot import version_of
from vla_train.data.lerobot_files import begin, settle
from vla_train.data.lerobot_info import read_info, unfinished
from vla_train.data.lerobot_meta import write_json, write_table
from vla_train.data.parquet_tables import ParquetTables
from vla_train.data_tools.contents import joined
from vla_train.errors import DataError


@dataclass(frozen=True)
class Problem:
    """What is wrong, and how it is mended where the data tell what is right."""

    text: str
    mend: Callable[[], None] | None = None


def counts(folder: Path) -> list[Problem]:
    """Episodes, lengths and totals, from the column episode_index of the data files alone. Files that are missing are named, and
    hide the rest; rows that neither info.json nor the rows of meta/ know cannot be mended."""
    info = read_info(folder)
    version_of(folder, info)
    rows = _episode_rows(folder, info)
    if gone := _missing(folder, info, rows):
        return gone
    index = _data_files(folder, info, len(rows)).numbers({"episode_index": 1})["episode_index"][:, 0]
    found, lengths = np.unique(index, return_counts=True)
    if found.tolist() != list(range(len(found))) or (np.diff(index) < 0).any():
        raise DataError(
            f"{folder}: episode_index of the data files does not count up from 0, so nothing else can be counted by it"
        )
    if unfinished(info) and _counted(info, np.cumsum(lengths)):  # else what counts is not known, and all of it may
        count = info["total_episodes"]
        found, lengths, rows, index = found[:count], lengths[:count], rows[:count], index[: info["total_frames"]]
    problems = []
    totals = {"total_episodes": len(found), "total_frames": len(index)}
    if wrong := {key: (info[key], value) for key, value in totals.items() if info[key] != value}:
        told = ", ".join(f"{key} {said:,} (the data files hold {true:,})" for key, (said, true) in wrong.items())
        problems.append(Problem(f"{layout.INFO} says {told}", lambda: _mend_info(folder, totals)))
    if len(rows) != len(found):
        problems.append(
            Problem(f"meta/ describes {len(rows)} episodes, but the data files hold {len(found)}: fetch the missing part")
        )
    pairs = list(zip(rows, lengths.tolist(), strict=False))
    differ = [(episode, row.get("length"), length) for episode, (row, length) in enumerate(pairs) if row.get("length") != length]
    if differ:
        told = "; ".join(f"episode {episode}: {said}, but {true}" for episode, said, true in differ[:5])
        more = f" and {len(differ) - 5} more" if len(differ) > 5 else ""
        mend = None if len(rows) != len(found) else lambda: _mend_lengths(folder, info, lengths)
        problems.append(Problem(f"meta/ says other lengths than the data files have: {told}{more}", mend))
    said = (info["total_frames"], sum(row["length"] for row in rows if type(row.get("length")) is int))
    if problems and len(index) not in said:
        problems = [Problem(f"{problem.text}; neither fits the data files: fetch or make these again") for problem in problems]
    return problems


def _counted(info: Mapping[str, Any], ends: np.ndarray) -> bool:
    """Whether the data have so many frames in their first so many episodes, as info.json says. ``ends`` of each, int64 [e]."""
    count = info["total_episodes"]
    return bool(count <= len(ends) and ends[count - 1] == info["total_frames"])


def _missing(folder: Path, info: dict[str, Any], rows: Sequence[Mapping[str, Any]]) -> list[Problem]:
    """Data files that meta/ names and that are not there, as far as it does name them."""
    of_file: dict[Path, list[int]] = {}
    for episode, row in enumerate(rows):
        path = lerobot_v3.data_file(folder, info, row) if _is_v3(info) else lerobot_v21.data_file(folder, info, episode)
        if path is not None:
            of_file.setdefault(path, []).append(episode)
    return [
        Problem(f"{path} is missing, with episode{'s' * (len(lost) > 1)} {joined([*map(str, lost)])}: fetch it again")
        for path, lost in of_file.items()
        if not path.is_file()
    ]


def _is_v3(info: Mapping[str, Any]) -> bool:
    return bool(info["codebase_version"] == layout.VERSION)


def _episode_rows(folder: Path, info: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One an episode, in order."""
    if not _is_v3(info):
        return lerobot_v21.episodes_of(folder)
    tables = lerobot_v3.episode_files(folder, info, cut=False)
    asked = [name for name in ("episode_index", "length", *lerobot_v3.PLACE) if name in tables.names]
    return lerobot_v3.in_order(folder, tables.rows(only=asked))


def _data_files(folder: Path, info: dict[str, Any], count: int) -> ParquetTables:
    """Those of ``count`` episodes, which are there, and any that ``meta/`` does not know of."""
    if _is_v3(info):
        return lerobot_v3.data_files(folder, info, cut=False)
    files = [lerobot_v21.data_file(folder, info, episode) for episode in range(count)]
    while (more := lerobot_v21.data_file(folder, info, len(files))) != files[-1] and more.is_file():
        files.append(more)
    return ParquetTables(files)


def _mend_info(folder: Path, totals: Mapping[str, int]) -> None:
    path = folder / layout.INFO
    info = json.loads(path.read_text(encoding="utf-8"))
    if isinstance(info.get("splits"), dict) and list(info["splits"]) == ["train"]:
        info["splits"] = {"train": f"0:{totals['total_episodes']}"}
    write_json(path, info | dict(totals))


def _mend_lengths(folder: Path, info: Mapping[str, Any], lengths: np.ndarray) -> None:
    if not _is_v3(info):
        rows = _episode_rows(folder, info)
        write_lines(folder / lerobot_v21.EPISODES, [row | {"length": int(n)} for row, n in zip(rows, lengths, strict=True)])
        return
    ends = np.cumsum(lengths)
    columns = {"length": lengths, "dataset_from_index": ends - lengths, "dataset_to_index": ends}
    mend_episodes(folder, info, {name: values.tolist() for name, values in columns.items()})


def mend_episodes(folder: Path, info: Mapping[str, Any], columns: Mapping[str, Sequence[Any]]) -> None:
    """Give ``meta/episodes`` other values, one an episode, in those of these columns that it has. No file is written before all
    could be read."""
    done, mended = 0, {}
    for path in lerobot_v3.episode_files(folder, info).files:
        table = pq.read_table(path)[: len(next(iter(columns.values()))) - done]
        for name in (name for name in columns if name in table.schema.names):
            values = pa.array(columns[name][done : done + len(table)])
            table = table.set_column(table.schema.get_field_index(name), name, values)
        mended[path] = table
        done += len(table)
    for path, table in mended.items():
        write_table(path, table)


def write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    """A file of JSON lines, all of it or what was there before."""
    with begin(path) as file:
        file.write("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode())
    settle(path)
