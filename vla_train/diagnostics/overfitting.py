"""Overfitting: the held-out loss rises while the training loss falls, beyond noise."""

import numpy as np

from vla_train.diagnostics.finding import Finding, Verdict

ENOUGH = 4  # evaluations, from which noise can be told
WORSE = 2  # evaluations in a row after the best one
RISE = 0.05  # of the best held-out loss
FALL = 0.1  # of the training loss at that time


def judge_overfitting(training: list[float], held_out: list[float]) -> Verdict:
    """From the losses at each evaluation: the mean of the training loss since the evaluation before, and the held-out loss.

    The noise of the held-out loss is estimated by its second differences, which a steady rise or fall does not show in:
    those of white noise with deviation s have the deviation sqrt(6) s.
    """
    if len(held_out) < ENOUGH:
        few = f"{len(held_out)} evaluations with held-out loss: it takes {ENOUGH} to see a rise (every.evaluate)"
        return Verdict(not_applicable={"overfitting": few})
    best = int(np.argmin(held_out))
    noise = 1.4826 * float(np.median(np.abs(np.diff(held_out, n=2)))) / 6**0.5
    low, now = held_out[best], min(held_out[-WORSE:])
    rise, fall = now - low, training[best] - training[-1]
    figures = {"overfitting/rise": rise, "overfitting/noise": noise}
    if best >= len(held_out) - WORSE or rise <= max(RISE * abs(low), 3 * noise) or fall <= FALL * abs(training[best]):
        return Verdict(figures=figures)
    message = (
        f"the held-out loss rose from {low:.3g} (evaluation {best + 1}) to {held_out[-1]:.3g} while the training loss fell from "
        f"{training[best]:.3g} to {training[-1]:.3g}: use checkpoints/best, stop early (evaluation.patience), record more "
        "demonstrations, or take a smaller model or more optimizer.weight_decay"
    )
    return Verdict([Finding("overfitting", "warning", "", rise, max(RISE * abs(low), 3 * noise), message)], figures)
