"""The normalizer is exact both ways, and never makes a NaN."""

import numpy as np
import pytest
import torch

from vla_train.errors import DataError, UsageError
from vla_train.models.normalizer import Normalization, Normalizer
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


FEATURE = FeatureStatistics(
    100,
    mean=np.array([2.0, 1.0, 7.0]),
    std=np.array([2.0, 0.5, 0.0]),
    min=np.array([-4.0, 0.0, 7.0]),
    max=np.array([12.0, 10.0, 7.0]),
    q01=np.array([-2.0, 1.0, 7.0]),
    q99=np.array([10.0, 1.0, 7.0]),
)


@pytest.mark.parametrize(
    ("mode", "offset", "scale"),
    [
        ("mean_std", [2.0, 1.0, 7.0], [2.0, 1.0, 1.0]),  # of the second a tenth of its range 10, as 0.5 is smaller
        ("min_max", [4.0, 5.0, 7.0], [8.0, 5.0, 1.0]),
        ("quantiles", [4.0, 1.0, 7.0], [6.0, 1.0, 1.0]),  # 1 % and 99 % of the second are equal, and it is no constant
        ("none", [0.0, 0.0, 0.0], [1.0, 1.0, 1.0]),
    ],
)
def test_each_mode_by_hand_and_back(mode, offset, scale):
    normalizer = Normalizer(0, ActionSpec("continuous", 3))
    empty = statistics([], [], [], [])
    normalizer.fit({"state": empty, "action": FEATURE}, modes={"action": [mode] * 3})
    assert normalizer.action_offset.tolist() == offset
    assert normalizer.action_scale.tolist() == scale
    given = torch.tensor([[[12.0, 10.0, 7.0], [-4.0, 0.0, 7.5]]])
    assert normalizer.action_inverse(normalizer.action(given)).equal(given), "powers and small whole numbers: exact"


def test_modes_are_chosen_by_feature_by_column_and_by_number():
    chosen = Normalization(state="quantiles", columns={"action.grip": "none", "action.arm.1": "min_max"})
    names = ("action.arm.0", "action.arm.1", "action.grip.0")
    assert chosen.modes("action", names, 3) == ["mean_std", "min_max", "none"]
    assert chosen.modes("state", (), 2) == ["quantiles", "quantiles"]
    chosen.check(names)
    with pytest.raises(UsageError, match=r"'action.arm.1', which the policy neither sees nor predicts; it has action.grip, "):
        chosen.check(("action.grip.0",))


def test_a_missing_statistic_is_an_error():
    with pytest.raises(DataError, match=r"no statistics of 'action', .* \(there are \['state'\]\)"):
        Normalizer(0, ACTION).fit({"state": statistics([], [], [], [])})
    lacking = FeatureStatistics(1, *[np.zeros(3)] * 4, q01=np.full(3, np.nan), q99=np.zeros(3))
    with pytest.raises(DataError, match="not finite"):
        Normalizer(0, ACTION).fit({"state": statistics([], [], [], []), "action": lacking}, modes={"action": ["quantiles"] * 3})


def test_each_domain_has_its_own_units():
    normalizer = Normalizer(1, ActionSpec("continuous", 1), domains=2)
    for domain, (mean, std) in enumerate([(0.0, 1.0), (10.0, 2.0)]):
        found = statistics([mean], [std], [mean - std], [mean + std])
        normalizer.fit({"state": found, "action": found}, domain)
    rows = torch.tensor([[[4.0]], [[14.0]], [[4.0]]])  # [b, k, s]
    domain = torch.tensor([0, 1, 1])
    assert normalizer.state(rows, domain).flatten().tolist() == [4.0, 2.0, -3.0]
    assert normalizer.action_inverse(normalizer.action(rows, domain), domain).equal(rows)
    assert normalizer.action_inverse(torch.zeros(2, 3, 1), domain[:2]).tolist() == [[[0.0]] * 3, [[10.0]] * 3]


def test_one_domain_keeps_the_shapes_of_older_checkpoints():
    assert {name: list(value.shape) for name, value in fitted().state_dict().items()} == {
        "state_offset": [2],
        "state_scale": [2],
        "action_offset": [3],
        "action_scale": [3],
    }


def test_a_column_is_known_by_its_name_where_its_numbers_have_names_of_their_own():
    chosen = Normalization(columns={"action": "none", "dy": "min_max"})
    names, columns = ("dx", "dy", "close"), ("action", "action", "grip")
    chosen.check(names, columns)
    assert chosen.modes("action", names, 3, columns) == ["none", "min_max", "mean_std"]
    assert chosen.modes("action", (), 3, columns) == ["none", "none", "mean_std"]
    with pytest.raises(UsageError, match="it has close, dx, dy, grip"):
        Normalization(columns={"action": "none"}).check(names, ("grip",) * 3)
