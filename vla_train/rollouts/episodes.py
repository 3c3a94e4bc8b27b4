"""The record of one played episode."""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from vla_train.envs.contract import Goal

NO_GOAL = Goal(instruction="", key="", task="", named="", template="")


@dataclass
class Episode:
    """What happened in one episode."""

    index: int  # its place among the seeds given to `play`
    seed: int
    instruction: str = ""  # what the policy was told
    goal: Goal = NO_GOAL  # what it was judged by; empty if the reset itself crashed
    outcome: Literal["success", "failure", "crash", "ended"] = "failure"  # ended: where success does not apply
    length: int = 0  # steps
    reward: float = 0.0  # sum over the steps
    first_touched: str = ""
    error: str = ""  # the message of a crash
    aborted: bool | None = None  # by its limits, in a guarded environment (None: it is none)
    limited: int | None = None  # steps there whose action was cut
    frames: list[np.ndarray] = field(default_factory=list)  # uint8 [y, x, 3], one more than steps; [] unless recorded

    @property
    def failed(self) -> bool:
        return self.outcome in ("failure", "crash")
