"""Make a report: read the runs, draw, write ``index.html`` and ``curves.png``, and say on the terminal how they stand."""

import os
import sys
from collections.abc import Sequence
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from vla_train.errors import UsageError, VlaTrainError
from vla_train.reporting import tables
from vla_train.reporting.curves import AXES, draw
from vla_train.reporting.page import Page, html
from vla_train.reporting.panels import panels
from vla_train.reporting.runs import NothingLogged, Run, asked_for, find, read
from vla_train.reporting.settings import groups
from vla_train.reporting.tables import Table

PAGE, PICTURE = "index.html", "curves.png"
UNLIMITED = 100_000  # letters in a line, where no terminal shows it
MOST_FOLDED = 12  # columns whose cells are folded to fit a terminal


def report(paths: Sequence[Path], output: Path | None = None, axis: str = "updates") -> int:
    """Report on the runs at ``paths`` (see ``runs.find``) with the ``axis`` updates, samples or minutes.

    Without ``output`` one run's report goes to ``<run>/report``, that of several to ``outputs/reports/<n>``; nothing is
    overwritten. A path that cannot be read is told and left out. Returns 0, or the exit code of the first such error; raises
    that error if no run is left. Runs without metrics that are only neighbours, in a folder of runs, are a note.
    """
    if axis not in AXES:
        raise UsageError(f"x={axis}: choose one of {', '.join(AXES)}")
    if not paths:
        raise UsageError("name at least one run folder, as in: vla-report outputs/RUN")
    folders, errors = find(paths)
    runs: list[Run] = []
    silent: list[NothingLogged] = []
    for folder in folders:
        try:
            runs.append(read(folder))
        except NothingLogged as error:
            (errors if asked_for(folder, paths) else silent).append(error)
        except VlaTrainError as error:
            errors.append(error)
    if not runs:
        errors += silent
        _tell(errors[1:])
        raise errors[0]
    _tell(errors)
    notes = [f"left out, {error}" for error in silent]
    for note in notes:
        print(f"note: {note}", file=sys.stderr, flush=True)
    grouped = groups(runs)
    folder = _output(runs, output)
    shown = panels(runs)
    made = f"vla-report {_version()}, {datetime.now():%Y-%m-%d %H:%M}"
    light, dark = (draw(grouped, shown, axis, dark=dark) for dark in (False, True))
    page = html(Page(grouped, light, dark, made, [*map(str, errors), *notes], folder))
    _write(folder, {PICTURE: light, PAGE: page.encode()})
    _print("final metrics", tables.standing(grouped))
    if len(runs) > 1:
        _print("settings that differ", tables.differences(grouped))
    print(f"curves: {folder / PICTURE}\npage: {folder / PAGE}")
    return errors[0].exit_code if errors else 0


def _output(runs: Sequence[Run], named: Path | None) -> Path:
    """A folder for the report, made. Raises ``UsageError`` if it cannot be written, or if the one named has a report already."""
    try:
        if named is not None:
            named.mkdir(parents=True, exist_ok=True)
            if taken := [name for name in (PAGE, PICTURE) if (named / name).exists()]:
                raise UsageError(f"{named / taken[0]} is there already: name another folder with output=, or remove it")
            return named
        base = runs[0].folder / "report" if len(runs) == 1 else Path("outputs/reports/1")
        base.parent.mkdir(parents=True, exist_ok=True)
        for number in range(1, 100_000):
            folder = (
                base.with_name(f"report-{number}" if number > 1 else "report") if len(runs) == 1 else base.with_name(str(number))
            )
            try:
                folder.mkdir()  # atomic: two reports never share one
                return folder
            except FileExistsError:
                continue
    except OSError as error:
        raise UsageError(f"{error.filename} cannot be written ({error.strerror}): name a folder with output=") from error
    raise UsageError(f"{base.parent} is full: name another folder with output=")


def _write(folder: Path, files: dict[str, bytes]) -> None:
    try:
        for name, content in files.items():
            temporary = folder / f".{os.getpid()}-{name}"
            temporary.write_bytes(content)
            temporary.replace(folder / name)
    except OSError as error:
        raise UsageError(f"{folder} cannot be written ({error.strerror}): name another folder with output=") from error


def _tell(errors: Sequence[VlaTrainError]) -> None:
    for error in errors:
        print(f"error: {error}", file=sys.stderr, flush=True)


def _print(title: str, table: Table) -> None:
    """A table on the terminal; names from elsewhere are text there, never markup."""
    from rich import box
    from rich.console import Console
    from rich.table import Table as Drawn
    from rich.text import Text

    if not table.rows:
        return
    drawn = Drawn(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in table.header:
        drawn.add_column(Text(name), overflow="fold")  # whole names: they are there to be copied
    for row in table.rows:
        drawn.add_row(*(Text(cell) for cell in row))
    console = Console(highlight=False, width=None if sys.stdout.isatty() else UNLIMITED)
    if len(table.header) > MOST_FOLDED and console.measure(drawn).minimum > console.width:
        print(f"{title}: {len(table.rows)} rows of {len(table.header)} columns, too wide for this terminal; see the page")
        return
    print(title)
    console.print(drawn)


def _version() -> str:
    try:
        return version("vla-train")
    except PackageNotFoundError:
        return ""
