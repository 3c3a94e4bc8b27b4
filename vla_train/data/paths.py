"""No path leads out of a dataset's folder: neither one that its files name, nor a link that lies there, nor a camera's name."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from vla_train.errors import DataError

LONGEST_PLAIN = 200  # bytes of a column or camera: room for what is put behind its name
LONGEST_NAME, LONGEST_PATH = 255, 2000  # bytes: with longer ones a system does not even look whether there is such a file


def stays_inside(relative: str) -> bool:
    """Whether a path that a stranger's file names is relative and climbs nowhere, and can be that of a file; links are another
    matter."""
    path = PurePosixPath(relative)
    climbs = path.is_absolute() or ".." in path.parts
    fits = _bytes(relative) <= LONGEST_PATH and all(_bytes(part) <= LONGEST_NAME for part in path.parts)
    return bool(path.parts) and fits and not climbs and not any(sign in relative for sign in ("\\", "\0", ":"))


def _bytes(text: str) -> int:
    return len(text.encode(errors="replace"))


def is_plain(name: str) -> bool:
    """Whether the name of a column or a camera can be that of a file or a folder, and leads nowhere."""
    fits = name.isprintable() and _bytes(name) <= LONGEST_PLAIN
    return fits and name not in ("", ".", "..") and not any(sign in name for sign in ("/", "\\"))


def refuse_names_out(names: Iterable[str], folder: Path) -> None:
    """Raise DataError at the first name of a column or a camera that is not plain: files are called by them."""
    for name in names:
        if not is_plain(name):
            raise DataError(
                f"the dataset at {folder} has a column or camera called {name[:LONGEST_PLAIN]!r}: a name must be printable, "
                f"without '/' or '\\', not '.' or '..', and no longer than {LONGEST_PLAIN} bytes; rename it there"
            )


def refuse_links_out(folder: Path, parts: Sequence[str] = (".",)) -> None:
    """Raise DataError at the first link below these parts of a folder that leads out of it. The folder may be a link itself."""
    home = folder.resolve()
    for part in parts:
        top = folder / part
        for path in (top, *_below(top)):
            if path.is_symlink() and not (led := _end_of(path)).is_relative_to(home):
                raise DataError(
                    f"{path} is a link to {led}, outside of the dataset at {folder}: put the file itself there (a "
                    "download of the Hugging Face hub into a folder of its own, local_dir, has no links)"
                )


def _end_of(link: Path) -> Path:
    """Where a link leads; of one that leads to itself what is written in it."""
    try:
        return link.resolve()
    except (OSError, RuntimeError):
        return link.readlink()


def _below(top: Path) -> list[Path]:
    """Everything below a folder, links themselves and not what they lead to."""
    return [Path(root, name) for root, folders, files in os.walk(top) for name in (*folders, *files)]
