"""The units of a policy are those that ``normalization`` says, column by column of real data."""

import pytest

from tests.fakes import WalkingPolicy
from tests.toy_dataset import open_toy, write_toy
from vla_train.build.datasets import fit_normalizer
from vla_train.errors import UsageError


def test_columns_whose_numbers_have_names_can_be_named(tmp_path):
    """The toy's state is (episode, step), each from 0 to 1 or 2; its action (10 e + t, -t) has the names dx and dy."""
    write_toy(tmp_path)
    dataset = open_toy(tmp_path)
    policy = WalkingPolicy(dataset.spec, 0.0)
    columns = {"action": "none", "observation.state": "min_max", "step": "none"}
    settings = {"state": "mean_std", "action": "mean_std", "columns": columns}
    fit_normalizer(policy, dataset, settings)
    normalizer = policy.normalizer
    assert normalizer.action_scale.tolist() == [1.0, 1.0]
    assert normalizer.action_offset.tolist() == [0.0, 0.0]
    assert normalizer.state_scale.tolist() == [0.5, 1.0]
    assert normalizer.state_offset.tolist() == [0.5, 0.0]
    with pytest.raises(UsageError, match="names 'grip'"):
        fit_normalizer(policy, dataset, settings | {"columns": {"grip": "none"}})
