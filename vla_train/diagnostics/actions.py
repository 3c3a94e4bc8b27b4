"""Near-constant action dimensions: in the demonstrations, and in what the policy predicts."""

import math

import numpy as np

from vla_train.diagnostics.finding import Finding, Verdict
from vla_train.diagnostics.inputs import learned
from vla_train.diagnostics.probe import Probed
from vla_train.spec import ActionSpec, FeatureStatistics

SMALL = 1e-3  # near-constant: the standard deviation is this share of the dimension's full range
COLLAPSED = 0.05  # a predicted spread that is this share of the recorded one
COMMON = 0.1  # categories other than the most frequent one have at least this share before their lack is held against a policy


def judge_recorded(action: ActionSpec, statistics: FeatureStatistics) -> Verdict:
    """A dimension that never moves is harmless and stands as a note: the policy learns the constant. One that trembles is not:
    normalized, the trembling weighs as much as any other dimension's movement."""
    if action.kind == "discrete":
        return Verdict(not_applicable={"actions/recorded": "categories have no spread; see the table of the demonstrations"})
    verdict = Verdict()
    reach = statistics.max - statistics.min
    low, high = np.array(action.low or [-math.inf] * action.size), np.array(action.high or [math.inf] * action.size)
    full = np.where(np.isfinite(high - low) & (high > low), high - low, np.maximum(abs(statistics.min), abs(statistics.max)))
    for index, name in enumerate(names(action)):
        share = float(statistics.std[index] / full[index]) if full[index] > 0 else 0.0
        if reach[index] <= 1e-6 * max(1.0, abs(statistics.mean[index])):
            message = (
                f"action {name} is always {statistics.mean[index]:.4g} in the training data: the policy cannot learn to move it"
            )
            verdict.findings.append(Finding("constant_action", "note", name, share, SMALL, message))
        elif share < SMALL and reach[index] < 10 * SMALL * full[index]:
            message = (
                f"action {name} hardly moves in the training data (deviation {statistics.std[index]:.2g} around "
                f"{statistics.mean[index]:.4g}), and normalization makes its trembling as large as any other action: "
                "drop it with dataset.action, or set it to a constant in the data"
            )
            verdict.findings.append(Finding("near_constant_action", "warning", name, share, SMALL, message))
    return verdict


def judge_predicted(action: ActionSpec, probed: Probed) -> Verdict:
    """Dimensions in which the policy hardly moves although the recorded actions do."""
    judged = next((probed[name] for name in ("held_out", "training") if name in probed), None)
    if judged is None:
        return Verdict(not_applicable={"actions/predicted": "there are no demonstrated actions to compare with"})
    if not learned(judged):
        return Verdict(not_applicable={"actions/predicted": "nothing was learned from the inputs yet"})
    verdict = Verdict()
    labels = names(action) if action.kind == "continuous" else ["category"]
    for name, predicted, recorded in zip(labels, judged["actions"]["predicted"], judged["actions"]["recorded"], strict=True):
        least = COMMON if action.kind == "discrete" else 1e-6
        if recorded <= least:
            continue
        share = predicted / recorded
        verdict.figures[f"actions/{name}"] = share
        if share < COLLAPSED:
            message = (
                f"the predicted action {name} hardly varies: {100 * share:.1f} % of the recorded spread. Its inputs may not tell "
                "it (dataset.history, cameras), or the mean of two ways of doing it is learned (head=gaussian, categorical)"
            )
            verdict.findings.append(Finding("collapsed_action", "warning", name, share, COLLAPSED, message))
    return verdict


def names(action: ActionSpec) -> list[str]:
    return list(action.names) or [str(index) for index in range(action.size)]
