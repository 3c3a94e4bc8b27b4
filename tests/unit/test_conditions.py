"""How metrics are named after their condition, and which stands beside which."""

import pytest

from vla_train.conditions import CONDITIONS, beside, metric_of
from vla_train.evaluation.table import RATES
from vla_train.reporting.measured import GROUNDING
from vla_train.reporting.tables import MEASURED


def test_only_what_is_not_plain_stands_before_a_figure():
    assert [metric_of("plain"), metric_of("swapped"), metric_of("plain", "crashes")] == ["success", "swapped/success", "crashes"]


@pytest.mark.parametrize(
    ("success", "figure", "found"),
    [
        ("success", "episodes", "episodes"),
        ("swapped/success", "excluded", "swapped/excluded"),
        ("success/lift", "episodes", "episodes/lift"),
        ("first_success/zero_shot/pairs/success", "ratio", "first_success/zero_shot/pairs/ratio"),
        ("success_mean_of_groups", "episodes", ""),
        ("held_out/loss", "episodes", ""),
    ],
)
def test_a_figure_of_the_same_episodes(success, figure, found):
    assert beside(success, figure) == found


def test_every_condition_has_its_place_in_what_is_shown():
    assert {metric_of(name) for name in CONDITIONS} <= set(RATES)
    assert {metric_of(name) for name in ("plain", *GROUNDING)} <= set(MEASURED)
    assert set(GROUNDING) == set(CONDITIONS) - {"plain", "random", "chance", "blind"}
