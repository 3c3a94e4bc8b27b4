"""Values outside the range of the training statistics: a policy extrapolates there."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from vla_train.diagnostics.finding import Finding, Verdict
from vla_train.models.policy import Policy
from vla_train.processor import Processor
from vla_train.rollouts import Agent
from vla_train.spec import FeatureStatistics

MARGIN = 0.1  # of the training range, beyond its ends
OUTSIDE = 0.01  # of the values of a dimension


Seen = dict[str, Any]  # JSON: how many values there were, and by dimension how many lay outside, the least and the most


class Range:
    """Counts which values of a feature lie outside what training saw, by dimension."""

    def __init__(self, statistics: FeatureStatistics) -> None:
        margin = MARGIN * (statistics.max - statistics.min) + 1e-6 * np.maximum(1.0, abs(statistics.mean))
        self._low, self._high = statistics.min - margin, statistics.max + margin
        self._parts: list[Seen] = []

    def add(self, values: np.ndarray) -> None:
        """Values [n, d]."""
        if values.size:
            outside = (values < self._low) | (values > self._high)
            part = {"outside": outside.sum(axis=0), "least": values.min(axis=0), "most": values.max(axis=0)}
            self._parts.append({"total": len(values), **part})

    def take(self) -> Seen:
        """What was seen since the last call."""
        parts, self._parts = self._parts, []
        if not parts:
            return {"total": 0}
        return {
            "total": sum(part["total"] for part in parts),
            "outside": np.sum([part["outside"] for part in parts], axis=0).tolist(),
            "least": np.min([part["least"] for part in parts], axis=0).tolist(),
            "most": np.max([part["most"] for part in parts], axis=0).tolist(),
        }

    def judge(self, seen: Seen, where: str, labels: Sequence[str]) -> Verdict:
        """``where`` says which values these are, e.g. "state in the world"; ``labels`` name the dimensions, as far as they go."""
        if not seen["total"]:
            return Verdict(not_applicable={f"ranges/{where}": "there are no such values"})
        shares = np.array(seen["outside"]) / seen["total"]
        worst = int(shares.argmax())
        share, label = float(shares[worst]), labels[worst] if worst < len(labels) else str(worst)
        verdict = Verdict(figures={f"ranges/{where}": share})
        if share > OUTSIDE:
            message = (
                f"{where}: {100 * share:.1f} % of the values of {label} lie outside the training data (they reach from "
                f"{seen['least'][worst]:.3g} to {seen['most'][worst]:.3g}; trained on, with a margin: {self._low[worst]:.3g} to "
                f"{self._high[worst]:.3g}): check units, or record demonstrations there"
            )
            verdict.findings.append(Finding("out_of_range", "warning", f"{where}, {label}", share, OUTSIDE, message))
        return verdict


class WatchedAgent(Agent):
    """An agent that counts, in ``seen``, the states that it is shown in the world."""

    def __init__(self, policy: Policy, processor: Processor, *, device: torch.device | str = "cpu", seen: Range | None) -> None:
        super().__init__(policy, processor, device=device)
        self._seen = seen

    def act(
        self,
        images: dict[str, np.ndarray],
        instruction: Sequence[str],
        state: np.ndarray,
        rows: Sequence[int] | np.ndarray | None = None,
    ) -> np.ndarray:
        if self._seen is not None:
            self._seen.add(np.asarray(state))
        return super().act(images, instruction, state, rows)
