"""The one loop. It cannot tell a disk from a world, nor one paradigm from another."""

import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import NoneType
from typing import Any

import torch

from vla_train import checkpoint, stopping
from vla_train.errors import Interrupted, NumericError, UsageError
from vla_train.meter import Meter, Rates, memory_gb
from vla_train.optim import Average, Progress
from vla_train.paradigms.base import Paradigm
from vla_train.rollouts import Agent
from vla_train.spec import Continual, Curriculum, Evaluator, Report, Stage, StateDict, Watcher
from vla_train.tracking.tracker import Tracker
from vla_train.types import Struct


@dataclass(frozen=True)
class Limits:
    """What ends a run; None leaves it to the others."""

    steps: int | None = None
    env_steps: int | None = None
    minutes: float | None = None

    def progress(self, counters: "Counters") -> float:
        """Share of the run that is done. Minutes count only where they are the only limit, for they are not reproducible."""
        shares = []
        if self.steps is not None:
            shares.append(counters.step / self.steps)
        if self.env_steps is not None:
            shares.append(counters.env_steps / self.env_steps)
        if not shares and self.minutes is not None:
            shares.append(counters.seconds / 60 / self.minutes)
        return min(max(shares, default=0.0), 1.0)

    def reached(self, counters: "Counters") -> bool:
        timed_out = self.minutes is not None and counters.seconds >= 60 * self.minutes
        return timed_out or self.progress(counters) >= 1.0

    @property
    def reproducible(self) -> bool:
        return self.minutes is None


@dataclass
class Counters:
    """Where the run stands. ``seconds`` is training time: no generation, no evaluation; summed over resumes."""

    step: int = 0  # calls of Paradigm.update
    stage_step: int = 0
    env_steps: int = 0
    samples: int = 0
    seconds: float = 0.0
    evaluated_step: int = 0
    stale_evaluations: int = 0  # since the last improvement
    best: float | None = None
    best_step: int = 0
    stopped_early: bool = False

    @classmethod
    def restored(cls, saved: Any) -> "Counters":
        """From their ``vars``. Raises ``ValueError`` for what is none of them, or of another kind."""
        if odd := set(saved) ^ set(vars(cls())):
            raise ValueError(f"counters that are missing, or that nobody knows: {', '.join(sorted(map(str, odd)))}")
        for name, value in saved.items():
            kinds = {"seconds": (int, float), "best": (int, float, NoneType)}.get(name, (type(getattr(cls, name)),))
            if type(value) not in kinds or (name != "best" and value < 0):
                raise ValueError(f"the counter {name} is {value!r}")
        return cls(**saved)


@dataclass(frozen=True)
class Every:
    """How often things happen, in updates; 0 never."""

    log: int
    evaluate: int
    save: int


@dataclass(frozen=True)
class Choice:
    """Which metric decides what is best, and how long a run waits for it to improve (0: for ever)."""

    best: str
    mode: str
    patience: int

    def better(self, value: float, than: float | None) -> bool:
        """A NaN is never better."""
        if than is None or math.isnan(value):
            return not math.isnan(value)
        return value > than if self.mode == "max" else value < than


