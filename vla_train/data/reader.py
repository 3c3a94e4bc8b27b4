"""The door to recorded data: finds out which format a folder has, and gives the reader for it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from vla_train.data import lerobot_v3, lerobot_v21
from vla_train.data.choice import Choice
from vla_train.data.lerobot_info import read_info
from vla_train.data.lerobot_reader import LeRobotReader, Parts
from vla_train.data.records import Columns, DatasetMetadata, Reader
from vla_train.errors import DataError

__all__ = ["Columns", "DatasetMetadata", "Reader", "open_reader", "read_metadata"]

LEROBOT_VERSIONS: dict[str, Callable[[Path, dict[str, Any]], Parts]] = {
    "v3.0": lerobot_v3.parts_of,
    "v2.1": lerobot_v21.parts_of,
    "v2.0": lerobot_v21.parts_of,  # its statistics lie elsewhere, and are not read here
}


def open_reader(folder: Path, choice: Choice | None = None) -> LeRobotReader:
    """The reader of the dataset in a folder. DataError if there is none, or none that is known here."""
    info = read_info(folder)
    version = str(info["codebase_version"])
    if version not in LEROBOT_VERSIONS:
        raise DataError(f"the dataset at {folder} is LeRobot {version}; this program reads {', '.join(LEROBOT_VERSIONS)}")
    return LeRobotReader(folder, LEROBOT_VERSIONS[version](folder, info), choice or Choice())


def read_metadata(folder: Path) -> DatasetMetadata:
    """Spec, instructions and facts of the episodes, without reading a frame."""
    return open_reader(folder).metadata
