"""Intervals of means whose values come in clusters."""

import numpy as np
import pytest

from vla_train.metrics import ratio_interval, student_t


def test_student_t_against_the_printed_table():
    table = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 10: 2.228, 30: 2.042, 100: 1.984}
    assert {degrees: student_t(degrees) for degrees in table} == pytest.approx(table, rel=2e-3)


def test_the_interval_of_three_episodes_by_hand():
    sums, counts = np.array([4.0, 6.0, 20.0]), np.array([2.0, 3.0, 5.0])
    mean, low, high = ratio_interval(sums, counts)
    # mean 30 / 10 = 3; residuals 4 - 6, 6 - 9, 20 - 15 = -2, -3, 5; squares 38; spread 4.303 sqrt(38 * 3 / 2) / 10 = 3.249
    assert float(mean) == 3.0
    assert float(high) == pytest.approx(6.249, abs=1e-3)
    assert float(low) == 0.0  # an error is not negative
    assert float(ratio_interval(sums, counts, largest=5.0)[2]) == 5.0


def test_one_episode_has_no_interval_and_none_has_no_mean():
    mean, low, high = ratio_interval(np.array([[3.0, 0.0], [0.0, 0.0]]), np.array([[2.0, 0.0], [0.0, 0.0]]))
    assert mean[0] == 1.5
    assert np.isnan([mean[1], *low, *high]).all()
