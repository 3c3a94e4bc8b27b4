"""HDF5 files of strangers, node by node: no link is followed out of a file, no bytes of another file are read, and nothing is
taken in that the file only claims to hold."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vla_train.errors import DataError, UsageError

MOST_HOPS = 8  # of soft links, one behind the other
LARGEST_RATIO = 2000  # claimed bytes for each stored one: deflate reaches 1032


@contextmanager
def opened(file: Path) -> Iterator[Any]:
    """The root of a file. UsageError where h5py is missing, DataError where the file is no HDF5."""
    try:
        import h5py
    except ModuleNotFoundError:
        raise UsageError("HDF5 files need the package h5py. Install it with: pip install 'vla-train[hdf5]'") from None
    try:
        root = h5py.File(file, "r")
    except OSError as error:
        raise DataError(f"{file} is no readable HDF5 file ({error}): it is torn or something else; fetch it again") from None
    with root, reading(file):
        yield root


@contextmanager
def reading(file: Path) -> Iterator[None]:
    """Whatever h5py raises at a damaged part of a file becomes a DataError."""
    try:
        yield
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        raise DataError(f"{file} cannot be read ({error}): it is torn or damaged; fetch it again") from None


def has(group: Any, name: str) -> bool:
    """Whether a group has a link of this name, wherever that leads."""
    if not isinstance(name, str):  # h5py gives bytes where a name is no text
        raise ValueError(f"the name {name!r} is no text")
    return bool(group.id.links.exists(name.encode()))


def child(group: Any, name: str, file: Path, hops: int = MOST_HOPS) -> Any:
    """What a group has under a name, reached by hard links and by soft ones within the file. DataError for anything else."""
    import h5py

    where = f"{file}, {f'{group.name}/{name}'.strip('/')}"
    if not isinstance(group, h5py.Group) or not has(group, name):
        raise DataError(f"{where} is missing; check dataset.path, or fetch the file again")
    kind = group.id.links.get_info(name.encode()).type  # group.get would follow the link before it tells
    if kind == h5py.h5l.TYPE_HARD:
        return group[name]
    target = group.id.links.get_val(name.encode()) if kind in (h5py.h5l.TYPE_SOFT, h5py.h5l.TYPE_EXTERNAL) else b""
    if kind != h5py.h5l.TYPE_SOFT:
        raise DataError(f"{where} is a link to another file {target!r}: it is not followed; put the data into this file")
    if not hops:
        raise DataError(f"{where} is a link that leads to links without end; put the data there")
    path = target.decode(errors="replace")
    node = group.file if path.startswith("/") else group
    for part in path.split("/"):
        node = node if part in ("", ".") else child(node, part, file, hops - 1)
    return node


def group(parent: Any, name: str, file: Path) -> Any:
    """A child that has children."""
    import h5py

    node = child(parent, name, file)
    if not isinstance(node, h5py.Group):
        raise DataError(f"{file}, {str(node.name).strip('/')} is no group: fetch or make the file again")
    return node


def shape_of(node: Any, where: str, kinds: str = "fiub") -> tuple[int, ...]:
    """The shape of a dataset that can be read: of these kinds of numbers, stored in this file, and as large as it says."""
    if not hasattr(node, "dtype") or node.dtype.kind not in kinds or not node.shape:
        raise DataError(f"{where} is no array of numbers: fetch or make the file again")
    if node.external or node.is_virtual:
        raise DataError(f"{where} takes its content from another file: it is not read; put the data into this file")
    stored, size = int(node.id.get_storage_size()), int(node.size) * node.dtype.itemsize
    if size > LARGEST_RATIO * stored:
        raise DataError(f"{where} says that it holds {list(node.shape)} numbers, but only {stored} bytes of it were written")
    return tuple(int(side) for side in node.shape)


def attribute(node: Any, name: str, file: Path) -> Any:
    """An attribute, None where there is none."""
    try:
        return node.attrs.get(name)
    except (OSError, TypeError, ValueError) as error:
        raise DataError(f"{file}: the attribute {name} of {node.name} cannot be read ({error}); fetch the file again") from None


def count(node: Any, name: str, file: Path) -> int | None:
    """An attribute that is a whole number, None where there is none."""
    value = attribute(node, name, file)
    try:
        return None if value is None else int(value)
    except (TypeError, ValueError, OverflowError):
        raise DataError(f"{file}: the attribute {name} of {node.name} is no number; fetch the file again") from None
