"""Real recordings: sim_pick_place, LeRobotDataset v2.1 with AV1 video, which lies beside the repository on some machines."""

import numpy as np
import pytest

from tests.recordings import REAL
from vla_train.data.recorded import Recordings
from vla_train.spec import ImageSpec

pytestmark = pytest.mark.skipif(not REAL.is_dir(), reason="the recordings sim_pick_place are not on this machine")


@pytest.fixture(scope="module")
def reader():
    return Recordings(str(REAL), state=["state.eef_position"], action=["action.eef_position", "action.gripper_close"]).open(REAL)


def test_what_it_is(reader):
    spec, metadata = reader.metadata.spec, reader.metadata
    assert spec.images == {"ego_view": ImageSpec(480, 640)}
    assert (metadata.num_episodes, metadata.num_frames, spec.rate, spec.horizon) == (4, 1667, 30.0, 446)
    assert metadata.instructions[2] == "Move the potato to the top of the cooking utensils."
    assert spec.action.names == (*[f"action.eef_position.{i}" for i in range(3)], "action.gripper_close.0")
    assert "declares base_view, base_view_2 without files: going on with ego_view" in reader.notes[0]


def test_what_the_arm_did(reader):
    columns = reader.columns()
    assert columns.starts.tolist() == [0, 412, 823, 1221, 1667]
    assert set(columns.action[:, 3].tolist()) == {-1.0, 1.0}, "open and shut"
    np.testing.assert_array_equal(columns.reference[:, :3], columns.state)
    assert np.isnan(columns.reference[:, 3]).all()
    assert np.abs(columns.action[:, :3] - columns.state).max() < 0.2, "metres: the arm goes where it is told"


def test_its_video(reader):
    block = next(reader.frames(["ego_view"]))["ego_view"]
    assert block.shape == (34, 480, 640, 3), "32 MB of frames and no more"
    assert 20 < block.mean() < 235
    assert block.std() > 10
    steps = np.abs(np.diff(block.astype(np.int16), axis=0)).mean(axis=(1, 2, 3))
    assert steps.max() < 20, "neighbouring frames are alike"
