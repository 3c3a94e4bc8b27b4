"""What ``meta/`` of a LeRobotDataset says, against what its data files hold: counts, lengths and statistics, and their mending.

Only files of ``meta/`` are ever written, each at once and whole.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vla_train.data import lerobot_layout as layout
from vla_train.data.lerobot_files import partial_of, settle
from vla_train.data.lerobot_info import read_info, unfinished
from vla_train.data.lerobot_meta import write_json, write_table
from vla_train.data.parquet_tables import ParquetTables
from vla_train.data.statistics import Described, describe_columns
from vla_train.data_tools.contents import Contents
from vla_train.errors import DataError

V2_EPISODES, V2_STATISTICS = "meta/episodes.jsonl", "meta/episodes_stats.jsonl"
TOLERANCE = 1e-3  # of a number's range, by which a statistic may differ: others compute in float32
COMPARED = ("min", "max", "mean", "std")  # quantiles are averages of the episodes' in what LeRobot itself writes


@dataclass(frozen=True)
class Problem:
    """What is wrong, and how it is mended where the data tell what is right."""

    text: str
    mend: Callable[[], None] | None = None


def counts(folder: Path) -> list[Problem]:
    """Episodes, lengths and totals, from the column episode_index of the data files alone."""
    info = read_info(folder)
    whole = unfinished(info) or {}
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
    rows = _episode_rows(folder, info)
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
    return problems


def statistics(contents: Contents) -> list[Problem]:
    """Statistics of all data and of each episode, from the data themselves."""
    folder, numbers = contents.table.path, contents.numbers()
    finite = {name: values for name, values in numbers.items() if np.isfinite(values).all()}
    true = describe_columns(finite) if finite else {}
    path, found = folder / layout.STATS, []
    is_v3 = read_info(folder)["codebase_version"] == layout.VERSION
    said = _read_statistics(path)
    if said is None and (is_v3 or not (folder / V2_STATISTICS).is_file()):
        found.append(Problem(f"{layout.STATS} is missing", lambda: _mend_statistics(path, {}, true)))
    elif said is not None and (wrong := _differing(said, true)):
        found.append(
            Problem(f"{layout.STATS} does not fit the data: {'; '.join(wrong)}", lambda: _mend_statistics(path, said, true))
        )
    return found + ([] if is_v3 else _episode_statistics(contents, finite))


def _episode_statistics(contents: Contents, numbers: Mapping[str, np.ndarray]) -> list[Problem]:
    """Those of version 2.1, one line an episode."""
    path = contents.table.path / V2_STATISTICS
    if not path.is_file():
        return []
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]
    by_episode = {line["episode_index"]: line for line in lines}
    new, wrong = [], []
    for episode in range(len(contents.lengths)):
        rows = contents.rows(episode)
        true = describe_columns({name: values[rows] for name, values in numbers.items()})
        line = by_episode.get(episode, {"episode_index": episode, "stats": {}})
        if differ := _differing(_arrays(line["stats"]), true):
            wrong.append(f"episode {episode}: {differ[0]}" + (f" and {len(differ) - 1} more" if len(differ) > 1 else ""))
        merged = {name: {key: value.tolist() for key, value in each.items()} for name, each in true.items()}
        new.append(line | {"stats": line["stats"] | merged})
    if not wrong:
        return []
    text = f"{V2_STATISTICS} does not fit the data: {'; '.join(wrong[:3])}" + (
        f"; {len(wrong)} episodes in all" if len(wrong) > 3 else ""
    )
    return [Problem(text, lambda: _write_lines(path, new))]


def _differing(said: Mapping[str, Described], true: Mapping[str, Described]) -> list[str]:
    """The features whose statistics are not those of the data, in words."""
    found = []
    for name, right in true.items():
        if name not in said:
            found.append(f"{name} is missing")
            continue
        scale = np.maximum(right["max"] - right["min"], 1e-6 * np.maximum(1.0, np.abs(right["max"])))
        for key in (key for key in COMPARED if key in said[name]):
            told = np.ravel(said[name][key]).astype(np.float64)
            if told.shape != right[key].shape or (~(np.abs(told - right[key]) <= TOLERANCE * scale)).any():
                shown = [
                    np.array2string(np.asarray(value), precision=4, threshold=3, edgeitems=1) for value in (told, right[key])
                ]
                found.append(f"{name} has the {key} {shown[0]}, not {shown[1]}")
                break
        else:
            count = np.ravel(said[name].get("count", right["count"]))
            if count.shape == (1,) and count[0] != right["count"][0]:
                found.append(f"{name} is of {count[0]} frames, not {right['count'][0]}")
    return found


def _read_statistics(path: Path) -> dict[str, Described] | None:
    if not path.is_file():
        return None
    try:
        return _arrays(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"{path} cannot be read ({error})") from None


def _arrays(content: Mapping[str, Mapping[str, Any]]) -> dict[str, Described]:
    return {name: {key: np.array(value, np.float64) for key, value in each.items()} for name, each in content.items()}


def _episode_rows(folder: Path, info: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One an episode, in order."""
    if info["codebase_version"] == layout.VERSION:
        tables = ParquetTables.matching(folder, layout.EPISODE_FILES, (unfinished(info) or {}).get("episodes"))
        return tables.rows(only=["episode_index", "length"])
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
        _write_lines(folder / V2_EPISODES, [row | {"length": int(n)} for row, n in zip(rows, lengths, strict=True)])
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


def _mend_statistics(path: Path, said: Mapping[str, Described], true: Mapping[str, Described]) -> None:
    """Numbers anew; of pictures what was there."""
    content = {name: {key: value.tolist() for key, value in each.items()} for name, each in {**said, **true}.items()}
    write_json(path, content)


def _write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    partial_of(path).write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    settle(path)
