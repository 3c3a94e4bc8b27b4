"""The statistics behind the figures of a report. Plain NumPy; each function names its definition."""

import math
from statistics import NormalDist

import numpy as np
from jaxtyping import Bool, Float

from vla_train.spec import ActionSpec, FeatureStatistics

ACCURATE_COSINE = 0.8  # a predicted action this well aligned with the recorded one counts as right
ZERO = 1e-6  # a vector shorter than this, in units scaled to [-1, 1], has no direction


def wilson_interval(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """The score interval of a proportion (Wilson 1927, "Probable inference"): it stays in [0, 1] and is honest near 0 and 1.

    NaN for both ends without trials.
    """
    if trials == 0:
        return math.nan, math.nan
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share = successes / trials
    centre = share + z**2 / (2 * trials)
    spread = z * math.sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2))
    scale = 1 + z**2 / trials
    low, high = (centre - spread) / scale, (centre + spread) / scale
    return (0.0 if successes == 0 else low), (1.0 if successes == trials else high)  # exact there; rounding would miss it


def share(hits: int, total: int) -> float:
    """hits / total; NaN without any."""
    return hits / total if total else math.nan


def student_t(degrees: int, confidence: float = 0.95) -> float:
    """The two-sided quantile of Student's distribution: exact for 1 and 2 degrees of freedom, within 0.3 % for more.

    Fisher and Cornish 1960, "The percentile points of distributions having known cumulants": the expansion about the normal
    quantile, to the fourth order.
    """
    p = 0.5 + confidence / 2
    if degrees == 1:
        return math.tan(math.pi * (p - 0.5))
    if degrees == 2:
        return (2 * p - 1) * math.sqrt(2 / (4 * p * (1 - p)))
    z = NormalDist().inv_cdf(p)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + math.fsum(term / degrees**order for order, term in enumerate(terms, 1))


def ratio_interval(
    sums: Float[np.ndarray, "e *rest"], counts: Float[np.ndarray, "e *rest"], largest: float = math.inf
) -> tuple[Float[np.ndarray, "*rest"], Float[np.ndarray, "*rest"], Float[np.ndarray, "*rest"]]:
    """The mean of values that come in e clusters (frames of an episode resemble each other), and its 95 % interval.

    ``sums`` and ``counts`` of each cluster; clusters without values do not count. The ratio estimator of Cochran 1977, "Sampling
    Techniques", section 6.3, with Student's quantile. The ends are NaN with fewer than two clusters. Values lie between 0 and
    ``largest``.
    """
    clusters = (counts > 0).sum(axis=0)
    total = np.where(clusters > 0, counts.sum(axis=0), np.nan)
    mean = sums.sum(axis=0) / total
    squares = ((sums - mean * counts) ** 2).sum(axis=0)
    quantile = np.vectorize(lambda e: student_t(int(e) - 1) if e > 1 else math.nan, otypes=[np.float64])(clusters)
    spread = quantile * np.sqrt(squares * clusters / np.maximum(clusters - 1, 1)) / total
    return np.asarray(mean), np.asarray(np.maximum(mean - spread, 0.0)), np.asarray(np.minimum(mean + spread, largest))


def percentile(values: list[float], q: float) -> float:
    """The q-th percentile, linear between ranks; NaN without values."""
    return float(np.percentile(values, q)) if values else math.nan


def scale_actions(
    action: Float[np.ndarray, "n a"], spec: ActionSpec, statistics: FeatureStatistics | None = None
) -> Float[np.ndarray, "n a"]:
    """Actions in units in which the bounds are -1 and 1.

    A dimension without finite bounds is scaled by the smallest and largest recorded value; one that never varies is only
    shifted. Raises ValueError if bounds are missing and there are no statistics either.
    """
    low = np.array(spec.low or [-np.inf] * spec.size, np.float64)
    high = np.array(spec.high or [np.inf] * spec.size, np.float64)
    unbounded = ~(np.isfinite(low) & np.isfinite(high))
    if unbounded.any():
        if statistics is None:
            raise ValueError("an action without bounds can be scaled only by the statistics of recorded actions")
        low = np.where(unbounded, statistics.min, low)
        high = np.where(unbounded, statistics.max, high)
    half = np.where(high > low, (high - low) / 2, 1.0)
    scaled: np.ndarray = (action - (low + high) / 2) / half
    return scaled


def alignment(
    predicted: Float[np.ndarray, "n a"], recorded: Float[np.ndarray, "n a"], weight: Bool[np.ndarray, "n a"] | None = None
) -> Float[np.ndarray, "n"]:
    """1 / (1 + Euclidean distance) of each pair: 1 where equal, 1/2 at distance 1. Dimensions with weight False are left out."""
    difference = predicted - recorded if weight is None else np.where(weight, predicted - recorded, 0.0)
    aligned: np.ndarray = 1.0 / (1.0 + np.linalg.norm(difference, axis=1))
    return aligned


def cosine(
    predicted: Float[np.ndarray, "n a"], recorded: Float[np.ndarray, "n a"], weight: Bool[np.ndarray, "n a"] | None = None
) -> Float[np.ndarray, "n"]:
    """Cosine of the angle between each pair, NaN where one of the two is zero and has no direction."""
    if weight is not None:
        predicted, recorded = np.where(weight, predicted, 0.0), np.where(weight, recorded, 0.0)
    product = np.linalg.norm(predicted, axis=1) * np.linalg.norm(recorded, axis=1)
    directed = ~(is_zero(predicted) | is_zero(recorded))
    cosines: np.ndarray = np.einsum("na,na->n", predicted, recorded) / np.where(directed, product, np.nan)
    return cosines


def is_zero(action: Float[np.ndarray, "n a"], weight: Bool[np.ndarray, "n a"] | None = None) -> Bool[np.ndarray, "n"]:
    """Which vectors are too short to have a direction."""
    zero: np.ndarray = np.linalg.norm(action if weight is None else np.where(weight, action, 0.0), axis=1) <= ZERO
    return zero


def direction_accuracy(cosines: Float[np.ndarray, "n"], recorded_zero: Bool[np.ndarray, "n"]) -> float:
    """Share of pairs with a cosine of at least 0.8, among those whose recorded action has a direction; NaN if none has.

    A predicted zero where the record moves is wrong.
    """
    counted = cosines[~recorded_zero]
    return share(int((np.nan_to_num(counted, nan=-1.0) >= ACCURATE_COSINE).sum()), len(counted))
