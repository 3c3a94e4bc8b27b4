"""From the records of a sweep to one row for each setting: the mean over its seeds, with an interval."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vla_train.conditions import beside
from vla_train.sweeps.records import JobRecord, settings

SEED = "seed"
Columns = dict[str, str]  # key -> value, as on the command line


@dataclass(frozen=True)
class Setting:
    """The jobs that differ by nothing but the seed.

    ``mean`` of their values and ``half``, half the width of its 95 % interval by Student's t. ``half`` is None with fewer than
    two values, and where all of them are equal: then ``wilson`` is the interval of a rate whose episodes are known, else None.
    """

    columns: Columns
    jobs: Sequence[JobRecord]
    metric: str | None
    mode: str | None
    values: Sequence[float]
    mean: float | None
    half: float | None
    wilson: tuple[float, float] | None = None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Both ends."""
        if self.mean is None or self.half is None:
            return self.wilson
        return self.mean - self.half, self.mean + self.half

    @property
    def lacking(self) -> int:
        """How many of its jobs have not finished."""
        return sum(job.state != "finished" for job in self.jobs)


def columns(record: JobRecord) -> Columns:
    """A job's settings by key."""
    pairs = (override.partition("=") for override in settings(record.overrides))
    return {key: value for key, _, value in pairs}


def varied(records: Sequence[JobRecord]) -> list[str]:
    """The keys in which the jobs differ, in the order of the command line."""
    rows = [columns(record) for record in records]
    keys = dict.fromkeys(override.partition("=")[0] for record in records for override in record.overrides)
    return [key for key in keys if any(key in row for row in rows) and len({row.get(key) for row in rows}) > 1]


def t_interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float | None]:
    """The mean, and half the width of its interval by Student's t; None for fewer than two values, or with no spread.

    Without spread it would be 0, and be read as certainty. Student 1908, "The probable error of a mean".
    """
    mean = statistics.fmean(values)
    if len(set(values)) < 2:
        return mean, None
    from vla_train.metrics import student_t  # brings torch, which the parent of other processes does without until now

    return mean, student_t(len(values) - 1, confidence) * statistics.stdev(values) / math.sqrt(len(values))


def summarize(records: Sequence[JobRecord]) -> list[Setting]:
    """One row for each setting, the best first; those without a value last."""
    groups: dict[tuple[tuple[str, str], ...], list[JobRecord]] = {}
    for record in records:
        identity = tuple(item for item in columns(record).items() if item[0] != SEED)
        groups.setdefault(identity, []).append(record)
    shown = [key for key in varied(records) if key != SEED]
    rows = [_setting(jobs, {key: dict(identity).get(key, "") for key in shown}) for identity, jobs in groups.items()]
    metrics = list(dict.fromkeys(row.metric for row in rows))

    def rank(row: Setting) -> tuple[Any, ...]:
        if row.mean is None:
            return (True, 0, 0.0)
        return (False, metrics.index(row.metric), row.mean if row.mode == "min" else -row.mean)

    return sorted(rows, key=rank)


def _setting(jobs: Sequence[JobRecord], shown: Columns) -> Setting:
    finished = [job for job in jobs if job.state == "finished" and job.value is not None]
    values = [job.value for job in finished if job.value is not None]
    mean, half = t_interval(values) if values else (None, None)
    metric, mode = (finished[0].metric, finished[0].mode) if finished else (None, None)
    wilson = _of_episodes(finished) if len(values) > 1 and half is None else None
    return Setting(shown, jobs, metric, mode, values, mean, half, wilson)


def _of_episodes(equal: Sequence[JobRecord]) -> tuple[float, float] | None:
    """The Wilson interval of a success rate that every seed found; None if the metric is none, or its episodes are not known.

    Every seed is judged on the same episodes, so they count once: more seeds say nothing about other episodes.
    """
    metric, value = equal[0].metric or "", equal[0].value or 0.0
    counts = [job.metrics.get(beside(metric, "episodes")) for job in equal]
    episodes = int(min((count or 0.0 for count in counts), default=0.0))
    if not episodes or not math.isclose(value * episodes, round(value * episodes), abs_tol=1e-6):
        return None
    from vla_train.metrics import wilson_interval

    return wilson_interval(round(value * episodes), episodes)
