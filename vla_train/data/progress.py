"""Progress of long preparation: a rich bar on a terminal, a plain line now and then elsewhere. Both go to stderr."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SECONDS_BETWEEN_LINES = 10.0


@contextmanager
def progress(title: str, total: int) -> Iterator[Callable[[int], None]]:
    """Yields ``advance(n)``. Nothing is printed for work that ends within one interval, unless there is a terminal."""
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(title, total=total)
            yield lambda count: bar.advance(task, count)
    else:
        yield _plain(title, total)


def _plain(title: str, total: int) -> Callable[[int], None]:
    done, printed = 0, time.monotonic()

    def advance(count: int) -> None:
        nonlocal done, printed
        done += count
        if time.monotonic() - printed >= SECONDS_BETWEEN_LINES:
            printed = time.monotonic()
            print(f"{title}: {done:,} of {total:,}", file=sys.stderr, flush=True)

    return advance
