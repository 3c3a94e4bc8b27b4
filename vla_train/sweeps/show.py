"""The summary of a sweep: two CSV files in its folder, and tables on the console."""

import csv
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from vla_train.sweeps.records import JobRecord, SweepFolder
from vla_train.sweeps.summary import SEED, Setting, columns, summarize, varied
from vla_train.tracking.aligned import print_table
from vla_train.tracking.words import number

SUMMARY_CSV, JOBS_CSV = "summary.csv", "jobs.csv"
MOST_JOBS = 40  # of a larger sweep only the jobs that have not finished are shown; all are in jobs.csv
Rows = list[list[str]]


def write_csv(folder: SweepFolder, records: Sequence[JobRecord]) -> None:
    """``summary.csv`` with a row for each setting, the best first, and ``jobs.csv`` with a row for each job."""
    keys = [key for key in varied(records) if key != SEED]
    head = [*keys, "metric", "mode", "n", "mean", "interval_low", "interval_high", "not_finished"]
    rows: list[list[Any]] = []
    for row in summarize(records):
        shown = [row.columns[key] for key in keys]
        rows.append([*shown, row.metric, row.mode, len(row.values), row.mean, *(row.interval or (None, None)), row.lacking])
    _write(folder.path / SUMMARY_CSV, head, rows)
    keys = varied(records)
    head = ["job", *keys, "state", "exit_code", "metric", "value", "minutes", "run", "message"]
    rows = []
    for job in records:
        shown = [columns(job).get(key, "") for key in keys]
        found = [job.state, job.exit_code, job.metric, job.value, job.minutes, folder.run_of(job), job.message]
        rows.append([job.number, *shown, *found])
    _write(folder.path / JOBS_CSV, head, rows)


def print_summary(folder: SweepFolder, records: Sequence[JobRecord], console: Console | None = None) -> None:
    """Print the settings and the jobs to ``console`` (default: standard output)."""
    console = console or Console()
    found = summarize(records)
    metrics = {row.metric for row in found if row.metric is not None}
    named = metrics.pop() if len(metrics) == 1 else "best" if metrics else ""  # nothing: no job has a value yet
    keys = [key for key in varied(records) if key != SEED]
    several = bool(named) and any(len(row.jobs) > 1 for row in found)
    if several:
        head = [*keys, named, "95 % interval", "n"] + (["not finished"] if any(row.lacking for row in found) else [])
        rows = [[*(_short(row.columns[key]) for key in keys), *_figures(row, named)][: len(head)] for row in found]
        print_table(console, head, rows, title="settings:")
    else:  # then the jobs are the settings, and say all of it
        records = [job for row in found for job in row.jobs]
    shown = [job for job in records if len(records) <= MOST_JOBS or job.state != "finished"]
    if shown:
        keys = varied(records)
        head = ["job", *keys, *([named] if named else []), "outcome"]
        rows = [
            [str(job.number), *_columns(job, keys), *([_value(job, named)] if named else []), _outcome(folder, job)]
            for job in shown
        ]
        print_table(console, head, rows, title="jobs:")
    console.file.write(f"sweep folder: {_near(folder.path)} ({SUMMARY_CSV}, {JOBS_CSV})\n")
    console.file.flush()


def _figures(row: Setting, named: str) -> list[str]:
    """Mean, interval, count, and how many jobs are lacking."""
    lacking = str(row.lacking or "")
    if row.mean is None or row.metric is None:
        return ["", "", "0", lacking]
    mean = number(row.metric, row.mean) + (f" {row.metric}" if row.metric != named else "")
    return [mean, _interval(row, row.metric), str(len(row.values)), lacking]


def _interval(row: Setting, metric: str) -> str:
    if row.half is not None:
        return f"± {number(metric, row.half)}"
    if row.wilson is not None:
        return " to ".join(number(metric, end) for end in row.wilson)
    return "all equal" if len(row.values) > 1 else ""


def _columns(job: JobRecord, keys: Sequence[str]) -> list[str]:
    own = columns(job)
    return [_short(own.get(key, "")) for key in keys]


def _short(value: str) -> str:
    """A number that a search made up, in four digits; the files have all of it."""
    try:
        return value if len(value) < 8 else f"{float(value):.4g}"
    except ValueError:
        return value


def _value(job: JobRecord, named: str) -> str:
    if job.value is None or job.metric is None:
        return ""
    return number(job.metric, job.value) + (f" {job.metric}" if job.metric != named else "")


def _outcome(folder: SweepFolder, job: JobRecord) -> str:
    if job.state == "finished":
        return str(folder.run_of(job) or "finished")
    code = f" (exit code {job.exit_code})" if job.exit_code is not None else ""
    return f"{job.state}{code}{': ' if job.message else ''}{job.message}"


def _near(path: Path) -> Path:
    """A path as seen from here, where that is shorter."""
    near = Path(os.path.relpath(path))
    return near if len(str(near)) < len(str(path)) else path


def _write(file: Path, head: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    fresh = file.with_name(f".{file.name}.new")
    with fresh.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream, lineterminator="\n").writerows([head, *rows])
    os.replace(fresh, file)
