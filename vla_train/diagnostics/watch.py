"""``Diagnostics``: looks on while a run learns, says at once what goes wrong, and sums it up for the report."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from vla_train.data.dataset import DemonstrationDataset
from vla_train.diagnostics.finding import Verdict, joined, section
from vla_train.diagnostics.gradients import GradientFlow
from vla_train.diagnostics.loss import Curve, judge_loss
from vla_train.diagnostics.overfitting import judge_overfitting
from vla_train.diagnostics.policy import OF_POLICY, Data, without_data
from vla_train.diagnostics.probe import FRAMES, Probe, Probed
from vla_train.diagnostics.ranges import Seen
from vla_train.paradigms.base import Paradigm
from vla_train.spec import StateDict
from vla_train.types import Rollout, Transition

PROBED_FROM = 0.5  # of the run: before, a policy need not have learned what to look at
WORTH = 500 * FRAMES  # samples after which a probe before the end costs under 1 % of the training so far
TOO_EARLY = 50  # updates: what a shorter run has not learned says nothing

LOSS, HELD_OUT = "train/loss", "evaluation/held_out/loss"


class Diagnostics:
    """What the trainer tells what it logged and evaluated. It reads metrics and weights, and changes neither them nor any random
    state. Its own state is part of a checkpoint, so a resumed run says what one would that was never stopped.

    Args:
        dataset: the demonstrations, if there are any.
        tell: shows a line to the user.
    """

    def __init__(self, paradigm: Paradigm[Any], dataset: DemonstrationDataset | None, tell: Callable[[str], None]) -> None:
        self._flow = GradientFlow(paradigm, paradigm.optimizers)
        self._fixed_aim = not issubclass(paradigm.batch_type, Transition | Rollout)
        self._data = None if dataset is None else Data(dataset)
        self._dataset, self._probe = dataset, None if dataset is None else Probe(dataset)
        self._tell = tell
        self._progress = self._samples = 0.0
        self._spoken: dict[str, Any] = {}  # kind and place -> the finding, and when it was first said
        self._world: Seen = {"total": 0}
        self._probed: Probed = {}
        self._begin("")

    def _begin(self, stage: str) -> None:
        self._stage, self._curve = stage, Curve()
        self._training: list[float] = []
        self._held_out: list[float] = []
        self._sum = self._count = 0.0  # of the training loss since the last evaluation, by samples

    @property
    def world(self) -> Any:
        """Where a ``WatchedAgent`` counts the states that it is shown; None without demonstrations to compare them with."""
        return None if self._data is None else self._data.world

    def began(self, stage: str) -> None:
        """A stage begins, or goes on after a resume: another stage's losses are not comparable, and the policy is not asked about
        stages that are still to come."""
        if self._dataset is not None:
            self._probe = Probe(self._dataset.until(stage))
        if stage != self._stage:
            self._begin(stage)

    def logged(self, step: int, row: Mapping[str, float]) -> dict[str, float]:
        """Take a row of training metrics. Returns further figures for it."""
        figures = self._flow.read(step, row)
        self._progress = row["progress"]
        samples, self._samples = row["samples"] - self._samples, row["samples"]
        if LOSS in row:
            self._curve.add(row[LOSS], samples)
            self._sum, self._count = self._sum + row[LOSS] * samples, self._count + samples
        self._speak(step, joined([self._flow.judge(), self._judge_loss()]))
        return figures

    def evaluated(self, step: int, agent: Any, metrics: Mapping[str, float]) -> dict[str, float]:
        """Take an evaluation. Returns further figures for it."""
        if HELD_OUT.removeprefix("evaluation/") in metrics and self._count:
            self._training.append(self._sum / self._count)
            self._held_out.append(metrics[HELD_OUT.removeprefix("evaluation/")])
        self._sum = self._count = 0.0
        self._world = {"total": 0} if self._data is None else self._data.world.take()
        if self._progress >= PROBED_FROM and self._samples >= WORTH and not self._probed:
            self._ask(agent)
        verdict = joined([self._judge_overfitting(), self._judge_policy()])
        self._speak(step, verdict)
        return {f"diagnostics/{name}": figure for name, figure in verdict.figures.items()}

    def ended(self, step: int, agent: Any) -> None:
        """The run is over: look at the policy once more."""
        if step >= TOO_EARLY:
            self._ask(agent)
        self._speak(step, self._verdict())

    def section(self) -> dict[str, Any]:
        """The part ``diagnostics`` of the report: what stands, and ``earlier`` what was said and no longer holds."""
        verdict = self._verdict()
        standing = {_key(finding.kind, finding.where) for finding in verdict.findings}
        earlier = [said for key, said in self._spoken.items() if key not in standing]
        return section(verdict) | {"earlier": earlier}

    def _ask(self, agent: Any) -> None:
        if self._probe is not None:
            self._probed = self._probe(agent)

    def _verdict(self) -> Verdict:
        return joined([self._flow.judge(), self._judge_loss(), self._judge_overfitting(), self._judge_policy()])

    def _judge_loss(self) -> Verdict:
        if not self._fixed_aim:
            return Verdict(not_applicable={"loss": "what is learned from rewards has a moving aim: its loss need not fall"})
        return judge_loss(self._curve.points)

    def _judge_overfitting(self) -> Verdict:
        return judge_overfitting(self._training, self._held_out)

    def _judge_policy(self) -> Verdict:
        if self._data is None:
            return without_data()
        parts = [self._data.verdict, self._data.judge_world(self._world)]
        if self._probed:
            return joined([*parts, self._data.judge_policy(self._probed)])
        unasked = dict.fromkeys(OF_POLICY, f"a policy is judged at the end of its run, after at least {TOO_EARLY} updates")
        return joined([*parts, Verdict(not_applicable=unasked)])

    def _speak(self, step: int, verdict: Verdict) -> None:
        for finding in verdict.findings:
            key = _key(finding.kind, finding.where)
            if finding.severity == "warning" and key not in self._spoken:
                self._spoken[key] = asdict(finding) | {"step": step}
                self._tell(f"diagnostics: {finding.message}")

    def state_dict(self) -> StateDict:
        return {
            "flow": self._flow.state_dict(),
            "curve": self._curve.state_dict(),
            "stage": self._stage,
            "losses": {"training": self._training, "held_out": self._held_out, "sum": self._sum, "count": self._count},
            "progress": self._progress,
            "samples": self._samples,
            "spoken": self._spoken,
            "world": self._world,
            "probed": self._probed,
        }

    def load_state_dict(self, state: StateDict) -> None:
        self._flow.load_state_dict(state["flow"])
        self._curve.load_state_dict(state["curve"])
        losses = state["losses"]
        self._training, self._held_out = losses["training"], losses["held_out"]
        self._sum, self._count = losses["sum"], losses["count"]
        self._stage, self._progress, self._samples = state["stage"], state["progress"], state["samples"]
        self._spoken, self._world, self._probed = state["spoken"], state["world"], state["probed"]


class NoDiagnostics:
    """Nobody looks on."""

    world = None

    def began(self, stage: str) -> None: ...

    def logged(self, step: int, row: Mapping[str, float]) -> dict[str, float]:
        return {}

    def evaluated(self, step: int, agent: Any, metrics: Mapping[str, float]) -> dict[str, float]:
        return {}

    def ended(self, step: int, agent: Any) -> None: ...

    def section(self) -> dict[str, Any]:
        return {"not_applicable": {"diagnostics": "the run was made with diagnostics=false"}}

    def state_dict(self) -> StateDict:
        return {}

    def load_state_dict(self, state: StateDict) -> None: ...


def _key(kind: str, where: str) -> str:
    return f"{kind}: {where}"
