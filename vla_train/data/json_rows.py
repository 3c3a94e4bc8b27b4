"""JSON of strangers: parsed, its rows read and checked, with the place of what is wrong."""

import json
import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from vla_train.errors import DataError


def parsed(text: str) -> Any:
    """The value of a JSON text. ValueError or RecursionError for what is none, or holds a half of a surrogate pair, which no
    program can print or store."""
    value = json.loads(text)
    if "\\ud" in text.lower():  # only so can one be written, where the text itself is sound
        json.dumps(value, ensure_ascii=False).encode()
    text.encode()
    return value


def lines_of(path: Path) -> list[dict[str, Any]]:
    """The objects of a file with one in each line. DataError names the line of what is none."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")  # a text may hold what else ends a line
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read ({error}); fetch or make the dataset again") from None
    return [_object(path, number, line) for number, line in enumerate(lines, 1) if line.strip()]


def _object(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        value = parsed(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"line {number} of {path} is not JSON ({error}); fetch or make the dataset again") from None
    if not isinstance(value, dict):
        raise DataError(f"line {number} of {path} is no JSON object; fetch or make the dataset again")
    return value


def rows_of(path: Path) -> list[dict[str, Any]]:
    """The objects of a file that is a list of objects, a row for each frame. DataError for any other."""
    try:
        content = parsed(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} cannot be read ({error}); fetch or make the dataset again") from None
    if not isinstance(content, list) or not all(isinstance(row, dict) for row in content):
        raise DataError(
            f"{path} must be a list with an object for each frame, as docs/data.md shows, but is {_kind_of(content)}; "
            "mend it, or move it elsewhere if it is no part of the dataset"
        )
    return content


def _kind_of(content: Any) -> str:
    """What a file holds instead, in words."""
    if isinstance(content, list):
        place = next(number for number, row in enumerate(content) if not isinstance(row, dict))
        return f"a list whose entry {place} is {str(content[place])[:40]!r}"
    if not isinstance(content, dict):
        return f"{str(content)[:40]!r}"
    lists = [key for key, value in content.items() if isinstance(value, list) and value and isinstance(value[0], dict)]
    where = f", of which {lists[0]!r} may be that list" if lists else ""
    return f"an object with the keys {', '.join(map(repr, list(content)[:6]))}{where}" if content else "an empty object"


def need(row: Mapping[str, Any], key: str, where: str) -> Any:
    """A row's value. DataError where there is none."""
    if key not in row:
        raise DataError(f"{where} has no {key!r} (it has {', '.join(map(str, row))}); mend it")
    return row[key]


def text_of(row: Mapping[str, Any], key: str, where: str) -> str:
    value = need(row, key, where)
    if not isinstance(value, str):
        raise DataError(f"{where}: {key} is {value!r}, not a text; mend it")
    return value


def seconds_of(row: Mapping[str, Any], where: str) -> float:
    """Its timestamp: a number, or a date and time as ISO 8601 has them."""
    value = need(row, "timestamp", where)
    if isinstance(value, str):
        try:
            return float(value) if value.replace(".", "", 1).isdecimal() else datetime.fromisoformat(value).timestamp()
        except ValueError:
            value = math.nan
    seconds = math.nan if isinstance(value, bool) or not isinstance(value, int | float) else _number(value)
    if not math.isfinite(seconds):
        raise DataError(f"{where}: timestamp is {str(row['timestamp'])[:40]!r}, no time; mend it")
    return seconds


def flat(value: Any, name: str) -> dict[str, list[float]]:
    """The numbers of a value by name: of a number or a list of numbers itself, of an object ``name.key`` for each key, to any
    depth. What is no number (a text, null, a list of objects) is left out."""
    if isinstance(value, Mapping):
        return {key: numbers for part, inner in value.items() for key, numbers in flat(inner, f"{name}.{part}").items()}
    items = value if isinstance(value, list) else [value]
    whole = bool(items) and all(isinstance(item, int | float) and not isinstance(item, bool) for item in items)
    return {name: [_number(item) for item in items]} if whole else {}


def _number(value: int | float) -> float:
    try:
        return float(value)
    except OverflowError:  # an int of hundreds of digits
        return math.inf


def stacked(rows: Sequence[Sequence[float]], name: str, places: Sequence[str]) -> np.ndarray:
    """Rows as float64 [n, size]. DataError names the place of one that has another size."""
    for row, where in zip(rows, places, strict=True):
        if len(row) != len(rows[0]):
            raise DataError(f"{where}: {name} has {len(row)} numbers, where {len(rows[0])} stand before; mend it")
    return np.array(rows, dtype=np.float64)


def whole(values: np.ndarray) -> np.ndarray:
    """Choices, which the JSON has as whole numbers: as int64, if they can be (others are measurements)."""
    return values.astype(np.int64) if (np.abs(values) < 2**53).all() else values
