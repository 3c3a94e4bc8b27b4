"""What the pages are built from: the frame of a page, its sections, tables, lists and pictures. Text is escaped here."""

import base64
import re
from collections.abc import Iterable
from html import escape
from pathlib import Path

from vla_train.reporting.curves import css
from vla_train.reporting.tables import Table

POLICY = "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'"  # the browser holds the page to it
NUMBER = re.compile(r"-|[+-]?[\d.,]+(e[+-]\d+)?( %.*| points)?")  # a cell that stands on the right


def document(title: str, parts: Iterable[str]) -> str:
    """A page that needs nothing else: no network, no script. ``parts`` are HTML; empty ones are left out."""
    style = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        + "\n".join(part for part in parts if part)
        + "\n</body>\n</html>\n"
    )


def section(title: str, content: str, caption: str = "") -> str:
    """``content`` is HTML; without it there is no section."""
    quiet = f'<p class="quiet">{escape(caption)}</p>\n' if caption else ""
    return f"<section>\n<h2>{escape(title)}</h2>\n{quiet}{content}\n</section>" if content else ""


def folded(summary: str, content: str) -> str:
    """HTML behind a line that opens it."""
    return f"<details><summary>{escape(summary)}</summary>\n{content}\n</details>" if content else ""


def table(content: Table) -> str:
    """A table that scrolls on its own; nothing for one without rows."""
    if not content.rows:
        return ""
    numbers = [all(NUMBER.fullmatch(row[column]) for row in content.rows) for column in range(len(content.header))]
    marks = content.column_marks
    head = [
        _cell("th", text, numbers[column], marks[column - 1] if marks and column else None)
        for column, text in enumerate(content.header)
    ]
    body = []
    for number, row in enumerate(content.rows):
        row_mark = content.row_marks[number] if content.row_marks else None
        body.append("".join(_cell("td", text, numbers[c], None if c else row_mark) for c, text in enumerate(row)))
    lines = "\n".join(f"<tr>{cells}</tr>" for cells in body)
    return f'<div class="wide"><table>\n<thead><tr>{"".join(head)}</tr></thead>\n<tbody>\n{lines}\n</tbody>\n</table></div>'


def _cell(tag: str, text: str, number: bool, index: int | None) -> str:
    kind = ' class="number"' if number else ""
    return f"<{tag}{kind}>{mark(index)}{escape(text)}</{tag}>"


def mark(index: int | None) -> str:
    """A short line in the colour of a group."""
    return (
        "" if index is None else f'<i class="mark" style="border-top-style:{css(index).replace(" ", ";border-top-color:")}"></i>'
    )


def items(lines: Iterable[str]) -> str:
    """A list; the ``lines`` are HTML."""
    shown = "\n".join(f"<li>{line}</li>" for line in lines)
    return f"<ul>\n{shown}\n</ul>" if shown else ""


def data(kind: str, content: bytes) -> str:
    """The bytes as an address."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def picture(light: bytes, dark: bytes, words: str) -> str:
    """A PNG for each kind of screen. It does not become smaller than can be read; a narrow screen scrolls."""
    return (
        '<div class="wide"><picture class="curves">\n'
        f'<source media="screen and (prefers-color-scheme: dark)" srcset="{data("image/png", dark)}">\n'
        f'<img alt="{escape(words, quote=True)}" src="{data("image/png", light)}">\n</picture></div>'
    )
