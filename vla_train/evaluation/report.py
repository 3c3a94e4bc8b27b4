"""The files of a report: ``report.json``, tables as CSV, a video and pictures. Each appears whole or not at all."""

import csv
import functools
import io
import json
import math
import os
import platform
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from vla_train.errors import UsageError
from vla_train.evaluation.horizon import horizon_csv
from vla_train.spec import EpisodeResult, Report
from vla_train.tracking.video import write_mp4

SCHEMA = 1
PACKAGES = ("vla-train", "torch", "numpy", "gymnasium", "minigrid")


def write_report(folder: Path, report: Report, settings: Mapping[str, Any], *, fps: float = 10.0) -> dict[str, Path]:
    """Write the files and return their paths by name: "report"; "episodes" (played), "horizon" and "video" if there are any; and
    each picture.

    ``settings`` are JSON values that say how the report was made: checkpoint, seeds, episodes, execution. A section of the report
    stands under its own name beside them. Numbers that do not exist (NaN) stand as null. Raises UsageError if the folder cannot
    be written.
    """
    texts = {"report": ("report.json", _json(report, settings))}
    if report.episodes:
        texts["episodes"] = ("episodes.csv", _csv(report))
    if "horizon" in report.sections:
        texts["horizon"] = ("horizon.csv", horizon_csv(report.sections["horizon"]))
    paths = {name: folder / file for name, (file, _) in texts.items()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, (_, text) in texts.items():
            _whole(paths[name], functools.partial(_write_text, text))
        if report.frames is not None:
            paths["video"] = folder / "rollouts.mp4"
            _whole(paths["video"], lambda path: write_mp4(path, report.frames, fps))
        for name, picture in report.pictures.items():
            paths[name] = folder / f"{name}.png"
            _whole(paths[name], functools.partial(_write_bytes, picture))
    except OSError as error:
        raise UsageError(f"the report cannot be written to {folder} ({error.strerror}): choose another folder") from error
    return paths


def _write_text(content: str, path: Path) -> None:
    path.write_text(content, encoding="utf-8")


def _write_bytes(content: bytes, path: Path) -> None:
    path.write_bytes(content)


def _whole(path: Path, write: Callable[[Path], object]) -> None:
    """Write under a temporary name beside the final one, then rename, so that no half file stands under a final name."""
    temporary = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        write(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _json(report: Report, settings: Mapping[str, Any]) -> str:
    content = {
        "schema": SCHEMA,
        "settings": dict(settings),
        "metrics": report.metrics,
        "not_applicable": report.not_applicable,
        **report.sections,
        "versions": {"python": platform.python_version()} | {name: found for name in PACKAGES if (found := _version(name))},
    }
    return json.dumps(_finite(content), indent=2, allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    """JSON knows no NaN and no infinity: they become null."""
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _csv(report: Report) -> str:
    file = io.StringIO()
    writer = csv.DictWriter(file, [field.name for field in fields(EpisodeResult)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(result) for result in report.episodes)
    return file.getvalue()
