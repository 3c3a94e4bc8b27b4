"""``vla-data validate``: is this dataset what it says it is? What is wrong is listed; what meta/ could say rightly is mended."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import numpy as np

from vla_train.data import lerobot_layout as layout
from vla_train.data.episode_writer import WriterLock
from vla_train.data.lerobot_paths import FOLDERS
from vla_train.data.paths import refuse_links_out
from vla_train.data.records import place
from vla_train.data_tools import meta_counts, meta_statistics
from vla_train.data_tools.contents import SAY_IT, Contents, joined, open_contents
from vla_train.data_tools.meta_counts import Problem
from vla_train.data_tools.odd import oddities
from vla_train.data_tools.pictures import unreadable
from vla_train.data_tools.printing import say
from vla_train.errors import DataError, UsageError

GAP = 1.5  # steps between two frames from which on at least one is missing


def validate(path: Path, *, fix: bool = False, pictures: bool = True) -> int:
    """Print what is wrong and what is odd. Returns 3 if something is wrong that was not mended.

    ``fix`` recomputes counts, lengths and statistics in meta/ from the data. Recordings (data/, videos/) are never written.
    ``pictures=False`` decodes none. UsageError where meta/ is to be mended and cannot be written, or somebody else writes.
    """
    is_lerobot = (path / layout.INFO).is_file()
    with ExitStack() as held:
        if fix and is_lerobot:
            with _writing(path):
                held.enter_context(closing(WriterLock(path)))  # what another adds must not be counted away
        return _validate(path, is_lerobot, fix, pictures)


def _validate(path: Path, is_lerobot: bool, fix: bool, pictures: bool) -> int:
    left: list[Problem] = []
    try:
        if is_lerobot:
            refuse_links_out(path, ("meta", *FOLDERS))
            left = _settled(path, _told(lambda: meta_counts.counts(path)), fix)
        contents = open_contents(path)
    except DataError as error:
        return _end(path, left or [Problem(str(error))], "the other checks wait until this is mended")
    left += _numbers(contents) + _rows(contents) + _told(lambda: _words(contents))
    left += _settled(path, _told(lambda: meta_statistics.statistics(contents)), fix) if is_lerobot else []
    left += [Problem(text) for text in unreadable(contents)] if pictures else []
    left = list({problem.text: problem for problem in left}.values())  # of one damage several checks may tell
    for line in _odd(contents):
        say(f"odd: {line}")
    return _end(
        path,
        left,
        f"{len(contents.lengths):,} episodes, {contents.num_frames:,} frames"
        + ("" if pictures else "; pictures were not decoded"),
    )


def _end(path: Path, problems: list[Problem], told: str) -> int:
    for problem in problems:
        say(f"wrong: {problem.text}" + (" (--fix mends it)" if problem.mend else ""))
    count = f"{len(problems)} problem{'s' * (len(problems) != 1)}" if problems else "nothing wrong"
    say(f"{path}: {count} ({told})")
    return DataError.exit_code if problems else 0


def _settled(path: Path, problems: list[Problem], fix: bool) -> list[Problem]:
    """Those that remain; with ``fix`` the others are mended."""
    for problem in problems:
        if fix and problem.mend:
            with _writing(path):
                problem.mend()
            say(f"mended: {problem.text}")
    return [problem for problem in problems if not (fix and problem.mend)]


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        why = error.strerror or str(error)
        raise UsageError(f"meta/ of {path} cannot be mended ({why}): see to its rights, or free some space") from None


def _told(check: Callable[[], list[Problem]]) -> list[Problem]:
    """What a check finds; where it cannot be made, why."""
    try:
        return check()
    except DataError as error:
        return [Problem(str(error))]


def _numbers(contents: Contents) -> list[Problem]:
    """Columns that are missing or of another size, and numbers that are none."""
    found = []
    for name in contents.columns:
        try:
            values = contents.table.numbers([name])[name]
        except DataError as error:
            found.append(Problem(str(error)))
            continue
        bad = np.unique(np.argwhere(~np.isfinite(values))[:, 0])
        if len(bad):
            episodes = np.unique(np.searchsorted(contents.table.starts, bad, side="right") - 1)
            first = contents.where(int(bad[0]))
            found.append(
                Problem(f"{name} is not finite in {len(bad)} frames, first at {first}; episodes {joined([*map(str, episodes)])}")
            )
    return found


def _rows(contents: Contents) -> list[Problem]:
    """The order of rows, their texts, and frames that are missing in time."""

    def check() -> list[Problem]:
        contents.table.check()
        contents.table.text()
        seconds, rate = contents.seconds(), contents.table.rate
        gaps = np.flatnonzero(np.diff(seconds) * rate > GAP)
        gaps = gaps[~np.isin(gaps + 1, contents.table.starts)]  # between episodes there is none
        if not len(gaps):
            return []
        first, length = place(int(gaps[0]), contents.table.starts), float(seconds[gaps[0] + 1] - seconds[gaps[0]])
        return [
            Problem(f"frames are missing in {len(gaps)} places, first {length:.3g} s after {first} (a step has {1 / rate:.3g} s)")
        ]

    return _told(check)


def _words(contents: Contents) -> list[Problem]:
    """Steps without an instruction, which training refuses. A world of ours without language has none to give."""
    if contents.table.noted is not None or not (silent := contents.silent()):
        return []
    return [Problem(f"no instruction in episodes {joined([*map(str, silent)])}: {SAY_IT}")]


def _odd(contents: Contents) -> list[str]:
    try:
        return oddities(contents, contents.numbers(), told=True)
    except DataError:
        return []  # which is among the problems
