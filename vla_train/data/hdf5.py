"""HDF5 as robomimic and LIBERO write it: ``data/demo_0``, ``data/demo_1``, ... in one file, or in the files of a folder.

https://robomimic.github.io/docs/datasets/overview.html. The observations of ``obs`` are columns and cameras by their own names,
``actions`` is the column ``action``. LIBERO has a file for each task, and tells it in ``problem_info``.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from vla_train.data import lerobot_layout as layout
from vla_train.data.choice import Choice
from vla_train.data.hdf5_nodes import attribute, child, count, group, has, opened, reading, shape_of
from vla_train.data.json_rows import parsed
from vla_train.data.lerobot_layout import Feature
from vla_train.data.paths import refuse_links_out
from vla_train.data.plain_table import PlainTable, camera
from vla_train.data.windows import runs
from vla_train.errors import DataError
from vla_train.spec import ImageSpec

SUFFIXES = (".hdf5", ".h5")
BLOCK, BLOCK_BYTES = 64, 64_000_000  # read at once: at most so many frames, and (but for one frame) bytes
RATE = 20.0  # of robosuite's control, where env_args says nothing
# Columns that are called otherwise outside of ``obs``.
NAMES = {"actions": layout.ACTION, "rewards": layout.REWARD, "dones": layout.DONE}
STATES = (  # what policies are usually told: of LIBERO, of robomimic
    ("ee_pos", "ee_ori", "gripper_states"),
    ("robot0_eef_pos", "robot0_eef_quat", "robot0_gripper_qpos"),
)


@dataclass(frozen=True)
class Demo:
    """One demonstration: a group ``data/<name>`` of a file."""

    file: Path
    name: str
    length: int
    text: str

    def __str__(self) -> str:
        return f"{self.file.name}, data/{self.name}"


def recognises(path: Path) -> bool:
    return bool(_files(path))


def open_table(path: Path, choice: Choice) -> PlainTable:
    """The demonstrations of a file or a folder, or those of the filter key ``choice.mask``.

    UsageError without the extra ``hdf5``; DataError for a file that is none, and for links and storage outside of it.
    """
    files = _files(path)
    if not files:
        what = "there is no such file or folder" if not path.exists() else f"it holds no file *{' or *'.join(SUFFIXES)}"
        raise DataError(f"no HDF5 dataset at {path}: {what}; check dataset.path")
    if path.is_dir():
        refuse_links_out(path)
    demos: list[Demo] = []
    features: dict[str, Feature] = {}
    places: dict[str, tuple[str, ...]] = {}
    keys: list[str] = []  # of each demonstration the filter keys that list it
    rates: dict[float, Path] = {}  # the first file that tells each
    observed: dict[str, Demo] = {}  # the first demonstration that has each array of ``obs``
    for file in files:
        with opened(file) as root:
            data = group(root, "data", file)
            found = _demos(file, root, data, choice.mask)
            demos, keys = demos + found, keys + (_filter_keys(root, found, file) if choice.mask is None else [])
            if (told := _rate(data, file)) is not None:
                rates.setdefault(told, file)
            if not features and demos:
                features, places = _features(group(data, demos[0].name, file), demos[0])
            for demo in found:
                inside = group(data, demo.name, file)
                observed = dict.fromkeys(group(inside, "obs", file) if has(inside, "obs") else (), demo) | observed
    if len(rates) > 1:
        said = ", ".join(f"{rate:g} in {file.name}" for rate, file in rates.items())
        raise DataError(f"the files of {path} have other steps per second ({said}): give each rate a folder of its own")
    known = next((names for names in STATES if set(names) <= set(features)), None)
    return PlainTable(
        path=path,
        features=features,
        lengths=[demo.length for demo in demos],
        said=[demo.text for demo in demos],
        read=partial(_read, demos, places, features),
        show=partial(_show, demos, places),
        files=files,
        rate=next(iter(rates), RATE),
        sources=[str(demo) for demo in demos],
        facts=[{"mask": listed} for listed in keys] if any(keys) else (),
        notes=[*_notes(bool(rates), keys, places), *_late(observed, demos)],
        defaults={} if known is None else {"state": known},
    )


def _late(observed: Mapping[str, Demo], demos: Sequence[Demo]) -> list[str]:
    """What the first demonstration lacks is no column: only some have it."""
    late = {name: demo for name, demo in observed.items() if demo is not demos[0]}
    return [f"obs/{name} is not read: {demos[0]} lacks it, {demo} is the first that has it" for name, demo in late.items()]


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(file for file in path.iterdir() if file.suffix in SUFFIXES)
    return [path] if path.is_file() and path.suffix in SUFFIXES else []


def _demos(file: Path, root: Any, data: Any, mask: str | None) -> list[Demo]:
    names = sorted(data, key=lambda name: (int(re.sub(r"\D", "", name)[-18:] or 0), name))
    task = _json(attribute(data, "problem_info", file), f"problem_info of {file}").get("language_instruction", "")
    found = []
    for name in names:
        demo, where = group(data, name, file), f"{file}, data/{name}"
        length = shape_of(child(demo, "actions", file), where)[0]
        declared = count(demo, "num_samples", file)
        if declared is not None and declared != length:
            raise DataError(f"{where} says num_samples {declared}, but holds {length} actions: fetch or make it again")
        own = _json(attribute(demo, "ep_meta", file), f"ep_meta of {where}").get("lang", "")
        found.append(Demo(file, name, length, _words(own) or _words(task)))
    total, held = count(data, "total", file), sum(demo.length for demo in found)
    if total is not None and total != held:
        raise DataError(f"{file} says total {total}, but its demonstrations hold {held} frames: fetch or make it again")
    return found if mask is None else _masked(found, root, mask, file)


def _notes(rate_is_told: bool, keys: Sequence[str], places: Mapping[str, Sequence[str]]) -> list[str]:
    found = [] if rate_is_told else [f"its files tell no rate: {RATE:g} steps/s are assumed"]
    for name, place in places.items():
        if name != (usual := _usual(place)):
            found.append(f"two arrays would be called {usual}: {'/'.join(places[usual])} is, {'/'.join(place)} is called {name}")
    counted = Counter(name for listed in keys for name in listed.split(", ") if name)
    if counted:
        told = ", ".join(f"{name} ({count} of {len(keys)} demonstrations)" for name, count in counted.items())
        found.append(f"filter keys: {told}; dataset.mask={next(iter(counted))} takes those alone")
    return found


def _filter_keys(root: Any, demos: Sequence[Demo], file: Path) -> list[str]:
    """For each demonstration the filter keys that list it. What is wrong with one is told to who chooses it."""
    named: dict[str, set[str]] = {}
    for name in group(root, "mask", file) if has(root, "mask") else ():
        with suppress(DataError):
            named[name] = {demo.name for demo in _masked(demos, root, name, file)}
    return [", ".join(name for name, listed in named.items() if demo.name in listed) for demo in demos]


def _masked(demos: Sequence[Demo], root: Any, mask: str, file: Path) -> list[Demo]:
    """Those that a filter key names."""
    masks = group(root, "mask", file) if has(root, "mask") else {}
    if mask not in list(masks):
        raise DataError(f"{file} has no mask/{mask} (dataset.mask); it has {', '.join(masks) or 'none'}")
    listed = child(masks, mask, file)
    if shape_of(listed, f"{file}, mask/{mask}", kinds="SO")[0] > len(demos):
        raise DataError(f"{file}: mask/{mask} names more demonstrations than there are: fetch or make it again")
    names = {name.decode(errors="replace") if isinstance(name, bytes) else str(name) for name in listed[()].ravel()}
    if unknown := names - {demo.name for demo in demos}:
        raise DataError(f"{file}: mask/{mask} names {sorted(unknown)[0]!r}, which is not in data")
    return [demo for demo in demos if demo.name in names]


def _rate(data: Any, file: Path) -> float | None:
    """Steps per second, where a file tells."""
    settings = _json(attribute(data, "env_args", file), f"env_args of {file}").get("env_kwargs")
    found = settings.get("control_freq") if isinstance(settings, Mapping) else None
    return float(found) if isinstance(found, int | float) and 0 < found <= 1e6 else None


def _features(demo: Any, of: Demo) -> tuple[dict[str, Feature], dict[str, tuple[str, ...]]]:
    """Columns and cameras by name, and their places below the demonstration."""
    observed = group(demo, "obs", of.file) if has(demo, "obs") else {}
    own = sorted((name for name in demo if name not in ("obs", "next_obs")), key=lambda name: name not in NAMES)
    nodes = [(demo, name, (name,)) for name in own] + [(observed, name, ("obs", name)) for name in observed]
    features: dict[str, Feature] = {}
    places: dict[str, tuple[str, ...]] = {}
    for holder, name, place in nodes:
        node = child(holder, name, of.file)
        if not hasattr(node, "dtype") or node.dtype.kind not in "fiub" or not node.shape:
            continue
        known = _usual(place)
        while known in features:
            known = f"{'demo' if len(place) == 1 else 'obs'}.{known}"
        if (feature := _feature(name, node.dtype, node.shape[1:])) is not None:
            features[known], places[known] = feature, place
    return features, places


def _usual(place: Sequence[str]) -> str:
    """What an array is called that lies there, if the name is free: the usual ones come first, then a demonstration's others."""
    return NAMES.get(place[0], place[0]) if len(place) == 1 else place[1]


