"""The door to recorded data: finds out which format a path has, and gives the reader for it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vla_train.data import collector, hdf5, image_folder, lerobot, tensor_file
from vla_train.data.choice import Choice
from vla_train.data.records import Columns, DatasetMetadata, Reader
from vla_train.data.selection import Selection
from vla_train.data.table import Table
from vla_train.data.table_reader import TableReader

__all__ = ["FORMATS", "Columns", "DatasetMetadata", "Reader", "open_reader", "open_table", "read_metadata"]


@dataclass(frozen=True)
class Format:
    """``recognises`` looks at names only; ``open`` reads the table and says what is wrong with it."""

    recognises: Callable[[Path], bool]
    open: Callable[[Path, Choice], Table]


FORMATS: dict[str, Format] = {
    "lerobot": Format(lerobot.recognises, lerobot.open_table),
    "hdf5": Format(hdf5.recognises, hdf5.open_table),
    "image_folder": Format(image_folder.recognises, image_folder.open_table),
    "tensors": Format(tensor_file.recognises, tensor_file.open_table),
    "collector": Format(collector.recognises, collector.open_table),
}


def open_reader(path: Path, choice: Choice | None = None, kind: str | None = None) -> TableReader:
    """The reader of the dataset at a path, of the format ``kind`` or whichever of ``FORMATS`` recognises it.

    DataError if there is none, or none that is known here.
    """
    found = kind or next((name for name, known in FORMATS.items() if known.recognises(path)), "lerobot")
    chosen = choice or Choice()
    return TableReader(open_table(path, found, chosen), chosen)


def open_table(path: Path, kind: str, choice: Choice) -> Table:
    """The table of a format, without the episodes that are left out."""
    table = FORMATS[kind].open(path, choice)
    return Selection(table, choice.exclude) if choice.exclude else table


def read_metadata(path: Path) -> DatasetMetadata:
    """Spec, instructions and facts of the episodes, without reading a frame."""
    return open_reader(path).metadata
