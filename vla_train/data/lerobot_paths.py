"""Where a LeRobotDataset keeps its files. The patterns in info.json come from strangers: they are filled in by hand, and no
path leads out of the dataset's folder."""

import re
from pathlib import Path
from typing import Any

from vla_train.data import lerobot_layout as layout
from vla_train.data.paths import stays_inside
from vla_train.errors import DataError

FOLDERS = ("data", "videos")  # of frames: what is checked for links, and what a fingerprint is of
_FIELD = re.compile(r"\{(\w+)(?::0(\d)d)?\}")  # the only fields there are: {video_key}, {episode_index:06d}


def file_at(folder: Path, info: dict[str, Any], key: str, **values: str | int) -> Path:
    """The file that the pattern under ``key`` (data_path, video_path) names for ``values``. It need not exist."""
    pattern = info.get(key)

    def fill(field: re.Match[str]) -> str:
        if field[1] not in values:
            raise _wrong(folder, key, pattern)
        return str(values[field[1]]).zfill(int(field[2] or 0))

    if not isinstance(pattern, str):
        raise _wrong(folder, key, pattern)
    relative = _FIELD.sub(fill, pattern)
    if not stays_inside(relative) or not relative.startswith(tuple(f"{name}/" for name in FOLDERS)):
        raise _wrong(folder, key, pattern)
    return folder / relative


def _wrong(folder: Path, key: str, pattern: Any) -> DataError:
    return DataError(
        f"{folder / layout.INFO}: {key} is {repr(pattern)[:200]}, which names no file in data/ or videos/; fetch or make the "
        "dataset again"
    )
