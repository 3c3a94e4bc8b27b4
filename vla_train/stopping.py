"""Polite stopping: SIGTERM and the first Ctrl-C set a flag that long work asks for between its steps.

The trainer, rollouts and the generation of demonstrations call ``check()``; a second Ctrl-C stops at once.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from vla_train.errors import Interrupted

_requested: int | None = None
_listener: Callable[[], None] | None = None
_EXIT_CODES = {signal.SIGTERM: 75, signal.SIGINT: 130}


def _handle(number: int, frame: FrameType | None) -> None:
    global _requested
    if number == signal.SIGINT and _requested == signal.SIGINT:
        raise KeyboardInterrupt
    _requested = number
    if _listener is not None:
        _listener()


@contextmanager
def handlers() -> Iterator[None]:
    """Install the handlers for the duration of a command. Outside the main thread Python allows none: then it does nothing."""
    global _requested
    _requested = None
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = {number: signal.signal(number, _handle) for number in _EXIT_CODES}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        _requested = None


@contextmanager
def telling(listener: Callable[[], None]) -> Iterator[None]:
    """Call ``listener`` too when a stop is asked for, to pass it on to other processes."""
    global _listener
    _listener = listener
    try:
        yield
    finally:
        _listener = None


def requested() -> bool:
    return _requested is not None


def check() -> None:
    """Raise ``Interrupted`` if a stop was asked for."""
    if _requested is not None:
        name = signal.Signals(_requested).name
        raise Interrupted(f"stopped by {name}", _EXIT_CODES[signal.Signals(_requested)])
