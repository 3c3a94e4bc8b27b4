"""The data files of a LeRobotDataset v3.0 as they are written: episode after episode, a new file where one is full."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vla_train.data import lerobot_layout as layout
from vla_train.data.images import encode_png

ROW_GROUP_BYTES = 8 << 20  # what a reader decodes at once


class DataFiles:
    """An episode lies whole in one file; a file ends with the episode that fills ``megabytes``."""

    def __init__(self, folder: Path, features: Mapping[str, layout.Feature], megabytes: int | float):
        self._folder, self._megabytes = folder, megabytes
        self._schema = pa.schema([(name, layout.arrow_type(feature)) for name, feature in features.items()])
        self._writer: pq.ParquetWriter | None = None
        self._sink: Any = None
        self._pending: list[pa.RecordBatch] = []
        self._pending_bytes = 0  # counted as they come: asking a batch again and again takes longer than making it
        self._num_files = 0

    def add(self, columns: Mapping[str, np.ndarray]) -> int:
        """Queue one episode, a column of t rows for each feature, and return the number of the file it lies in."""
        if self._writer is not None and self._sink.tell() + self._pending_bytes >= self._megabytes * 2**20:
            self.close()
        if self._writer is None:
            self._open()
        arrays = [_array(columns[field.name], field.type) for field in self._schema]
        batch = pa.RecordBatch.from_arrays(arrays, schema=self._schema)
        self._pending.append(batch)
        self._pending_bytes += batch.nbytes
        if self._pending_bytes >= ROW_GROUP_BYTES:
            self._flush()
        return self._num_files - 1

    def close(self) -> None:
        """Write what is queued, and the footer without which a parquet file cannot be read."""
        self._flush()
        if self._writer is not None:
            self._writer.close()
            self._sink.close()
            self._writer = self._sink = None

    def _open(self) -> None:
        chunk, file = divmod(self._num_files, layout.CHUNK_SIZE)
        path = self._folder / layout.DATA_PATH.format(chunk_index=chunk, file_index=file)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._sink = path.open("wb")
        plain = [name for name in self._schema.names if not name.startswith(layout.IMAGE)]  # PNG bytes never repeat
        self._writer = pq.ParquetWriter(self._sink, self._schema, use_dictionary=plain)
        self._num_files += 1

    def _flush(self) -> None:
        if self._writer is not None and self._pending:
            self._writer.write_table(pa.Table.from_batches(self._pending))
            self._pending = []
            self._pending_bytes = 0


def _array(values: np.ndarray, kind: pa.DataType) -> pa.Array:
    if pa.types.is_struct(kind):
        data = pa.array([encode_png(frame) for frame in values], pa.binary())
        return pa.StructArray.from_arrays([data, pa.nulls(len(values), pa.string())], names=["bytes", "path"])
    flat = pa.array(values.ravel())
    return pa.FixedSizeListArray.from_arrays(flat, kind.list_size) if pa.types.is_fixed_size_list(kind) else flat
