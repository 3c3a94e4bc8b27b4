"""Point clouds as one more camera: tables of floats [points, channels] for each step, of which nothing is left out or made up."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vla_train.data.records import damaged, leave_out_hint, place
from vla_train.data.table import Table
from vla_train.errors import DataError


def unpacked(column: pa.Array, shape: Sequence[int]) -> np.ndarray:
    """The clouds [m, points, channels] of a parquet column, of lists of lists or of points side by side in one list.

    They end before the first row that holds no numbers of this ``shape`` (points, channels). ValueError where the column has
    something else than numbers.
    """
    values = column.storage if isinstance(column, pa.ExtensionArray) else column
    nested = _is_list(values.type) and _is_list(values.type.value_type)
    each = 1  # parts of a cloud at this depth
    for size in shape if nested else [math.prod(shape)]:
        if not _is_list(values.type):
            break
        lengths = np.asarray(pc.fill_null(pc.list_value_length(values), -1))
        if (wrong := np.flatnonzero(lengths != size)).size:
            return unpacked(column[: wrong[0] // each], shape)
        values, each = pc.list_flatten(values), each * size
    if not pa.types.is_floating(values.type):
        raise ValueError(f"holds {column.type}, not lists of floats")
    if values.null_count:
        return unpacked(column[: np.flatnonzero(np.asarray(values.is_null()))[0] // each], shape)
    return np.asarray(values).reshape(len(column), *shape)


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def not_finite(name: str, cloud: np.ndarray, row: int, table: Table) -> DataError | None:
    """The error for a cloud [points, ...] of the frame ``row`` that has a number which is none; None where all are."""
    finite = np.isfinite(cloud)
    if finite.all():
        return None
    at = np.argwhere(~finite)[0]
    episode = int(np.searchsorted(table.starts, row, side="right")) - 1
    return DataError(
        f"{name!r} has {cloud[tuple(at)]} in point {at[0]} at {place(row, table.starts)} of {table.path} ({table.source(row)}): "
        f"every number of a point cloud must be finite; put points that are there in its place, or {leave_out_hint(episode)}"
    )


def checked(name: str, frames: Iterator[np.ndarray], rows: Iterator[int], table: Table) -> Iterator[np.ndarray]:
    """The clouds as float32, each of the frame that ``rows`` says. DataError at one that has NaN, or more than float32 holds."""
    for frame, row in zip(frames, rows, strict=False):
        with np.errstate(over="ignore"):
            cloud = frame.astype(np.float32, copy=False)
        if error := not_finite(name, cloud, row, table):
            raise error
        yield cloud


def wrong_size(table: Table, name: str, shape: Sequence[int], row: int) -> DataError:
    """The error for a frame that holds no cloud as is declared."""
    where = f"{place(row, table.starts)} ({table.source(row)})"
    return damaged(table.path, f"{name!r} has {shape[0]} points of {shape[1]} numbers, says info.json, but not at {where}")
