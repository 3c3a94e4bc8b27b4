"""The same episodes played twice: differences with worked numbers."""

import math
import time

import pytest

from vla_train.evaluation.paired import Pairs, paired
from vla_train.spec import EpisodeResult


def result(seed, outcome, stage="none", condition="plain"):
    return EpisodeResult(condition, stage, seed, "", "", "", outcome, 1, 0.0)


def test_mcnemar_by_hand():
    # Of 7 episodes that differ 1 goes the other way: 2 (C(7,0) + C(7,1)) / 2^7 = 16 / 128.
    assert Pairs(3, 6, 1, 2).p_value() == 0.125
    assert Pairs(3, 1, 6, 2).p_value() == 0.125
    assert Pairs(5, 0, 0, 5).p_value() == 1.0
    assert Pairs(5, 2, 2, 5).p_value() == 1.0


def test_mcnemar_of_many_episodes_does_not_take_minutes():
    # Near normal: (10100 - 9900 - 1) / sqrt(20000) = 1.407 standard deviations; two-sided 0.1594.
    started = time.process_time()
    assert Pairs(0, 10_100, 9_900, 0).p_value() == pytest.approx(0.1594, abs=1e-3)
    assert time.process_time() - started < 2.0


def test_the_interval_of_a_difference_by_hand():
    # 14 + 2 of 20 against 14 + 1 of 20. Wilson: 16/20 in [0.5840, 0.9193], 15/20 in [0.5313, 0.8881]. Phi: (14 * 3 - 2 * 1 - 10)
    # / sqrt(16 * 4 * 15 * 5) = 30 / 69.28 = 0.4330.
    # Down: sqrt(0.2160^2 - 2 * 0.4330 * 0.2160 * 0.1381 + 0.1381^2) = 0.1998; up the same with 0.1193 and 0.2187: 0.1986.
    low, high = Pairs(14, 2, 1, 3).interval()
    assert Pairs(14, 2, 1, 3).difference == pytest.approx(0.05)
    assert (low, high) == pytest.approx((0.05 - 0.1998, 0.05 + 0.1986), abs=2e-4)


def test_an_interval_turns_with_its_difference_and_never_leaves_its_range():
    low, high = Pairs(30, 12, 5, 3).interval()
    assert Pairs(30, 5, 12, 3).interval() == pytest.approx((-high, -low))
    low, high = Pairs(0, 10, 0, 0).interval()
    assert 0 < low < high <= 1
    low, high = Pairs(10, 0, 0, 0).interval()
    assert low == -high < 0  # ten equal outcomes do not prove equality
    assert all(math.isnan(end) for end in Pairs(0, 0, 0, 0).interval())


def test_pairs_are_of_the_same_stage_and_seed_and_a_crash_is_no_success():
    first = [result(1, "success"), result(2, "success"), result(3, "failure"), result(4, "success"), result(5, "success", "far")]
    second = [result(4, "crash"), result(3, "success"), result(2, "success"), result(5, "success"), result(9, "success")]
    assert paired(first, second) == Pairs(both=1, first=1, second=1, neither=0)


def test_near_five_percent_the_exact_test_is_stricter_than_the_interval():
    pairs = Pairs(both=88, first=24, second=12, neither=4)  # as docs/evaluation.md warns
    assert pairs.interval()[0] > 0
    assert pairs.p_value() > 0.05
