"""What else lies in a run's folder: measurements by ``vla-eval``, diagnostics, and videos of its episodes."""

import base64
import contextlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from vla_train.errors import DataError
from vla_train.reporting.runs import Run, mapping, numbers, printable, read_json

REPORT, PAGE = "report.json", "report.html"
VIDEO = "rollouts.mp4"
EMBEDDED = 400_000  # bytes of a video that a page carries itself; larger ones are linked only
SNAPSHOT = re.compile(r"rollouts_\d+\.mp4")  # as the tracker writes them


@dataclass(frozen=True)
class Evaluation:
    """A report of ``vla-eval``, and its video and page if there are any."""

    name: str
    settings: dict[str, Any]
    metrics: dict[str, float]
    not_applicable: dict[str, str]
    video: Path | None
    page: Path | None


@dataclass(frozen=True)
class Finding:
    """What a diagnostic found: ``severity`` is warning or note."""

    severity: str
    kind: str
    message: str


def evaluations(run: Run) -> list[Evaluation]:
    """The measurements in ``<run>/evaluations``; what is damaged is left out."""
    found = []
    for file in sorted((run.folder / "evaluations").glob(f"*/{REPORT}")):
        with contextlib.suppress(DataError):
            document, video = read_json(file), file.with_name(VIDEO)
            metrics = {printable(key): value for key, value in numbers(mapping(document, "metrics")).items()}
            reasons = {printable(key): printable(value, 200) for key, value in mapping(document, "not_applicable").items()}
            settings = mapping(document, "settings")
            beside = (path if path.is_file() else None for path in (video, file.with_name(PAGE)))
            found.append(Evaluation(printable(file.parent.name), settings, metrics, reasons, *beside))
    return found


def safety(run: Run) -> str:
    """What ``<run>/report.json`` counts in an environment with limits, in words; "" where it counts nothing."""
    with contextlib.suppress(DataError):
        counted = numbers(mapping(read_json(run.folder / REPORT), "safety"))
        counts = {name: f"{value:,.0f}" for name, value in counted.items()}
        if {"steps", "episodes", "aborted", "limited"} <= counts.keys():
            return (
                f"safety: {counts['aborted']} of {counts['episodes']} episodes were aborted, and the action was cut in "
                f"{counts['limited']} of {counts['steps']} steps"
            )
    return ""


def diagnostics(run: Run) -> list[Finding] | None:
    """The findings in ``<run>/report.json``, warnings first; None where no diagnostics were made (or they are damaged)."""
    with contextlib.suppress(DataError):
        return findings(read_json(run.folder / REPORT))
    return None


def findings(document: dict[str, Any]) -> list[Finding] | None:
    """The same of a document that was read."""
    entries = mapping(document, "diagnostics").get("findings")
    if not isinstance(entries, list):
        return None
    found = [_finding(entry) for entry in entries if isinstance(entry, dict)]
    return sorted(found, key=lambda finding: finding.severity != "warning")


def last_video(run: Run) -> Path | None:
    """The newest video that was taken during training."""
    folder = run.folder / "pictures"
    names = [path for path in folder.glob("*.mp4") if SNAPSHOT.fullmatch(path.name)] if folder.is_dir() else []
    return max(names, key=lambda path: int(path.stem.rpartition("_")[2]), default=None)


def embedded(video: Path) -> str | None:
    """A small video as a ``data:`` address; None for a large one."""
    try:
        return (
            f"data:video/mp4;base64,{base64.b64encode(video.read_bytes()).decode()}" if video.stat().st_size <= EMBEDDED else None
        )
    except OSError:
        return None


def link(file: Path, page: Path) -> str:
    """The address of a file relative to the folder of the page, so that both can be moved together."""
    return quote(os.path.relpath(file.resolve(), page.resolve()))


def _finding(entry: dict[str, Any]) -> Finding:
    severity = "warning" if entry.get("severity") == "warning" else "note"
    return Finding(severity, printable(entry.get("kind", "")), printable(entry.get("message", ""), 500))
