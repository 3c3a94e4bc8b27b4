"""The normalizer is exact both ways, and never makes a NaN."""

import numpy as np
import pytest
import torch

from vla_train.errors import DataError
from vla_train.models.normalizer import Normalizer
from vla_train.spec import ActionSpec, FeatureStatistics

ACTION = ActionSpec("continuous", 3, (-2.0, 0.0, -1.0), (2.0, 1.0, float("inf")))


def statistics(mean, std, low, high) -> FeatureStatistics:
    arrays = [np.array(value, dtype=np.float64) for value in (mean, std, low, high)]
    return FeatureStatistics(100, *arrays, q01=arrays[2], q99=arrays[3])


def fitted() -> Normalizer:
    normalizer = Normalizer(2, ACTION)
    normalizer.fit(
        {
            "state": statistics([100.0, 5.0], [2.0, 0.0], [90.0, 5.0], [110.0, 5.0]),  # the second is constant
            "action": statistics([0.5, 1.0, -1.0], [0.5, 0.2, 0.01], [-2.0, 0.0, -1.0], [2.0, 1.0, 1.0]),
        }
    )
    return normalizer


def test_without_a_fit_actions_are_scaled_by_their_bounds_and_the_state_stays():
    normalizer = Normalizer(2, ACTION)
    given = torch.tensor([[-2.0, 0.0, 7.0], [1.0, 1.0, 0.0]])
    assert normalizer.action(given).tolist() == [[-1.0, -1.0, 7.0], [0.5, 1.0, 0.0]]
    assert normalizer.state(torch.tensor([3.0, 4.0])).tolist() == [3.0, 4.0]


def test_hand_worked_values():
    normalizer = fitted()
    assert normalizer.state(torch.tensor([104.0, 5.0])).tolist() == [2.0, 0.0]
    # scale 0.5; 0.2; and a tenth of the range 2, because 0.01 is smaller
    assert normalizer.action(torch.tensor([1.0, 0.8, 1.0])).tolist() == pytest.approx([1.0, -1.0, 10.0])


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-14)])
def test_round_trip(dtype, tolerance):
    normalizer = fitted()
    given = torch.linspace(-1, 1, 30, dtype=dtype).view(5, 2, 3)
    back = normalizer.action_inverse(normalizer.action(given))
    assert back.dtype == dtype
    torch.testing.assert_close(back, given, rtol=tolerance, atol=tolerance)


def test_a_constant_feature_gives_no_nan():
    assert torch.isfinite(fitted().state(torch.tensor([100.0, 5.1]))).all()


def test_discrete_actions_are_not_fitted():
    normalizer = Normalizer(0, ActionSpec("discrete", 1, choices=4))
    normalizer.fit({"state": statistics([], [], [], [])})
    assert normalizer.action_scale.tolist() == [1.0]


def test_statistics_that_do_not_fit_are_data_errors():
    with pytest.raises(DataError, match="state statistics have 1 features, the Spec says 2"):
        Normalizer(2, ACTION).fit({"state": statistics([0.0], [1.0], [0.0], [1.0])})
    with pytest.raises(DataError, match="not finite"):
        Normalizer(1, ACTION).fit({"state": statistics([float("nan")], [1.0], [0.0], [1.0])})


def test_the_fit_travels_with_the_weights():
    fresh = Normalizer(2, ACTION)
    fresh.load_state_dict(fitted().state_dict())
    given = torch.tensor([104.0, 5.0])
    assert fresh.state(given).equal(fitted().state(given))
