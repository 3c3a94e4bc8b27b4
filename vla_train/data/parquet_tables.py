"""Parquet files read as one table, column by column, with checks. Shared by the readers of LeRobot formats."""

import threading
from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vla_train.errors import DataError

BYTES_KEPT = 128 * 2**20  # of pictures that are asked for here and there: others' row groups may be of any size


class SizesDiffer(DataError):  # noqa: N818 - says what is wrong, as the other errors do
    """A column whose rows do not all hold as many numbers as they should; ``sizes`` int64 [n] is what they hold."""

    def __init__(self, message: str, name: str, sizes: np.ndarray):
        super().__init__(message)
        self.name, self.sizes = name, sizes


class ParquetTables:
    """The files in the order given, and of their rows the first ``limit``. Opening reads their footers and keeps none open: there
    may be one for each episode. ``beyond``: file -> how many of its rows are among those, where it has more.

    DataError names a file that is missing or cannot be read.
    """

    def __init__(self, files: Sequence[Path], limit: int | None = None):
        self.files = list(files)
        footers = [_footer(path) for path in self.files]
        stored = np.array([length for length, _ in footers], dtype=np.int64)
        left = stored if limit is None else np.clip(limit - (np.cumsum(stored) - stored), 0, stored)
        self.lengths: list[int] = left.tolist()
        self.beyond = {path: n for path, n, had in zip(self.files, self.lengths, stored.tolist(), strict=True) if n < had}
        self.num_rows = sum(self.lengths)
        self.names: set[str] = set.intersection(*(names for _, names in footers))
        self._used: list[np.ndarray] | None = None  # of each file the rows that are not left out; None: all
        self._row_groups = _RowGroups()

    @classmethod
    def matching(cls, folder: Path, pattern: str, count: int | None = None, limit: int | None = None) -> "ParquetTables":
        """The files of a folder that match, in the order of their names; of these the first ``count``, if one is given."""
        files = sorted(folder.glob(pattern))[:count]
        if not files:
            raise DataError(f"the dataset at {folder} is not complete: it has no file {pattern}; fetch or make it again")
        return cls(files, limit)

    def numbers(self, sizes: Mapping[str, int]) -> dict[str, np.ndarray]:
        """Numeric columns as [n, size] each, from scalars or lists. SizesDiffer where a row holds another number of them."""
        parts: dict[str, list[np.ndarray]] = {name: [] for name in sizes}
        for number, path in enumerate(self.files):
            table = self._table(number, list(sizes))
            for name, size in sizes.items():
                parts[name].append(self._matrix(table[name], size, name, path))
        return {name: np.concatenate(arrays) for name, arrays in parts.items()}

    def rows(self, *, leave_out: Sequence[str] = (), only: Sequence[str] | None = None) -> list[dict[str, Any]]:
        """The rows as dicts: of the columns ``only``, or of all but those whose names begin with ``leave_out``."""
        found = []
        for path, length in zip(self.files, self.lengths, strict=True):
            with _opened(path) as file:
                names = file.schema_arrow.names if only is None else list(only)
                chosen = [name for name in names if not name.startswith(tuple(leave_out))]
                try:
                    found += _read(file, path, chosen)[:length].to_pylist()
                except UnicodeDecodeError as error:
                    raise _unreadable(path, error) from None
        return found

    def batches(self, names: Sequence[str], size: int) -> Iterator[pa.RecordBatch]:
        """Blocks of at most ``size`` rows, in order, never the whole file in memory; only where none is left out."""
        assert self._used is None, "chosen rows are asked for with ``at``"
        for path, left in zip(self.files, self.lengths, strict=True):
            with _opened(path) as file:
                try:
                    for batch in file.iter_batches(batch_size=size, columns=list(names)):
                        yield batch[:left]
                        left -= len(batch[:left])
                except (pa.ArrowException, OSError) as error:
                    raise _unreadable(path, error) from None

    def at(self, name: str, rows: np.ndarray) -> Iterator[pa.Array]:
        """A column at rows int64 [m] in ascending order, in parts. Whole row groups are read; the last few are kept."""
        ends = np.cumsum(self.lengths)
        if self._used is not None:
            first = ends - self.lengths
            rows = np.concatenate([own + start for own, start in zip(self._used, first, strict=True)])[rows]
        for file, own in _shared_out(ends, rows):
            own = own - (int(ends[file]) - self.lengths[file])
            path = self.files[file]
            with _opened(path) as opened:
                groups = [opened.metadata.row_group(index).num_rows for index in range(opened.metadata.num_row_groups)]
            bounds = np.cumsum(groups)
            for group, wanted in _shared_out(bounds, own):
                column = self._row_groups.get(path, group, name)
                yield column.take(pa.array(wanted - (int(bounds[group]) - groups[group]))).combine_chunks()

    def file_of(self, row: int) -> Path:
        """The file in which a row is, of those that are not left out."""
        counts = self.lengths if self._used is None else [len(rows) for rows in self._used]
        return self.files[int(np.searchsorted(np.cumsum(counts), row, side="right"))]

    def leave_out(self, episodes: Collection[int]) -> None:
        """From here on there are only the rows of other episodes, as the column ``episode_index`` says."""
        index = self.numbers({"episode_index": 1})["episode_index"][:, 0]
        kept = ~np.isin(index, list(episodes))
        self._used = [np.flatnonzero(part) for part in np.split(kept, np.cumsum(self.lengths)[:-1])]
        self.num_rows = int(kept.sum())

    def _table(self, number: int, names: list[str]) -> pa.Table:
        """Columns of a file, without what is left out."""
        path = self.files[number]
        with _opened(path) as file:
            table = _read(file, path, names)[: self.lengths[number]]
        return table if self._used is None else table.take(pa.array(self._used[number]))

    def _matrix(self, column: pa.ChunkedArray, size: int, name: str, path: Path) -> np.ndarray:
        kind = column.type
        is_list = _is_list(kind)
        flat = pc.list_flatten(column) if is_list else column
        number = flat.type
        if not (pa.types.is_integer(number) or pa.types.is_floating(number) or pa.types.is_boolean(number)):
            raise DataError(f"{path}: column {name!r} holds {kind}, not numbers; give info.json and files that agree")
        lengths = pc.list_value_length(column) if is_list else None
        fits = size == 1 if lengths is None else pc.all(pc.equal(lengths, size)).as_py() is not False
        if column.null_count or flat.null_count or not fits or len(flat) != len(column) * size:
            message = f"{path}: column {name!r} does not hold {size} numbers in every row, as info.json says"
            raise SizesDiffer(message, name, self._sizes(name))
        return np.asarray(flat.to_numpy()).reshape(len(column), size)

    def _sizes(self, name: str) -> np.ndarray:
        """How many numbers each row of a column holds, int64 [n]; 0 for a missing one."""
        parts = []
        for number in range(len(self.files)):
            column = self._table(number, [name])[name]
            lengths = pc.list_value_length(column) if _is_list(column.type) else pc.cast(pc.is_valid(column), pa.int64())
            parts.append(np.asarray(pc.fill_null(lengths, 0).to_numpy(), dtype=np.int64))
        return np.concatenate(parts)


