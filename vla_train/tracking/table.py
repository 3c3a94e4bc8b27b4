"""A run's metrics as two files: ``metrics.jsonl``, appended and flushed row by row, and ``metrics.csv`` for a spreadsheet."""

import csv
import io
import json
import math
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_Row = dict[str, int | float]


class MetricsTable:
    """Rows of numbers by step. Each step stands once: what is written for the last step again is merged into its row.

    The JSON lines are the record; the CSV is made from them, and made anew when a column appears.

    Args:
        resume_step: rows beyond it come from a course that was given up, and are dropped; None starts an empty table.
    """

    def __init__(self, folder: Path, resume_step: int | None = None):
        self._jsonl, self._csv = folder / "metrics.jsonl", folder / "metrics.csv"
        rows = [] if resume_step is None else [row for row in _read(self._jsonl) if row["step"] <= resume_step]
        self._last: _Row = {}
        self._columns: list[str] = []
        for row in rows:
            self._columns += [name for name in row if name not in self._columns]
        _replace(self._jsonl, "".join(_line(row) for row in rows[:-1]))
        _replace(self._csv, _csv_text(self._columns, rows[:-1], header=True))
        self._ends = (self._jsonl.stat().st_size, self._csv.stat().st_size)  # where the last step's row begins
        if rows:
            self._append(rows[-1])

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        """Add a row, or more columns to the last one. Raises ``ValueError`` for a step before the last."""
        before = self._last.get("step", step)
        if step < before:
            raise ValueError(f"step {step} comes after step {before}")
        if step > before or not self._last:
            self._ends = (_size(self._jsonl), _size(self._csv))
            self._last = {"step": step, "time": round(time.time(), 3)}
        self._append(self._last | dict(metrics))

    def _append(self, row: _Row) -> None:
        self._last = row
        _overwrite(self._jsonl, self._ends[0], _line(row))
        fresh = [name for name in row if name not in self._columns]
        if fresh:
            self._columns += fresh
            earlier = [other for other in _read(self._jsonl) if other["step"] < row["step"]]
            _replace(self._csv, _csv_text(self._columns, earlier, header=True))
            self._ends = (self._ends[0], self._csv.stat().st_size)
        _overwrite(self._csv, self._ends[1], _csv_text(self._columns, [row]))


def _read(path: Path) -> Iterator[_Row]:
    """The rows of a JSON lines file, up to a line that was cut off when its process was killed."""
    if not path.is_file():
        return
    with path.open(encoding="utf-8") as file:
        for line in file:
            try:
                row = json.loads(line)
            except ValueError:
                return
            yield {name: float(value) if isinstance(value, str) else value for name, value in row.items()}


def _line(row: _Row) -> str:
    """One JSON line. JSON knows no NaN or infinity: they are the strings that ``float`` takes."""
    values: dict[str, Any] = {name: value if math.isfinite(value) else repr(value) for name, value in row.items()}
    return json.dumps(values, allow_nan=False) + "\n"


def _csv_text(columns: list[str], rows: list[_Row], header: bool = False) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    if header and columns:
        writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _overwrite(path: Path, position: int, text: str) -> None:
    """Put text at the end of a file that is cut at ``position``."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o666)
    try:
        written = os.pwrite(descriptor, text.encode(), position)
        os.ftruncate(descriptor, position + written)
    finally:
        os.close(descriptor)


def _replace(path: Path, text: str) -> None:
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_text(text, encoding="utf-8", newline="")
    os.replace(fresh, path)
