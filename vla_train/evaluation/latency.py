"""How long an agent takes to plan."""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from vla_train.metrics import percentile
from vla_train.spec import Acts
from vla_train.types import RawObservation

WARM_UP = 3  # first calls of a measurement, which allocate memory and choose kernels; not counted
FEW = 20  # with fewer calls a 99th percentile is their longest one


class Timed:
    """An agent with a stopwatch around ``act``: from NumPy arrays to NumPy actions, so a GPU has finished when it stops."""

    def __init__(self, agent: Acts) -> None:
        self.agent = agent
        self.chunk: int = getattr(agent, "chunk", 1)
        self.milliseconds: list[float] = []
        self.rows: list[int] = []

    def act(self, images: dict[str, Any], instruction: Sequence[str], state: Any, rows: Any = None) -> Any:
        start = time.perf_counter()
        actions = self.agent.act(images, instruction, state, rows)
        self.milliseconds.append(1000 * (time.perf_counter() - start))
        self.rows.append(len(instruction))
        return actions

    def observe(self, images: dict[str, Any], instruction: Sequence[str], state: Any, rows: Any = None) -> None:
        self.agent.observe(images, instruction, state, rows)

    def reset(self, rows: Any = None) -> None:
        self.agent.reset(rows)

    def figures(self) -> dict[str, float]:
        """Milliseconds of a planning call, and how many rows it planned for on average. {} if there were too few calls;
        without the 99th percentile if there were fewer than 20."""
        counted = self.milliseconds[WARM_UP:]
        if not counted:
            return {}
        slow = {"latency_ms_p99": percentile(counted, 99.0)} if len(counted) >= FEW else {}
        return {
            "latency_ms_p50": percentile(counted, 50.0),
            **slow,
            "latency_rows": float(np.mean(self.rows[WARM_UP:])),
            "latency_calls": float(len(counted)),
        }


def single_row_latency(agent: Acts, observation: RawObservation, calls: int) -> dict[str, float]:
    """Milliseconds of a planning call for one row, as on one robot: the first row of ``observation``, again and again."""
    timed = Timed(agent)
    agent.reset()
    images = {name: image[:1] for name, image in observation["images"].items()}
    for _ in range(calls + WARM_UP):
        timed.act(images, observation["instruction"][:1], observation["state"][:1])
    agent.reset()
    figures = timed.figures()
    return {f"single_{name}": value for name, value in figures.items() if name != "latency_rows"}
