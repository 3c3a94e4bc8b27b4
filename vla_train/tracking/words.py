"""How numbers read on a console: which of a row's metrics are shown, in what order, and with which unit."""

from collections.abc import Mapping
from dataclasses import dataclass

EVALUATION = "evaluation/"
_SHARES = ("success", "accuracy", "agreement", "wait", "share", "chance")  # shown as a percentage
_SHOWN = {  # what is shown of training, by the last part of its name
    "loss": "loss",
    "learning_rate": "rate",
    "gradient_norm": "gradient",
    "updates_per_s": "updates/s",
    "samples_per_s": "samples/s",
    "data_wait": "data wait",
    "memory_gb": "memory",
}
_NARROW = 6  # numbers of an evaluation that are shown


@dataclass(frozen=True)
class Shown:
    name: str
    value: str


def training(metrics: Mapping[str, float]) -> list[Shown]:
    """What is shown of a training row; [] for a row of an evaluation alone."""
    found = {name.rpartition("/")[2]: value for name, value in metrics.items() if not name.startswith(EVALUATION)}
    return [Shown(label, number(name, found[name])) for name, label in _SHOWN.items() if name in found]


def evaluation(metrics: Mapping[str, float]) -> list[Shown]:
    """What is shown of an evaluation: its first numbers, success before all others."""
    found = {name.removeprefix(EVALUATION): value for name, value in metrics.items() if name.startswith(EVALUATION)}
    first = sorted(found, key=lambda name: (name != "success", not name.startswith("success")))
    return [Shown(name.replace("_", " "), number(name, found[name])) for name in first[:_NARROW]]


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
