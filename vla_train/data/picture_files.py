"""Pictures that lie in a folder, one file for each frame."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from vla_train.data.images import decode, decoded
from vla_train.data.lerobot_layout import Feature
from vla_train.data.paths import stays_inside
from vla_train.data.plain_table import camera
from vla_train.errors import DataError
from vla_train.spec import ImageSpec

SHOWN = 200  # letters of a path in a message


def picture(folder: Path, relative: str, where: str) -> Path:
    """A picture that a file of the dataset names. DataError where it is missing, or would lie outside of the folder."""
    if not stays_inside(relative):
        raise DataError(f"{where} names the picture {relative[:SHOWN]!r}, which is no path inside of {folder}; mend it")
    path = folder / relative
    if not path.is_file():
        raise DataError(f"{where} names the picture {relative[:SHOWN]!r}, which is not there; fetch it, or take that row out")
    return path


def camera_of(path: Path, *, depth: bool = False) -> Feature:
    """The feature of the camera that took a picture."""
    try:
        return camera(decoded(_bytes(path)).shape, depth=depth)
    except ValueError as error:
        raise DataError(f"{path} cannot be read: {error}; fetch or make it again") from None


def frames_of(paths: Sequence[Path], image: ImageSpec, rows: np.ndarray) -> Iterator[np.ndarray]:
    """The pictures at these places. DataError names the file of one that is another, or none."""
    for path in (paths[row] for row in rows.tolist()):
        try:
            yield decode(_bytes(path), image)
        except ValueError as error:
            raise DataError(f"{path} cannot be read: {error}; fetch or make it again") from None


def _bytes(path: Path) -> np.ndarray:
    try:
        return np.frombuffer(path.read_bytes(), dtype=np.uint8)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error}); fetch or make it again") from None
