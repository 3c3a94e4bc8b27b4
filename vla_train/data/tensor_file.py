"""``<name>.safetensors`` and ``<name>.json``: what ``scripts/convert_tensor_file.py`` makes of a file of torch tensors.

Tensors: ``image`` or ``image.<camera>`` uint8 [n, y, x, c], ``state`` [n, s], ``actions`` [n, a], ``episode_indices`` int [n],
and point clouds under any name, float [n, points, channels].
The JSON has ``language``: a text for each episode or for each frame.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from vla_train.data import lerobot_layout as layout
from vla_train.data.choice import Choice
from vla_train.data.json_rows import parsed
from vla_train.data.lerobot_layout import Feature, is_cloud
from vla_train.data.paths import refuse_links_out
from vla_train.data.plain_table import PlainTable, camera
from vla_train.data.recorded_times import RATE
from vla_train.data.windows import runs
from vla_train.errors import DataError
from vla_train.spec import ImageSpec

SUFFIX, PICKLED = ".safetensors", (".pt", ".pth", ".pkl", ".pickle", ".bin")
BLOCK = 64  # frames read at once
NAMES = {"state": layout.STATE, "actions": layout.ACTION}
EPISODES = "episode_indices"
KINDS = {"BOOL": "bool", "BF": "float", "F": "float", "I": "int", "U": "uint"}  # of safetensors' types, by their beginning


def recognises(path: Path) -> bool:
    return (path.suffix in (SUFFIX, *PICKLED) and path.is_file()) or len(_files(path)) == 1


def open_table(path: Path, choice: Choice) -> PlainTable:
    """The episodes of a file, or of the only one in a folder. A pickled file is refused unread."""
    if path.suffix in PICKLED:
        raise DataError(
            f"{path} is pickled, and reading it could run what it holds: make {path.with_suffix(SUFFIX).name} of it with "
            f"python scripts/convert_tensor_file.py {path}"
        )
    files = _files(path)
    if len(files) != 1:
        raise DataError(f"no dataset at {path}: it needs one file *{SUFFIX} with a *.json beside it; check dataset.path")
    if path.is_dir():
        refuse_links_out(path)
    file = files[0]
    shapes = _shapes(file)
    if missing := [name for name in ("actions", EPISODES) if name not in shapes]:
        raise DataError(f"{file} has no tensor {missing[0]!r} (it has {', '.join(shapes)}); convert it again")
    frames = shapes["actions"][1][0] if shapes["actions"][1] else 0
    for name, (_, shape) in shapes.items():
        if not shape or shape[0] != frames:
            raise DataError(
                f"{file}: {name} is {list(shape)}, where {frames} frames are expected, as of actions; convert it again"
            )
    features = {NAMES.get(name, name): _feature(file, name, *shapes[name]) for name in shapes if name != EPISODES}
    lengths, numbers = _episodes(_array(file, EPISODES), file)
    return PlainTable(
        path=path,
        features=features,
        lengths=lengths,
        said=_language(file.with_suffix(".json"), numbers, frames),
        read=partial(_read, file, features),
        show=partial(_show, file),
        files=[file, file.with_suffix(".json")],
        rate=choice.rate or RATE,
        notes=() if choice.rate else (f"the file tells no rate: {RATE:g} steps/s are assumed (dataset.rate)",),
        aliases={name: name.partition(".")[2] for name in features if name.startswith("image.")},
    )


def _files(path: Path) -> list[Path]:
    files = sorted(path.glob(f"*{SUFFIX}")) if path.is_dir() else [path] if path.suffix == SUFFIX and path.is_file() else []
    return [file for file in files if file.with_suffix(".json").is_file()]


def _shapes(file: Path) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Type and shape of every tensor; the format itself sees to it that the file holds as much."""
    try:
        with safe_open(file, framework="np") as tensors:
            slices = {name: tensors.get_slice(name) for name in tensors.keys()}  # noqa: SIM118 - it is no dict
            return {name: (part.get_dtype(), tuple(part.get_shape())) for name, part in slices.items()}
    except (SafetensorError, OSError) as error:
        raise DataError(f"{file} is no readable safetensors file ({error}); convert it again") from None


def _feature(file: Path, name: str, dtype: str, shape: tuple[int, ...]) -> Feature:
    kind = next((kind for sign, kind in KINDS.items() if dtype.startswith(sign)), dtype)
    if name.partition(".")[0] == "image":
        try:
            return camera(shape[1:], depth="depth" in name)
        except ValueError as error:
            raise DataError(f"{file}: {name} has {error}; convert it again") from None
    if len(shape) == 3 and is_cloud(name, cloud := {"dtype": kind, "shape": list(shape[1:]), "names": None}):
        return cloud
    if len(shape) > 2:
        raise DataError(f"{file}: {name} is {list(shape)}, where [n, size] is read; convert it again")
    return {"dtype": kind, "shape": [shape[1] if len(shape) == 2 else 1], "names": None}


def _array(file: Path, name: str, rows: slice | None = None) -> np.ndarray:
    try:
        with safe_open(file, framework="np") as tensors:
            found: np.ndarray = tensors.get_slice(name)[rows] if rows else tensors.get_tensor(name)
            return found
    except (SafetensorError, OSError, TypeError) as error:
        raise DataError(f"{file}: {name} cannot be read ({error}); convert it again") from None


def _read(file: Path, features: Mapping[str, Feature], names: list[str]) -> dict[str, np.ndarray]:
    stored = {new: old for old, new in NAMES.items()}
    return {name: _array(file, stored.get(name, name)).reshape(-1, features[name]["shape"][0]) for name in names}


def _show(file: Path, name: str, image: ImageSpec, rows: np.ndarray) -> Iterator[np.ndarray]:
    for run in runs(rows, BLOCK):
        block = _array(file, name, run)
        if image.kind == "points":
            block = block[:, :, None]
        elif block.dtype != np.uint8 and image.kind != "depth":
            raise DataError(f"{file}: {name} is {block.dtype}, where pictures are uint8; convert it again")
        yield from block


def _episodes(indices: np.ndarray, file: Path) -> tuple[list[int], np.ndarray]:
    """How many frames each episode has, and its number [e]. DataError where the frames of one do not stand together."""
    flat = indices.ravel()
    if flat.dtype.kind not in "iu" or not len(flat):
        raise DataError(f"{file}: {EPISODES} holds no whole numbers; convert it again")
    edges = np.flatnonzero(np.diff(flat)) + 1
    names = flat[np.concatenate([[0], edges])]
    if len(np.unique(names)) != len(names):
        again = next(name for name in names if (names == name).sum() > 1)
        raise DataError(f"{file}: the frames of episode {again} ({EPISODES}) do not stand together; put them in order")
    return [int(length) for length in np.diff([0, *edges, len(flat)])], names


def _language(file: Path, numbers: np.ndarray, frames: int) -> list[str]:
    """The texts of the frames, or of the episodes as they stand in the file: the first one is of the lowest number."""
    try:
        content: Any = parsed(file.read_text(encoding="utf-8"))
        texts = content["language"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(f"{file} cannot be read ({error}); convert it again") from None
    if (
        not isinstance(texts, list)
        or len(texts) not in (len(numbers), frames)
        or not all(isinstance(text, str) for text in texts)
    ):
        raise DataError(f"{file}: language must be a list of texts, one for each of {len(numbers)} episodes or {frames} frames")
    return [texts[rank] for rank in numbers.argsort().argsort()] if len(texts) == len(numbers) else texts
