"""Learning curves as one picture of small panels. matplotlib is imported when something is drawn."""

import io
import math
import textwrap
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from jaxtyping import Float

from vla_train.reporting.panels import Panel
from vla_train.reporting.runs import Run
from vla_train.reporting.settings import Group

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ("#3b82d6", "#e0762c", "#2f9e6e", "#c2529b", "#8a6fd1", "#b08a00", "#17a2b8", "#d64550", "#7a8a3c", "#8b6b58")
STYLES: tuple[Literal["-", "--", ":", "-."], ...] = ("-", "--", ":", "-.")  # with the colours, 40 groups before two look alike
CSS_STYLES = ("solid", "dashed", "dotted", "double")
AXES = {"updates": "step", "samples": "samples", "minutes": "minutes"}  # a word of the command line -> the rows' name
COLUMNS, PANEL_WIDTH, PANEL_HEIGHT, DPI = 3, 4.4, 2.9, 130  # inches, pixels per inch
CROWD = 6  # groups; with more than that, bands and unsmoothed lines would hide what they belong to
SMOOTHED_FROM, SMOOTHING = 30, 40  # points that a curve needs to be smoothed, and the share (1/40) averaged on either side
LOG_FROM = 6.0  # largest / smallest value from which a positive axis is logarithmic
FEW = 40  # points that are marked

Curve = tuple[Float[np.ndarray, "_"], Float[np.ndarray, "_"]]  # where, and the values there


