"""The section ``robustness`` of a report as a table: axes down, strengths across."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console

from vla_train.tracking.aligned import print_table


def print_robustness(section: Mapping[str, Any], console: Console | None = None) -> None:
    """Print a table for each stage, if there are several, and one for all episodes, to ``console`` (default: standard output)."""
    console = console or Console()
    for stage, part in section["stages"].items():
        _print(f"robustness, {stage}", part, console)
    _print("robustness" + (", all stages" if section["stages"] else ""), section, console)


def _print(name: str, section: Mapping[str, Any], console: Console) -> None:
    strengths, unchanged, worst = section["strengths"], section["unchanged"], section["worst"]
    head = ["axis", *(f"strength {strength:g}" for strength in strengths), "mean"]
    rows = [[axis, *map(_rate, part["rates"]), f"{100 * part['mean']:.1f} %"] for axis, part in section["axes"].items()]
    title = (
        f"{name}: success and its 95 % interval, {unchanged['episodes']:.0f} episodes each; nothing changed: {_rate(unchanged)}\n"
        f"mean of the axes {100 * section['mean']:.1f} %, worst {100 * worst['mean']:.1f} % ({worst['axis']})"
    )
    print_table(console, head, rows, title=title, right=range(1, len(head)))


def _rate(rate: Mapping[str, float]) -> str:
    low, high = rate["success_low"], rate["success_high"]
    return f"{100 * rate['success']:.1f} % ({100 * low:.0f} to {100 * high:.0f})"
