"""A report as one HTML page that needs nothing else: no network, no script. Whatever comes from a run is escaped."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from vla_train.reporting import tables
from vla_train.reporting.curves import CROWD
from vla_train.reporting.evaluations import Finding, diagnostics, embedded, evaluations, last_video, link, safety
from vla_train.reporting.panels import ALWAYS
from vla_train.reporting.runs import Run, printable
from vla_train.reporting.settings import Group
from vla_train.reporting.skeleton import document, folded, items, mark, picture, section, table
from vla_train.reporting.tables import Table

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
    parts = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="quiet">{escape(page.made)}</p>',
        _commands(runs),
        _notes(page),
        section("Final metrics", table(tables.standing(page.groups)), "Successes with their 95 % interval (Wilson)."),
        curves(page.groups, page.light, page.dark),
        _settings(page.groups),
        _diagnostics(runs),
        _measured(page),
        _videos(page),
    ]
    return document(title, parts)


def _notes(page: Page) -> str:
    notes = [escape(problem) for problem in page.problems]
    logged = set().union(*(run.metrics for run in page.runs))  # what no run has is told in its panel
    for run in page.runs:
        told = [*run.notes] + ([run.outcome] if len(run.outcome) > tables.OUTCOME_LETTERS else [])
        told += filter(None, [safety(run)])
        lacking = [panel for panel in ALWAYS if panel.metric not in run.metrics and panel.metric in logged]
        told += [f"no {panel.title}: {run.why_not(panel.metric)}" for panel in lacking]
        notes += [escape(f"{run.name}: {note}") for note in told]
    return section("Notes", items(notes))


def curves(groups: Sequence[Group], light: bytes, dark: bytes) -> str:
    """The section of the learning curves; the same picture twice."""
    names = ", ".join(group.label for group in groups)
    return section("Learning curves", picture(light, dark, f"Learning curves of {names}"), _explanation(groups))


def _explanation(groups: Sequence[Group]) -> str:
    text = "Noisy curves are moving averages"
    text += ". " if len(groups) > CROWD else "; faint: as logged. Bands: 95 % interval of the evaluated episodes. "
    several = any(len(group.runs) > 1 for group in groups)
    return text + ("Thin lines are runs that differ in their seed alone, the thick one their mean." if several else "")


def _settings(groups: Sequence[Group]) -> str:
    runs = [run for group in groups for run in group.runs]
    if len(runs) == 1:
        return section("Settings", folded("all of them", table(tables.everything(runs[0]))))
    differ = table(tables.differences(groups)) or "<p>They differ in no setting.</p>"
    around = tables.surroundings(groups)
    caption = "Settings that are not the same in all runs. The commit of the source stands here too."
    return section("Settings that differ", differ, caption) + section("Circumstances that differ", table(around))


def _diagnostics(runs: Sequence[Run]) -> str:
    found = [(run.name, diagnostics(run)) for run in runs]
    parts = [f"<p><b>{escape(name)}</b></p>\n{listed(each)}" for name, each in found if each is not None]
    return section("Diagnostics", "\n".join(parts))


def listed(found: Sequence[Finding]) -> str:
    """A list of what diagnostics found."""
    lines = [
        f'<span class="{finding.severity}">{escape(finding.kind.replace("_", " "))}</span>: {escape(finding.message)}'
        for finding in found
    ]
    return items(lines) or "<p>Nothing stood out.</p>"


def _measured(page: Page) -> str:
    """What vla-eval found."""
    found = [(group.index, run, each) for group in page.groups for run in group.runs for each in evaluations(run)]
    names = [name for name in tables.MEASURED if any(name in each.metrics for _, _, each in found)]
    rows, pages, reasons = [], [], dict[str, None]()
    for _, run, each in found:
        seeds, step = (printable(each.settings.get(name, tables.NOTHING)) for name in ("seeds", "step"))
        rows.append([run.name, each.name, seeds, step, *(tables.rate(each.metrics, name) for name in names)])
        reasons |= dict.fromkeys(f"{name}: {reason}" for name, reason in each.not_applicable.items())
        if each.page is not None:
            address = escape(link(each.page, page.folder), quote=True)
            pages.append(f'<a href="{address}">{escape(f"{run.name}: {each.name}")}</a>, with all its tables and pictures')
    header = ["run", "evaluation", "seeds", "step", *map(tables.heading, names)]
    shown = table(Table(header, rows, row_marks=[mark for mark, _, _ in found]))
    return section(
        "Measured with vla-eval", shown + items(pages) + items(escape(f"not applicable: {reason}") for reason in reasons)
    )


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
                caption = f'{mark(group.index)}{escape(run.name)}: <a href="{address}">{escape(name)}</a>'
                figures.append(f"<figure>{player}<figcaption>{caption}</figcaption></figure>")
    return section("Episodes", f'<div class="videos">\n{chr(10).join(figures)}\n</div>' if figures else "")


def _commands(runs: Sequence[Run]) -> str:
    commands = "\n".join(printable(run.record["command"], 2000) for run in runs if "command" in run.record)
    return folded("commands", f"<pre>{escape(commands)}</pre>" if commands else "")
