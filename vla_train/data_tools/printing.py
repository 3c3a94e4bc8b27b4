"""Tables on the terminal, and files. Names from elsewhere are text there, never markup or commands to the terminal."""

import sys
from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from vla_train.errors import UsageError


def say(line: str = "") -> None:
    """A line of plain text."""
    print(printable(line), flush=True)


def printable(text: str) -> str:
    return "".join(letter if letter.isprintable() or letter == "\n" else "\N{REPLACEMENT CHARACTER}" for letter in str(text))


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> None:
    """Rows of text; the first ``left`` columns stand on the left, the others are numbers on the right."""
    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for index, name in enumerate(header):
        drawn.add_column(Text(name), justify="left" if index < left else "right", overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(printable(cell)) for cell in row))
    Console(highlight=False, width=None if sys.stdout.isatty() else 200).print(drawn)


def figure(value: float) -> str:
    """A number in few letters."""
    return f"{value:.4g}"


def write_new(path: Path, text: str) -> None:
    """Write a file that must not be there yet, and its folder if need be. UsageError otherwise."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(f"{path} is there already: name another file with output=") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be written ({error.strerror}): name another file with output=") from None
