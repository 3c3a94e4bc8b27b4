"""Actions that a policy predicts relative to the state: from the column's name to the action that comes out."""

import numpy as np
import pytest
import torch
from torch import nn

from tests.recordings import write_v21
from tests.unit.test_models_policy import StateEncoder, observe
from vla_train.data.choice import Choice
from vla_train.data.dataset import DemonstrationDataset
from vla_train.data.reader import open_reader
from vla_train.errors import DataError
from vla_train.models.heads.regression import RegressionHead
from vla_train.models.normalizer import Normalizer
from vla_train.models.policy import Policy
from vla_train.processor import Processor, train_tokenizer
from vla_train.spec import ActionSpec, Spec
from vla_train.types import Demonstration

# tests/recordings.py: action.arm is (n, -i) where state.arm is (n - 1, 1 - i), and the grip has no state.
ARM = Choice(cameras=(), state=("state.arm",), action=("action.grip", "action.arm"), relative=("action.arm",))


def test_the_policy_adds_the_present_state_and_its_loss_takes_it_off():
    action = ActionSpec("continuous", 3, relative_to=(1, -1, 0))
    policy = Policy(StateEncoder(), RegressionHead(2, action, 2), Normalizer(2, action), Spec({}, 2, action))
    predicted = torch.tensor([[0.5, 7.0, -1.0], [1.0, 8.0, -2.0]])
    policy.head.forward = lambda fused: predicted.expand(len(fused), 2, 3)
    policy.normalizer.action_scale *= 2.0
    observation = observe([[10.0, 20.0], [30.0, 40.0]])
    # Twice what the head says, plus state column 1 and 0 in the first and last dimension.
    assert policy.act(observation).tolist() == [
        [[21.0, 14.0, 8.0], [22.0, 16.0, 6.0]],
        [[41.0, 14.0, 28.0], [42.0, 16.0, 26.0]],
    ]
    target = torch.tensor([[[21.0, 14.0, 8.0], [22.0, 16.0, 6.0]], [[20.0, 14.0, 8.0], [22.0, 16.0, 6.0]]])
    batch = Demonstration(observation=observation, action=target, valid=torch.ones_like(target, dtype=torch.bool))
    assert policy.loss(batch).tolist() == pytest.approx([0.0, (10.5 + 10 + 10 + 10) / 6])
    assert isinstance(policy.head, nn.Module)


def test_columns_become_places_in_the_state(tmp_path):
    reader = open_reader(write_v21(tmp_path), ARM)
    assert reader.metadata.spec.action.relative_to == (-1, 0, 1)
    assert open_reader(tmp_path, Choice(cameras=(), state=(), action=("action.arm",))).metadata.spec.action.relative_to == ()


def test_the_statistics_are_of_what_is_predicted(tmp_path):
    reader = open_reader(write_v21(tmp_path), ARM)
    processor = Processor(reader.metadata.spec, train_tokenizer(["go"], 300), cameras=None, image_size=None, max_tokens=16)
    dataset = DemonstrationDataset(reader, processor, history=1, chunk=2, validation=0.0, held_out=[1, 2])
    found = dataset.statistics()
    # Five frames: the next action of each is the state's (n - 1, 1 - i) plus (1, -1), the one after that plus (2, -2), where
    # the episode has one.
    assert found["relative_action"].count == 5 + 4
    assert found["relative_action"].mean[1:].tolist() == pytest.approx([(5 + 8) / 9, -(5 + 8) / 9])
    assert found["relative_action"].max[1:].tolist() == [2.0, -1.0]
    assert found["action"].mean[1:].tolist() == [2.0, -2.0]  # as recorded
    normalizer = Normalizer(2, reader.metadata.spec.action)
    normalizer.fit(found)
    assert normalizer.action_offset.tolist() == pytest.approx(found["relative_action"].mean.tolist())
    assert np.array_equal(dataset.gather(np.array([3])).action[0, 0].numpy(), dataset.actions[3]), "batches stay absolute"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"relative": ("action.leg",)}, "not predicted"),
        ({"relative": ("action.grip",)}, "take it out of dataset.relative"),
        ({"state": ()}, "add that to dataset.state"),
    ],
    ids=["no action", "no state", "not told"],
)
def test_what_cannot_be_relative_is_told(tmp_path, changes, said):
    values = {"cameras": (), "state": ARM.state, "action": ARM.action, "relative": ARM.relative} | changes
    with pytest.raises(DataError, match=said):
        open_reader(write_v21(tmp_path), Choice(**values))
