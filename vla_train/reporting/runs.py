"""Runs as a report reads them: the rows of ``metrics.jsonl`` and the facts of ``run.json``. Both may come from strangers."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vla_train.errors import DataError, UsageError, VlaTrainError
from vla_train.run_folder import RUN_JSON

METRICS = "metrics.jsonl"
SWEEP_JSON = "sweep.json"  # as vla_train/sweeps writes it, with a file in jobs/ for each job
LARGEST = 500_000_000  # bytes of a file that is read; a million rows of ours have 400
BEYOND = 1e100  # no metric is that large; axes and sums of squares would overflow
SHOWN_NAME = 80  # letters

Row = dict[str, float]


class NothingLogged(DataError):  # noqa: N818 - how a run stands, and an error only where that run was asked for
    """A run that has just begun, or ended before its first row of metrics."""


@dataclass(frozen=True)
class Run:
    """One run. Build it with ``read``."""

    folder: Path
    rows: list[Row]  # by rising step; values may be NaN
    record: dict[str, Any]  # run.json; {} if there is none
    notes: list[str] = field(default_factory=list)  # what a reader of its curves should know

    @property
    def name(self) -> str:
        return printable(self.folder.resolve().name)

    @property
    def seed(self) -> str:
        return printable(self.record.get("seed", "?"))

    @property
    def config(self) -> dict[str, Any]:
        return mapping(self.record, "config")

    @property
    def metrics(self) -> set[str]:
        return {name for row in self.rows for name in row}

    @property
    def outcome(self) -> str:
        """How it ended, in words."""
        outcome = printable(self.record.get("outcome", "not known"), 500)
        return "running, or killed" if outcome == "running" else outcome

    def series(self, metric: str, axis: str = "step") -> tuple[list[float], list[float]]:
        """Where the metric was logged, on the ``axis`` (step, samples, minutes), and its values; what is not finite left out.

        Evaluations are logged apart from training: their samples and minutes are those of the training rows around them.
        """
        found = [(row["step"], row[metric]) for row in self.rows if math.isfinite(row.get(metric, math.nan))]
        steps = [step for step, _ in found]
        if axis != "step" and steps:
            import numpy as np

            known_steps, known = self.series(axis)
            steps = np.interp(steps, known_steps, known).tolist() if known else [math.nan] * len(steps)
        return steps, [value for _, value in found]

    def last(self, metric: str) -> float:
        """The last value; NaN if there is none."""
        return next((row[metric] for row in reversed(self.rows) if metric in row), math.nan)

    def why_not(self, metric: str) -> str:
        """Why the metric was never logged, as far as the settings tell."""
        config = self.config
        if metric.startswith("evaluation/"):
            if mapping(config, "every").get("evaluate") == 0:
                return "never evaluated (every.evaluate=0)"
            if "held_out" in metric:
                none = mapping(config, "evaluation").get("held_out_frames") == 0
                return "switched off (evaluation.held_out_frames=0)" if none else "no evaluation yet, or nothing held out"
            if mapping(config, "choices").get("environment") == "none":
                return "recorded data without an environment to succeed in"
            return "no evaluation yet"
        return "not logged"


def find(paths: Sequence[Path]) -> tuple[list[Path], list[VlaTrainError]]:
    """The run folders meant by the paths, each once, and an error for each path that means none.

    A path is a run, something inside its ``checkpoints``, a folder of runs, or a sweep.
    """
    found: dict[Path, Path] = {}
    errors: list[VlaTrainError] = []
    for path in paths:
        try:
            for run in _runs_at(path):
                found.setdefault(run.resolve(), run)
        except VlaTrainError as error:
            errors.append(error)
    return list(found.values()), errors


def asked_for(folder: Path, paths: Sequence[Path]) -> bool:
    """Whether a path names this run, or something in it, and not a folder of runs around it."""
    return any(path.resolve().is_relative_to(folder.resolve()) for path in paths)


def read(folder: Path) -> Run:
    """Read a run. Raises ``DataError`` if it is damaged, ``NothingLogged`` if it has no metrics."""
    record = _record(folder / RUN_JSON)
    rows = sorted(_rows(folder / METRICS), key=lambda row: row["step"])
    run = Run(folder, rows, record, _notes(rows, record))
    if rows:
        return run
    if record.get("outcome", "running") == "running":
        raise NothingLogged(f"{folder}: nothing was logged yet (every.log says how often); wait for the first row of {METRICS}")
    raise NothingLogged(f"{folder}: nothing was logged before it ended ({run.outcome}); name one that logged something")


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object. Raises ``DataError`` for a file that cannot be read or holds something else."""
    try:
        document = json.loads(_text(path))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is damaged: it is not JSON; mend it or leave the run out") from error
    if not isinstance(document, dict):
        raise DataError(f"{path} is damaged: it holds no JSON object; mend it or leave the run out")
    return document


