"""The picture of a robustness evaluation: success over the strength of the change, a panel for each axis."""

import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

COLUMNS = 3
PANEL = (2.9, 2.3)  # inches
RESOLUTION = 110  # dots per inch
LINE, STAGES = "#3b82d6", ("#e0762c", "#2f9e6e", "#c2529b", "#8a6fd1", "#b08a00")


def draw(section: Mapping[str, Any]) -> bytes:
    """The section ``robustness`` of a report as PNG."""
    file = io.BytesIO()
    figure_of(section).savefig(file, format="png")
    return file.getvalue()


def figure_of(section: Mapping[str, Any]) -> Any:
    """All episodes together in blue with their 95 % intervals, stages (if there are several) as thin lines."""
    from matplotlib.figure import Figure  # here: importing it takes half a second

    axes, stages = list(section["axes"]), section["stages"]
    columns = min(COLUMNS, len(axes))
    rows = math.ceil(len(axes) / columns)
    figure = Figure(figsize=(max(PANEL[0] * columns, 5.0), PANEL[1] * rows + 0.9), dpi=RESOLUTION, layout="constrained")
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for index, panel in enumerate(panels):
        if index >= len(axes):
            panel.set_visible(False)
            continue
        for colour, (stage, part) in zip(_cycled(len(stages)), stages.items(), strict=True):
            panel.plot(*_points(part, axes[index], "success"), color=colour, linewidth=0.9, label=stage)
        _draw_axis(panel, section, axes[index], single=not stages)
        panel.tick_params(labelsize=8, labelbottom=index + columns >= len(axes))
    panels[0].set_ylim(-0.03, 1.03)
    panels[0].set_xlim(-0.03, 1.03 * max(section["strengths"]))
    panels[0].set_xticks([0, *section["strengths"]])
    panels[0].yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
    figure.suptitle(_title(section), fontsize=10, x=0.01, ha="left")
    figure.supxlabel("strength of the change (0: none)", fontsize=9, x=0.99, ha="right")
    figure.supylabel("success", fontsize=9)
    figure.legend(handles=panels[0].get_legend_handles_labels()[0], loc="outside lower left", ncols=3, fontsize=8, frameon=False)
    return figure


def _draw_axis(panel: Any, section: Mapping[str, Any], axis: str, *, single: bool) -> None:
    strengths, success = _points(section, axis, "success")
    low, high = (_points(section, axis, name)[1] for name in ("success_low", "success_high"))
    label = "success" if single else "all stages"
    panel.fill_between(strengths, low, high, color=LINE, alpha=0.2, linewidth=0, label="95 % interval")
    panel.plot(strengths, success, "o-", color=LINE, markersize=3.5, linewidth=1.6, label=label)
    unchanged = section["unchanged"]["success"]
    panel.axhline(unchanged, color="#555555", linestyle="--", linewidth=1.0, label="nothing changed")
    panel.set_title(f"{axis.replace('_', ' ')}, mean {100 * section['axes'][axis]['mean']:.0f} %", fontsize=9, loc="left")
    panel.grid(alpha=0.25)


def _points(section: Mapping[str, Any], axis: str, name: str) -> tuple[list[float], list[float]]:
    """Strengths from 0 on, and a figure at each."""
    rates = [section["unchanged"], *section["axes"][axis]["rates"]]
    return [0.0, *section["strengths"]], [rate[name] for rate in rates]


def _cycled(count: int) -> Sequence[str]:
    return [STAGES[index % len(STAGES)] for index in range(count)]


def _title(section: Mapping[str, Any]) -> str:
    worst = section["worst"]
    return (
        f"robustness: mean of the axes {100 * section['mean']:.1f} %, worst {100 * worst['mean']:.1f} % "
        f"({worst['axis'].replace('_', ' ')}); {section['unchanged']['episodes']:.0f} episodes a point"
    )
