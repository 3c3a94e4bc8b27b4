"""The figures of an evaluation that are no shares of episodes, as tables: a row for each, a column for each stage."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from vla_train.reporting.measured import Rate, Scope, rate
from vla_train.reporting.runs import mapping, numbers, printable
from vla_train.reporting.tables import NOTHING, Table

Names = Mapping[str, tuple[str, Callable[[float], str]]]  # a metric: what it is called, how it is written


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _points(value: float) -> str:
    return f"{100 * value:+.1f} points"


GROUNDING: Names = {
    "paraphrase/gap": ("lost by the paraphrase", _points),
    "swapped/divergence": ("plans apart when the instruction is swapped", "{:.3f}".format),
    "held_out/cross_modal": ("cross-modal consistency", "{:.3f}".format),
}
HELD_OUT: Names = {
    "held_out/loss": ("loss", "{:.4f}".format),
    "held_out/action_accuracy": ("action accuracy", _percent),
    "held_out/agreement": ("agreement", _percent),
    "held_out/alignment": ("alignment", "{:.3f}".format),
    "held_out/cosine": ("cosine", "{:.3f}".format),
    "held_out/frames": ("frames", "{:,.0f}".format),
}
FURTHER: Names = {
    "episodes": ("episodes", "{:,.0f}".format),
    "crashes": ("crashes", "{:,.0f}".format),
    "aborted": ("episodes aborted by safety", "{:,.0f}".format),
    "limited": ("steps whose action was cut", "{:,.0f}".format),
    "length": ("mean length, steps", "{:.1f}".format),
    "reward": ("mean return", "{:.2f}".format),
    "latency_ms_p50": ("planning for the rows due, median ms", "{:.2f}".format),
    "latency_ms_p99": ("planning for the rows due, 99th percentile ms", "{:.2f}".format),
    "single_latency_ms_p50": ("planning for one row, median ms", "{:.2f}".format),
    "single_latency_ms_p99": ("planning for one row, 99th percentile ms", "{:.2f}".format),
}


def grounding(scopes: Sequence[Scope]) -> Table:
    return _table(scopes, GROUNDING)


def held_out(scopes: Sequence[Scope]) -> Table:
    return _table(scopes, HELD_OUT)


def further(scopes: Sequence[Scope]) -> Table:
    return _table(scopes, FURTHER)


def horizon(section: Mapping[str, Any]) -> Table:
    """The error of each predictor by step ahead, over all dimensions."""
    predictors = mapping(mapping(mapping(section, "parts"), "all"), "predictors")
    values = {printable(name): row["value"] for name, row in predictors.items() if isinstance(row, dict) and row.get("value")}
    values = {name: row for name, row in values.items() if isinstance(row, list)}
    longest = max((len(row) for row in values.values()), default=0)
    steps = [step for step in (2**power for power in range(12)) if step <= longest]
    steps += [longest] if longest and longest not in steps else []
    measure = printable(section.get("measure", "error"))
    rows = [[name, *(_cell(row[step - 1]) if step <= len(row) else NOTHING for step in steps)] for name, row in values.items()]
    return Table([f"{measure} by steps ahead", *map(str, steps)], rows)


def policies(part: Mapping[str, Any]) -> list[Rate]:
    """The successes of compared policies."""
    found = mapping(part, "policies").items()
    return [each for name, row in found if isinstance(row, dict) for each in rate(numbers(row), "success", printable(name))]


def differences(part: Mapping[str, Any]) -> Table:
    """Each policy beside the first one."""
    rows = []
    for name, row in mapping(part, "differences").items():
        one = numbers(row) if isinstance(row, dict) else {}
        middle, low, high = (100 * one.get(f"difference{end}", math.nan) for end in ("", "_low", "_high"))
        counts = [f"{one.get(key, math.nan):.0f}" for key in ("better", "worse")]
        rows.append([printable(name), f"{middle:+.1f}", f"{low:+.1f} to {high:+.1f}", *counts, f"{one.get('p', math.nan):.2g}"])
    header = ["minus the first", "difference, points", "95 % interval", "better in episodes", "worse in", "p (McNemar)"]
    return Table(header, rows)


def _table(scopes: Sequence[Scope], names: Names) -> Table:
    rows = []
    for name, (title, form) in names.items():
        cells = [form(scope.metrics[name]) if name in scope.metrics else NOTHING for scope in scopes]
        rows += [[title, *cells]] if any(cell != NOTHING for cell in cells) else []
    return Table(["figure", *(printable(scope.name) or "value" for scope in scopes)], rows)


def _cell(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, int | float) and math.isfinite(value) else NOTHING
