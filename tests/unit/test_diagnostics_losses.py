"""The pattern of losses: worked curves, noise that must not alarm, and those that must."""

import numpy as np
import pytest

from vla_train.diagnostics.loss import LARGEST, Curve, judge_loss
from vla_train.diagnostics.overfitting import judge_overfitting

FALLING = [2.0, 1.5, 1.2, 1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.2, 0.2, 0.2, 0.2]


def kinds(verdict):
    return [finding.kind for finding in verdict.findings]


def test_a_point_is_the_mean_over_at_least_512_samples():
    curve = Curve()
    for loss, samples in ((1.0, 256.0), (3.0, 128.0), (5.0, 128.0), (7.0, 4096.0)):
        curve.add(loss, samples)
    assert curve.points == [(256 * 1.0 + 128 * 3.0 + 128 * 5.0) / 512, 7.0]


def test_a_long_curve_is_halved_and_keeps_its_mean():
    curve = Curve()
    for index in range(LARGEST + 1):
        curve.add(float(index), 512.0)
    assert len(curve.points) == LARGEST // 2 + 1
    assert curve.points[:2] == [0.5, 2.5]
    assert curve.points[-1] == LARGEST
    curve.add(1.0, 512.0)  # a point now takes 1,024 samples
    assert len(curve.points) == LARGEST // 2 + 1


def test_a_restored_curve_goes_on_alike():
    whole, parts = Curve(), Curve()
    for index in range(9):
        whole.add(float(index), 300.0)
        parts.add(float(index), 300.0)
        restored = Curve()
        restored.load_state_dict(parts.state_dict())
        parts = restored
    assert whole.points == parts.points


def test_too_few_points_are_not_judged():
    assert "12" in judge_loss([1.0] * 11).not_applicable["loss"]


@pytest.mark.parametrize("shift", [0.0, -10.0], ids=["positive", "a log-likelihood"])
def test_a_falling_loss_is_healthy(shift):
    assert kinds(judge_loss([loss + shift for loss in FALLING])) == []


def test_a_loss_that_loses_half_of_its_gain_for_good_diverges():
    """It fell from 1.2 (median of the first five) to 0.2, and the last five lie at 0.9: 0.7 of the gain of 1.0 is lost."""
    verdict = judge_loss([*FALLING, 0.9, 0.9, 0.9, 0.9, 0.9])
    assert kinds(verdict) == ["divergence"]
    assert verdict.findings[0].figure == pytest.approx(0.7)
    assert kinds(judge_loss([*FALLING, 0.9, 0.9, 0.2, 0.2, 0.2])) == [], "two bad points are a spike"
    assert kinds(judge_loss([*FALLING, 0.25, 0.25, 0.25, 0.25, 0.25])) == []


def test_a_loss_that_jumps_without_getting_lower_oscillates():
    """Neighbours differ by 0.6 around 1.0, and the run has gained nothing."""
    assert kinds(judge_loss([1.0, 0.7, 1.3] * 8)) == ["oscillation"]
    assert kinds(judge_loss([0.97, 1.0, 1.03] * 8)) == [], "that is noise"
    assert kinds(judge_loss([5.0] * 8 + [1.0, 0.7, 1.3] * 8)) == [], "0.6 is a small part of the gain of 4"


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("level", [1.0, 0.0], ids=["never learns", "learns"])
def test_noise_of_minibatches_raises_no_alarm(seed, level):
    """Points are means over 512 heavy-tailed samples (log-normal, deviation 1.3 of the mean), on a floor or falling to one."""
    noise = np.random.default_rng(seed).lognormal(sigma=1.0, size=(120, 512)).mean(axis=1) / np.exp(0.5)
    trend = np.maximum(level, 0.02 + 0.98 * np.exp(-np.arange(120) / 10))
    for end in range(12, 121):
        assert kinds(judge_loss((trend * noise)[:end].tolist())) == []


@pytest.mark.parametrize("seed", range(10))
def test_noise_around_zero_does_not_diverge(seed):
    """A log-likelihood may lie anywhere, so only the noise itself tells how much a rise means."""
    noise = np.random.default_rng(seed).normal(size=60)
    assert not any("divergence" in kinds(judge_loss(noise[:end].tolist())) for end in range(12, 61))


def test_overfitting_is_a_rise_beyond_noise_while_training_falls():
    """Second differences of 0.6 0.5 0.6 0.7 are 0.2, 0; their median 0.1 times 1.4826 / sqrt(6) is a noise of 0.0605."""
    verdict = judge_overfitting([1.0, 0.5, 0.3, 0.2], [0.6, 0.4, 0.6, 0.8])
    assert verdict.figures["overfitting/rise"] == pytest.approx(0.2)  # the smaller of the last two counts
    assert kinds(judge_overfitting([1.0, 0.5, 0.3, 0.2], [0.6, 0.5, 0.6, 0.7])) == []  # a rise of 0.1 is below 3 x 0.0605
    assert kinds(judge_overfitting([1.0, 0.5, 0.3, 0.2, 0.1], [0.6, 0.5, 0.6, 0.7, 0.8])) == ["overfitting"]


@pytest.mark.parametrize(
    ("training", "held_out"),
    [
        ([1.0, 0.5, 0.3, 0.2, 0.1], [0.6, 0.5, 0.45, 0.44, 0.43]),  # both fall
        ([1.0, 0.5, 0.5, 0.5, 0.5], [0.6, 0.5, 0.6, 0.7, 0.8]),  # training does not fall
        ([1.0, 0.5, 0.3, 0.2, 0.1], [0.6, 0.5, 0.5, 0.5, 0.8]),  # only the last one is worse
        ([1.0, 0.5, 0.3, 0.2, 0.1], [0.6, 0.5, 0.51, 0.52, 0.53]),  # less than a twentieth
        ([1.0, 0.5, 0.3, 0.2, 0.1, 0.1], [0.9, 0.5, 0.9, 0.5, 0.9, 0.6]),  # it jumps anyway
    ],
)
def test_no_overfitting(training, held_out):
    assert kinds(judge_overfitting(training, held_out)) == []


def test_three_evaluations_are_too_few():
    assert "4" in judge_overfitting([1.0, 0.5, 0.2], [1.0, 2.0, 3.0]).not_applicable["overfitting"]
