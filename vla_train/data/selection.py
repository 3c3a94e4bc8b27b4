"""A dataset without some of its episodes, as if they had no frames: the others keep their numbers."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vla_train.data.lerobot_layout import Feature
from vla_train.data.records import episode_starts
from vla_train.data.table import Entry, Table
from vla_train.errors import DataError
from vla_train.spec import ImageSpec, Spec


class Selection:
    """The Table of what is left of ``whole``. Of episodes that are left out nothing is checked that can be left unread.

    DataError where there is no such episode, or none is left.
    """

    def __init__(self, whole: Table, left_out: Collection[int]):
        lengths = np.diff(whole.starts)
        if outside := [episode for episode in left_out if not 0 <= episode < len(lengths)]:
            raise DataError(f"there is no episode {outside[0]} in {whole.path}, which has the episodes 0 to {len(lengths) - 1}")
        self.whole, self.kept = whole, ~np.isin(np.arange(len(lengths)), list(left_out))
        if not self.kept.any():
            raise DataError(f"all {len(lengths)} episodes of {whole.path} are left out: leave some in")
        self.starts = episode_starts(lengths * self.kept)
        self._rows = np.flatnonzero(np.repeat(self.kept, lengths))
        said = whole.text()[self._rows]
        used, self._text = np.unique(said, return_inverse=True)
        self.texts = [whole.texts[index] for index in used]
        first = whole.instructions[int(np.argmax(self.kept))]  # for those that nobody asks for, who may have none
        self.instructions = [text if kept else first for text, kept in zip(whole.instructions, self.kept, strict=True)]
        self.path: Path = whole.path
        self.features: Mapping[str, Feature] = whole.features
        self.rate: float = whole.rate
        self.episodes: list[dict[str, Any]] = whole.episodes
        self.defaults: Mapping[str, tuple[str, ...]] = whole.defaults
        self.aliases: Mapping[str, str] = whole.aliases
        self.noted: Spec | None = whole.noted
        self.notes: Sequence[str] = whole.notes

    def fingerprint(self) -> str:
        return self.whole.fingerprint()

    def source(self, row: int) -> str:
        return self.whole.source(int(self._rows[row]))

    def has_files(self, name: str) -> bool:
        return self.whole.has_files(name)

    def entries(self, name: str) -> list[Entry]:
        return self.whole.entries(name)

    def numbers(self, names: Sequence[str]) -> dict[str, np.ndarray]:
        return {name: values[self._rows] for name, values in self.whole.numbers(names).items()}

    def text(self) -> np.ndarray:
        return np.asarray(self._text, dtype=np.int64)

    def check(self) -> None:
        self.whole.check()

    def torn(self, name: str) -> dict[int, str]:
        return {episode: what for episode, what in self.whole.torn(name).items() if self.kept[episode]}

    def pictures(self, name: str, image: ImageSpec, rows: np.ndarray | None = None) -> Iterator[np.ndarray]:
        return self.whole.pictures(name, image, self._rows if rows is None else self._rows[rows])
