"""How numbers read on a console: which of a row's metrics are shown, in what order, and with which unit."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from vla_train.conditions import CONDITIONS, WORDED, metric_of

EVALUATION = "evaluation/"
_SHARES = ("success", "accuracy", "agreement", "wait", "share", "chance")  # shown as a percentage
_SHOWN = {  # what is shown of training, by the last part of its name
    "loss": "loss",
    "return": "return",
    "success": "success",
    "learning_rate": "rate",
    "gradient_norm": "gradient",
    "updates_per_s": "updates/s",
    "samples_per_s": "samples/s",
    "data_wait": "data wait",
    "memory_gb": "memory",
}
_HEADLINE = (  # what is shown of an evaluation; all of it is in the files
    *map(metric_of, ("plain", *WORDED)),
    "held_out/loss",
    "held_out/action_accuracy",
    "length",
)
_CONDITIONS = [metric_of(name) for name in CONDITIONS]


@dataclass(frozen=True)
class Shown:
    name: str
    value: str


def training(metrics: Mapping[str, float]) -> list[Shown]:
    """What is shown of a training row; [] for a row of an evaluation alone."""
    found = {name.rpartition("/")[2]: value for name, value in metrics.items() if not name.startswith(EVALUATION)}
    return [Shown(label, number(name, found[name])) for name, label in _SHOWN.items() if name in found]


def evaluation(metrics: Mapping[str, float]) -> list[Shown]:
    """The headline of an evaluation, success in each of several stages behind the first figure; of one that has no such metric,
    the first few. [] for a training row."""
    found = {name.removeprefix(EVALUATION): value for name, value in metrics.items() if name.startswith(EVALUATION)}
    found = {name: value for name, value in found.items() if not math.isnan(value)}  # NaN: nothing to say
    names = [name for name in _HEADLINE if name in found] or list(found)[: len(_HEADLINE)]
    shown = [Shown(name.replace("_", " ").replace("/", " "), number(name, found[name])) for name in names]
    stages = [name for name in found if name.count("/") == 1 and name.endswith("/success") and name not in _CONDITIONS]
    return shown[:1] + [Shown(name.removesuffix("/success"), number(name, found[name])) for name in stages] + shown[1:]


def number(name: str, value: float) -> str:
    if any(share in name for share in _SHARES):
        return f"{100 * value:.1f} %"
    if name == "memory_gb":
        return f"{value:.2f} GB"
    if name == "learning_rate":
        return f"{value:.1e}"
    if name.endswith("_per_s"):
        return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"
    return f"{value:.4g}"


def duration(seconds: float) -> str:
    minutes, rest = divmod(round(max(seconds, 0)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
