"""A report as one HTML page that needs nothing else: no network, no script. Whatever comes from a run is escaped."""

import base64
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from vla_train.reporting import tables
from vla_train.reporting.curves import CROWD, css
from vla_train.reporting.evaluations import diagnostics, embedded, evaluations, last_video, link
from vla_train.reporting.panels import ALWAYS
from vla_train.reporting.runs import Run, printable
from vla_train.reporting.settings import Group
from vla_train.reporting.tables import Table

POLICY = "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'"  # the browser holds the page to it
NUMBER = re.compile(r"-|[\d.,]+(e[+-]\d+)?( %.*)?")  # a cell that stands on the right
MOST_VIDEOS = 12  # that a page carries


@dataclass(frozen=True)
class Page:
    """What a page shows. ``light`` and ``dark`` are the same picture (PNG) for the two kinds of screen."""

    groups: list[Group]
    light: bytes
    dark: bytes
    made: str  # when, by which version
    problems: list[str]  # paths that could not be read
    folder: Path  # where the page will lie

    @property
    def runs(self) -> list[Run]:
        return [run for group in self.groups for run in group.runs]


def html(page: Page) -> str:
    """The whole page."""
    runs = page.runs
    title = runs[0].name if len(runs) == 1 else f"{len(runs)} runs"
    style = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
    parts = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="quiet">{escape(page.made)}</p>',
        _commands(runs),
        _notes(page),
        _section("Final metrics", _table(tables.standing(page.groups)), "Successes with their 95 % interval (Wilson)."),
        _section("Learning curves", _curves(page), _explanation(page.groups)),
        _settings(page.groups),
        _diagnostics(runs),
        _measured(page),
        _videos(page),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        + "\n".join(part for part in parts if part)
        + "\n</body>\n</html>\n"
    )


def _section(title: str, content: str, caption: str = "") -> str:
    quiet = f'<p class="quiet">{escape(caption)}</p>\n' if caption else ""
    return f"<section>\n<h2>{escape(title)}</h2>\n{quiet}{content}\n</section>" if content else ""


def _table(table: Table) -> str:
    """A table that scrolls on its own; nothing for one without rows."""
    if not table.rows:
        return ""
    numbers = [all(NUMBER.fullmatch(row[column]) for row in table.rows) for column in range(len(table.header))]
    marks = table.column_marks
    head = [
        _cell("th", text, numbers[column], marks[column - 1] if marks and column else None)
        for column, text in enumerate(table.header)
    ]
    body = []
    for number, row in enumerate(table.rows):
        mark = table.row_marks[number] if table.row_marks else None
        body.append("".join(_cell("td", text, numbers[c], None if c else mark) for c, text in enumerate(row)))
    lines = "\n".join(f"<tr>{cells}</tr>" for cells in body)
    return f'<div class="wide"><table>\n<thead><tr>{"".join(head)}</tr></thead>\n<tbody>\n{lines}\n</tbody>\n</table></div>'


def _cell(tag: str, text: str, number: bool, mark: int | None) -> str:
    kind = ' class="number"' if number else ""
    return f"<{tag}{kind}>{_mark(mark)}{escape(text)}</{tag}>"


def _mark(index: int | None) -> str:
    return (
        "" if index is None else f'<i class="mark" style="border-top-style:{css(index).replace(" ", ";border-top-color:")}"></i>'
    )


def _items(items: Iterable[str]) -> str:
    lines = "\n".join(f"<li>{item}</li>" for item in items)
    return f"<ul>\n{lines}\n</ul>" if lines else ""


def _notes(page: Page) -> str:
    notes = [escape(problem) for problem in page.problems]
    logged = set().union(*(run.metrics for run in page.runs))  # what no run has is told in its panel
    for run in page.runs:
        told = [*run.notes] + ([run.outcome] if len(run.outcome) > tables.OUTCOME_LETTERS else [])
        lacking = [panel for panel in ALWAYS if panel.metric not in run.metrics and panel.metric in logged]
        told += [f"no {panel.title}: {run.why_not(panel.metric)}" for panel in lacking]
        notes += [escape(f"{run.name}: {note}") for note in told]
    return _section("Notes", _items(notes))


