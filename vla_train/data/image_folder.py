"""A folder with ``metadata.json``, a list of {image_id, instruction, action, language_tokens, sequence_id, timestamp}, and
``images/<image_id>.jpg``. Rows of one sequence_id are an episode; the tokens are not used, for a policy has its own."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vla_train.data import lerobot_layout as layout
from vla_train.data.choice import Choice
from vla_train.data.json_rows import flat, need, rows_of, seconds_of, stacked, text_of, whole
from vla_train.data.paths import refuse_links_out
from vla_train.data.picture_files import camera_of, frames_of, picture
from vla_train.data.plain_table import PlainTable, column
from vla_train.data.recorded_times import times_of
from vla_train.errors import DataError

FILE, IMAGES = "metadata.json", "images"
CAMERA = "image"


def recognises(path: Path) -> bool:
    return (path / FILE).is_file()


def open_table(path: Path, choice: Choice) -> PlainTable:
    """Its episodes, in the order in which they begin. DataError names the row of what is wrong."""
    if not recognises(path):
        raise DataError(f"no dataset at {path}: it has no {FILE}; give the folder that contains {FILE} and {IMAGES}/")
    refuse_links_out(path)
    rows = rows_of(path / FILE)
    places = [f"{path / FILE}, row {number}" for number in range(len(rows))]
    episodes: dict[str, list[int]] = {}
    for number, (row, where) in enumerate(zip(rows, places, strict=True)):
        episodes.setdefault(_key(need(row, "sequence_id", where), where), []).append(number)
    order = [number for numbers in episodes.values() for number in numbers]
    rows, places = [rows[number] for number in order], [places[number] for number in order]
    sources = [f"sequence {name}" for name in episodes]
    lengths = [len(numbers) for numbers in episodes.values()]
    if not rows:
        raise DataError(f"the dataset at {path} is empty: {FILE} has no rows; record at least one episode")
    files = [
        picture(path, f"{IMAGES}/{need(row, 'image_id', where)}.jpg", where) for row, where in zip(rows, places, strict=True)
    ]
    seconds = np.split(np.array([seconds_of(*pair) for pair in zip(rows, places, strict=True)]), np.cumsum(lengths)[:-1])
    times = times_of(seconds, path, sources)
    action = _actions([need(row, "action", where) for row, where in zip(rows, places, strict=True)], places)
    columns = {layout.ACTION: action} | times.columns
    return PlainTable(
        path=path,
        features={name: column(values) for name, values in columns.items()} | {CAMERA: camera_of(files[0])},
        lengths=lengths,
        said=[text_of(row, "instruction", where) for row, where in zip(rows, places, strict=True)],
        read=lambda names: {name: columns[name] for name in names},
        show=lambda _, image, rows: frames_of(files, image, rows),
        files=[path / FILE, *sorted(set(files))],
        rate=times.rate,
        sources=sources,
        notes=times.notes,
    )


def _key(value: object, where: str) -> str:
    if not isinstance(value, str | int) or isinstance(value, bool):
        raise DataError(f"{where}: sequence_id is {value!r}, no name of an episode; mend it")
    return str(value)


def _actions(values: Sequence[object], places: Sequence[str]) -> np.ndarray:
    """[n, a]; int64 [n, 1] where every action is one whole number."""
    found = [flat(value, "action") for value in values]
    for numbers, where in zip(found, places, strict=True):
        if list(numbers) != ["action"]:
            raise DataError(f"{where}: action is neither a number nor a list of numbers; mend it")
    actions = stacked([numbers["action"] for numbers in found], "action", places)
    return whole(actions) if all(type(value) is int for value in values) else actions
