"""Statistics that ``meta/`` of a LeRobotDataset has, against the data, and their mending.

Only files of ``meta/`` are ever written, each at once and whole.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from vla_train.data import lerobot_layout as layout
from vla_train.data import lerobot_v3, lerobot_v21
from vla_train.data.episode_writer import described
from vla_train.data.json_rows import lines_of, parsed
from vla_train.data.lerobot_info import read_info
from vla_train.data.lerobot_meta import write_json
from vla_train.data.statistics import Described, describe_columns, together
from vla_train.data_tools.contents import Contents
from vla_train.data_tools.meta_counts import Problem, mend_episodes, write_lines
from vla_train.errors import DataError

TOLERANCE = 1e-3  # of a number's range, by which a statistic may differ: others compute in float32
COMPARED = ("min", "max", "mean", "std")  # quantiles are averages of the episodes' in what LeRobot itself writes

Statistics = dict[str, Described]


def statistics(contents: Contents) -> list[Problem]:
    """Those of all data and of each episode, from the data themselves. Those of pictures are samples: they are not compared."""
    folder, numbers = contents.table.path, contents.numbers()
    finite = {name: values for name, values in numbers.items() if np.isfinite(values).all()}
    true = describe_columns(finite) if finite else {}
    is_v3 = read_info(folder)["codebase_version"] == layout.VERSION
    found, path = [], folder / layout.STATS
    said = _read(path) if path.is_file() else None
    if said is None and (is_v3 or not (folder / lerobot_v21.STATISTICS).is_file()):
        of_pictures = _noted_v3(folder, list(contents.cameras)) if is_v3 else {}
        parts = {name: [each[name] for each in of_pictures.values() if name in each] for name in contents.cameras}
        whole = true | {name: together(each) for name, each in parts.items() if each}
        found.append(Problem(f"{layout.STATS} is missing", partial(write_json, path, _lists(whole))))
    elif said is not None and (wrong := _differing(said, true)):
        mend = partial(write_json, path, _lists({**said, **true}))
        found.append(Problem(f"{layout.STATS} does not fit the data: {'; '.join(wrong)}", mend))
    return found + (_of_episodes(contents, finite, is_v3) if finite else [])


def _of_episodes(contents: Contents, numbers: Mapping[str, np.ndarray], is_v3: bool) -> list[Problem]:
    """Those of each episode, in columns of meta/episodes or, in version 2.1, lines of a file of their own."""
    folder, wrong = contents.table.path, []
    said = _noted_v3(folder, list(numbers)) if is_v3 else _noted_v21(folder)
    if not any(said.values()):
        return []
    true: list[Statistics] = []
    for episode in range(len(contents.lengths)):
        rows = contents.rows(episode)
        true.append(describe_columns({name: values[rows] for name, values in numbers.items()}))
        if differ := _differing(said.get(episode, {}), true[-1]):
            wrong.append(f"episode {episode}: {differ[0]}" + (f" and {len(differ) - 1} more" if len(differ) > 1 else ""))
    if not wrong:
        return []
    where = "meta/episodes" if is_v3 else lerobot_v21.STATISTICS
    text = f"statistics in {where} do not fit the data: {'; '.join(wrong[:3])}"
    text += f"; {len(wrong)} episodes in all" if len(wrong) > 3 else ""
    return [Problem(text, partial(_mend_v3 if is_v3 else _mend_v21, folder, true))]


def _noted_v21(folder: Path) -> dict[int, Statistics]:
    return {episode: _arrays(said, f"{lerobot_v21.STATISTICS} of {folder}") for episode, said in _lines_v21(folder).items()}


def _lines_v21(folder: Path) -> dict[int, Any]:
    """Episode -> its statistics as they stand there."""
    path, found = folder / lerobot_v21.STATISTICS, {}
    for line in lines_of(path) if path.exists() else []:
        episode = line.get("episode_index")
        if type(episode) is not int or not isinstance(line.get("stats"), dict):
            raise DataError(f"{path} needs an episode_index and stats in every line, but one is {str(line)[:60]}; mend it")
        found[episode] = line["stats"]
    return found


def _mend_v21(folder: Path, true: list[Statistics]) -> None:
    noted = _lines_v21(folder)
    rows = [{"episode_index": e, "stats": {**noted.get(e, {}), **_lists(each)}} for e, each in enumerate(true)]
    write_lines(folder / lerobot_v21.STATISTICS, rows)


def _noted_v3(folder: Path, names: list[str]) -> dict[int, Statistics]:
    found = {}
    for row in lerobot_v3.episode_files(folder, read_info(folder)).rows(leave_out=("data/", "videos/", "meta/")):
        noted = {name: described(row, name) for name in names}
        found[row["episode_index"]] = _arrays({name: each for name, each in noted.items() if each}, f"meta/episodes of {folder}")
    return found


def _mend_v3(folder: Path, true: list[Statistics]) -> None:
    places = [(name, key) for name, each in true[0].items() for key in each]
    columns = {f"stats/{name}/{key}": [each[name][key].tolist() for each in true] for name, key in places}
    mend_episodes(folder, read_info(folder), columns)


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


def _read(path: Path) -> Statistics:
    try:
        content = parsed(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} cannot be read ({error}); take it away, and --fix makes it anew") from None
    return _arrays(content, str(path), "take it away, and --fix makes it anew")


def _arrays(content: Any, where: str, mend: str = "mend or fetch them again") -> Statistics:
    try:
        return {name: {key: np.array(value, np.float64) for key, value in each.items()} for name, each in content.items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise DataError(f"the statistics in {where} are something else than numbers ({error}); {mend}") from None


def _lists(found: Mapping[str, Described]) -> dict[str, Any]:
    return {name: {key: value.tolist() for key, value in each.items()} for name, each in found.items()}
