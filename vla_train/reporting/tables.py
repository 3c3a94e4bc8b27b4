"""The tables of a report, as text: how each run stands, and the settings in which they differ."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from vla_train.conditions import WORDED, metric_of
from vla_train.reporting.runs import Run, printable
from vla_train.reporting.settings import SEED, Group, circumstances, differing, settings
from vla_train.tracking.words import number

CONDITIONS = tuple(metric_of(name) for name in ("plain", *WORDED))
MEASURED = (*CONDITIONS, "held_out/loss", "held_out/action_accuracy", "held_out/alignment")
NOTHING = "-"
OUTCOME_LETTERS = 40


@dataclass(frozen=True)
class Table:
    """Cells by row. ``marks`` are the groups whose colour stands before each row, or above each column after the first."""

    header: list[str]
    rows: list[list[str]]
    row_marks: list[int] | None = None
    column_marks: list[int] | None = None


def standing(groups: Sequence[Group]) -> Table:
    """The last figures of every run; successes with their interval."""
    runs = [(group, run) for group in groups for run in group.runs]
    logged = set().union(*(run.metrics for _, run in runs))
    conditions = [name for name in CONDITIONS if f"evaluation/{name}" in logged or name == "success"]
    accuracy = "held_out/action_accuracy"
    further = [accuracy] if f"evaluation/{accuracy}" in logged else []
    header = ["run", "setting", "seed", "state", "updates", "minutes", "loss", "held-out loss", *conditions, *further]
    rows = []
    for group, run in runs:
        loss, held_out = run.last("train/loss"), run.last("evaluation/held_out/loss")
        row = [run.name, group.label, run.seed, printable(run.outcome, OUTCOME_LETTERS), f"{run.rows[-1]['step']:,.0f}"]
        row += [_figure("", round(run.last("minutes"), 1)), _figure("", loss), _figure("", held_out)]
        rows.append(row + [_with_interval(run, name) for name in conditions] + [_last(run, name) for name in further])
    if len(groups) == 1:  # the label would only repeat the run's name
        header, rows = [*header[:1], *header[2:]], [[*row[:1], *row[2:]] for row in rows]
    return Table([heading(name) for name in header], rows, row_marks=[group.index for group, _ in runs])


def differences(groups: Sequence[Group]) -> Table:
    """The settings that are not the same everywhere: a row for each key, a column for each group, and its seeds."""
    first = [group.runs[0] for group in groups]
    columns = differing([settings(run) for run in first])
    columns.pop(SEED, None)
    rows = [[key, *values] for key, values in columns.items()]
    seeds = [group.seeds for group in groups]
    if len({run.seed for group in groups for run in group.runs}) > 1:
        rows.append([SEED, *seeds])
    return Table(["setting", *(group.label for group in groups)], rows, column_marks=[group.index for group in groups])


def surroundings(groups: Sequence[Group]) -> Table:
    """What differs without having been set: a row for each run, for runs of a group may differ too."""
    runs = [(group.index, run) for group in groups for run in group.runs]
    columns = differing([circumstances(run) for _, run in runs])
    rows = [[run.name, *(column[index] for column in columns.values())] for index, (_, run) in enumerate(runs)]
    return Table(["run", *columns], rows if columns else [], row_marks=[mark for mark, _ in runs])


def everything(run: Run) -> Table:
    """Every setting of one run."""
    return Table(["setting", "value"], [[key, value] for key, value in settings(run).items()])


def rate(metrics: dict[str, float], name: str) -> str:
    """``79.0 % (70.0 to 85.8)``, or ``-``."""
    value, low, high = (metrics.get(f"{name}{end}", math.nan) for end in ("", "_low", "_high"))
    shown = _figure(name, value)
    if math.isnan(value) or math.isnan(low) or math.isnan(high):
        return shown
    return f"{shown} ({100 * low:.1f} to {100 * high:.1f})"


def _with_interval(run: Run, name: str) -> str:
    return rate({f"{name}{end}": run.last(f"evaluation/{name}{end}") for end in ("", "_low", "_high")}, name)


def _last(run: Run, name: str) -> str:
    return _figure(name, run.last(f"evaluation/{name}"))


def _figure(name: str, value: float) -> str:
    return NOTHING if math.isnan(value) else number(name, value)


def heading(name: str) -> str:
    """The name of a metric as a column has it."""
    return name.replace("held_out/", "held-out ").replace("/", " ").replace("_", " ")
