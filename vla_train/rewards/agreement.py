"""How far two measures of the same things agree: by ranks, so that their units do not matter."""

import math

import numpy as np
from jaxtyping import Bool, Float


def ranks(values: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    """1 for the smallest to n for the largest; equal values share the mean of their ranks."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    shared: np.ndarray = (np.cumsum(counts) - (counts - 1) / 2)[place]
    return shared


def rank_correlation(one: Float[np.ndarray, "n"], other: Float[np.ndarray, "n"]) -> float:
    """Spearman's rho (1904, "The proof and measurement of association between two things"); NaN where one never changes."""
    if len(one) < 2 or np.ptp(one) == 0 or np.ptp(other) == 0:
        return math.nan
    return float(np.corrcoef(ranks(one), ranks(other))[0, 1])


def auroc(score: Float[np.ndarray, "n"], true: Bool[np.ndarray, "n"]) -> float:
    """The chance that something true has a higher score than something that is not (Hanley and McNeil 1982, "The meaning and use
    of the area under a receiver operating characteristic curve"); equal scores count half. NaN where all are alike."""
    positive, negative = int(true.sum()), int((~true).sum())
    if not positive or not negative:
        return math.nan
    above = float(ranks(score)[true].sum()) - positive * (positive + 1) / 2
    return above / (positive * negative)
