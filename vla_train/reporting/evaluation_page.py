"""The page of one evaluation, ``report.html``: what ``report.json`` says, the run's learning curves, and filmed episodes."""

import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from html import escape
from pathlib import Path
from typing import Any

from vla_train.conditions import TITLES, metric_of
from vla_train.errors import UsageError, VlaTrainError
from vla_train.reporting import figures, measured
from vla_train.reporting.bars import bars, cards
from vla_train.reporting.curves import draw
from vla_train.reporting.evaluations import PAGE, findings
from vla_train.reporting.measured import Rate, Scope
from vla_train.reporting.page import curves, listed
from vla_train.reporting.panels import panels
from vla_train.reporting.runs import Run, mapping, numbers, printable, read, read_json
from vla_train.reporting.settings import as_typed, groups
from vla_train.reporting.skeleton import data, document, folded, items, section, table
from vla_train.reporting.tables import Table
from vla_train.reporting.tiles import tiles
from vla_train.spec import Report

Rates = Callable[[Scope], list[Rate]]

OPEN_LOOP = re.compile(r"open_loop_(\d+)")
LONGEST_REASON = 300  # letters
NO_RUN = "The checkpoint does not lie in the folder of its run, or nothing was logged there."


def write_page(file: Path, report: Report, runs: Sequence[Path], fps: float = 10.0) -> Path:
    """Write the page beside ``report.json`` (``file``) and return its path.

    Figures are those of the file; of ``report`` films and pictures are taken. ``runs`` are the folders in which the curves lie;
    one without is told. Raises UsageError if the page cannot be written.
    """
    page = file.with_name(PAGE)
    content = html(read_json(file), report, list(filter(None, map(_run, runs))), fps)
    temporary = page.with_name(f".{os.getpid()}-{PAGE}")
    try:
        temporary.write_text(content, encoding="utf-8")
        temporary.replace(page)
    except OSError as error:
        raise UsageError(f"{page} cannot be written ({error.strerror}): choose another folder with output=") from error
    finally:
        temporary.unlink(missing_ok=True)
    return page


def html(facts: Mapping[str, Any], report: Report, runs: Sequence[Run], fps: float) -> str:
    """The whole page of a ``report.json`` that was read."""
    scopes = measured.scopes(facts)
    title = _title(facts, runs)
    pictures = dict(report.pictures)
    return document(
        title,
        [
            f"<h1>{escape(title)}</h1>",
            f'<p class="quiet">{escape(_made(facts))}</p>',
            cards(_headline(scopes[0])),
            _compared(facts),
            _by_scope("Success", scopes, measured.success, "Bars with their 95 % interval (Wilson). Thin line: chance."),
            _films(report, scopes, fps),
            _grounding(scopes),
            _zero_shot(facts, scopes),
            _robustness(scopes, pictures),
            _held_out(facts, scopes, pictures),
            *(_shown(name, picture) for name, picture in pictures.items()),
            _curves(runs),
            _diagnostics(facts),
            section("Length and speed", table(figures.further(scopes))),
            section("Not applicable", items(_reasons(facts))),
            _all(facts),
        ],
    )


def _run(folder: Path) -> Run | None:
    try:
        return read(folder)
    except VlaTrainError:
        return None


def _title(facts: Mapping[str, Any], runs: Sequence[Run]) -> str:
    if mapping(facts, "compare"):
        return f"Comparison of {len(mapping(mapping(facts, 'settings'), 'compare'))} policies"
    checkpoint = Path(str(mapping(facts, "settings").get("checkpoint", "")))
    return f"{runs[0].name}, {printable(checkpoint.name)}" if runs else printable(checkpoint) or "Evaluation"


def _made(facts: Mapping[str, Any]) -> str:
    settings, versions = mapping(facts, "settings"), mapping(facts, "versions")
    suite = settings.get("suite")
    told = [f"suite {printable(suite)}" if suite else "", f"seeds: {printable(settings.get('seeds'))}"]
    told += (
        [f"{printable(settings['episodes'])} episodes under each condition"] if "episodes" in settings and _played(facts) else []
    )
    told.append(f"vla-eval {printable(versions.get('vla-train', ''))}, {datetime.now():%Y-%m-%d %H:%M}")
    return " · ".join(part for part in told if part)


def _played(facts: Mapping[str, Any]) -> bool:
    return any(name.endswith("episodes") for name in mapping(facts, "metrics"))


def _headline(scope: Scope) -> list[Rate]:
    names = {metric_of(name): TITLES[name] for name in ("plain", "swapped")} | {"first_touched": "first touched is named"}
    names |= {metric_of("chance"): TITLES["chance"], "robustness/mean": "mean under change", "robustness/worst": "worst change"}
    found = [each for name, title in names.items() for each in measured.rate(scope.metrics, name, title)]
    return found or measured.rate(scope.metrics, "held_out/action_accuracy", "held-out action accuracy")


