"""``Robustness``: success in worlds that differ from those of training, one axis of change at a time, ever more strongly.

The idea of graded axes is that of LIBERO-Plus (Fei et al. 2025, "LIBERO-Plus: In-depth Robustness Analysis of
Vision-Language-Action Models"); docs/robustness.md says what each axis of the tabletop changes.
"""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from statistics import mean
from typing import Any

from vla_train.envs.contract import Changeable, Environment
from vla_train.evaluation.conditions import Progress, StageTest
from vla_train.evaluation.figures import rate
from vla_train.evaluation.robustness_picture import draw
from vla_train.seeds import seeds
from vla_train.spec import EpisodeResult, Report

NAME = "robustness"
UNCHANGED = "unchanged"  # the world at strength 0, which all axes share
NO_AXES = "the environment has no axes of change"


class Robustness:
    """Plays the plain episodes of a seed range along each axis of its environment (``Changeable``) at each strength.

    Args:
        makers: for each stage, ``maker(num_envs, randomization=...)`` makes its environment.
        strengths: within (0, 1], ascending. The world at strength 0 is played besides.
        split, episodes, num_envs, execute, ensemble, progress: as ``Success`` takes them.

    Figures stand under ``robustness/<axis>/<strength>/`` and ``robustness/unchanged/``; ``robustness/<axis>/mean`` is the mean
    over strengths, ``robustness/mean`` that over axes, ``robustness/worst`` the least of the axes. With several stages they are
    those of all episodes together, and those of each stand under ``<stage>/``. Episodes have the condition
    ``robustness/<axis>/<strength>``.
    """

    def __init__(
        self,
        *makers: Callable[..., Environment],
        strengths: Sequence[float],
        split: str,
        episodes: int,
        num_envs: int,
        execute: int | None = None,
        ensemble: bool = False,
        progress: Progress | None = None,
    ) -> None:
        if not strengths or not all(0 < strength <= 1 for strength in strengths):
            raise ValueError(f"strengths {list(strengths)}: one or more are needed, above 0 and at most 1")
        self._makers = makers
        self._strengths = sorted({float(strength) for strength in strengths})
        self._seeds = seeds(split, episodes)
        self._num_envs = min(num_envs, episodes)
        self._execute, self._ensemble = execute, ensemble
        self._progress = progress

    def __call__(self, agent: Any) -> Report:
        results: list[EpisodeResult] = []
        for maker in self._makers:
            environment = maker(1)
            environment.close()  # it is only asked what can be changed
            if not isinstance(environment, Changeable):
                return Report({}, not_applicable={NAME: NO_AXES})
            if "success" in environment.not_applicable:
                return Report({}, not_applicable={NAME: environment.not_applicable["success"]})
            axes = environment.robustness_axes
            for axis, strength in [(UNCHANGED, 0.0), *((axis, strength) for axis in axes for strength in self._strengths)]:
                change = environment.changed(axes[0] if axis == UNCHANGED else axis, strength)
                with closing(maker(self._num_envs, randomization=change)) as world:
                    results += self._play(agent, world, condition(axis, strength))
        return self._report(results, axes)

    def _play(self, agent: Any, environment: Environment, name: str) -> list[EpisodeResult]:
        progress = None if self._progress is None else partial(_renamed, self._progress, name)
        test = StageTest(environment, self._seeds, execute=self._execute, ensemble=self._ensemble, progress=progress)
        return [replace(result, condition=name) for result in test.play("plain", agent).results]

    def _report(self, results: Sequence[EpisodeResult], axes: Sequence[str]) -> Report:
        stages = list(dict.fromkeys(result.stage for result in results))
        parts = {stage: self._section([result for result in results if result.stage == stage], axes) for stage in stages}
        section = self._section(results, axes) | {"stages": parts if len(stages) > 1 else {}}
        metrics = self._metrics(section)
        for stage, part in section["stages"].items():
            metrics |= {f"{stage}/{name}": value for name, value in self._metrics(part).items()}
        return Report(metrics, episodes=list(results), sections={NAME: section}, pictures={NAME: draw(section)})

    def _section(self, results: Sequence[EpisodeResult], axes: Sequence[str]) -> dict[str, Any]:
        """JSON: ``strengths``; ``unchanged`` and, by axis and place in ``strengths``, the rates; means and the worst axis."""

        def of(axis: str, strength: float) -> dict[str, float]:
            return rate([result for result in results if result.condition == condition(axis, strength)])

        rates = {axis: [of(axis, strength) for strength in self._strengths] for axis in axes}
        means = {axis: mean(part["success"] for part in parts) for axis, parts in rates.items()}
        worst = min(means, key=lambda axis: means[axis])
        return {
            "strengths": self._strengths,
            UNCHANGED: of(UNCHANGED, 0.0),
            "axes": {axis: {"rates": rates[axis], "mean": means[axis]} for axis in axes},
            "mean": mean(means.values()),
            "worst": {"axis": worst, "mean": means[worst]},
        }

    def _metrics(self, section: dict[str, Any]) -> dict[str, float]:
        found = {f"{condition(UNCHANGED, 0.0)}/{name}": value for name, value in section[UNCHANGED].items()}
        for axis, part in section["axes"].items():
            for strength, values in zip(self._strengths, part["rates"], strict=True):
                found |= {f"{condition(axis, strength)}/{name}": value for name, value in values.items()}
            found[f"{NAME}/{axis}/mean"] = part["mean"]
        return found | {f"{NAME}/mean": section["mean"], f"{NAME}/worst": section["worst"]["mean"]}


def condition(axis: str, strength: float) -> str:
    """What stands in ``episodes.csv``, and before the figures' names."""
    return f"{NAME}/{UNCHANGED}" if axis == UNCHANGED else f"{NAME}/{axis}/{strength:g}"


def _renamed(progress: Progress, name: str, words: str, done: int, total: int) -> None:
    progress(words.replace("plain", name), done, total)
