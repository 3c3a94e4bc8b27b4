"""The section ``horizon`` of a report as a table: parts of the action and predictors down, steps ahead across."""

import math
from collections.abc import Mapping
from typing import Any

from rich.console import Console

from vla_train.evaluation.horizon import ALL, POLICY
from vla_train.tracking.aligned import print_table


def shown_steps(chunk: int) -> list[int]:
    """1, 2, 4, 8, ... and the last step of the chunk."""
    return sorted({2**power for power in range(chunk.bit_length()) if 2**power <= chunk} | {chunk})


def print_horizon(section: Mapping[str, Any], console: Console | None = None) -> None:
    """Print the table to ``console`` (default: standard output). Dimensions have their rows in ``horizon.csv`` only."""
    console = console or Console()
    head = _head(section)
    numbers, of_policy = range(2, len(head)), lambda row: row[1] == POLICY
    print_table(console, head, _rows(section), title=_title(section), right=numbers, bold=of_policy)
    for name, reason in section["not_applicable"].items():
        console.file.write(f"{name}: not applicable, {reason}\n")


def _title(section: Mapping[str, Any]) -> str:
    count = section["episodes"]
    words = "agreement with" if section["measure"] == "agreement" else "mean absolute error of"
    where = f"{section['frames'][0]} frames of {count} held-out episode{'s' * (count != 1)}, {section['rate']:g} steps/s"
    return f"{words} the recorded action by step ahead, in {section['unit']}\n{where}"


def _head(section: Mapping[str, Any]) -> list[str]:
    chunk = len(section["frames"])
    head = ["part", "predictor", *(str(step) for step in shown_steps(chunk)), f"mean of {chunk}"]
    return [*head, "95 % over episodes"] if section["episodes"] > 1 else head


def _rows(section: Mapping[str, Any]) -> list[list[str]]:
    """A predictor that cannot speak of a part has no row there; the part's name stands in its first row only."""
    rows = []
    for part in (ALL, *section["columns"]):
        spoken = {name: row for name, row in section["parts"][part]["predictors"].items() if not math.isnan(row["chunk"][0])}
        for place, (predictor, found) in enumerate(spoken.items()):
            mean, low, high = found["chunk"]
            values = [_number(found["value"][step - 1]) for step in shown_steps(len(found["value"]))]
            interval = [f"{_number(low)} to {_number(high)}"] if section["episodes"] > 1 else []
            rows.append([part if place == 0 else "", predictor, *values, _number(mean), *interval])
    return rows


def _number(value: float) -> str:
    return "n/a" if math.isnan(value) else f"{value:.3f}"
