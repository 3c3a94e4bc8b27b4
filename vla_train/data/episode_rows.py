"""Files of ``meta/episodes`` that can be read as one table: each has every column, of the same type, in the same order.

LeRobot (through ``datasets``) takes the columns of the first file for those of all, and fails at a file with others. What
different writers note of their episodes differs, so what came later is added to the files that were there.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq


def episode_table(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """A row for each episode, with whatever was noted of any of them. Where episodes noted things of different types under one
    name, or objects, all are JSON text."""
    names = dict.fromkeys(name for row in rows for name in row)
    return pa.table({name: _column([row.get(name) for row in rows]) for name in names})


def common_schema(schemas: Sequence[pa.Schema]) -> pa.Schema:
    """Every column of these files, those of the first one first. One that has no values yet has the type of the others, whole
    numbers are taken among fractions, and what has no type in common becomes text."""
    found: dict[str, pa.DataType] = {}
    for schema in schemas:
        for field in schema:
            found[field.name] = _common_type(found.get(field.name, field.type), field.type)
    return pa.schema(list(found.items()))


def conformed(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table with all columns of a ``common_schema`` of its own; those that it lacks are empty."""
    columns = [
        _cast(table[field.name], field.type) if field.name in table.schema.names else pa.nulls(len(table), field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema)


def schema_of(path: Path) -> pa.Schema:
    """Without what other programs noted in the file about its columns, which may be others soon."""
    return pa.schema([(field.name, _plain(field.type)) for field in pq.read_schema(path)])


def _plain(kind: pa.DataType) -> pa.DataType:
    """A type as we write it, of those that hold the same: parquet gives the items of lists another name than Arrow."""
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return pa.list_(_plain(kind.value_type))
    return pa.string() if pa.types.is_large_string(kind) else kind


def _common_type(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    if one.equals(other) or pa.types.is_null(other):
        return one
    if pa.types.is_null(one):
        return other
    kinds = (one, other)
    if all(pa.types.is_integer(kind) or pa.types.is_floating(kind) for kind in kinds):
        return pa.float64() if any(map(pa.types.is_floating, kinds)) else pa.int64()
    return pa.list_(_common_type(one.value_type, other.value_type)) if all(map(pa.types.is_list, kinds)) else pa.string()


def _cast(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray | pa.Array:
    if pa.types.is_string(kind) and not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return pa.array([None if value is None else json.dumps(value) for value in column.to_pylist()], kind)
    return column.cast(kind, safe=False)


def _column(values: list[Any]) -> pa.Array:
    try:
        if not any(isinstance(value, dict) for value in values):
            return pa.array(values)
    except (pa.ArrowException, OverflowError):
        """No one type holds them all."""
    return pa.array([None if value is None else json.dumps(value) for value in values], pa.string())
