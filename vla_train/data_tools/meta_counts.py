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
from vla_train.data.lerobot_files import begin, settle
from vla_train.data.lerobot_info import read_info, unfinished
from vla_train.data.lerobot_meta import write_json, write_table
from vla_train.data.lerobot_paths import file_at
from vla_train.data.lerobot_v3 import PLACE
from vla_train.data.parquet_tables import ParquetTables
from vla_train.data_tools.contents import joined
from vla_train.errors import DataError

V2_EPISODES = "meta/episodes.jsonl"


@dataclass(frozen=True)
class Problem:
    """What is wrong, and how it is mended where the data tell what is right."""

    text: str
    mend: Callable[[], None] | None = None


def counts(folder: Path) -> list[Problem]:
    """Episodes, lengths and totals, from the column episode_index of the data files alone. Files that are missing are named, and
    hide the rest; rows that neither info.json nor the rows of meta/ know cannot be mended."""
    info = read_info(folder)
    whole = unfinished(info) or {}
    rows = _episode_rows(folder, info)
    if gone := _missing(folder, info, rows):
        return gone
    tables = ParquetTables.matching(folder, layout.DATA_FILES, whole.get("data"))
    index = tables.numbers({"episode_index": 1})["episode_index"][:, 0]
    found, lengths = np.unique(index, return_counts=True)
    if found.tolist() != list(range(len(found))) or (np.diff(index) < 0).any():
        raise DataError(
            f"{folder}: episode_index of the data files does not count up from 0, so nothing else can be counted by it"
        )
    problems = []
    totals = {"total_episodes": len(found), "total_frames": len(index)}
    if wrong := {key: (info[key], value) for key, value in totals.items() if info[key] != value}:
        told = ", ".join(f"{key} {said:,} (the data files hold {true:,})" for key, (said, true) in wrong.items())
        problems.append(Problem(f"{layout.INFO} says {told}", lambda: _mend_info(folder, totals)))
    if len(rows) != len(found):
        problems.append(
            Problem(f"meta/ describes {len(rows)} episodes, but the data files hold {len(found)}: fetch the missing part")
        )
    pairs = list(zip(rows, lengths, strict=False))
    differ = [
        (episode, row.get("length"), int(length)) for episode, (row, length) in enumerate(pairs) if row.get("length") != length
    ]
    if differ:
        told = "; ".join(f"episode {episode}: {said}, but {true}" for episode, said, true in differ[:5])
        more = f" and {len(differ) - 5} more" if len(differ) > 5 else ""
        mend = None if len(rows) != len(found) else lambda: _mend_lengths(folder, info, lengths)
        problems.append(Problem(f"meta/ says other lengths than the data files have: {told}{more}", mend))
    said = (info["total_frames"], sum(row["length"] for row in rows if type(row.get("length")) is int))
    if problems and len(index) not in said:
        problems = [Problem(f"{problem.text}; neither fits the data files: fetch or make these again") for problem in problems]
    return problems


def _missing(folder: Path, info: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> list[Problem]:
    """Data files that meta/ names and that are not there, as far as it does name them."""
    of_file: dict[Path, list[int]] = {}
    for episode, row in enumerate(rows):
        place = {"episode_chunk": episode // max(1, info.get("chunks_size") or 1), "episode_index": episode}
        if info["codebase_version"] == layout.VERSION:
            place = {key: row[f"data/{key}"] for key in ("chunk_index", "file_index") if type(row.get(f"data/{key}")) is int}
            if len(place) < 2:
                continue
        of_file.setdefault(file_at(folder, dict(info), "data_path", **place), []).append(episode)
    return [
        Problem(f"{path} is missing, with episode{'s' * (len(lost) > 1)} {joined([*map(str, lost)])}: fetch it again")
        for path, lost in of_file.items()
        if not path.is_file()
    ]


def _episode_rows(folder: Path, info: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One an episode, in order."""
    if info["codebase_version"] == layout.VERSION:
        tables = ParquetTables.matching(folder, layout.EPISODE_FILES, (unfinished(info) or {}).get("episodes"))
        return tables.rows(only=[name for name in ("episode_index", "length", *PLACE) if name in tables.names])
    lines = (folder / V2_EPISODES).read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines if line.strip()]


def _mend_info(folder: Path, totals: Mapping[str, int]) -> None:
    path = folder / layout.INFO
    info = json.loads(path.read_text(encoding="utf-8"))
    if isinstance(info.get("splits"), dict) and list(info["splits"]) == ["train"]:
        info["splits"] = {"train": f"0:{totals['total_episodes']}"}
    write_json(path, info | dict(totals))


def _mend_lengths(folder: Path, info: Mapping[str, Any], lengths: np.ndarray) -> None:
    if info["codebase_version"] != layout.VERSION:
        rows = _episode_rows(folder, info)
        write_lines(folder / V2_EPISODES, [row | {"length": int(n)} for row, n in zip(rows, lengths, strict=True)])
        return
    ends = np.cumsum(lengths)
    done = 0
    for path in sorted(folder.glob(layout.EPISODE_FILES)):
        table = pq.read_table(path)
        part = slice(done, done + len(table))
        columns = {"length": lengths[part], "dataset_from_index": (ends - lengths)[part], "dataset_to_index": ends[part]}
        for name, values in columns.items():
            if name in table.schema.names:
                table = table.set_column(table.schema.get_field_index(name), name, pa.array(values.astype(np.int64)))
        write_table(path, table)
        done += len(table)


def write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    """A file of JSON lines, all of it or what was there before."""
    with begin(path) as file:
        file.write("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode())
    settle(path)
