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
from vla_train.errors import DataError

__all__ = ["FORMATS", "Columns", "DatasetMetadata", "Reader", "open_reader", "open_table", "read_metadata"]


PARTS = ("meta", "data", "videos", "images")  # folders within a dataset's
MOST_LOOKED_AT = 100  # files and folders, for what may have been meant


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
    """The table of a format, without the episodes that are left out. What lies near a path at which there is none is told."""
    try:
        table = FORMATS[kind].open(path, choice)
    except DataError as error:
        if FORMATS[kind].recognises(path):
            raise
        raise DataError(f"{error}{nearby(path)}") from None
    left_out = choice.left_out(len(table.episodes))
    return Selection(table, left_out) if left_out else table


def nearby(path: Path) -> str:
    """Which dataset may have been meant, in a sentence; empty where none is near."""
    if found := next((name for name, known in FORMATS.items() if known.recognises(path)), None):
        return f". It looks like dataset={found}"
    inside = sorted(child for child in path.iterdir() if not child.name.startswith("."))[:MOST_LOOKED_AT] if path.is_dir() else []
    for candidate in [*inside, *([path.parent] if path.name in PARTS else [])]:
        if any(known.recognises(candidate) for known in FORMATS.values()):
            return f". Did you mean {candidate}?"
    return ""


def read_metadata(path: Path) -> DatasetMetadata:
    """Spec, instructions and facts of the episodes, without reading a frame."""
    return open_reader(path).metadata
