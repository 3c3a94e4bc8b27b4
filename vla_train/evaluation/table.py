"""A report as a table: with rich on a terminal, as aligned text elsewhere."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

from vla_train.conditions import BASELINES, TITLES, WORDED, beside, metric_of
from vla_train.evaluation.conditions import NotGiven
from vla_train.evaluation.figures import TOUCHED
from vla_train.spec import Report
from vla_train.tracking.aligned import print_table

RATES = {metric_of(name): TITLES[name] for name in ("plain", *WORDED, *BASELINES)}
RATES |= {"first_touched": "first touched is named", "named_touched_first": "  of all that name an object"}
NUMBERS = {
    "paraphrase/gap": ("lost by the paraphrase", "{:+.1%}"),
    "swapped/divergence": ("plans apart under a swap", "{:.3f}"),
    "success_mean_of_groups": ("mean of the groups of tasks", "{:.1%}"),
    "reward": ("mean return", "{:.2f}"),
    "length": ("mean length", "{:.1f} steps"),
    "crashes": ("crashes", "{:.0f}"),
    "aborted": ("episodes aborted by safety", "{:.0f}"),
    "limited": ("steps whose action was cut", "{:.0f}"),
    "latency_ms_p50": ("planning, rows due", "{:.2f} ms"),
    "single_latency_ms_p50": ("planning, one row", "{:.2f} ms"),
    "held_out/loss": ("held-out loss", "{:.4f}"),
    "held_out/action_accuracy": ("held-out action accuracy", "{:.1%}"),
    "held_out/alignment": ("held-out alignment", "{:.3f}"),
    "held_out/cosine": ("held-out cosine", "{:.3f}"),
    "held_out/cross_modal": ("cross-modal consistency", "{:.3f}"),
}


@dataclass(frozen=True)
class Row:
    """A line of the table. ``detail`` is the interval and the count, or why the figure does not apply."""

    name: str
    value: str
    detail: str = ""


def table_rows(report: Report, evaluated: Sequence[str] = ()) -> list[Row]:
    """All figures of a report, with a heading (a row without value) before each stage, or part of a mix, if there are several.
    ``evaluated``: the stages that it is about; by default those of its episodes."""
    known = evaluated or dict.fromkeys(result.stage for result in report.episodes)
    names = [*report.metrics, *report.not_applicable]
    stages, together = [stage for stage in known if any(name.startswith(f"{stage}/") for name in names)], "all stages"
    if not stages:
        end = "/held_out/loss"
        stages, together = [name.removesuffix(end) for name in report.metrics if name.endswith(end)], "all parts"
    if not stages:
        return _rows(report.metrics, report.not_applicable)
    rows = []
    for stage in stages:
        rows += [Row(stage, ""), *_rows(_below(report.metrics, f"{stage}/"), _below(report.not_applicable, f"{stage}/"))]
    prefixes = tuple(f"{stage}/" for stage in stages)
    metrics = {name: value for name, value in report.metrics.items() if not name.startswith(prefixes)}
    reasons = {name: reason for name, reason in report.not_applicable.items() if not name.startswith(prefixes)}
    return [*rows, Row(together, ""), *_rows(metrics, reasons)]


def print_report(report: Report, console: Console | None = None, *, evaluated: Sequence[str] = ()) -> None:
    """Print the table (see ``table_rows``) to ``console`` (default: standard output)."""
    print_rows(table_rows(report, evaluated), console)


def print_rows(rows: Sequence[Row], console: Console | None = None) -> None:
    """Print a table of figures."""
    console = console or Console()
    if not rows:
        console.file.write("nothing was measured\n")
        return
    cells = [(row.name, row.value, Text(row.detail, "dim")) for row in rows]
    head = ["figure", "value", "interval, count or reason"]
    print_table(console, head, cells, right=[1], bold=lambda row: not row[1])


def _below(values: Mapping[str, object], prefix: str) -> dict[str, object]:
    return {name.removeprefix(prefix): value for name, value in values.items() if name.startswith(prefix)}


def _rows(metrics: Mapping[str, object], reasons: Mapping[str, object]) -> list[Row]:
    numbers = {name: value for name, value in metrics.items() if isinstance(value, float | int)}
    rows = []
    for name, title in RATES.items():
        if name in numbers:
            rows.append(_rate(numbers, name, title))
        if name == "success":
            tasks = [key.removeprefix("success/") for key in numbers if key.startswith("success/")]
            rows += [_rate(numbers, "success", f"  {task}", f"/{task}") for task in tasks]
    rows += _zero_shot(numbers)
    for name, (title, form) in NUMBERS.items():
        if name in numbers and not (name == "reward" and "success" in numbers):  # where there is success, it says more
            rows.append(Row(title, form.format(numbers[name]).replace("%", " %"), _detail(numbers, name)))
    titles = {name: RATES.get(f"{name}/success", RATES.get(name, name)) for name in reasons}
    return rows + [_missing(titles[name], reason) for name, reason in reasons.items()]


def _zero_shot(numbers: Mapping[str, float]) -> list[Row]:
    rows = []
    for name in (key for key in numbers if re.fullmatch(r"zero_shot/[^/]+/success", key)):
        split, beyond = name.split("/")[1], ("ratio", "seen_success", "seen_episodes")
        ratio, seen, episodes = (numbers.get(beside(name, figure), math.nan) for figure in beyond)
        rows.append(_rate(numbers, name, f"zero-shot: {split}"))
        told = f"{100 * seen:.1f} % in {episodes:.0f} episodes of the same tasks" if episodes > 0 else ""
        rows.append(Row("  of the success on what was seen", "-" if math.isnan(ratio) else f"{100 * ratio:.1f} %", told))
    return rows


def _missing(title: str, reason: object) -> Row:
    if isinstance(reason, NotGiven):
        value, _, what = reason.partition(": ")
        return Row(title, value, what)
    return Row(title, "not applicable", str(reason))


def _rate(numbers: Mapping[str, float], name: str, title: str, task: str = "") -> Row:
    low, high = numbers[f"{name}_low{task}"], numbers[f"{name}_high{task}"]
    count = numbers[f"{name}_episodes" if name in TOUCHED else beside(name, "episodes") + task]
    detail = f"{100 * low:.1f} to {100 * high:.1f} %, {count:.0f} episodes"
    excluded = numbers.get(beside(name, "excluded")) if "/" in name else None
    return Row(title, f"{100 * numbers[name + task]:.1f} %", detail + (f", {excluded:.0f} excluded" if excluded else ""))


def _detail(numbers: Mapping[str, float], name: str) -> str:
    if name.endswith("latency_ms_p50"):
        latency = name.removesuffix("_ms_p50")
        rows, slow, calls = numbers.get(f"{latency}_rows"), numbers.get(f"{latency}_ms_p99"), numbers[f"{latency}_calls"]
        told = ["median", "" if slow is None else f"p99 {slow:.2f} ms", "" if rows is None else f"{rows:.1f} rows a call"]
        return "; ".join([*filter(None, told), f"{calls:.0f} calls"])
    if name == "paraphrase/gap":
        return f"{100 * numbers['paraphrase/gap_low']:+.1f} to {100 * numbers['paraphrase/gap_high']:+.1f} %, paired"
    if name == "held_out/cross_modal":
        return f"{numbers['held_out/cross_modal_frames']:.0f} frames whose words have an opposite"
    if name == "held_out/loss":
        return f"{numbers['held_out/frames']:.0f} frames"
    if name == "held_out/cosine" and not math.isnan(numbers.get("held_out/predicted_zero", math.nan)):
        zeros = numbers["held_out/predicted_zero"], numbers["held_out/recorded_zero"]
        return f"zero vectors excluded: {zeros[0]:.0f} predicted, {zeros[1]:.0f} recorded"
    return ""
