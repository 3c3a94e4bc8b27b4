"""``ZeroShot``: success on what the environment keeps out of training, beside success on what was trained."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from vla_train.envs.contract import Environment
from vla_train.evaluation.success import Success
from vla_train.spec import EpisodeResult, Report

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


def same_episodes(results: Sequence[EpisodeResult]) -> dict[str, str]:
    """The splits whose episodes are those of the condition ``paraphrase``, so that the two are one finding: by split, what is to
    be said of it. As many episodes with the same seeds, tasks and words are taken for the same."""
    told: dict[str, Counter[tuple[str, int, str, str]]] = {}
    for result in results:
        told.setdefault(result.condition, Counter())[result.stage, result.seed, result.task, result.instruction] += 1
    reworded = told.get("paraphrase")
    splits = [name for name, episodes in told.items() if name.startswith(f"{NAME}/") and episodes == reworded]
    return {name.removeprefix(f"{NAME}/"): "the same episodes as paraphrase" for name in splits}


def ratios(metrics: Mapping[str, float]) -> dict[str, float]:
    """For each split (and stage) of the ``metrics``: ``ratio``, unseen success / seen success (NaN where nothing seen succeeds),
    with that ``seen_success`` and its ``seen_episodes``: those of the tasks that the split asks for."""
    found: dict[str, float] = {}
    for name, unseen in metrics.items():
        stage, inside, rest = name.rpartition(f"{NAME}/")
        split, _, figure = rest.partition("/")
        if inside and figure == "success" and f"{stage}success" in metrics:
            here = f"{stage}{NAME}/{split}/"
            seen, episodes = _seen(metrics, stage, here)
            found |= {f"{here}ratio": unseen / seen if seen else math.nan}
            found |= {f"{here}seen_success": seen, f"{here}seen_episodes": episodes}
    return found


def _seen(metrics: Mapping[str, float], stage: str, split: str) -> tuple[float, float]:
    """Plain success, and in how many episodes, over the tasks of a split; over all where the tasks have no names."""
    counted = f"{split}episodes/"
    tasks = [name.removeprefix(counted) for name in metrics if name.startswith(counted)]
    if not tasks:
        return metrics[f"{stage}success"], metrics.get(f"{stage}episodes", math.nan)
    counts = {task: metrics.get(f"{stage}episodes/{task}", 0.0) for task in tasks}
    successes = sum(count * metrics[f"{stage}success/{task}"] for task, count in counts.items() if count)
    total = sum(counts.values())
    return successes / total if total else math.nan, total
