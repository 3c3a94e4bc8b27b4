"""The door to recorded data: finds out which format a path has, and gives the reader for it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vla_train.data import lerobot
from vla_train.data.choice import Choice
from vla_train.data.records import Columns, DatasetMetadata, Reader
from vla_train.data.table import Table
from vla_train.data.table_reader import TableReader

__all__ = ["FORMATS", "Columns", "DatasetMetadata", "Reader", "open_reader", "read_metadata"]


@dataclass(frozen=True)
class Format:
    """``recognises`` looks at names only; ``open`` reads the table and says what is wrong with it."""

    recognises: Callable[[Path], bool]
    open: Callable[[Path], Table]


FORMATS: dict[str, Format] = {
    "lerobot": Format(lerobot.recognises, lerobot.open_table),
}


def open_reader(path: Path, choice: Choice | None = None, kind: str | None = None) -> TableReader:
    """The reader of the dataset at a path, of the format ``kind`` or whichever of ``FORMATS`` recognises it.

    DataError if there is none, or none that is known here.
    """
    found = kind or next((name for name, known in FORMATS.items() if known.recognises(path)), "lerobot")
    return TableReader(FORMATS[found].open(path), choice or Choice())


def read_metadata(path: Path) -> DatasetMetadata:
    """Spec, instructions and facts of the episodes, without reading a frame."""
    return open_reader(path).metadata