def printable(value: Any, longest: int = SHOWN_NAME) -> str:
    """Text from elsewhere on one line: no control characters, nothing that turns the direction of writing, not too long."""
    try:
        text = str(value)
    except ValueError:  # Python refuses to write integers of thousands of digits
        text = "a number of thousands of digits"
    text = "".join(letter if letter.isprintable() else "�" for letter in text[: longest + 1])
    return text if len(text) <= longest else f"{text[: longest - 3]}..."


def mapping(document: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A part of a document; {} where there is none, or something else."""
    value = document.get(name)
    return value if isinstance(value, dict) else {}


def numbers(values: Mapping[str, Any]) -> dict[str, float]:
    """Those that are finite numbers."""
    whole = {name: value for name, value in values.items() if isinstance(value, int | float) and abs(value) < BEYOND}
    return {name: float(value) for name, value in whole.items() if math.isfinite(value)}


def _runs_at(path: Path) -> list[Path]:
    """Raises ``UsageError`` if there are none."""
    for folder in (path, path.parent, path.parent.parent):
        if _is_run(folder) and (folder == path or "checkpoints" in path.relative_to(folder).parts):
            return [folder]
    runs = []
    if (path / SWEEP_JSON).is_file():
        runs = _runs_of_sweep(path)
    elif path.is_dir():
        runs = sorted(child for child in path.iterdir() if _is_run(child))
    if not runs:
        here = "there is no such folder" if not path.exists() else f"it has neither {RUN_JSON} nor {METRICS}, nor runs in it"
        raise UsageError(f"{printable(path, 300)}: {here}; name a folder that vla-train printed as its run folder")
    return runs


def _runs_of_sweep(path: Path) -> list[Path]:
    """The runs of a sweep's jobs, in their order; a job that failed before it had one has none."""
    jobs = [read_json(file) for file in path.glob("jobs/*.json")]
    named = [job for job in jobs if isinstance(job.get("number"), int) and isinstance(job.get("run"), str)]
    runs = [path / job["run"] for job in sorted(named, key=lambda job: int(job["number"]))]
    return [run for run in runs if _is_run(run)]


def _is_run(folder: Path) -> bool:
    return any((folder / file).is_file() for file in (RUN_JSON, METRICS))


def _record(path: Path) -> dict[str, Any]:
    return read_json(path) if path.exists() else {}


def _rows(path: Path) -> Iterator[Row]:
    """The rows of a metrics file. A line without its end is half written, by a run that goes on or was killed."""
    *lines, _ = _text(path).split("\n") if path.exists() else [""]
    for number, line in enumerate(lines, 1):
        try:
            yield _row(line)
        except (ValueError, TypeError, OverflowError, RecursionError, AttributeError) as error:
            raise DataError(f"{path}: line {number} is damaged; remove it to see the rest, or leave the run out") from error


def _row(line: str) -> Row:
    row = {str(name): float(value) for name, value in json.loads(line).items()}  # "nan" and "inf" are strings in JSON
    if not 0 <= row.get("step", math.nan) < BEYOND:
        raise ValueError("a row without a step")
    return {name: value if abs(value) < BEYOND else math.nan for name, value in row.items()}


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > LARGEST:
            raise DataError(f"{path} has {path.stat().st_size:,} bytes, more than any of ours; it was not read")
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); mend its permissions or leave the run out") from error


def _notes(rows: list[Row], record: dict[str, Any]) -> list[str]:
    notes = [] if record else [f"no {RUN_JSON}, so its settings are not known"]
    broken = [row["step"] for row in rows if math.isnan(row.get("train/loss", 0.0))]
    if broken:
        notes.append(f"the training loss was not finite in {len(broken)} rows, first at update {broken[0]:,.0f}")
    return notes
