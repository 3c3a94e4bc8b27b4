"""Two policies, or two wordings, on the same episodes: what differs, and by how much."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from vla_train.metrics import share, wilson_interval
from vla_train.spec import EpisodeResult


@dataclass(frozen=True)
class Pairs:
    """Episodes that both played, by who succeeded: ``both``, only the ``first``, only the ``second``, ``neither``."""

    both: int
    first: int
    second: int
    neither: int

    @property
    def total(self) -> int:
        return self.both + self.first + self.second + self.neither

    @property
    def difference(self) -> float:
        """The first's share of successes minus the second's."""
        return share(self.first - self.second, self.total)

    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the difference: Newcombe 1998, "Improved confidence intervals for the difference between binomial
        proportions based on paired data", method 10. Wilson's interval of each share, joined with their correlation."""
        if not self.total:
            return math.nan, math.nan
        ones, twos = self.both + self.first, self.both + self.second
        one, two = ones / self.total, twos / self.total
        (low_one, high_one), (low_two, high_two) = wilson_interval(ones, self.total), wilson_interval(twos, self.total)
        down = _distance(one - low_one, high_two - two, self._correlation())
        up = _distance(high_one - one, two - low_two, self._correlation())
        return self.difference - down, self.difference + up

    def _correlation(self) -> float:
        """Phi of the table, its numerator corrected for continuity where it is positive (as Newcombe says)."""
        margins = (
            (self.both + self.first) * (self.second + self.neither) * (self.both + self.second) * (self.first + self.neither)
        )
        numerator = float(self.both * self.neither - self.first * self.second)
        if numerator > 0:
            numerator = max(numerator - self.total / 2, 0.0)
        return numerator / math.sqrt(margins) if margins else 0.0

    def p_value(self) -> float:
        """McNemar's exact test, two-sided: how likely so uneven a split of the differing episodes is, were both equally good."""
        differing, fewer = self.first + self.second, min(self.first, self.second)
        tail = ways = 1  # each binomial coefficient from the one before: one by one they take minutes for 20,000 episodes
        for count in range(fewer):
            ways = ways * (differing - count) // (count + 1)
            tail += ways
        return min(1.0, 2 * tail / (1 << differing))


def _distance(one: float, two: float, correlation: float) -> float:
    return math.sqrt(max(one**2 - 2 * correlation * one * two + two**2, 0.0))


def paired(first: Sequence[EpisodeResult], second: Sequence[EpisodeResult]) -> Pairs:
    """The episodes of the same stage and seed. A crash is no success."""
    others = {(result.stage, result.seed): result.outcome == "success" for result in second}
    outcomes = [
        (result.outcome == "success", others[result.stage, result.seed])
        for result in first
        if (result.stage, result.seed) in others
    ]
    return Pairs(*(outcomes.count(pair) for pair in ((True, True), (True, False), (False, True), (False, False))))