def _feature(name: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Feature | None:
    """The feature of one observation [t, *shape]; None for pictures too large and for nothing. What is neither a vector nor a
    picture nor a point cloud, as a pose [t, 4, 4], is declared as it is, and cannot be chosen."""
    depth = "depth" in name
    if len(shape) == 2 and depth:
        shape = (*shape, 1)
    if len(shape) == 3 and (dtype == np.uint8 or (depth and shape[2] == 1)):
        try:
            return camera(shape, depth=depth)
        except ValueError:
            return None
    return {"dtype": dtype.name, "shape": list(shape or (1,)), "names": None} if all(shape) else None


def _read(
    demos: Sequence[Demo], places: Mapping[str, tuple[str, ...]], features: Mapping[str, Feature], names: Sequence[str]
) -> dict[str, np.ndarray]:
    parts: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for demo, holder in _groups(demos):
        for name in parts:
            size = features[name]["shape"][0]
            fitting = [(demo.length, size), *([(demo.length,)] if size == 1 else [])]
            node = _node(holder, demo, places[name], fitting)
            with reading(demo.file):
                parts[name].append(node[()].reshape(demo.length, size))
    return {name: np.concatenate(arrays) for name, arrays in parts.items()}


def _show(
    demos: Sequence[Demo], places: Mapping[str, tuple[str, ...]], name: str, image: ImageSpec, rows: np.ndarray
) -> Iterator[np.ndarray]:
    wanted = (image.height, image.width, image.channels)
    ends = np.cumsum([demo.length for demo in demos])
    numbers, first = np.unique(np.searchsorted(ends, rows, side="right"), return_index=True)
    asked = np.split(rows, first[1:])
    for (demo, holder), end, own in zip(_groups([demos[number] for number in numbers]), ends[numbers], asked, strict=True):
        fitting = [(demo.length, *wanted), *([(demo.length, *wanted[:2])] if image.channels == 1 else [])]
        fitting = [(demo.length, image.height, image.channels)] if image.kind == "points" else fitting
        node = _node(holder, demo, places[name], fitting)
        if image.kind == "points" and node.dtype.kind != "f":
            raise DataError(f"{demo.file}, data/{demo.name}: {name} holds {node.dtype}, where clouds are floats; leave it out")
        if node.dtype != np.uint8 and image.kind not in ("depth", "points"):
            raise DataError(f"{demo.file}, data/{demo.name}: {name} holds {node.dtype}, where pictures are uint8; leave it out")
        for run in runs(own - (end - demo.length), max(1, min(BLOCK, BLOCK_BYTES // image.nbytes))):
            with reading(demo.file):
                block = node[run]
            yield from block.reshape(-1, *wanted)


def _groups(demos: Sequence[Demo]) -> Iterator[tuple[Demo, Any]]:
    """Every demonstration with its group; each file is opened once."""
    for file in dict.fromkeys(demo.file for demo in demos):
        with opened(file) as root:
            data = group(root, "data", file)
            for demo in demos:
                if demo.file == file:
                    yield demo, group(data, demo.name, file)


def _node(node: Any, demo: Demo, place: Sequence[str], fitting: Sequence[tuple[int, ...]]) -> Any:
    """An array of a demonstration. DataError where its shape is not one of ``fitting``."""
    where = f"{demo.file}, data/{demo.name}/{'/'.join(place)}"
    with reading(demo.file):
        for name in place:
            node = child(node, name, demo.file)
        shape = shape_of(node, where)
    if shape not in fitting:
        raise DataError(f"{where} is {list(shape)}, where {list(fitting[0])} is expected: fetch or make it again")
    return node


def _words(value: object) -> str:
    """A text; some files keep it as a list of letters, or in quotes."""
    text = "".join(map(str, value)) if isinstance(value, list) else value
    return text.strip().strip('"').strip() if isinstance(text, str) else ""


def _json(text: Any, where: str) -> dict[str, Any]:
    if text is None:
        return {}
    try:
        value = parsed(text.decode() if isinstance(text, bytes) else str(text))
    except (ValueError, RecursionError) as error:
        raise DataError(f"the {where} is not JSON ({error}): fetch or make it again") from None
    return value if isinstance(value, dict) else {}
