"""The units of a policy are those that ``normalization`` says, column by column of real data."""

from dataclasses import replace

import numpy as np
import pytest

from tests.fakes import WalkingPolicy
from tests.toy_dataset import SPEC, episode, open_toy, write_toy
from vla_train.build.datasets import fit_normalizer
from vla_train.data.writer import LeRobotWriter
from vla_train.errors import UsageError
from vla_train.spec import ActionSpec


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


def test_choices_with_names_are_no_numbers_with_names(tmp_path):
    """Three choices have three names, and their one column holds one number."""
    action = ActionSpec("discrete", 1, choices=3, names=("left", "right", "forward"))
    spec = replace(SPEC, action=action)
    writer = LeRobotWriter(tmp_path, spec, "toy", {})
    writer.add_episode(**episode(0, spec, action=np.array([[0], [2], [1]])))
    writer.finish()
    dataset = open_toy(tmp_path)
    policy = WalkingPolicy(dataset.spec, 0.0)
    fit_normalizer(policy, dataset, {"state": "none", "action": "mean_std", "columns": None})
    with pytest.raises(UsageError, match="names 'left'"):
        fit_normalizer(policy, dataset, {"state": "none", "action": "mean_std", "columns": {"left": "none"}})
