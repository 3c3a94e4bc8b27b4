"""A Table of formats that keep nothing in two places: columns and pictures as functions, one text for every frame."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vla_train.data.lerobot_info import LARGEST_SIDE, MOST_CHANNELS
from vla_train.data.lerobot_layout import Feature
from vla_train.data.recorded_times import RATE
from vla_train.data.records import episode_starts, files_fingerprint, place
from vla_train.data.table import Entry
from vla_train.errors import DataError
from vla_train.spec import ImageSpec, Spec


@dataclass
class PlainTable:
    """``read(names)`` gives columns [n, size], ``show(camera, image, rows)`` frames of a camera at rows in ascending order.

    ``said`` is the text of every frame or, where there are as many as episodes, of every episode; ``files`` are those whose
    content is the dataset.
    """

    path: Path
    features: Mapping[str, Feature]
    lengths: Sequence[int]
    said: Sequence[str]
    read: Callable[[Sequence[str]], dict[str, np.ndarray]]
    show: Callable[[str, ImageSpec, np.ndarray], Iterator[np.ndarray]]
    files: Sequence[Path]
    rate: float = RATE
    sources: Sequence[str] = ()  # where each episode lies, for messages
    facts: Sequence[Mapping[str, Any]] = ()  # what else is known of each
    notes: Sequence[str] = ()
    defaults: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)
    noted: Spec | None = None
    starts: np.ndarray = field(init=False)
    texts: list[str] = field(init=False)
    instructions: list[str] = field(init=False)
    episodes: list[dict[str, Any]] = field(init=False)

    def __post_init__(self) -> None:
        if not self.lengths or min(self.lengths) < 1:
            raise DataError(f"the dataset at {self.path} has no episode with a frame: record at least one")
        starts = episode_starts(self.lengths)
        first = starts[:-1].tolist() if len(self.said) == starts[-1] else range(len(self.lengths))
        instructions = [self.said[row] for row in first]
        rows: list[dict[str, Any]] = [{"episode_index": i, "length": n} for i, n in enumerate(self.lengths)]
        for row, source in zip(rows, self.sources, strict=False):
            row["source"] = source
        for row, known in zip(rows, self.facts, strict=False):
            row |= known
        self.starts, self.texts, self.instructions = starts, list(dict.fromkeys(self.said)), instructions
        self.episodes = [row | {"tasks": [text]} for row, text in zip(rows, instructions, strict=True)]

    def fingerprint(self) -> str:
        home = self.path if self.path.is_dir() else self.path.parent
        return files_fingerprint(home, self.files)

    def source(self, row: int) -> str:
        episode = int(np.searchsorted(self.starts, row, side="right")) - 1
        return self.sources[episode] if self.sources else self.files[0].name

    def has_files(self, name: str) -> bool:
        return True

    def entries(self, name: str) -> list[Entry]:
        return [(name, index) for index in range(self.features[name]["shape"][0])]

    def numbers(self, names: Sequence[str]) -> dict[str, np.ndarray]:
        return self.read(names)

    def text(self) -> np.ndarray:
        places = {text: index for index, text in enumerate(self.texts)}
        found = np.array([places[text] for text in self.said], dtype=np.int64)
        return found if len(found) == self.starts[-1] else np.repeat(found, np.diff(self.starts))

    def check(self) -> None:
        """All has been compared when it was opened."""

    def torn(self, name: str) -> dict[int, str]:
        return {}

    def pictures(self, name: str, image: ImageSpec, rows: np.ndarray | None = None) -> Iterator[np.ndarray]:
        return self.show(name, image, np.arange(self.starts[-1]) if rows is None else rows)


def column(values: np.ndarray) -> Feature:
    """The feature of a column [n, size]."""
    return {"dtype": values.dtype.name, "shape": [values.shape[1]], "names": None}


def camera(shape: Sequence[int], *, depth: bool = False) -> Feature:
    """The feature of a camera whose frames are [y, x, c]. ValueError for a shape that no camera has."""
    if len(shape) != 3 or min(shape) < 1 or max(shape) > LARGEST_SIDE or shape[2] > MOST_CHANNELS or math.prod(shape) > 2**30:
        raise ValueError(f"pictures of {list(shape)}, where [height, width, at most {MOST_CHANNELS} channels] is read")
    return {"dtype": "image", "shape": list(shape), "names": ["height", "width", "channels"], "is_depth_map": depth}


def at(row: int, starts: np.ndarray, sources: Sequence[str]) -> str:
    """A row in words, with what its episode is called on disk."""
    episode = int(np.searchsorted(starts, row, side="right")) - 1
    return f"{place(row, starts)}" + (f" ({sources[episode]})" if sources else "")
