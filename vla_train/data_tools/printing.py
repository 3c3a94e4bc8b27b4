"""Tables on the terminal. Names from elsewhere are text there, never markup or commands to the terminal."""

import sys
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text


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
