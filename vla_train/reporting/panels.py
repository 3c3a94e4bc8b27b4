"""Which pictures a report has: one panel for each thing worth seeing that any of its runs logged."""

from collections.abc import Sequence
from dataclasses import dataclass

from vla_train.reporting.runs import Run, printable

MOST_OTHERS = 12  # further panels, for whatever else a paradigm logs


@dataclass(frozen=True)
class Panel:
    """One metric over the run. ``low`` and ``high`` name the metrics of its interval; ``twin`` shares its axis;
    what is ``noisy`` is smoothed."""

    title: str
    metric: str
    low: str = ""
    high: str = ""
    twin: str = ""
    percent: bool = False
    from_zero: bool = False
    noisy: bool = True


_LOSS, _HELD_OUT = "train/loss", "evaluation/held_out/loss"
ALWAYS = (
    Panel("loss, training", _LOSS, twin=_HELD_OUT),
    Panel("loss, held out", _HELD_OUT, twin=_LOSS),
    Panel(
        "success in evaluation",
        "evaluation/success",
        low="evaluation/success_low",
        high="evaluation/success_high",
        percent=True,
    ),
    Panel("gradient norm", "train/gradient_norm"),
    Panel("learning rate", "train/learning_rate", from_zero=True, noisy=False),
    Panel("updates per second", "updates_per_s", from_zero=True),
)
_SUCCESS = "/success"


def panels(runs: Sequence[Run]) -> list[Panel]:
    """The panels that are always there, then success in each further condition or stage, then the paradigm's own metrics."""
    names = sorted(set().union(*(run.metrics for run in runs)))
    drawn = {panel.metric for panel in ALWAYS}
    successes = [name for name in names if name.startswith("evaluation/") and name.endswith(_SUCCESS) and name not in drawn]
    own = [name for name in names if name.startswith("train/") and name not in drawn]
    return [*ALWAYS, *[*map(_success, successes), *map(_own, own)][:MOST_OTHERS]]


def _success(metric: str) -> Panel:
    condition = printable(metric.removeprefix("evaluation/").removesuffix(_SUCCESS), 40)
    return Panel(f"success, {condition}", metric, low=f"{metric}_low", high=f"{metric}_high", percent=True)


def _own(metric: str) -> Panel:
    return Panel(printable(metric.removeprefix("train/").replace("_", " "), 40), metric)
