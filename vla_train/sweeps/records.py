"""The records of a sweep: one JSON file for each job, so that every launcher works, in this process or on another machine.

``<sweep folder>/sweep.json`` says what was asked for, ``jobs/<key>.json`` how each job fares. A job's key is made from its
settings alone, so that a resumed sweep finds it again. Every write replaces its file atomically.
"""

import dataclasses
import hashlib
import json
import math
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from vla_train.errors import UsageError

SCHEMA = 1
SWEEP_JSON, JOBS, STOP = "sweep.json", "jobs", ".stop"
STATES = ("waiting", "running", "finished", "failed", "interrupted")
# What shows a run or places it, and does not change what is learned: a job is the same with another value of these
PRESENTATION = ("sweep", "sweep.", "tracker", "tracker.", "output", "debug")


def settings(overrides: Sequence[str]) -> list[str]:
    """The overrides that make a job what it is, in a fixed order."""
    return sorted(override for override in overrides if not _is(override, PRESENTATION))


def job_key(overrides: Sequence[str]) -> str:
    """The name of a job's record: the same for the same settings."""
    return hashlib.sha256("\n".join(settings(overrides)).encode()).hexdigest()[:12]


@dataclass
class JobRecord:
    """What is known of one job.

    Args:
        number: its place in the sweep, from 0.
        run: its run folder, relative to the sweep folder; None before it has one.
        value: the best value of ``metric``, of which ``mode`` says whether more (max) or less (min) is better; None without any.
    """

    number: int
    overrides: list[str]
    state: str = "waiting"
    exit_code: int | None = None
    message: str = ""
    run: str | None = None
    metric: str | None = None
    mode: str | None = None
    value: float | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    process: dict[str, Any] | None = None
    started: str | None = None
    ended: str | None = None

    @property
    def key(self) -> str:
        return job_key(self.overrides)

    @property
    def minutes(self) -> float | None:
        """By the wall clock, of its last session."""
        if self.started is None or self.ended is None:
            return None
        return (datetime.fromisoformat(self.ended) - datetime.fromisoformat(self.started)).total_seconds() / 60

    def begin(self) -> None:
        self.state, self.exit_code, self.message, self.ended = "running", None, "", None
        self.process, self.started = {"pid": os.getpid(), "host": socket.gethostname()}, now()

    def end(self, state: str, exit_code: int, message: str = "") -> None:
        """Of a message only the first line is kept."""
        self.state, self.exit_code, self.ended = state, exit_code, now()
        self.message = next(iter(message.strip().splitlines()), "")

    def result(self, found: dict[str, Any]) -> None:
        """Take over what the job's work returned."""
        best = found.get("best")
        self.metric, self.mode = found.get("best_metric"), found.get("mode")
        self.value = float(best) if isinstance(best, int | float) and math.isfinite(best) else None
        metrics = found.get("metrics", {})
        self.metrics = {key: float(value) for key, value in metrics.items() if math.isfinite(value)}


@dataclass(frozen=True)
class SweepFolder:
    """The folder of one sweep."""

    path: Path

    def start(self, program: str, words: Sequence[str]) -> None:
        """Make ``sweep.json`` of the command line's words, and take back a stop of the session before."""
        (self.path / JOBS).mkdir(parents=True, exist_ok=True)
        _write(self.path / SWEEP_JSON, {"schema": SCHEMA, "program": program, "words": list(words)})
        (self.path / STOP).unlink(missing_ok=True)

    def words(self) -> list[str]:
        """What the sweep was asked for. Raises UsageError where this is no sweep's folder."""
        if not (self.path / SWEEP_JSON).is_file():
            raise UsageError(
                f"{self.path} is not the folder of a sweep: it has no {SWEEP_JSON}. Name the one that the sweep printed "
                "at its end (outputs/sweeps/...)."
            )
        content = _read(self.path / SWEEP_JSON)
        words = content.get("words")
        if content.get("schema") != SCHEMA or not _strings(words):
            raise UsageError(f"{self.path / SWEEP_JSON} was not written by this version of the program; start a new sweep")
        return list(words)  # type: ignore[arg-type]

    def write(self, record: JobRecord) -> None:
        _write(self.path / JOBS / f"{record.key}.json", {"schema": SCHEMA, **dataclasses.asdict(record)})

    def read(self, key: str) -> JobRecord | None:
        """The record of a job, or None if there is none. Raises UsageError for one that is damaged."""
        file = self.path / JOBS / f"{key}.json"
        return _record(file) if file.is_file() else None

    def records(self) -> list[JobRecord]:
        """All records, in the order of the sweep."""
        return sorted(map(_record, (self.path / JOBS).glob("*.json")), key=lambda record: record.number)

    def stop(self) -> None:
        """No further job begins, wherever its process is."""
        (self.path / STOP).touch()

    def stopped(self) -> bool:
        return (self.path / STOP).exists()

    def run_of(self, record: JobRecord) -> Path | None:
        """The job's run folder, as seen from where this program stands."""
        return None if record.run is None else Path(os.path.relpath(self.path / record.run))

    def relative(self, run: Path) -> str:
        """How a record names a run folder: it holds when both are moved together."""
        return os.path.relpath(run, self.path)


def read_records(folder: Path) -> list[JobRecord]:
    """The jobs of a sweep folder. Raises UsageError if it is none, or a record is damaged."""
    sweep = SweepFolder(folder)
    sweep.words()
    return sweep.records()


def now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")


def _is(override: str, names: Sequence[str]) -> bool:
    """Whether an override sets one of these keys; a name that ends in a dot stands for its section."""
    key = override.lstrip("+~").partition("=")[0]
    return any(key == name or (name.endswith(".") and key.startswith(name)) for name in names)


def _record(file: Path) -> JobRecord:
    content = _read(file)
    names = {item.name for item in dataclasses.fields(JobRecord)}
    sound = (
        names <= set(content)
        and isinstance(content["number"], int)
        and _strings(content["overrides"])
        and content["state"] in STATES
        and isinstance(content["value"], float | int | None)
        and all(isinstance(content[key], str | None) for key in ("run", "metric", "mode", "started", "ended"))
        and isinstance(content["message"], str)
        and isinstance(content["exit_code"], int | None)
        and isinstance(content["metrics"], dict)
        and all(isinstance(value, float | int) for value in content["metrics"].values())
        and (content["process"] is None or _is_process(content["process"]))
        and content["schema"] == SCHEMA
        and file.stem == job_key(content["overrides"])
    )
    if not sound:
        raise UsageError(f"{file} is not the record of a job; delete it, and the job runs again")
    return JobRecord(**{name: content[name] for name in names})


def _is_process(value: object) -> bool:
    """A record may come from elsewhere, and 0, 1 and negative numbers would stop more than one process."""
    return isinstance(value, dict) and type(value.get("pid")) is int and value["pid"] > 1 and isinstance(value.get("host"), str)


def _strings(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _read(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{file} cannot be read ({error})") from error
    except ValueError:
        content = None
    return content if isinstance(content, dict) else {}


def _write(file: Path, content: dict[str, Any]) -> None:
    fresh = file.with_name(f".{file.name}.{os.getpid()}.new")
    try:
        fresh.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        os.replace(fresh, file)
    except OSError as error:
        raise UsageError(f"{file} cannot be written ({error}); mend the folder or its disk, and resume the sweep") from error
