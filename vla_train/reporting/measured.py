"""What ``report.json`` says, as rows of figures: by names, so that a figure that is not known here is no harm."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vla_train.conditions import BASELINES, TITLES, beside, metric_of
from vla_train.reporting.runs import mapping, numbers

Metrics = Mapping[str, float]

PLAIN = "success"
GROUNDING = {  # a condition: what it is, and where a policy that listens has it
    "swapped": ("told another goal of the same scene, judged by that one", "as high as success"),
    "paraphrase": ("the same goal in other words", "as high as success"),
    "foreign": ("told the words of another episode, judged by its own goal", "no higher than chance"),
    "empty": ("told nothing", "no higher than chance"),
    "garbage": ("told letters without sense", "no higher than chance"),
}
TOUCHED = "first_touched"
NAMED_TOUCHED = "named_touched_first"
_AXIS = re.compile(r"robustness/([^/]+)/([^/]+)/success")
_SPLIT = re.compile(r"zero_shot/([^/]+)/success")


@dataclass(frozen=True)
class Rate:
    """A share of episodes with its 95 % interval; NaN where there is none. ``indent``: it is a part of the row above."""

    name: str
    value: float
    low: float = math.nan
    high: float = math.nan
    episodes: float = math.nan
    note: str = ""
    indent: bool = False


@dataclass(frozen=True)
class Scope:
    """The figures of all episodes together, or of one stage. ``name`` is "" where there is one stage."""

    name: str
    metrics: Metrics
    reasons: Mapping[str, str]  # why a figure does not apply


def scopes(document: Mapping[str, Any]) -> list[Scope]:
    """All episodes together first, then each stage where there are several."""
    metrics = numbers(mapping(document, "metrics"))
    reasons = {name: str(reason) for name, reason in mapping(document, "not_applicable").items()}
    listed = mapping(document, "settings").get("stages")
    stages = [str(stage) for stage in listed] if isinstance(listed, list) else []
    stages = [stage for stage in stages if any(name.startswith(f"{stage}/") for name in [*metrics, *reasons])]
    inside = tuple(f"{stage}/" for stage in stages)
    whole = Scope("all stages" if stages else "", *(_outside(values, inside) for values in (metrics, reasons)))
    return [whole, *(Scope(stage, *(below(values, f"{stage}/") for values in (metrics, reasons))) for stage in stages)]


def below(values: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): value for name, value in values.items() if name.startswith(prefix)}


def _outside(values: Mapping[str, Any], prefixes: tuple[str, ...]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if not name.startswith(prefixes)}


def success(scope: Scope) -> list[Rate]:
    """Success, of each task, and of the baselines."""
    found = rate(scope.metrics, PLAIN, "this policy")
    tasks = [name.removeprefix(f"{PLAIN}/") for name in scope.metrics if name.startswith(f"{PLAIN}/")]
    found += [part for task in tasks for part in rate(scope.metrics, PLAIN, task, task=f"/{task}", indent=True)]
    for condition in BASELINES:
        found += rate(scope.metrics, metric_of(condition), TITLES[condition]) or _missing(scope, condition, TITLES[condition])
    return found


def grounding(scope: Scope) -> list[Rate]:
    """Success when the words are changed, and whether the object named is touched first."""
    found: list[Rate] = []
    for condition, (meaning, wanted) in GROUNDING.items():
        title, note = TITLES[condition], f"{meaning}; should be {wanted}"
        found += rate(scope.metrics, metric_of(condition), title, note=note) or _missing(scope, condition, title)
    named = rate(scope.metrics, TOUCHED, "first object touched is the one named", note="should be near 100 %")
    named += rate(scope.metrics, NAMED_TOUCHED, "of all that name an object", indent=True)
    return found + (named or _missing(scope, TOUCHED, "first object touched is the one named"))


def zero_shot(scope: Scope) -> list[Rate]:
    """Each held-out split beside what was trained."""
    splits = [match[1] for match in map(_SPLIT.fullmatch, scope.metrics) if match]
    seen = rate(scope.metrics, PLAIN, "seen in training") if splits else []
    for split in splits:
        ratio = scope.metrics.get(f"zero_shot/{split}/ratio", math.nan)
        note = "" if math.isnan(ratio) else f"{100 * ratio:.1f} % of the success on what was seen"
        among = scope.metrics.get(f"zero_shot/{split}/seen_episodes", math.nan)
        note += f" ({among:.0f} episodes of the same tasks)" if note and among > 0 else ""
        seen += rate(scope.metrics, f"zero_shot/{split}/{PLAIN}", f"unseen: {split}", note=note)
    return seen


def robustness(scope: Scope) -> dict[str, list[Rate]]:
    """By axis: success at each strength of change, rising."""
    found: dict[str, list[Rate]] = {}
    for axis, strength in (match.groups() for match in map(_AXIS.fullmatch, scope.metrics) if match):
        found.setdefault(axis, []).extend(rate(scope.metrics, f"robustness/{axis}/{strength}/{PLAIN}", strength))
    return {axis: sorted(rates, key=lambda each: _order(each.name)) for axis, rates in found.items()}


def rate(metrics: Metrics, name: str, title: str, *, task: str = "", note: str = "", indent: bool = False) -> list[Rate]:
    """The share called ``name`` with interval and count; [] where it was not measured."""
    if name + task not in metrics:
        return []
    counted = f"{name}_episodes" if name in (TOUCHED, NAMED_TOUCHED) else beside(name, "episodes")
    value, low, high, episodes = (metrics.get(key + task, math.nan) for key in (name, f"{name}_low", f"{name}_high", counted))
    excluded = metrics.get(beside(name, "excluded"), 0.0) if "/" in name else 0.0
    told = [part for part in (note, f"{excluded:.0f} episodes left out" if excluded else "") if part]
    return [Rate(title, value, low, high, episodes, "; ".join(told), indent)]


def _missing(scope: Scope, condition: str, title: str) -> list[Rate]:
    reason = scope.reasons.get(condition)
    return [Rate(title, math.nan, note=reason)] if reason else []


def _order(strength: str) -> tuple[float, str]:
    try:
        return float(strength), strength
    except ValueError:
        return math.inf, strength
