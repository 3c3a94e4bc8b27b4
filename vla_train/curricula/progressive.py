"""``Progressive``: from the first stage to the last, each when the one before is mastered."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from vla_train.spec import Report, Stage, StateDict

METRICS = {"success": "success", "loss": "held_out/loss"}  # mastery -> what is read of an evaluation


@dataclass
class Record:
    """What a curriculum has seen and done: the part of it that a checkpoint keeps, as JSON values."""

    stage: int = 0
    streak: int = 0  # evaluations in a row in which the present stage was mastered
    seen: list[dict[str, Any]] = field(default_factory=list)  # of each evaluation "step", and by metric the value of each stage
    advances: list[dict[str, Any]] = field(default_factory=list)  # "stage", "step", "updates", "mastered": of each that is over


class Progressive:
    """Begins with the first stage, and goes on to the next one when the present one is mastered.

    A stage is mastered when ``patience`` evaluations in a row met its threshold, and not before ``min_steps`` updates in it;
    after ``max_steps`` (None: never) the next one begins all the same. The last stage lasts until the run ends.

    Args:
        stages: their names, in order.
        mastery: "success", of at least ``success`` on the validation seeds; or "loss", of at most ``loss`` (one for each stage)
            on the held-out demonstrations.
        rehearsal: the share of the samples that comes from the stages before, from each as often; 0: none.
    """

    def __init__(
        self,
        stages: Sequence[str],
        *,
        mastery: Literal["success", "loss"] = "success",
        success: float = 0.8,
        loss: Sequence[float] = (),
        patience: int = 1,
        min_steps: int = 0,
        max_steps: int | None = None,
        rehearsal: float = 0.0,
    ):
        self._names, self._metric = list(stages), METRICS[mastery]
        self._thresholds = [success] * len(self._names) if mastery == "success" else list(loss)
        if len(self._thresholds) != len(self._names):
            raise ValueError(f"{len(self._names)} stages need as many thresholds, not {len(self._thresholds)}")
        self._patience, self._min_steps, self._max_steps, self._rehearsal = patience, min_steps, max_steps, rehearsal
        self.record = Record()

    def stage(self) -> Stage | None:
        index = self.record.stage
        before, share = self._names[:index], self._rehearsal if index else 0.0
        weights = {name: share / index for name in before if share} | {self._names[index]: 1.0 - share}
        return Stage(self._names[index], index, weights)

    def stages(self) -> Sequence[Stage]:
        return [Stage(name, index) for index, name in enumerate(self._names)]

    def reached(self) -> int:
        return self.record.stage + 1

    def reads(self) -> Sequence[str]:
        return [self._metric]

    def observe(self, step: int, report: Report) -> None:
        """Judge the present stage by an evaluation after ``step`` updates."""
        found: dict[str, Any] = {"step": step}
        for metric in METRICS.values():
            alone = len(self._names) == 1  # whose figures have no stage before them
            values = {name: report.metrics.get(metric if alone else f"{name}/{metric}") for name in self._names[: self.reached()]}
            found[metric] = {name: value for name, value in values.items() if value is not None}
        self.record.seen.append(found)
        name = self._names[self.record.stage]
        self.record.streak = self.record.streak + 1 if self._met(found[self._metric].get(name, math.nan)) else 0

    def _met(self, value: float) -> bool:
        """A NaN meets nothing."""
        threshold = self._thresholds[self.record.stage]
        return value >= threshold if self._metric == "success" else value <= threshold

    def _mastered(self, stage_step: int) -> bool:
        return stage_step >= self._min_steps and self.record.streak >= self._patience

    def done(self, stage_step: int) -> bool:
        if self.reached() == len(self._names):
            return False
        return self._mastered(stage_step) or (self._max_steps is not None and stage_step >= self._max_steps)

    def advance(self, step: int, stage_step: int) -> str:
        """Go on to the next stage, after ``step`` updates of the run and ``stage_step`` of the present one."""
        name, mastered = self._names[self.record.stage], self._mastered(stage_step)
        self.record.advances.append({"step": step, "stage": name, "updates": stage_step, "mastered": mastered})
        why = self._in_words(name, stage_step, mastered)
        self.record.stage, self.record.streak = self.record.stage + 1, 0
        return f"curriculum: update {step}: {why}. {self._names[self.record.stage]} begins"

    def _in_words(self, name: str, stage_step: int, mastered: bool) -> str:
        last = self.record.seen[-1][self._metric].get(name, math.nan) if self.record.seen else math.nan
        label = {"success": "success", "held_out/loss": "held-out loss"}[self._metric]
        bound = "at least" if self._metric == "success" else "at most"
        threshold = self._thresholds[self.record.stage]
        if mastered:
            times = f", {self.record.streak} times in a row" if self.record.streak > 1 else ""
            return f"{name} is mastered after {stage_step} updates ({label} {last:.3g}, {bound} {threshold:.3g}{times})"
        known = "never measured" if math.isnan(last) else f"{last:.3g}"
        return f"{name} is not mastered ({label} {known}, not {bound} {threshold:.3g}), but max_steps={stage_step} is reached"

    def figures(self) -> dict[str, float]:
        return {"curriculum/stage": float(self.reached()), "curriculum/streak": float(self.record.streak)}

    def picture(self) -> bytes | None:
        """PNG: what was measured of each stage over the updates."""
        from vla_train.curricula.picture import draw

        marks = dict(zip(self._names, self._thresholds, strict=True))
        return draw(self.record.seen, self.record.advances, marks, self._metric) if self.record.seen else None

    def state_dict(self) -> StateDict:
        return asdict(self.record)

    def load_state_dict(self, state: StateDict) -> None:
        """Raises ``ValueError`` or ``TypeError`` for what no curriculum of these stages has seen and done."""
        record = Record(**state)
        if type(record.stage) is not int or not 0 <= record.stage < len(self._names):
            raise ValueError(f"the curriculum is at stage {record.stage!r}, and its stages are 0 to {len(self._names) - 1}")
        if type(record.streak) is not int or record.streak < 0:
            raise ValueError(f"the curriculum's streak is {record.streak!r}")
        over = [entry["stage"] for entry in record.advances]
        if over != self._names[: record.stage]:
            raise ValueError(f"the curriculum is at stage {record.stage}, and the stages that are over are {over}")
        for entry in [*record.seen, *record.advances]:
            _check(entry["step"])
        for value in (value for entry in record.seen for metric in METRICS.values() for value in entry[metric].values()):
            _check(value)
        self.record = record


def _check(number: Any) -> None:
    if type(number) not in (int, float):
        raise ValueError(f"the curriculum has seen {number!r} where a number belongs")