def draw(groups: Sequence[Group], panels: Sequence[Panel], axis: str, *, dark: bool = False) -> bytes:
    """The panels as a PNG, without background for a dark page.

    One colour for each group; of a group with several runs thin lines, and their mean. Values are drawn faintly, and over them
    their moving average where there are many.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    ink, paper = ("#d7dbe0", "none") if dark else ("#24292f", "white")
    style = dict.fromkeys(("text.color", "axes.labelcolor", "xtick.color", "ytick.color", "axes.edgecolor"), ink)
    quiet: dict[Any, Any] = {"text.parse_math": False, "font.size": 9, "axes.titlesize": 10, "axes.titleweight": "bold"}
    lines = math.ceil(len(panels) / COLUMNS)
    legend_lines = _legend_lines(groups)
    size = (COLUMNS * PANEL_WIDTH, lines * PANEL_HEIGHT + 0.19 * legend_lines + 0.15)
    with rc_context(quiet | style), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # a name may have letters that the font lacks
        figure = Figure(figsize=size, dpi=DPI, facecolor=paper, layout="constrained")
        FigureCanvasAgg(figure)
        grid = list(figure.subplots(lines, COLUMNS, squeeze=False).flat)
        for axes, panel in zip(grid, panels, strict=False):
            _panel(axes, panel, groups, axis, ink)
        for axes in grid[len(panels) :]:
            axes.remove()
        _legend(figure, groups)
        file = io.BytesIO()
        figure.savefig(file, format="png", metadata={"Title": "learning curves", "Software": "vla-report"})
    return file.getvalue()


def look(index: int) -> tuple[str, Literal["-", "--", ":", "-."]]:
    """Colour and line style of a group."""
    return COLOURS[index % len(COLOURS)], STYLES[index // len(COLOURS) % len(STYLES)]


def css(index: int) -> str:
    """The same for a page."""
    return f"{CSS_STYLES[index // len(COLOURS) % len(STYLES)]} {COLOURS[index % len(COLOURS)]}"


def _panel(axes: "Axes", panel: Panel, groups: Sequence[Group], axis: str, ink: str) -> None:
    axes.set_title(panel.title, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_facecolor("none")
    runs = [run for group in groups for run in group.runs]
    if not any(run.series(panel.metric)[0] for run in runs):
        _absent(axes, panel, runs)
        return
    for group in groups:
        _group(axes, panel, group, axis, crowded=len(groups) > CROWD)
    axes.grid(color=ink, alpha=0.12, linewidth=0.6)
    axes.set_xlabel(axis)
    axes.set_xlim(0, 1.02 * max(max(run.series(AXES[axis])[1], default=0.0) for run in runs) or 1.0)
    axes.xaxis.set_major_locator(_locator())
    axes.xaxis.set_major_formatter(_plain)
    _scale(axes, panel, runs)


def _group(axes: "Axes", panel: Panel, group: Group, axis: str, crowded: bool) -> None:
    colour, line = look(group.index)
    curves = [_curve(run, panel.metric, axis) for run in group.runs]
    curves = [curve for curve in curves if len(curve[0])]
    average = smoothed if panel.noisy else np.asarray
    alone = len(curves) == 1
    for steps, values in curves:
        smooth = average(values)
        if smooth is not values and not crowded:
            axes.plot(steps, values, color=colour, linewidth=0.7, alpha=0.25 if alone else 0.12)
        marker = "o" if len(steps) <= FEW else ""
        width, size, strength = (1.7, 3.0, 1.0) if alone else (0.8, 1.5, 0.55)
        axes.plot(steps, smooth, line, color=colour, linewidth=width, marker=marker, markersize=size, alpha=strength)
    if len(curves) > 1:
        axes.plot(*mean([(steps, average(values)) for steps, values in curves]), line, color=colour, linewidth=2)
    if panel.low and curves and not crowded:
        for run in group.runs:
            steps, low = _curve(run, panel.low, axis)
            high_steps, high = _curve(run, panel.high, axis)
            if len(steps) == len(high_steps) == 1:
                axes.vlines(steps, low, high, color=colour, alpha=0.5, linewidth=1.5)
            elif len(steps) == len(high_steps):
                axes.fill_between(steps, low, high, color=colour, alpha=0.18 / len(curves) ** 0.5, linewidth=0)


def smoothed(values: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    """The moving average over as many neighbours to the left as to the right, as far as there are any: it does not lag. Few
    values are returned as they are."""
    if len(values) < SMOOTHED_FROM:
        return values
    number, reach = np.arange(len(values)), -(-len(values) // SMOOTHING)
    first, end = np.maximum(number - reach, 0), np.minimum(number + reach + 1, len(values))
    sums = np.concatenate([[0.0], np.cumsum(values)])
    averages: np.ndarray = (sums[end] - sums[first]) / (end - first)
    return averages


def mean(curves: Sequence[Curve]) -> Curve:
    """The mean of several curves over the stretch that all of them cover, linear between their points."""
    first, last = max(steps[0] for steps, _ in curves), min(steps[-1] for steps, _ in curves)
    steps = np.unique(np.concatenate([steps for steps, _ in curves]))
    steps = steps[(steps >= first) & (steps <= last)]
    return steps, np.mean([np.interp(steps, *curve) for curve in curves], axis=0)


def _curve(run: Run, metric: str, axis: str) -> Curve:
    steps, values = run.series(metric, AXES[axis])
    return np.array(steps, np.float64), np.array(values, np.float64)


def _scale(axes: "Axes", panel: Panel, runs: Sequence[Run]) -> None:
    from matplotlib.ticker import LogLocator, NullLocator, PercentFormatter

    if panel.percent:
        axes.set_ylim(-0.03, 1.03)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        return
    values = [value for run in runs for name in (panel.metric, panel.twin) if name for value in run.series(name)[1]]
    low, high = min(values), max(values)
    if low > 0 and high / low >= LOG_FROM and not panel.from_zero:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high / low < 1000 else (1.0,)))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.set_ylim(low / 1.15, high * 1.15)
    elif panel.from_zero and low >= 0:
        axes.set_ylim(0, high * 1.08 or 1)
    elif panel.twin and high > low:
        axes.set_ylim(low - 0.05 * (high - low), high + 0.05 * (high - low))
    axes.yaxis.set_major_formatter(_plain)


def _absent(axes: "Axes", panel: Panel, runs: Sequence[Run]) -> None:
    reasons = dict.fromkeys(run.why_not(panel.metric) for run in runs)
    text = "\n".join(textwrap.wrap("; ".join(reasons), 44))
    axes.text(0.5, 0.5, text, ha="center", va="center", alpha=0.7, style="italic", transform=axes.transAxes)
    axes.set_xticks([])
    axes.set_yticks([])


def _legend_columns(groups: Sequence[Group]) -> int:
    return max(1, min(4, int(COLUMNS * PANEL_WIDTH / (0.075 * max(len(_entry(group)) for group in groups) + 0.6))))


def _legend_lines(groups: Sequence[Group]) -> int:
    return math.ceil(len(groups) / _legend_columns(groups))


def _entry(group: Group) -> str:
    return group.label if len(group.runs) == 1 else f"{group.label}  (mean of {len(group.runs)})"


def _legend(figure: Any, groups: Sequence[Group]) -> None:
    from matplotlib.lines import Line2D

    handles = []
    for group in groups:
        colour, line = look(group.index)
        handles.append(Line2D([], [], color=colour, linestyle=line, linewidth=2))
    figure.legend(
        handles, [_entry(group) for group in groups], loc="outside lower left", ncols=_legend_columns(groups), frameon=False
    )


def _locator() -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(6, min_n_ticks=3)


_plain: Callable[[float, Any], str] = lambda value, _: f"{value:,.0f}" if value == round(value) else f"{value:g}"  # noqa: E731
