"""Several policies on the same episodes: their successes, and how each differs from the first."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console

from vla_train.evaluation.figures import rate
from vla_train.evaluation.paired import paired
from vla_train.evaluation.table import Row, print_rows
from vla_train.spec import EpisodeResult

ALL = "all stages"


def comparison(results: Mapping[str, Sequence[EpisodeResult]]) -> dict[str, Any]:
    """The section ``compare`` of a report from the plain episodes of each policy, by name. All are compared with the first one,
    over the stages together and, where there are several, in each."""
    first, *others = results
    stages = list(dict.fromkeys(result.stage for result in results[first]))
    parts = {stage: {name: [r for r in played if r.stage == stage] for name, played in results.items()} for stage in stages}
    chosen: dict[str, Mapping[str, Sequence[EpisodeResult]]] = {ALL: results, **(parts if len(stages) > 1 else {})}
    return {
        "first": first,
        "interval": "95 %: of a share Wilson 1927, of a difference Newcombe 1998, method 10",
        "test": "McNemar, exact, two-sided",
        "parts": {
            part: {
                "policies": {name: rate(played) for name, played in found.items()},
                "differences": {name: _difference(found[name], found[first]) for name in others},
            }
            for part, found in chosen.items()
        },
    }


def _difference(one: Sequence[EpisodeResult], first: Sequence[EpisodeResult]) -> dict[str, float]:
    """``difference`` is this policy's success minus the first's; ``better`` and ``worse`` count the episodes that only one of the
    two, this or the first, succeeded in."""
    pairs = paired(one, first)
    low, high = pairs.interval()
    found = {"difference": pairs.difference, "difference_low": low, "difference_high": high, "p": pairs.p_value()}
    return found | {"better": float(pairs.first), "worse": float(pairs.second), "episodes": float(pairs.total)}


def comparison_metrics(section: Mapping[str, Any]) -> dict[str, float]:
    """The figures over all stages, as ``<policy>/<figure>``."""
    part = section["parts"][ALL]
    found = {f"{name}/{figure}": value for name, figures in part["policies"].items() for figure, value in figures.items()}
    return found | {
        f"{name}/{figure}": value for name, figures in part["differences"].items() for figure, value in figures.items()
    }


def print_comparison(section: Mapping[str, Any], console: Console | None = None) -> None:
    """The section as a table: a heading for each stage, then the policies, each with its difference from the first below it."""
    rows: list[Row] = []
    for part, found in section["parts"].items():
        rows += [Row(part, "")] if len(section["parts"]) > 1 else []
        for name, figures in found["policies"].items():
            low, high = figures["success_low"], figures["success_high"]
            detail = f"{100 * low:.1f} to {100 * high:.1f} %, {figures['episodes']:.0f} episodes"
            rows.append(Row(name, f"{100 * figures['success']:.1f} %", detail))
            if name in found["differences"]:
                rows.append(_difference_row(section["first"], found["differences"][name]))
    print_rows(rows, console)


def _difference_row(first: str, figures: Mapping[str, float]) -> Row:
    low, high = figures["difference_low"], figures["difference_high"]
    detail = f"{100 * low:+.1f} to {100 * high:+.1f} %, p = {figures['p']:.2g} (McNemar), "
    detail += f"better in {figures['better']:.0f} episodes, worse in {figures['worse']:.0f}"
    return Row(f"  minus {first}", f"{100 * figures['difference']:+.1f} %", detail)
