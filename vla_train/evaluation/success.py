"""``Success``: how often a policy does what it is told, and whether it listens."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from vla_train.conditions import CONDITIONS
from vla_train.envs.contract import Environment
from vla_train.errors import UsageError
from vla_train.evaluation.conditions import SILENT, Baseline, NotGiven, Progress, StageTest
from vla_train.evaluation.divergence import divergence, together
from vla_train.evaluation.figures import figures
from vla_train.evaluation.films import filmed
from vla_train.evaluation.groups import group_figures
from vla_train.evaluation.latency import Timed, single_row_latency
from vla_train.evaluation.montage import montage
from vla_train.seeds import seeds
from vla_train.spec import Report, Spec


def check_execution(spec: Spec, execute: int | None, ensemble: bool) -> None:
    """Raise UsageError where a policy for ``spec`` cannot be executed so: to be asked before hours of training."""
    if ensemble and spec.action.kind == "discrete":
        raise UsageError("ensemble=true averages actions, and these are categories, which have no mean: set ensemble=false")
    if execute is not None and not ensemble and not 1 <= execute <= spec.chunk:
        raise UsageError(
            f"execute={execute}: this policy predicts {spec.chunk} action{'s' * (spec.chunk > 1)} at once (dataset.chunk); "
            f"set execute to {'1' if spec.chunk == 1 else f'1 to {spec.chunk}'}, or to null for half of them"
        )


class Success:
    """Plays the episodes of a seed range under each condition, in one stage or several.

    Args:
        makers: for each stage, a function that makes its environment: ``maker(num_envs)``. Called at the first evaluation.
        split: "validation" or "test", the range of the seeds.
        episodes: in each stage and condition.
        conditions: of ``vla_train.conditions``. Random and chance do not depend on the policy, so they are played once and
            remembered.
        execute: actions of each chunk to execute; None: half of the chunk, at least one.
        ensemble: temporal ensembling.
        video_episodes: how many plain episodes the report shows, the first ones of the last stage.
        failures_first: show those that failed before others (see ``Reel``), and of every stage, each by itself too.
        single_row_calls: planning calls with which the latency of a single row is measured; 0: not at all.
        progress: called with (words, episodes that have ended, all of them) while a condition is played.
        reached: how many of the stages, from the first on, are played; None: all.
        baseline: the language-blind policy of the condition ``blind``; None: it is said that none was given.

    With several stages the figures of each stand under ``<stage>/``, and those of all episodes together without prefix.
    """

    def __init__(
        self,
        *makers: Callable[[int], Environment],
        split: str,
        episodes: int,
        num_envs: int,
        conditions: Sequence[str] = ("plain",),
        execute: int | None = None,
        ensemble: bool = False,
        video_episodes: int = 0,
        failures_first: bool = False,
        single_row_calls: int = 0,
        progress: Progress | None = None,
        reached: Callable[[], int] | None = None,
        baseline: Baseline | None = None,
    ) -> None:
        unknown = [name for name in conditions if name not in CONDITIONS]
        if unknown or not makers:
            raise ValueError(f"conditions {unknown} are none of {CONDITIONS}" if unknown else "an environment is needed")
        self._makers = makers
        self._num_envs = min(num_envs, episodes)
        self._seeds = seeds(split, episodes)
        self._conditions = [name for name in CONDITIONS if name in conditions]
        self._execute = execute
        self._ensemble = ensemble
        self._video_episodes = video_episodes
        self._failures_first = failures_first
        self._single_row_calls = single_row_calls
        self._progress = progress
        self._reached = reached or (lambda: len(makers))
        self._baseline = baseline
        self._stages: list[StageTest] = []

    def __call__(self, agent: Any) -> Report:
        """Evaluate in all stages that are reached."""
        makers = self._makers[: self._reached()]
        self._stages += [self._stage(maker(self._num_envs)) for maker in makers[len(self._stages) :]]
        reports = [self._evaluate(stage, agent, last=stage is self._stages[-1]) for stage in self._stages]
        if len(self._makers) == 1:
            return reports[0]
        report = Report(metrics={})
        for stage, part in zip(self._stages, reports, strict=True):
            report = report.merged(_prefixed(part, f"{stage.name}/"))
        return report.merged(Report(together(report.metrics, [stage.name for stage in self._stages]) | figures(report.episodes)))

    def _stage(self, environment: Environment) -> StageTest:
        return StageTest(
            environment,
            self._seeds,
            execute=self._execute,
            ensemble=self._ensemble,
            progress=self._progress,
            baseline=self._baseline,
        )

    def _evaluate(self, stage: StageTest, agent: Any, last: bool) -> Report:
        timed, record = Timed(agent), self._video_episodes if last or self._failures_first else 0
        played = {
            name: stage.play(name, timed, record, self._failures_first) if name == "plain" else stage.play(name, agent)
            for name in self._conditions
        }
        results = [result for part in played.values() for result in part.results]
        metrics = figures(results) | group_figures(results, getattr(stage.environment, "task_groups", {})) | timed.figures()
        metrics |= {f"{name}/excluded": float(part.excluded) for name, part in played.items() if part.excluded}
        if self._single_row_calls:
            observation, _ = stage.environment.reset(seed=self._seeds[: self._num_envs])
            metrics |= single_row_latency(agent, observation, self._single_row_calls)
        not_applicable = {name: part.reason for name, part in played.items() if part.reason}
        if "plain" in played and not any(result.instruction for result in played["plain"].results):
            not_applicable = {name: SILENT if isinstance(why, NotGiven) else why for name, why in not_applicable.items()}
        if "swapped" in played and played["swapped"].results:
            found, reasons = divergence(stage.environment, agent, stage.scenes, stage.swapped_goals)
            metrics, not_applicable = metrics | found, not_applicable | reasons
        if "success" in stage.environment.not_applicable:
            not_applicable["success"] = stage.environment.not_applicable["success"]
        if "plain" in played and "first_touched" not in metrics:
            reason = "no evaluated episode names an object and touched one"
            not_applicable["first_touched"] = stage.environment.not_applicable.get("first_touched", reason)
        shown, films = filmed(played["plain"], self._failures_first) if "plain" in played else ([], [])
        if record and not shown:
            not_applicable["video"] = "there is no colour camera" if "plain" in played else "no plain episodes were played"
        frames = montage(shown) if last else None
        return Report(metrics, results, not_applicable, frames=frames, films=films if self._failures_first else [])


def _prefixed(report: Report, prefix: str) -> Report:
    return replace(
        report,
        metrics={prefix + name: value for name, value in report.metrics.items()},
        not_applicable={prefix + name: reason for name, reason in report.not_applicable.items()},
    )
