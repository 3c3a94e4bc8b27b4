"""The pattern of the training loss: does it diverge, does it oscillate?

A loss of single batches is noise, and a healthy one may lie on its floor for most of a run. So the curve that is judged has
points that are means over hundreds of samples, and every threshold is a share of what the run has gained so far.
"""

import numpy as np

from vla_train.diagnostics.finding import Finding, Verdict

SAMPLES = 512  # fewest samples in a point: the mean of so many is within a few percent of what it estimates
LARGEST = 400  # points: a longer curve has every two made one
ENOUGH = 12  # points without which nothing is said
SMOOTH = 5  # points in the running median
LOST = 0.5  # diverged: this share of the best gain was lost again
NOISE = 5.0  # and more than so many times the noise of a point
SWING = 0.25  # oscillates: the median step between neighbours is this share of all that was gained, and
LEVEL = 0.15  # this share of the level itself


class Curve:
    """The training loss as a list of means over at least ``SAMPLES`` samples each."""

    def __init__(self) -> None:
        self.points: list[float] = []
        self._least, self._sum, self._samples = SAMPLES, 0.0, 0.0

    def add(self, loss: float, samples: float) -> None:
        """A logged loss, the mean over so many samples."""
        self._sum += loss * samples
        self._samples += samples
        if self._samples >= self._least:
            self.points.append(self._sum / self._samples)
            self._sum = self._samples = 0.0
        if len(self.points) > LARGEST:
            self.points = np.reshape(self.points[: LARGEST // 2 * 2], (-1, 2)).mean(axis=1).tolist() + self.points[LARGEST:]
            self._least *= 2

    def state_dict(self) -> dict[str, object]:
        return {"points": self.points, "least": self._least, "sum": self._sum, "samples": self._samples}

    def load_state_dict(self, state: dict[str, object]) -> None:
        self.points, self._least, self._sum, self._samples = (state[key] for key in ("points", "least", "sum", "samples"))  # type: ignore[assignment]


def judge_loss(points: list[float]) -> Verdict:
    """Whether a curve diverges or oscillates, from its last quarter against all of it. Where the loss was shifted or scaled as a
    whole (a log-likelihood may be negative) the verdict is the same, but for ``LEVEL``, which only makes it milder."""
    if len(points) < ENOUGH:
        few = f"{len(points)} points of {SAMPLES} or more samples: it takes {ENOUGH} to see a pattern"
        return Verdict(not_applicable={"loss": few})
    curve = np.array(points)
    smooth = np.median(np.lib.stride_tricks.sliding_window_view(curve, SMOOTH), axis=1)
    noise = 1.4826 * float(np.median(np.abs(np.diff(curve)))) / 2**0.5  # of a point; robust, and too large where it falls
    start, lowest, recent = float(smooth[0]), float(smooth.min()), float(smooth[-1])
    rise, gain = recent - lowest, start - lowest
    findings = []
    if rise > max(LOST * gain, LOST * abs(lowest), NOISE * noise):
        lost = rise / gain if gain > 0 else float("inf")
        findings.append(
            Finding(
                "divergence",
                "warning",
                "",
                lost,
                LOST,
                f"the training loss rose from {lowest:.3g} to {recent:.3g} and stays there: "
                "lower optimizer.lr (by 3 to 10), lengthen optimizer.warmup or lower optimizer.clip",
            )
        )
    last = curve[-max(ENOUGH // 2, len(curve) // 4) :]
    swing, level = float(np.median(np.abs(np.diff(last)))), float(np.median(last))
    share = swing / max(start - level, 1e-12)
    if swing > LEVEL * abs(level) and not 0 <= share <= SWING:
        findings.append(
            Finding(
                "oscillation",
                "warning",
                "",
                swing / abs(level) if level else float("inf"),
                LEVEL,
                f"the training loss jumps by {swing:.2g} around {level:.3g} without getting lower: "
                "lower optimizer.lr (by 3 to 10) or raise dataset.batch_size",
            )
        )
    return Verdict(findings, {"loss/start": start, "loss/lowest": lowest, "loss/recent": recent, "loss/swing": swing})
