"""LeRobotDataset: which version lies in a folder, and its table."""

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from vla_train.data import lerobot_layout as layout
from vla_train.data import lerobot_v3, lerobot_v21
from vla_train.data.choice import Choice
from vla_train.data.lerobot_info import read_info
from vla_train.data.lerobot_paths import FOLDERS
from vla_train.data.lerobot_table import LeRobotTable, Parts
from vla_train.data.paths import refuse_links_out
from vla_train.errors import DataError

# ``left_out(count)``: the numbers of the episodes, of so many, of which nothing is read.
VERSIONS: dict[str, Callable[[Path, dict[str, Any], Callable[[int], Collection[int]]], Parts]] = {
    "v3.0": lerobot_v3.parts_of,
    "v2.1": lerobot_v21.parts_of,
    "v2.0": lerobot_v21.parts_of,  # which keeps only its statistics elsewhere
}


def recognises(path: Path) -> bool:
    return (path / layout.INFO).is_file()


def open_table(path: Path, choice: Choice) -> LeRobotTable:
    """The table of a dataset of any of ``VERSIONS``. DataError if there is none."""
    refuse_links_out(path, ("meta", *FOLDERS))
    info = read_info(path)
    return LeRobotTable(path, VERSIONS[version_of(path, info)](path, info, choice.left_out))


def version_of(path: Path, info: Mapping[str, Any]) -> str:
    """That of the format. DataError for one that is not read."""
    version = str(info["codebase_version"])
    if version not in VERSIONS:
        raise DataError(f"the dataset at {path} is LeRobot {version}; this program reads {', '.join(VERSIONS)}")
    return version
