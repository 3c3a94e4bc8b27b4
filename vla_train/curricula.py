"""Curricula decide which stage is trained and when it is over."""

from collections.abc import Sequence

from vla_train.spec import Report, Stage, StateDict


class SingleStage:
    """The ordinary case: one stage, never over before the run is."""

    def __init__(self, stage: str):
        self._stage = Stage(stage)

    def stage(self) -> Stage | None:
        return self._stage

    def stages(self) -> Sequence[Stage]:
        return [self._stage]

    def done(self, stage_step: int) -> bool:
        return False

    def advance(self) -> None:
        """A single stage has no next one."""

    def observe(self, report: Report) -> None:
        """A single stage does not depend on how the policy does."""

    def task_weights(self) -> dict[str, float]:
        return {}

    def difficulty(self) -> float:
        return 1.0

    def state_dict(self) -> StateDict:
        return {}

    def load_state_dict(self, state: StateDict) -> None:
        """There is nothing to restore."""