def _shared_out(ends: np.ndarray, rows: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Ascending rows by the part that they are of, where part i ends at ``ends[i]``."""
    parts, first = np.unique(np.searchsorted(ends, rows, side="right"), return_index=True)
    yield from zip(parts.tolist(), np.split(rows, first[1:]), strict=True)


class _RowGroups:
    """Columns of row groups that were read last, up to ``BYTES_KEPT`` of them (but at least one). Threads may ask at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[Path, int, str], pa.ChunkedArray] = OrderedDict()

    def get(self, path: Path, group: int, name: str) -> pa.ChunkedArray:
        key = (path, group, name)
        with self._lock:
            found = self._kept.pop(key, None)
        found = _row_group(*key) if found is None else found
        with self._lock:
            self._kept[key] = found
            while len(self._kept) > 1 and sum(column.nbytes for column in self._kept.values()) > BYTES_KEPT:
                self._kept.popitem(last=False)
        return found


def _row_group(path: Path, group: int, name: str) -> pa.ChunkedArray:
    with _opened(path) as file:
        try:
            return file.read_row_group(group, columns=[name], use_threads=False)[name]
        except (pa.ArrowException, OSError) as error:
            raise _unreadable(path, error) from None


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _footer(path: Path) -> tuple[int, set[str]]:
    """How many rows a file has, and the names of its columns."""
    with _opened(path) as file:
        return file.metadata.num_rows, set(file.schema_arrow.names)


def _opened(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path, memory_map=True)
    except FileNotFoundError:
        raise DataError(f"the dataset is not complete: there is no {path}; fetch or make it again") from None
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, error) from None


def _read(file: pq.ParquetFile, path: Path, names: list[str]) -> pa.Table:
    if missing := [name for name in names if name not in file.schema_arrow.names]:
        others = len(file.schema_arrow.names)
        raise DataError(f"{path} has no column {missing[0]!r} (it has {others} others); fetch or make it again")
    try:
        return file.read(columns=names, use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> DataError:
    return DataError(f"{path} is no readable parquet file ({error}): it is torn or damaged; fetch or make the dataset again")
