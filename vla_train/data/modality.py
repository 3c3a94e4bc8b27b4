"""``meta/modality.json`` of the GR00T flavour: names for parts of columns (``action.arm``: entries 0 to 7 of ``action``), for
cameras, and the column that tells the instruction."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vla_train.data import lerobot_layout as layout
from vla_train.data.choice import camera_names, feature_names, numeric_columns
from vla_train.data.json_rows import parsed
from vla_train.errors import DataError

FILE = "meta/modality.json"
_WHOLE = {"state": layout.STATE, "action": layout.ACTION}  # the column meant where none is named
_LANGUAGE = "task_description"


@dataclass(frozen=True)
class Part:
    """Entries ``start`` to ``end`` (exclusive) of a column."""

    column: str
    start: int
    end: int


@dataclass(frozen=True)
class Names:
    """``parts`` by name (``state.NAME``, ``action.NAME``); ``cameras``: feature -> what it is called; ``language``: the column of
    whole numbers that tells each frame's text, where it is another than ``task_index``."""

    parts: dict[str, Part] = field(default_factory=dict)
    cameras: dict[str, str] = field(default_factory=dict)
    language: str | None = None


def read(folder: Path, features: Mapping[str, layout.Feature]) -> Names:
    """What the file names, but for parts that are columns of their own. Nothing without such a file.

    Raises:
        DataError: the file cannot be read, or names numbers that the data do not have.
    """
    path = folder / FILE
    if not path.is_file():
        return Names()
    try:
        content = parsed(path.read_text(encoding="utf-8"))
        named = {f"{kind}.{name}": (kind, entry) for kind in _WHOLE for name, entry in content.get(kind, {}).items()}
        parts = {name: _part(*pair) for name, pair in named.items() if name not in features}
        videos = {f"{entry.get('original_key', name)}": str(name) for name, entry in content.get("video", {}).items()}
        texts = [
            str(entry.get("original_key", f"annotation.{name}"))
            for name, entry in content.get("annotation", {}).items()
            if name.endswith(_LANGUAGE)
        ]
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise DataError(f"{path} cannot be read ({error}); mend it, or take it away to do without") from None
    sizes = numeric_columns(features)
    for name, part in parts.items():
        if "/" in name or not 0 <= part.start < part.end <= sizes.get(part.column, 0):
            raise DataError(
                f"{path}: {name!r} is said to be {part.start} to {part.end} of {part.column!r}, which has "
                f"{sizes.get(part.column, 0)} numbers; mend it, or take it away to do without"
            )
    usual = camera_names(features)
    cameras = {feature: name for feature, name in videos.items() if name not in usual and feature in usual.values()}
    language = next((name for name in texts if features.get(name, {}).get("dtype", "").startswith("int")), "task_index")
    return Names(parts, cameras, None if language == "task_index" else language)


def _part(kind: str, entry: Mapping[str, Any]) -> Part:
    start, end = entry["start"], entry["end"]
    if type(start) is not int or type(end) is not int:
        raise ValueError(f"start {start!r} and end {end!r} of a {kind} are no whole numbers")
    return Part(str(entry.get("original_key") or _WHOLE[kind]), start, end)


def as_features(parts: Mapping[str, Part], features: Mapping[str, layout.Feature]) -> dict[str, layout.Feature]:
    """The parts as if each were a column of its own."""
    return {
        name: {
            "dtype": features[part.column]["dtype"],
            "shape": [part.end - part.start],
            "names": list(feature_names(features[part.column])[part.start : part.end]) or None,
        }
        for name, part in parts.items()
    }
