"""Names of dimensions and cameras, and which state an action is about."""

import pytest

from vla_train import config
from vla_train.data import choice
from vla_train.errors import UsageError


def vector(size, names=None, dtype="float32"):
    return {"dtype": dtype, "shape": [size], "names": names}


def test_a_dimension_is_called_as_the_data_call_it():
    features = {"action": vector(2, {"motors": ["x", "y"]}), "grip": vector(1), "other": vector(2, ["x", "z"])}
    assert choice.dimension_names(features, ["action", "grip"]) == ("x", "y", "grip.0")
    assert choice.dimension_names(features, ["action", "other"]) == ("action.0", "action.1", "other.0", "other.1")


def test_the_state_of_an_action_by_column_and_by_name():
    features = {
        "action": vector(3, ["elbow", "wrist", "speed"]),
        "observation.state": vector(3, ["wrist", "shoulder", "elbow"]),
        "action.eef": vector(2),
        "state.eef": vector(2),
        "action.grip": vector(1),
        "state.grip": vector(6),
    }
    found = choice.corresponding_state(features, ["action", "action.eef", "action.grip"])
    named = [("observation.state", 2), ("observation.state", 0), None]
    assert found == [*named, ("state.eef", 0), ("state.eef", 1), None]


def test_without_names_equal_sizes_prove_nothing():
    features = {"action": vector(2), "observation.state": vector(2)}
    assert choice.corresponding_state(features, ["action"]) == [None, None]


def test_cameras_have_short_names_that_networks_can_be_stored_under():
    picture = {"dtype": "video", "shape": [4, 4, 3]}
    names = ["observation.images.top", "video.ego.left", "observation.image", "depth"]
    assert list(choice.camera_names(dict.fromkeys(names, picture))) == ["top", "ego_left", "image", "depth"]
    alike = dict.fromkeys(["observation.images.top", "video.top"], picture)
    assert list(choice.camera_names(alike)) == ["observation_images_top", "video_top"]


def test_bookkeeping_text_and_pictures_are_no_choice():
    features = {
        "action": vector(2),
        "flag": vector(1, dtype="bool"),
        "timestamp": vector(1),
        "next.reward": vector(1),
        "note": vector(1, dtype="string"),
        "cloud": {"dtype": "float32", "shape": [10, 3]},
    }
    assert choice.numeric_columns(features) == {"action": 2, "flag": 1}
    assert choice.grouped({"action": 2, "state.arm": 7, "state.grip": 1}) == "  action (2)\n  state.*: arm (7), grip (1)"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "dataset.path= is missing. Give the folder of your recordings"),
        (["dataset.path=x", "dataset.action=[]"], r"dataset.action=\[\]: must be null or list of 1\+ str"),
        (["dataset.path=x", "dataset.held_out=[]"], r"dataset.held_out=\[\]: must be null or list of 1\+ int >= 0"),
        (["dataset.path=x", "dataset.held_out=[-1]"], "dataset.held_out"),
        (["dataset.path=x", "dataset.cameras=top"], "dataset.cameras=top: must be null or list of str"),
    ],
)
def test_a_config_that_cannot_be_is_refused(words, message):
    with pytest.raises(UsageError, match=message):
        config.compose(["dataset=lerobot", *words])
