"""What a run shows while it works: a live view on a terminal, plain lines elsewhere, or nothing."""

import atexit
import os
import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Protocol

from vla_train.tracking import words

MODES = ("auto", "live", "plain", "none")


class _View(Protocol):
    def row(self, pace: "Pace", metrics: Mapping[str, float]) -> None: ...
    def progress(self, label: str, done: int, total: int) -> None: ...
    def message(self, text: str) -> None: ...
    def close(self) -> None: ...


class Pace:
    """How far a run is, and how long it will take at the pace since this session began."""

    def __init__(self, total: int | None = None):
        self.total = total
        self.step = 0
        self.share: float | None = None  # of the run that is done, 0 to 1; None where it has no known end
        self._began = self._updated = time.monotonic()
        self._first: float | None = None  # the share that was done when this session began

    def update(self, step: int, share: float | None) -> None:
        self.step, self._updated = step, time.monotonic()
        self.share = step / self.total if share is None and self.total else share
        if self._first is None:
            self._first = self.share

    @property
    def elapsed(self) -> float:
        """Seconds since this session began."""
        return time.monotonic() - self._began

    @property
    def left(self) -> float | None:
        """Seconds that the rest will take; None before there is a pace."""
        if self.share is None or self._first is None or self.share <= self._first:
            return None
        pace = (self._updated - self._began) / (self.share - self._first)
        return max(0.0, pace * (1 - self.share) - (time.monotonic() - self._updated))


class Console:
    """Shows rows of metrics, progress and messages. Closing it (also by an exception or the exit) restores the terminal.

    Args:
        mode: ``live`` redraws a panel in place, ``plain`` prints a line for each row, ``none`` is silent;
            ``auto`` is live on a terminal and plain elsewhere.
    """

    def __init__(self, mode: str = "auto"):
        if mode not in MODES:
            raise ValueError(f"console mode {mode!r} is none of {MODES}")
        if mode == "auto":
            mode = "live" if sys.stdout.isatty() and os.environ.get("TERM") != "dumb" else "plain"
        self.mode = mode
        self._pace = Pace()
        self._view: _View = _Silent() if mode == "none" else _Plain()
        atexit.register(self.close)

    def start(self, total: int | None = None, step: int = 0) -> None:
        """Begin showing a run of ``total`` updates (None: not known) that stands at ``step``."""
        self._pace = Pace(total)
        if step or total:
            self._pace.update(step, None)
        if self.mode == "live" and isinstance(self._view, _Plain):
            from vla_train.tracking.live import Live

            self._view = Live(self._pace)

    def update(self, step: int, metrics: Mapping[str, float]) -> None:
        """Show a row. ``progress`` among the metrics is the share of the run that is done; without it, step of total."""
        if self.mode == "live" and isinstance(self._view, _Plain):
            self.start()
        self._pace.update(step, metrics.get("progress", self._pace.share if self._pace.total is None else None))
        self._view.row(self._pace, metrics)

    def progress(self, label: str, done: int, total: int) -> None:
        """Show how far some work between updates is, such as an evaluation; ``done`` = ``total`` ends it."""
        self._view.progress(label, done, total)

    def message(self, text: str) -> None:
        """One line that stays."""
        self._view.message(text)

    def close(self) -> None:
        """Give the terminal back. Messages may still come."""
        self._view.close()
        if self.mode == "live":
            self._view = _Plain()
        atexit.unregister(self.close)

    def __enter__(self) -> "Console":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class _Plain:
    """One line for each row, for logs and pipes: no colours, no control characters."""

    _QUIET = 10.0  # seconds between two lines about the same progress

    def __init__(self) -> None:
        self._told: float | None = None  # when a line was last printed, or the work between updates began

    def row(self, pace: Pace, metrics: Mapping[str, float]) -> None:
        total = f"{pace.total}" if pace.total else ""
        share = f"{100 * pace.share:3.0f} %" if pace.share is not None else ""
        head = f"{pace.step:>{max(len(total), 6)}}{'/' if total else ''}{total}  {share}"
        train, evaluation = words.training(metrics), words.evaluation(metrics)
        if train:
            columns = [f"{shown.name} {shown.value:>{9 if shown.name == 'loss' else 7}}" for shown in train]
            left = f"{words.duration(pace.left)} left" if pace.left is not None else ""
            self.message("  ".join([head, *columns, left]).rstrip())
        if evaluation:
            self.message("  ".join([head, "evaluation:", *(f"{shown.name} {shown.value}" for shown in evaluation)]))
        self._told = None

    def progress(self, label: str, done: int, total: int) -> None:
        now = time.monotonic()
        if self._told is None:
            self._told = now
        elif now - self._told >= self._QUIET:
            self._told = now
            self.message(f"{label}: {done}/{total}")

    def message(self, text: str) -> None:
        print(text, flush=True)

    def close(self) -> None: ...


class _Silent:
    def row(self, pace: Pace, metrics: Mapping[str, float]) -> None: ...
    def progress(self, label: str, done: int, total: int) -> None: ...
    def message(self, text: str) -> None: ...
    def close(self) -> None: ...