def _by_scope(title: str, scopes: Sequence[Scope], rates: Rates, caption: str, extra: str = "") -> str:
    """A section of bars for each scope, and ``extra`` (HTML) below them."""
    parts = []
    for scope in scopes:
        shown = bars(rates(scope), scope.metrics.get("chance/success", math.nan))
        parts.append(f"<h3>{escape(printable(scope.name))}</h3>\n{shown}" if scope.name and shown else shown)
    return section(title, "\n".join(filter(None, [*parts, extra])), caption)


def _films(report: Report, scopes: Sequence[Scope], fps: float) -> str:
    if report.films:
        grid, count = tiles(report.films, report.episodes, fps)
        return section("Episodes", grid, count)
    reasons = dict.fromkeys(scope.reasons["video"] for scope in scopes if "video" in scope.reasons)
    return section("Episodes", items(f"no videos: {escape(printable(reason, LONGEST_REASON))}" for reason in reasons))


def _grounding(scopes: Sequence[Scope]) -> str:
    """Does the policy do what the words say?"""
    caption = "The same scenes with other words; below each name, what a policy that listens reaches. Thin line: chance."
    return _by_scope("Grounding", scopes, measured.grounding, caption, table(figures.grounding(scopes)))


def _zero_shot(facts: Mapping[str, Any], scopes: Sequence[Scope]) -> str:
    """Success on what was kept out of training; splits that are the same finding as another row are said to be."""
    same = [f"{printable(split)}: {printable(why)}." for split, why in mapping(facts, "zero_shot").items()]
    caption = " ".join(["Words or combinations that were kept out of training.", *same])
    return _by_scope("Zero-shot", scopes, measured.zero_shot, caption)


def _robustness(scopes: Sequence[Scope], pictures: dict[str, bytes]) -> str:
    axes, unchanged = measured.robustness(scopes[0]), scopes[0].metrics.get("robustness/unchanged/success", math.nan)
    plot = _figure("success by strength of the change", pictures.pop("robustness")) if "robustness" in pictures else ""
    parts = [
        f"<div><h3>{escape(printable(axis.replace('_', ' ')))}</h3>\n{bars(rates, unchanged)}</div>"
        for axis, rates in axes.items()
    ]
    grid = f'<div class="axes">\n{chr(10).join(parts)}\n</div>' if parts else ""
    caption = "Success when the world changes, by the strength of the change (1: the full range). Thin line: nothing changed."
    return section("Robustness", f"{plot}\n{grid}".strip(), caption)


def _held_out(facts: Mapping[str, Any], scopes: Sequence[Scope], pictures: dict[str, bytes]) -> str:
    parts = [table(figures.held_out(scopes)), table(figures.horizon(mapping(facts, "horizon")))]
    for name in [name for name in pictures if OPEN_LOOP.fullmatch(name)]:
        parts.append(_figure(f"open loop, episode {name.rpartition('_')[2]}", pictures.pop(name)))
    return section("Held-out demonstrations", "\n".join(filter(None, parts)), "Predictions beside recorded actions.")


def _shown(name: str, content: bytes) -> str:
    title = printable(name.replace("_", " "))
    return section(title[:1].upper() + title[1:], _figure(title, content))


def _figure(words: str, content: bytes) -> str:
    alternative = escape(words, quote=True)
    return f'<div class="wide"><img class="paper" alt="{alternative}" src="{data("image/png", content)}"></div>'


def _curves(runs: Sequence[Run]) -> str:
    if not runs:
        return section("Learning curves", f"<p>{NO_RUN}</p>")
    grouped, shown = groups(runs), panels(runs)
    light, dark = (draw(grouped, shown, "updates", dark=dark) for dark in (False, True))
    return curves(grouped, light, dark)


def _compared(facts: Mapping[str, Any]) -> str:
    """Several policies on the same episodes."""
    parts = []
    for name, part in mapping(mapping(facts, "compare"), "parts").items():
        if isinstance(part, dict):
            shown = bars(figures.policies(part)) + "\n" + table(figures.differences(part))
            parts.append(f"<h3>{escape(printable(name))}</h3>\n{shown}")
    return section("Comparison", "\n".join(parts), "The same episodes for all; differences are paired (McNemar).")


def _diagnostics(facts: Mapping[str, Any]) -> str:
    found = findings(dict(facts))
    return section("Diagnostics", listed(found)) if found is not None else ""


def _reasons(facts: Mapping[str, Any]) -> list[str]:
    reasons = mapping(facts, "not_applicable").items()
    return [f"{escape(printable(name))}: {escape(printable(reason, LONGEST_REASON))}" for name, reason in reasons]


def _all(facts: Mapping[str, Any]) -> str:
    settings = [[printable(name), as_typed(value, LONGEST_REASON)] for name, value in mapping(facts, "settings").items()]
    versions = [[printable(name), printable(value)] for name, value in mapping(facts, "versions").items()]
    every = [[printable(name), f"{value:.6g}"] for name, value in numbers(mapping(facts, "metrics")).items()]
    parts = [
        folded("settings of this evaluation", table(Table(["setting", "value"], settings + versions))),
        folded("every figure of report.json", table(Table(["figure", "value"], every))),
    ]
    return section("Everything", "\n".join(filter(None, parts)))
