"""The statistics of a report, against numbers worked out in the comments."""

import math

import numpy as np
import pytest

from vla_train import metrics
from vla_train.spec import ActionSpec, FeatureStatistics


def test_wilson_interval_of_eight_in_ten():
    # z = 1.96, z^2 = 3.8415. centre = 0.8 + 3.8415 / 20 = 0.99207; spread = 1.96 sqrt(0.8 * 0.2 / 10 + 3.8415 / 400) = 0.31362
    # scale = 1.38415: (0.99207 - 0.31362) / 1.38415 = 0.4902 and (0.99207 + 0.31362) / 1.38415 = 0.9433
    assert metrics.wilson_interval(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)


def test_wilson_interval_at_the_ends_is_honest():
    # 0 of 10: centre = spread = 3.8415 / 20 = 0.19207, so [0, 0.38415 / 1.38415]
    assert metrics.wilson_interval(0, 10) == (0.0, pytest.approx(0.2775, abs=1e-4))
    assert metrics.wilson_interval(10, 10) == (pytest.approx(0.7225, abs=1e-4), 1.0)
    assert all(math.isnan(end) for end in metrics.wilson_interval(0, 0))


def test_wilson_interval_covers_the_truth_about_95_times_in_100():
    rng = np.random.default_rng(0)
    intervals = [metrics.wilson_interval(int(hits), 60) for hits in rng.binomial(60, 0.9, 2000)]
    covered = np.mean([low <= 0.9 <= high for low, high in intervals])
    assert 0.93 <= covered <= 0.975


def test_actions_are_scaled_by_their_bounds():
    spec = ActionSpec("continuous", 2, low=(-0.05, 0.0), high=(0.05, 10.0))
    scaled = metrics.scale_actions(np.array([[0.05, 0.0], [0.0, 7.5]]), spec)
    np.testing.assert_allclose(scaled, [[1.0, -1.0], [0.0, 0.5]])


def test_an_action_without_bounds_is_scaled_by_what_was_recorded():
    numbers = {name: np.zeros(2) for name in ("mean", "std", "q01", "q99")}
    statistics = FeatureStatistics(count=5, min=np.array([-2.0, 3.0]), max=np.array([2.0, 3.0]), **numbers)
    spec = ActionSpec("continuous", 2)
    np.testing.assert_allclose(metrics.scale_actions(np.array([[1.0, 4.0]]), spec, statistics), [[0.5, 1.0]])
    with pytest.raises(ValueError, match="without bounds"):
        metrics.scale_actions(np.zeros((1, 2)), spec)


def test_alignment_is_one_over_one_plus_distance():
    predicted = np.array([[1.0, 1.0], [0.0, 0.0], [0.3, 0.4]])
    recorded = np.array([[1.0, 1.0], [1.0, 0.0], [0.0, 0.0]])
    np.testing.assert_allclose(metrics.alignment(predicted, recorded), [1.0, 1 / 2, 1 / 1.5])
    only_first = np.array([[True, False]] * 3)
    np.testing.assert_allclose(metrics.alignment(predicted, recorded, only_first), [1.0, 1 / 2, 1 / 1.3])


def test_cosine_needs_two_directions():
    predicted = np.array([[1.0, 0.0], [2.0, 2.0], [0.0, 0.0], [1.0, 0.0]])
    recorded = np.array([[0.0, 3.0], [1.0, 1.0], [1.0, 0.0], [0.0, 0.0]])
    np.testing.assert_allclose(metrics.cosine(predicted, recorded), [0.0, 1.0, np.nan, np.nan], atol=1e-12)


def test_direction_accuracy_counts_a_predicted_zero_as_wrong_and_leaves_recorded_zeros_out():
    cosines = np.array([0.81, 0.79, np.nan, np.nan])
    recorded_zero = np.array([False, False, False, True])
    assert metrics.direction_accuracy(cosines, recorded_zero) == pytest.approx(1 / 3)
    assert math.isnan(metrics.direction_accuracy(cosines, np.ones(4, bool)))


def test_percentile_and_share_without_values():
    assert metrics.percentile([1.0, 2.0, 3.0, 5.0], 50.0) == 2.5
    assert math.isnan(metrics.percentile([], 50.0))
    assert math.isnan(metrics.share(0, 0))
    assert metrics.share(1, 4) == 0.25
