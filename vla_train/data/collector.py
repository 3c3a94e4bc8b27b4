"""A collector's folder: one JSON file for each demonstration, a list of {timestamp, image_path, language_command, action,
robot_state, environment_state}, and its pictures in ``images/``. ``image_path`` may be an object with a path for each camera."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vla_train.data import lerobot_layout as layout
from vla_train.data.choice import Choice
from vla_train.data.json_rows import flat, need, rows_of, seconds_of, stacked, text_of, whole
from vla_train.data.paths import refuse_links_out
from vla_train.data.picture_files import camera_of, frames_of, picture
from vla_train.data.plain_table import PlainTable, column
from vla_train.data.recorded_times import TIMESTAMP, times_of
from vla_train.errors import DataError

CAMERA = "image"
ACTION, STATE, WORLD = "action", "robot_state", "environment_state"


def recognises(path: Path) -> bool:
    return path.is_dir() and (path / "images").is_dir() and bool(_files(path))


def open_table(path: Path, choice: Choice) -> PlainTable:
    """Its demonstrations in the order of their files' names.

    The columns are ``action`` and ``robot_state``, or ``action.KEY`` and ``robot_state.KEY`` where those are objects, and the
    numbers of ``environment_state`` that every step has. DataError names file and step of what is wrong.
    """
    files = _files(path)
    if not files:
        what = f"it has no file *.json of a demonstration beside {path / 'images'}"
        raise DataError(f"no dataset at {path}: {what if path.is_dir() else 'there is no such folder'}; check dataset.path")
    refuse_links_out(path)
    demos = [rows_of(file) for file in files]
    if empty := [file for file, rows in zip(files, demos, strict=True) if not rows]:
        raise DataError(f"{empty[0]} is empty: a demonstration has at least one step; take the file out")
    sources = [file.name for file in files]
    rows = [row for demo in demos for row in demo]
    places = [f"{file}, step {step}" for file, demo in zip(files, demos, strict=True) for step in range(len(demo))]
    seconds = [
        np.array([seconds_of(row, f"{file}, step {step}") for step, row in enumerate(demo)])
        for file, demo in zip(files, demos, strict=True)
    ]
    times = times_of(seconds, path, sources)
    columns = _columns(rows, places) | times.columns
    cameras = _cameras(path, rows, places)
    features = {name: column(values) for name, values in columns.items()}
    features |= {name: camera_of(pictures[0], depth="depth" in name) for name, pictures in cameras.items()}
    return PlainTable(
        path=path,
        features=features,
        lengths=[len(demo) for demo in demos],
        said=[text_of(row, "language_command", where) for row, where in zip(rows, places, strict=True)],
        read=lambda names: {name: columns[name] for name in names},
        show=lambda name, image, rows: frames_of(cameras[name], image, rows),
        files=[*files, *sorted({picture for pictures in cameras.values() for picture in pictures})],
        rate=times.rate,
        sources=sources,
        notes=times.notes,
        defaults={kind: _of(columns, name) for kind, name in (("action", ACTION), ("state", STATE))},
    )


def _files(path: Path) -> list[Path]:
    return sorted(path.glob("*.json")) if path.is_dir() else []


def _of(columns: Mapping[str, np.ndarray], kind: str) -> tuple[str, ...]:
    return tuple(name for name in columns if name == kind or name.startswith(f"{kind}."))


def _columns(rows: Sequence[Mapping[str, Any]], places: Sequence[str]) -> dict[str, np.ndarray]:
    """The numbers of all rows by name. Of the action and the robot every row must have all of them, and as many."""
    columns: dict[str, np.ndarray] = {}
    for kind in (ACTION, STATE):
        found = [flat(need(row, kind, where), kind) for row, where in zip(rows, places, strict=True)]
        for numbers, where in zip(found, places, strict=True):
            if set(numbers) != set(found[0]):
                odd = sorted(set(numbers) ^ set(found[0]))[0]
                raise DataError(f"{where}: {odd} stands in some steps and not in others, or is no number there; mend it")
        columns |= {name: stacked([numbers[name] for numbers in found], name, places) for name in found[0]}
    if not _of(columns, ACTION):
        raise DataError(f"{places[0]}: action holds no numbers; mend it")
    if all(type(row[ACTION]) is int for row in rows):
        columns[ACTION] = whole(columns[ACTION])
    world = [flat(row.get(WORLD), WORLD) for row in rows]
    for name, first in world[0].items():  # what comes and goes in the scene is left out
        if all(len(numbers.get(name, ())) == len(first) for numbers in world):
            columns[name] = stacked([numbers[name] for numbers in world], name, places)
    return columns


def _cameras(path: Path, rows: Sequence[Mapping[str, Any]], places: Sequence[str]) -> dict[str, list[Path]]:
    cameras: dict[str, list[Path]] = {}
    for row, where in zip(rows, places, strict=True):
        named = need(row, "image_path", where)
        named = named if isinstance(named, Mapping) else {CAMERA: named}
        if cameras and set(named) != set(cameras):
            raise DataError(f"{where} has pictures of {sorted(named)}, the steps before of {sorted(cameras)}; mend it")
        for name, relative in named.items():
            if "/" in name or not name.isprintable() or name in (layout.ACTION, TIMESTAMP):
                raise DataError(f"{where}: {name!r} is no name of a camera; mend it")
            cameras.setdefault(name, []).append(picture(path, str(relative), where))
    return cameras
