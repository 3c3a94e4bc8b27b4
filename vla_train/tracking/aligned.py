"""Tables on a console: with rich on a terminal, as aligned text elsewhere. Cells are text, never markup."""

from collections.abc import Callable, Container, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

Cells = Sequence[str | Text]


def print_table(
    console: Console,
    head: Sequence[str],
    rows: Sequence[Cells],
    *,
    title: str = "",
    right: Container[int] = (),
    bold: Callable[[Cells], bool] = lambda row: False,
) -> None:
    """Print ``rows`` under their ``head``. As text, what has no title has no head either.

    ``right``: the columns that stand on the right, as numbers do. ``bold``: which rows a terminal shows so.
    """
    if not console.is_terminal:
        lines = _aligned([head, *rows], right) if title else _aligned(rows, right)
        console.file.write("\n".join(["", title, *lines] if title else lines) + "\n")
        return
    table = Table(title=title or None, title_justify="left", header_style="bold")
    for index, name in enumerate(head):  # folded: a path that is cut could not be copied
        table.add_column(name, justify="right" if index in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in row), style="bold" if bold(row) else "")
    console.print(table)


def _aligned(rows: Sequence[Cells], right: Container[int]) -> list[str]:
    texts = [[str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    lines = []
    for row in texts:
        words = [
            word.rjust(width) if index in right else word.ljust(width)
            for index, (word, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(words).rstrip())
    return lines
