"""The picture of an open-loop evaluation: a panel for each dimension of the action."""

import io
import math
import textwrap
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Num

from vla_train.evaluation.predictors import dimension_names
from vla_train.spec import ActionSpec

RECORDED, EXECUTED, BEYOND = "0.55", "tab:blue", "tab:orange"
PANEL = (4.6, 1.7)  # inches
RESOLUTION = 110  # dots per inch


@dataclass(frozen=True)
class Trace:
    """A recorded episode of t steps, and p plans of h steps, made every ``execute`` steps."""

    title: str
    recorded: Num[np.ndarray, "t a"]
    plans: Num[np.ndarray, "p h a"]
    execute: int
    rate: float  # steps per second
    action: ActionSpec


def draw(trace: Trace) -> bytes:
    """The picture as PNG."""
    file = io.BytesIO()
    figure_of(trace).savefig(file, format="png")
    return file.getvalue()


def figure_of(trace: Trace) -> Any:
    """Recorded actions in grey; of each plan the part that would be executed in blue, what lies beyond it in orange."""
    from matplotlib.figure import Figure  # here: importing it takes half a second

    size = trace.action.size
    columns = next((number for number, most in ((1, 3), (2, 8), (3, 15)) if size <= most), 4)
    rows = math.ceil(size / columns)
    width = max(PANEL[0] * columns, 7.0)
    title = "\n".join(textwrap.wrap(trace.title, int(width * 11), max_lines=3))
    head = 0.65 + 0.2 * title.count("\n")
    figure = Figure(figsize=(width, PANEL[1] * rows + head + 0.4), dpi=RESOLUTION, layout="constrained")
    panels = figure.subplots(rows, columns, sharex=True, squeeze=False).ravel()
    names = dimension_names(trace.action)
    units = trace.action.units if len(trace.action.units) == size else ("",) * size
    for index, panel in enumerate(panels):
        if index >= size:
            panel.set_visible(False)
            continue
        _draw_dimension(panel, trace, index)
        panel.set_title(names[index] + (f" [{units[index]}]" if units[index] else ""), fontsize=9, loc="left", parse_math=False)
        panel.tick_params(labelsize=8, labelbottom=index + columns >= size)
    figure.suptitle(title, fontsize=10, x=0.01, ha="left", parse_math=False)  # "$" in an instruction is a dollar
    figure.supxlabel("time in s", fontsize=8, x=0.99, ha="right")
    labelled = [line for line in panels[0].get_lines() if not line.get_label().startswith("_")]
    figure.legend(handles=labelled, loc="outside lower left", ncols=3, fontsize=8, frameon=False)
    return figure


def _draw_dimension(panel: Any, trace: Trace, index: int) -> None:
    """Recorded, then the executed steps of all plans, then their further ones."""
    discrete = trace.action.kind == "discrete"
    style = {"drawstyle": "steps-post"} if discrete else {}
    time = np.arange(len(trace.recorded)) / trace.rate
    panel.plot(time, trace.recorded[:, index], color=RECORDED, linewidth=2.4, label="recorded", **style)
    last = trace.plans.shape[1] - 1
    # The executed part is drawn to where the next plan begins, so that the line has no holes.
    executed = f"predicted, executed ({trace.execute} step{'s' * (trace.execute > 1)} of each plan)"
    panel.plot(
        *_with_gaps(trace, index, 0, min(trace.execute, last)), color=EXECUTED, linewidth=1.3, label=executed, zorder=3, **style
    )
    if trace.execute < last:
        beyond = _with_gaps(trace, index, trace.execute, last)
        panel.plot(*beyond, color=BEYOND, linewidth=0.7, label="predicted beyond", zorder=2.5, **style)
    starts = np.arange(len(trace.plans)) * trace.execute
    panel.plot(starts / trace.rate, trace.plans[:, 0, index], ".", color=EXECUTED, markersize=3.5, zorder=3)
    panel.margins(x=0.01)
    panel.grid(alpha=0.25)
    if discrete and len(trace.action.names) == trace.action.choices:
        panel.set_yticks(range(trace.action.choices), trace.action.names)


def _with_gaps(trace: Trace, index: int, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
    """Steps ``first`` to ``last`` of every plan as one line: times [n] in s and values [n], NaN between two plans."""
    steps = np.arange(first, last + 1)
    time = np.arange(len(trace.plans))[:, None] * trace.execute + steps
    values = np.where(time < len(trace.recorded), trace.plans[:, steps, index].astype(np.float64), np.nan)
    gap = np.full((len(time), 1), np.nan)
    return np.hstack([time / trace.rate, gap]).ravel(), np.hstack([values, gap]).ravel()
