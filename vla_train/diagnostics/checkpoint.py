"""``FromCheckpoint``: what a policy and its demonstrations still tell when the run is over."""

import json
from pathlib import Path
from typing import Any

from vla_train.data.dataset import DemonstrationDataset
from vla_train.diagnostics.finding import Verdict, joined, section
from vla_train.diagnostics.policy import Data, without_data
from vla_train.diagnostics.probe import Probe
from vla_train.spec import Report

OF_TRAINING = ("gradients", "loss", "overfitting", "ranges/state in the world")
LARGEST = 10_000_000  # bytes of a run's report: it may be a stranger's


class FromCheckpoint:
    """An evaluator that measures nothing: its report has the section ``diagnostics``, with that of the training run in it.

    Args:
        dataset: the demonstrations of the run; None with the ``reason`` for which there are none.
        run: the folder whose report.json says what the training run found.
    """

    def __init__(self, dataset: DemonstrationDataset | None, reason: str, run: Path) -> None:
        self._dataset, self._reason, self._run = dataset, reason, run

    def __call__(self, agent: Any) -> Report:
        verdict = Verdict(not_applicable=dict.fromkeys(OF_TRAINING, "seen in training only"))
        if self._dataset is None:
            found = without_data(self._reason)
        else:
            data = Data(self._dataset)
            found = joined([data.verdict, data.judge_policy(Probe(self._dataset)(agent))])
        return Report(metrics={}, sections={"diagnostics": section(joined([found, verdict])) | {"training": self._training()}})

    def _training(self) -> dict[str, Any]:
        path = self._run / "report.json"
        try:
            if path.stat().st_size > LARGEST:
                raise ValueError("it is too large")
            found = json.loads(path.read_text(encoding="utf-8"))["diagnostics"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            found = None
        return found if isinstance(found, dict) else {"not_applicable": f"there is no report of the training run at {path}"}


def lines(found: dict[str, Any]) -> list[str]:
    """What a section says on a console."""
    warnings = [finding["message"] for finding in found["findings"] if finding["severity"] == "warning"]
    return [f"diagnostics: {message}" for message in warnings or ["nothing to warn of"]]
