"""A folder of parquet files read as one table, column by column, with checks. Shared by the readers of LeRobot formats."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vla_train.errors import DataError


class ParquetTables:
    """The files in the order of their names. Opening reads the footers only; DataError names a file that cannot be read."""

    def __init__(self, folder: Path, pattern: str):
        self.files = sorted(folder.glob(pattern))
        if not self.files:
            raise DataError(f"the dataset at {folder} is not complete: it has no file {pattern}; fetch or make it again")
        self._open = [_parquet_file(path) for path in self.files]
        self.num_rows = sum(file.metadata.num_rows for file in self._open)
        self.names: set[str] = set.intersection(*(set(file.schema_arrow.names) for file in self._open))

    def numbers(self, name: str, size: int) -> np.ndarray:
        """One numeric column as [n, size], from scalars or lists. DataError where a row is missing or has another size."""
        parts = [_matrix(column, size, name, path) for column, path in zip(self._columns(name), self.files, strict=True)]
        return np.concatenate(parts)

    def rows(self, leave_out: Sequence[str] = ()) -> list[dict[str, Any]]:
        """The rows as dicts, without the columns whose names begin so."""
        names = [name for name in self._open[0].schema_arrow.names if not name.startswith(tuple(leave_out))]
        return [row for path, file in zip(self.files, self._open, strict=True) for row in _read(file, path, names).to_pylist()]

    def batches(self, names: Sequence[str], size: int) -> Iterator[pa.RecordBatch]:
        """Blocks of at most ``size`` rows, in order, never the whole file in memory."""
        for path, file in zip(self.files, self._open, strict=True):
            try:
                yield from file.iter_batches(batch_size=size, columns=list(names))
            except (pa.ArrowException, OSError) as error:
                raise _unreadable(path, error) from None

    def _columns(self, name: str) -> Iterator[pa.ChunkedArray]:
        for path, file in zip(self.files, self._open, strict=True):
            if name not in file.schema_arrow.names:
                raise DataError(
                    f"{path} has no column {name!r} (it has {sorted(file.schema_arrow.names)}); fetch or make it again"
                )
            yield _read(file, path, [name])[name]


def _parquet_file(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path, memory_map=True)
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, error) from None


def _read(file: pq.ParquetFile, path: Path, names: list[str]) -> pa.Table:
    try:
        return file.read(columns=names, use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> DataError:
    return DataError(f"{path} is no readable parquet file ({error}): it is torn or damaged; fetch or make the dataset again")


def _matrix(column: pa.ChunkedArray, size: int, name: str, path: Path) -> np.ndarray:
    kind = column.type
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    flat = pc.list_flatten(column) if is_list else column
    number = flat.type
    if not (pa.types.is_integer(number) or pa.types.is_floating(number) or pa.types.is_boolean(number)):
        raise DataError(f"{path}: column {name!r} holds {kind}, not numbers; give info.json and files that agree")
    lengths = pc.list_value_length(column) if is_list else None
    fits = size == 1 if lengths is None else pc.all(pc.equal(lengths, size)).as_py() is not False
    if column.null_count or not fits or len(flat) != len(column) * size:
        raise DataError(f"{path}: column {name!r} does not hold {size} numbers in every row, as info.json says")
    return np.asarray(flat.to_numpy()).reshape(len(column), size)
