"""The picture of a curriculum: what was measured of each stage over the updates, and when each was trained."""

import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

TITLES = {"success": "success on the validation seeds", "held_out/loss": "loss on the held-out demonstrations"}
COLOURS = ("#3b82d6", "#e0762c", "#2f9e6e", "#c2529b", "#8a6fd1", "#b08a00")


def draw(
    seen: Sequence[Mapping[str, Any]], advances: Sequence[Mapping[str, Any]], thresholds: Mapping[str, float], metric: str
) -> bytes:
    """PNG. ``seen`` and ``advances`` are those of a ``Record``; ``thresholds`` by stage are those of ``metric``."""
    from matplotlib.figure import Figure  # here: importing it takes half a second

    metrics = [name for name in TITLES if any(entry[name] for entry in seen)] or [metric]
    figure = Figure(figsize=(8.0, 0.6 + 2.9 * len(metrics)), dpi=110, layout="constrained")
    panels = figure.subplots(len(metrics), 1, sharex=True, squeeze=False)[:, 0]
    colours = {name: COLOURS[index % len(COLOURS)] for index, name in enumerate(thresholds)}
    ends = [*(entry["step"] for entry in advances), max([entry["step"] for entry in [*seen, *advances]])]
    for name, panel in zip(metrics, panels, strict=True):
        _bands(panel, ends, colours)
        for stage, colour in colours.items():
            points = [(entry["step"], entry[name][stage]) for entry in seen if stage in entry[name]]
            panel.plot(*zip(*points, strict=True) if points else ([], []), "o-", color=colour, markersize=3.5, linewidth=1.5)
        if name == metric:
            _thresholds(panel, ends, thresholds)
        panel.set_title(TITLES[name], fontsize=10, loc="left")
        panel.tick_params(labelsize=8)
        panel.grid(alpha=0.25)
        panel.set_xlim(0, 1.01 * ends[-1])
        if name == "success":
            panel.set_ylim(-0.03, 1.03)
            panel.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
        else:
            marks = list(thresholds.values()) if name == metric else []
            panel.set_ylim(*_limits([*marks, *(value for entry in seen for value in entry[name].values())]))
    panels[-1].set_xlabel("update", fontsize=9)
    _legend(figure, colours, len(ends))
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


def _limits(values: Sequence[float]) -> tuple[float, float]:
    """The least and largest number on an axis that shows all of these that are finite, with room for their markers, and 0."""
    finite = [value for value in values if math.isfinite(value)]
    low, high = min([0.0, *finite]), max([0.0, *finite])
    room = 0.06 * (high - low) or 1.0
    return low - room if low < 0 else 0.0, high + room


def _bands(panel: Any, ends: Sequence[int], colours: Mapping[str, str]) -> None:
    """A shade behind the updates in which each stage was trained."""
    for colour, start, end in zip(colours.values(), [0, *ends], ends, strict=False):
        panel.axvspan(start, end, color=colour, alpha=0.1, linewidth=0)


def _thresholds(panel: Any, ends: Sequence[int], thresholds: Mapping[str, float]) -> None:
    for threshold, start, end in zip(thresholds.values(), [0, *ends], ends, strict=False):
        panel.plot([start, end], [threshold, threshold], color="#555555", linestyle="--", linewidth=1.0)


def _legend(figure: Any, colours: Mapping[str, str], reached: int) -> None:
    from matplotlib.lines import Line2D

    shown = list(colours.items())[:reached]
    lines = [Line2D([], [], color=colour, marker="o", markersize=3.5, label=name) for name, colour in shown]
    lines.append(Line2D([], [], color="#555555", linestyle="--", linewidth=1.0, label="mastered"))
    figure.legend(handles=lines, loc="outside lower left", ncols=5, fontsize=8, frameon=False)
