"""What the timestamps of recorded steps tell: when each was, and how many there are in a second."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vla_train.data.records import damaged
from vla_train.errors import DataError

TIMESTAMP = "timestamp"
RATE = 10.0  # steps per second where nothing tells
LONGEST_STEP = 10.0  # seconds: steps that seem longer were timed in milliseconds, or in less
SHORTEST_STEP = 1e-6  # seconds: steps that seem shorter were timed too coarsely
OWN_RATE_STEPS = 3  # in an episode: of fewer, one that is missing could be taken for another rate
ALIKE = 1.5  # times as long a step may be in one episode as in another


@dataclass(frozen=True)
class Times:
    """``columns``: seconds since each episode began, float64 [n, 1], under the name that every format has for them; none where
    the times tell no ``rate`` (steps per second), which ``notes`` say."""

    rate: float
    columns: dict[str, np.ndarray]
    notes: tuple[str, ...] = ()


def times_of(times: Sequence[np.ndarray], path: Path, sources: Sequence[str]) -> Times:
    """``times`` are the seconds [t] of the steps of each episode, counted from whenever.

    DataError where time does not run forwards, or seems to be told in another unit, and for episodes of different rates.
    """
    for seconds, source in zip(times, sources, strict=True):
        if (wrong := np.flatnonzero(~np.isfinite(seconds))).size:
            raise damaged(path, f"the timestamp of step {wrong[0]} of {source} is no number")
        if (back := np.flatnonzero(np.diff(seconds) < 0)).size:
            raise damaged(path, f"the timestamps of {source} go back after step {back[0]}")
    steps = np.concatenate([np.diff(seconds) for seconds in times])
    middle = float(np.median(steps)) if len(steps) else 0.0
    if middle >= LONGEST_STEP:
        raise DataError(
            f"the timestamps of the dataset at {path} go on by {middle:g} a step: timestamps must be seconds; divide "
            "milliseconds by 1e3, microseconds by 1e6, nanoseconds by 1e9"
        )
    if middle <= SHORTEST_STEP:
        return Times(RATE, {}, (f"its timestamps tell no rate (most do not go on): {RATE:g} steps/s are assumed",))
    _refuse_other_rates(times, path, sources)
    near = steps[np.abs(steps - middle) < middle / 2]  # their mean, for the median of rounded steps is off by what was rounded
    since = np.concatenate([seconds - seconds[0] for seconds in times])
    return Times(round(1.0 / float(near.mean()), 3), {TIMESTAMP: since[:, None]})


def _refuse_other_rates(times: Sequence[np.ndarray], path: Path, sources: Sequence[str]) -> None:
    known = [
        (float(np.median(np.diff(seconds))), source)
        for seconds, source in zip(times, sources, strict=True)
        if len(seconds) > OWN_RATE_STEPS
    ]
    known = [(step, source) for step, source in known if step > SHORTEST_STEP]
    if not known:
        return
    (longest, slow), (shortest, fast) = (choose(known, key=lambda each: each[0]) for choose in (max, min))
    if longest > ALIKE * shortest:
        raise DataError(
            f"the episodes of {path} have other steps per second ({1 / longest:.3g} in {slow}, {1 / shortest:.3g} in {fast}): "
            "give each rate a folder of its own"
        )
