"""The door to recorded data: finds out which format a folder has, and gives the reader for it."""

from collections.abc import Callable
from pathlib import Path

from vla_train.data.lerobot_info import read_info
from vla_train.data.lerobot_v3 import LeRobotV3
from vla_train.data.records import Columns, DatasetMetadata, Reader
from vla_train.errors import DataError

__all__ = ["Columns", "DatasetMetadata", "Reader", "open_reader", "read_metadata"]

LEROBOT_VERSIONS: dict[str, Callable[[Path], Reader]] = {"v3.0": LeRobotV3}


def open_reader(folder: Path) -> Reader:
    """The reader of the dataset in a folder. DataError if there is none, or none that is known here."""
    version = read_info(folder)["codebase_version"]
    if version not in LEROBOT_VERSIONS:
        raise DataError(f"the dataset at {folder} is LeRobot {version}; this program reads {', '.join(LEROBOT_VERSIONS)}")
    return LEROBOT_VERSIONS[version](folder)


def read_metadata(folder: Path) -> DatasetMetadata:
    """Spec, instructions and facts of the episodes, without reading a frame."""
    return open_reader(folder).metadata
