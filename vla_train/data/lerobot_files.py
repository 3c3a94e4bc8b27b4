"""The data files of a LeRobotDataset v3.0 as they are written: episode after episode, a new file where one is full."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vla_train.data import lerobot_layout as layout

ROW_GROUP_BYTES = 8 << 20  # what a reader decodes at once
SMALL_BYTES = 2 << 20  # up to which a file is written anew with each episode that comes to it
PARTIAL = ".partial"  # behind the name of a file that is not whole yet


class DataFiles:
    """An episode lies whole in one file; a file ends with the episode that fills ``megabytes``, and has its name from then on, or
    from the first ``save``.

    ``first`` is the number of the first file.
    """

    def __init__(self, folder: Path, features: Mapping[str, layout.Feature], megabytes: int | float, first: int = 0):
        self._folder, self._megabytes = folder, megabytes
        columns = layout.stored_in_parquet(features)
        self._schema = pa.schema([(name, layout.arrow_type(feature)) for name, feature in columns.items()])
        self._writer: pq.ParquetWriter | None = None
        self._sink: Any = None
        self._begun = False  # the last file may grow
        self._pending: list[pa.RecordBatch] = []  # of it what the writer was not given
        self._pending_bytes = 0  # counted as they come: asking a batch again and again takes longer than making it
        self.num_files = first

    def add(self, columns: Mapping[str, np.ndarray | Sequence[bytes]]) -> int:
        """Queue one episode, a column of t rows for each feature (of an image its bytes, of a cloud
        [t, points, channels]), and return the number of its file."""
        written = self._sink.tell() if self._writer is not None else 0
        if self._begun and written + self._pending_bytes >= self._megabytes * 2**20:
            self.close()
        if not self._begun:
            self._begun, self.num_files = True, self.num_files + 1
        arrays = [_array(columns[field.name], field.type) for field in self._schema]
        batch = pa.RecordBatch.from_arrays(arrays, schema=self._schema)
        self._pending.append(batch)
        self._pending_bytes += batch.nbytes
        if self._pending_bytes >= ROW_GROUP_BYTES:
            self._flush()
        return self.num_files - 1

    def save(self) -> None:
        """Have all episodes in whole files. One that is small yet is written anew when the next episode comes to it."""
        if self._writer is not None or self._pending_bytes >= SMALL_BYTES:
            self.close()
        elif self._pending:
            kept, size = self._pending, self._pending_bytes
            self._flush()
            self._settle()
            self._pending, self._pending_bytes = kept, size

    def close(self) -> None:
        """Write what is queued, and the footer without which a parquet file cannot be read. The next episode begins another."""
        self._flush()
        self._settle()
        self._begun = False

    def _settle(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._sink.close()
            self._writer = self._sink = None
            settle(self._path(self.num_files - 1))

    def _path(self, number: int) -> Path:
        chunk, file = divmod(number, layout.CHUNK_SIZE)
        return self._folder / layout.DATA_PATH.format(chunk_index=chunk, file_index=file)

    def _flush(self) -> None:
        if not self._pending:
            return
        if self._writer is None:
            self._sink = begin(self._path(self.num_files - 1))
            plain = [field.name for field in self._schema if not _is_frames(field.type)]  # PNG bytes never repeat
            self._writer = pq.ParquetWriter(self._sink, self._schema, use_dictionary=plain)
        self._writer.write_table(pa.Table.from_batches(self._pending))
        self._pending, self._pending_bytes = [], 0


def partial_of(path: Path) -> Path:
    """Where a file lies until it is whole."""
    return path.with_name(path.name + PARTIAL)


def begin(path: Path) -> BinaryIO:
    """Open the file, still under its partial name, anew: a link that lies there is removed and never followed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial_of(path).unlink(missing_ok=True)
    return partial_of(path).open("xb")


def settle(path: Path) -> None:
    """The file is whole: have it on the disk, then give it its name."""
    handle = os.open(partial_of(path), os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
    partial_of(path).replace(path)


def _is_frames(kind: pa.DataType) -> bool:
    """Whether a column is of a camera: encoded pictures, or clouds as lists of lists."""
    return bool(pa.types.is_struct(kind) or (pa.types.is_list(kind) and pa.types.is_list(kind.value_type)))


def _array(values: np.ndarray | Sequence[bytes], kind: pa.DataType) -> pa.Array:
    if not isinstance(values, np.ndarray):
        return pa.StructArray.from_arrays(
            [pa.array(values, pa.binary()), pa.nulls(len(values), pa.string())], names=["bytes", "path"]
        )
    flat = pa.array(values.ravel())
    if _is_frames(kind):
        for size in reversed(values.shape[1:]):
            flat = pa.ListArray.from_arrays(pa.array(np.arange(0, len(flat) + 1, size), pa.int32()), flat)
        return flat
    return pa.FixedSizeListArray.from_arrays(flat, kind.list_size) if pa.types.is_fixed_size_list(kind) else flat
