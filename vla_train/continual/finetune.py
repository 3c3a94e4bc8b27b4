"""Plain fine-tuning: the strategy that does nothing against forgetting, and what others are compared with."""

from collections.abc import Sequence
from typing import Any

from vla_train.spec import Penalty, StateDict


class FineTune:
    """Every stage is trained on its own data alone."""

    def wrap(self, source: Any) -> Any:
        return source

    def penalty(self, parameters: Sequence[Any]) -> Penalty | None:
        return None

    def end_stage(self, policy: Any, source: Any) -> None:
        """Nothing is kept of a stage."""

    def state_dict(self) -> StateDict:
        return {}

    def load_state_dict(self, state: StateDict) -> None:
        """There is nothing to restore."""
