"""The numbers of an episode as one picture of small panels. matplotlib is imported when something is drawn."""

import io
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vla_train.reporting.curves import COLOURS

COLUMNS, WIDTH, HEIGHT, DPI = 3, 4.4, 1.75, 110  # of a panel in inches; pixels per inch


@dataclass(frozen=True)
class Panel:
    """A number [t] over an episode, and perhaps another one [t] beside it with its name."""

    title: str
    values: np.ndarray
    beside: np.ndarray | None = None
    beside_name: str = ""


def draw(panels: Sequence[Panel], seconds: np.ndarray, marks: Sequence[float], *, dark: bool = False) -> bytes:
    """A PNG, without background for a dark page. ``marks`` are the seconds of which pictures are shown."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    ink, paper = ("#d7dbe0", "none") if dark else ("#24292f", "white")
    style: dict[Any, Any] = dict.fromkeys(("text.color", "axes.labelcolor", "xtick.color", "ytick.color", "axes.edgecolor"), ink)
    style |= {"text.parse_math": False, "font.size": 8, "axes.titlesize": 9, "axes.titleweight": "bold"}
    lines = math.ceil(len(panels) / COLUMNS)
    with rc_context(style), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # a name may have letters that the font lacks
        figure = Figure(figsize=(COLUMNS * WIDTH, lines * HEIGHT + 0.3), dpi=DPI, facecolor=paper)
        FigureCanvasAgg(figure)
        figure.subplots_adjust(**_margins(lines))  # a layout that is solved for takes as long as the drawing itself
        grid = list(figure.subplots(lines, COLUMNS, squeeze=False, sharex=True).flat)
        for axes, panel in zip(grid, panels, strict=False):
            _panel(axes, panel, seconds, marks, ink)
        for axes in grid[len(panels) :]:
            axes.remove()
        for axes in grid[max(0, len(panels) - COLUMNS) : len(panels)]:
            axes.set_xlabel("seconds")
            axes.tick_params(labelbottom=True)
        file = io.BytesIO()
        figure.savefig(file, format="png", metadata={"Title": "recorded numbers", "Software": "vla-data"})
    return file.getvalue()


def _margins(lines: int) -> dict[str, float]:
    """Room for labels and titles, as shares of the figure and, between panels, of a panel."""
    width, height = COLUMNS * WIDTH, lines * HEIGHT + 0.3
    inner = (width - 0.75 - (COLUMNS - 1) * 0.6) / COLUMNS
    outer = (height - 0.75 - (lines - 1) * 0.4) / lines
    sides = {"left": 0.6 / width, "right": 1 - 0.15 / width, "bottom": 0.45 / height, "top": 1 - 0.3 / height}
    return sides | {"wspace": 0.6 / inner, "hspace": 0.4 / outer}


def _panel(axes: Any, panel: Panel, seconds: np.ndarray, marks: Sequence[float], ink: str) -> None:
    axes.set_title(panel.title, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_facecolor("none")
    for mark in marks:
        axes.axvline(mark, color=ink, alpha=0.12, linewidth=0.8)
    if panel.beside is not None:
        axes.plot(seconds, panel.beside, "--", color=COLOURS[1], linewidth=1.2, label=panel.beside_name)
    step = panel.values.dtype.kind in "iub"
    axes.plot(
        seconds, panel.values, color=COLOURS[0], linewidth=1.5, drawstyle="steps-post" if step else "default", label=panel.title
    )
    if panel.beside is not None:
        axes.legend(frameon=False, fontsize=7, loc="best")
    axes.grid(color=ink, alpha=0.1, linewidth=0.6)
