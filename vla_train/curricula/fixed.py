"""Curricula in which nothing changes: one stage, or all of them at once."""

from collections.abc import Sequence

from vla_train.spec import Report, Stage, StateDict


class SingleStage:
    """The ordinary case: one stage, never over before the run is."""

    def __init__(self, stage: str):
        self._stage, self._stages = Stage(stage), [Stage(stage)]

    def stage(self) -> Stage | None:
        return self._stage

    def stages(self) -> Sequence[Stage]:
        return self._stages

    def reached(self) -> int:
        return len(self._stages)

    def reads(self) -> Sequence[str]:
        return []

    def observe(self, step: int, report: Report) -> None:
        """Nothing depends on how the policy does."""

    def done(self, stage_step: int) -> bool:
        return False

    def advance(self, step: int, stage_step: int) -> str:
        raise AssertionError("a stage that is never over has no next one")

    def figures(self) -> dict[str, float]:
        return {}

    def picture(self) -> bytes | None:
        return None

    def state_dict(self) -> StateDict:
        return {}

    def load_state_dict(self, state: StateDict) -> None:
        """There is nothing to restore."""


class Mixed(SingleStage):
    """All stages from the beginning. ``weights`` say how often a sample is of each; None: of all as often."""

    def __init__(self, stages: Sequence[str], weights: Sequence[float] | None = None):
        chosen = [1.0] * len(stages) if weights is None else weights
        self._stage = Stage("mixed", weights=dict(zip(stages, chosen, strict=True)))
        self._stages = [Stage(name, index) for index, name in enumerate(stages)]