def _curves(page: Page) -> str:
    light, dark = (base64.b64encode(picture).decode() for picture in (page.light, page.dark))
    names = escape(", ".join(group.label for group in page.groups), quote=True)
    return (
        f'<picture>\n<source media="screen and (prefers-color-scheme: dark)" srcset="data:image/png;base64,{dark}">\n'
        f'<img alt="Learning curves of {names}" src="data:image/png;base64,{light}">\n</picture>'
    )


def _explanation(groups: Sequence[Group]) -> str:
    text = "Noisy curves are moving averages"
    text += ". " if len(groups) > CROWD else "; faint: as logged. Bands: 95 % interval of the evaluated episodes. "
    several = any(len(group.runs) > 1 for group in groups)
    return text + ("Thin lines are runs that differ in their seed alone, the thick one their mean." if several else "")


def _settings(groups: Sequence[Group]) -> str:
    runs = [run for group in groups for run in group.runs]
    if len(runs) == 1:
        every = _table(tables.everything(runs[0]))
        return _section("Settings", f"<details><summary>all of them</summary>\n{every}\n</details>") if every else ""
    differ = _table(tables.differences(groups)) or "<p>They differ in no setting.</p>"
    around = tables.surroundings(groups)
    caption = "Settings that are not the same in all runs. The commit of the source stands here too."
    return _section("Settings that differ", differ, caption) + _section("Circumstances that differ", _table(around))


def _diagnostics(runs: Sequence[Run]) -> str:
    parts = []
    for run in runs:
        found = diagnostics(run)
        if found is None:
            continue
        items = [
            f'<span class="{finding.severity}">{escape(finding.kind.replace("_", " "))}</span>: {escape(finding.message)}'
            for finding in found
        ]
        parts.append(f"<p><b>{escape(run.name)}</b></p>\n{_items(items) or '<p>Nothing stood out.</p>'}")
    return _section("Diagnostics", "\n".join(parts))


def _measured(page: Page) -> str:
    """What vla-eval found."""
    rows: list[list[str]] = []
    marks: list[int] = []
    reasons: dict[str, None] = {}
    for group in page.groups:
        for run in group.runs:
            for each in evaluations(run):
                seeds, step = (printable(each.settings.get(name, tables.NOTHING)) for name in ("seeds", "step"))
                rows.append([run.name, each.name, seeds, step, *(tables.rate(each.metrics, name) for name in tables.CONDITIONS)])
                marks.append(group.index)
                reasons |= dict.fromkeys(f"{name}: {reason}" for name, reason in each.not_applicable.items())
    table = Table(["run", "evaluation", "seeds", "step", *tables.CONDITIONS], rows, row_marks=marks)
    return _section("Measured with vla-eval", _table(table) + _items(escape(f"not applicable: {reason}") for reason in reasons))


def _videos(page: Page) -> str:
    figures: list[str] = []
    for group in page.groups:
        for run in group.runs:
            measured = [(each.name, each.video) for each in evaluations(run)]
            for name, video in [("last evaluation in training", last_video(run)), *measured]:
                if video is None:
                    continue
                data = embedded(video) if len(figures) < MOST_VIDEOS else None
                player = f'<video controls loop muted preload="metadata" src="{data}"></video>' if data else ""
                address = escape(link(video, page.folder), quote=True)
                caption = f'{_mark(group.index)}{escape(run.name)}: <a href="{address}">{escape(name)}</a>'
                figures.append(f"<figure>{player}<figcaption>{caption}</figcaption></figure>")
    return _section("Episodes", f'<div class="videos">\n{chr(10).join(figures)}\n</div>' if figures else "")


def _commands(runs: Sequence[Run]) -> str:
    commands = "\n".join(printable(run.record["command"], 2000) for run in runs if "command" in run.record)
    return f"<details><summary>commands</summary>\n<pre>{escape(commands)}</pre>\n</details>" if commands else ""