@dataclass
class Trainer:
    """Drives one run: batches into updates, with logs, evaluations and checkpoints between them.

    Args:
        run: the run's folder.
        sources: makes the source of a stage.
        make_agent: wraps the weights that are evaluated.
        texts: files that stand beside the weights in each checkpoint (config, spec, processor, tokenizer).
    """

    run: Path
    paradigm: Paradigm[Any]
    average: Average
    sources: Callable[[Stage], Any]
    curriculum: Curriculum
    continual: Continual
    evaluators: Sequence[Evaluator]
    make_agent: Callable[[Any], Agent]
    tracker: Tracker
    progress: Progress
    limits: Limits
    every: Every
    choice: Choice
    watcher: Watcher
    texts: dict[str, str]
    keep: int
    device: torch.device
    counters: Counters = field(default_factory=Counters)
    report: Report | None = None

    def __post_init__(self) -> None:
        self.source: Any = None
        self._source_state: StateDict | None = None
        self._restored_from = ""
        self._env_steps_before = 0  # by the sources of earlier stages
        self._meter = Meter()
        self._rates = Rates(self.counters.step, self.counters.samples)
        self._saved_step = -1

    def finished(self) -> bool:
        return self.counters.stopped_early or self.limits.reached(self.counters)

    def train(self) -> Report | None:
        """Run to the end. Returns the last report.

        Raises:
            Interrupted: a stop was asked for; everything is saved.
            NumericError: a gradient was not finite; the last good checkpoint stands and the batch is saved in the run folder.
        """
        try:
            while not self.finished() and (stage := self.curriculum.stage()) is not None:
                self.watcher.began(stage.name)
                self.source = self.continual.wrap(self.sources(stage))
                if self._source_state is not None:
                    with checkpoint.restoring(self._restored_from):
                        self.source.load_state_dict(self._source_state)
                    self._source_state = None
                self._env_steps_before = self.counters.env_steps - self.source.env_steps
                self._fit()
                self.continual.end_stage(self.paradigm.policy, self.source)
                if not self.finished():
                    self._advance()
            self._log()
            self._evaluate()
            self.watcher.ended(self.counters.step, self.make_agent(self.average.policy))
            self._save()
        except Interrupted as stop:
            self._save()
            raise Interrupted(f"{stop}; everything is saved. Go on with: vla-train resume={self.run}", stop.exit_code) from stop
        finally:
            if self.source is not None:
                self.source.close()
        return self.report

    def _fit(self) -> None:
        if self._due(self.every.evaluate):  # a stop came during this step's evaluation, which changes nothing else
            self._evaluate()
        self._rates.start(self.counters.step, self.counters.samples)
        while not (self.finished() or self.curriculum.done(self.counters.stage_step)):
            self._update()
            if self._due(self.every.log):
                self._log()
            if self._due(self.every.evaluate):
                self._evaluate()
                self._rates.start(self.counters.step, self.counters.samples)
            if self._due(self.every.save):
                self._save()
            stopping.check()

    def _advance(self) -> None:
        """To the next stage of the curriculum. What is best, and whether it still improves, is judged anew there."""
        counters = self.counters
        self._log()
        self.source.close()
        self.source = None  # a stop before the next one is there must not save this one's place as its own
        self.tracker.console.message(self.curriculum.advance(counters.step, counters.stage_step))
        counters.stage_step, counters.best, counters.stale_evaluations = 0, None, 0

    def _due(self, every: int) -> bool:
        return every > 0 and self.counters.step > 0 and self.counters.step % every == 0

    def _update(self) -> None:
        self.source.prepare()
        start = time.perf_counter()
        batch: Struct = next(self.source).to(self.device, non_blocking=True)
        waited = time.perf_counter() - start
        self.progress.value = self.limits.progress(self.counters)
        try:
            self._meter.add(self.paradigm.update(batch))
        except NumericError as error:
            self._keep_bad_batch(batch, error)
        self.average.update()
        counters = self.counters
        counters.step += 1
        counters.stage_step += 1
        counters.samples += len(batch)
        counters.env_steps = self._env_steps_before + self.source.env_steps
        elapsed = time.perf_counter() - start
        counters.seconds += elapsed
        self._rates.add(waited, elapsed)

    def _keep_bad_batch(self, batch: Struct, error: NumericError) -> None:
        folder = self.run / "bad_batch"
        last = self.run / "checkpoints" / "last"
        try:
            checkpoint.save_nested(folder, "batch", {"step": self.counters.step, "batch": dataclasses.asdict(batch)})
            kept = f"The batch is saved in {folder}"
        except OSError as failure:
            kept = f"The batch could not be saved ({failure})"
        mend = f"go on from it with init={last} and a lower optimizer.lr" if last.exists() else "try a lower optimizer.lr"
        raise NumericError(f"update {self.counters.step + 1}: {error}. {kept}; {mend}.") from error

    def _log(self) -> None:
        if not self._meter:
            return
        figures = self._meter.reset() | ({} if self.source is None else self.source.figures())  # None: the run was over
        row = {f"train/{name}": value for name, value in figures.items()}
        row |= self._rates.read(self.counters.step, self.counters.samples)
        row |= {"progress": self.limits.progress(self.counters), "memory_gb": memory_gb(self.device)}
        row |= {"samples": float(self.counters.samples), "minutes": self.counters.seconds / 60}
        row["gradient_steps"] = float(sum(optimizer.gradient_steps for optimizer in self.paradigm.optimizers.values()))
        row |= self.curriculum.figures()
        row |= self.watcher.logged(self.counters.step, row)
        self.tracker.write(self.counters.step, row)
        self._rates.start(self.counters.step, self.counters.samples)

    def _evaluate(self) -> None:
        counters = self.counters
        if not self.evaluators or counters.evaluated_step == counters.step:
            return
        agent = self.make_agent(self.average.policy)
        report = Report(metrics={})
        try:
            for evaluator in self.evaluators:
                report = report.merged(evaluator(agent))
        except BaseException:
            self._save()  # what was learned is not lost to an evaluation that fails
            raise
        self.report = report
        self.curriculum.observe(counters.step, report)
        self._track(report)
        self.tracker.write(counters.step, self.watcher.evaluated(counters.step, agent, report.metrics))
        counters.evaluated_step = counters.step
        self._saved_step = -1  # what follows is worth saving even where this step's weights stand already
        value = report.metrics.get(self.choice.best)
        if value is None:
            self._save()
            names = ", ".join(sorted(report.metrics))
            raise UsageError(f"evaluation.best={self.choice.best} is not among the metrics of this run: {names}")
        if self.choice.better(value, counters.best):
            counters.best, counters.best_step, counters.stale_evaluations = value, counters.step, 0
            self._save(best=True)
        else:
            counters.stale_evaluations += 1
            counters.stopped_early = 0 < self.choice.patience <= counters.stale_evaluations
        if counters.stopped_early:
            self.tracker.console.message(
                f"stopped early: {self.choice.patience} evaluations brought no better {self.choice.best} than "
                f"{counters.best:.4g} at update {counters.best_step} (checkpoints/best)"
            )

    def _track(self, report: Report) -> None:
        step = self.counters.step
        self.tracker.write(step, {f"evaluation/{name}": value for name, value in report.metrics.items()})
        for name, values in report.histograms.items():
            self.tracker.histogram(step, name, values)
        if report.frames is not None:
            self.tracker.video(step, "rollouts", report.frames, fps=10.0)
        if (picture := self.curriculum.picture()) is not None:
            self.tracker.picture("curriculum", picture)

    def _save(self, best: bool = False) -> None:
        if self._saved_step == self.counters.step:
            return
        policy = self.average.policy.state_dict()
        checkpoint.write(
            self.run, self.counters.step, policy=policy, texts=self.texts, training=self.state_dict(), keep=self.keep, best=best
        )
        self._saved_step = self.counters.step

    def state_dict(self) -> StateDict:
        """Everything but the evaluated weights; with an average also the raw ones."""
        paradigm = self.paradigm.state_dict()
        if not self.average.on:
            paradigm = {name: value for name, value in paradigm.items() if not name.startswith("policy.")}
        return {
            "counters": dict(vars(self.counters)),
            "paradigm": paradigm,
            "optimizers": self.paradigm.optimizer_state(),
            "average": self.average.state_dict(),
            "source": self._source_state if self.source is None else self.source.state_dict(),
            "curriculum": self.curriculum.state_dict(),
            "continual": self.continual.state_dict(),
            "meter": self._meter.state_dict(),
            "watcher": self.watcher.state_dict(),
            "report": None if self.report is None else [self.report.metrics, self.report.not_applicable],
            "random": checkpoint.random_state(),
        }

    def load_state_dict(self, policy: dict[str, torch.Tensor], state: StateDict, where: str) -> None:
        """Restore a run: ``policy`` are the evaluated weights, ``state`` what ``state_dict`` gave.

        Raises ``CheckpointError``, which names ``where``, for a state that it never gave.
        """
        self._restored_from = where
        checkpoint.load_into(self.average.policy, policy, where)
        with checkpoint.restoring(where):
            raw = state["paradigm"]
            if not self.average.on:
                raw = raw | {f"policy.{name}": value for name, value in policy.items()}
            checkpoint.load_into(self.paradigm, raw, where)
            self.paradigm.load_optimizer_state(state["optimizers"])
            self.average.load_state_dict(state["average"])
            self.counters = Counters.restored(state["counters"])
            self._source_state = state["source"]
            self.curriculum.load_state_dict(state["curriculum"])
            self.continual.load_state_dict(state["continual"])
            self._rates.start(self.counters.step, self.counters.samples)
            self._meter.load_state_dict(state["meter"])
            if state.get("watcher"):  # an older checkpoint has none, nor one of a run that nobody watched
                self.watcher.load_state_dict(state["watcher"])
            if state.get("report"):
                metrics, not_applicable = state["report"]
                self.report = Report(metrics, not_applicable=not_applicable)
            checkpoint.set_random_state(state["random"])
        self._saved_step = self.counters.step
