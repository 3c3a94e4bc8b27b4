"""``ZeroShot``: success on what the environment keeps out of training, beside success on what was trained."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from vla_train.envs.contract import Environment
from vla_train.evaluation.success import Success
from vla_train.spec import Report

NAME = "zero_shot"


class ZeroShot:
    """Plays the plain episodes of each held-out split.

    ``splits``: for each a maker of its environment for every stage, in order, as ``Success`` takes them. ``stages`` are their
    names. ``settings`` are the other arguments of ``Success``. The figures stand under ``zero_shot/<split>/`` (with several
    stages also ``<stage>/zero_shot/<split>/``), the episodes under the condition ``zero_shot/<split>``.
    """

    def __init__(
        self, splits: Mapping[str, Sequence[Callable[[int], Environment]]], *, stages: Sequence[str], **settings: Any
    ) -> None:
        self._stages = stages
        self._splits = {split: Success(*makers, **settings) for split, makers in splits.items()}

    def __call__(self, agent: Any) -> Report:
        report = Report(metrics={})
        for split, success in self._splits.items():
            report = report.merged(self._named(split, success(agent)))
        return report

    def _named(self, split: str, part: Report) -> Report:
        found = {}
        for name, value in part.metrics.items():
            stage, _, rest = name.partition("/")
            inside, figure = (f"{stage}/", rest) if stage in self._stages and rest else ("", name)
            if "latency" not in figure:
                found[f"{inside}{NAME}/{split}/{figure}"] = value
        episodes = [replace(result, condition=f"{NAME}/{split}") for result in part.episodes]
        reason = {f"{NAME}/{split}": part.not_applicable["success"]} if "success" in part.not_applicable else {}
        return Report(metrics=found, episodes=episodes, not_applicable=reason)


def ratios(metrics: Mapping[str, float]) -> dict[str, float]:
    """For each split (and stage) of the ``metrics``: unseen success / seen success, NaN where nothing seen succeeds."""
    found = {}
    for name, unseen in metrics.items():
        stage, inside, rest = name.rpartition(f"{NAME}/")
        split, _, figure = rest.partition("/")
        if inside and figure == "success" and f"{stage}success" in metrics:
            seen = metrics[f"{stage}success"]
            found[f"{stage}{NAME}/{split}/ratio"] = unseen / seen if seen else math.nan
    return found
