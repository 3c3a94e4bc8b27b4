"""Formats of others, each from real files: every number and picture is the one that was recorded."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from tests.formats import (
    ACTIONS,
    LENGTHS,
    PIXELS,
    STATES,
    TEXTS,
    pixels,
    write_collector,
    write_image_folder,
    write_libero,
    write_robomimic,
    write_tensors,
)
from tests.recordings import FEATURES, number, write_v21
from vla_train.data.choice import Choice
from vla_train.data.reader import open_reader
from vla_train.data.recorded import Collector, Hdf5, ImageFolder, Tensors
from vla_train.data.records import Reader
from vla_train.data.table import Table
from vla_train.data_tools.contents import open_contents
from vla_train.errors import DataError, UsageError
from vla_train.spec import ImageSpec

h5py = pytest.importorskip("h5py")
DEPTHS = [[100 * e + 10 * t] for e, t in STATES]


FORMATS = {
    "hdf5": (lambda folder: write_libero(folder / "demo.hdf5"), Hdf5, "agentview_rgb", 20.0),
    "image_folder": (write_image_folder, ImageFolder, "image", 5.0),
    "collector": (write_collector, Collector, "image", 4.0),
    "tensors": (write_tensors, Tensors, "top", 10.0),
}


@pytest.mark.parametrize("kind", FORMATS)
def test_every_number_picture_and_word(tmp_path, kind):
    write, config, camera, rate = FORMATS[kind]
    path = write(tmp_path / "data")
    reader = config(str(path), cameras=[camera]).open(path)
    assert isinstance(reader, Reader)
    assert isinstance(reader.table, Table)
    spec, columns = reader.metadata.spec, reader.columns()
    assert columns.action.tolist() == ACTIONS
    if kind != "image_folder":
        assert columns.state[:, :2].tolist() == STATES
    assert columns.starts.tolist() == [0, 3, 5]
    assert pixels(reader, camera) == PIXELS or kind == "image_folder"
    assert np.abs(np.array(pixels(reader, camera)) - PIXELS).max() <= 3, "JPEG loses a little"
    assert (spec.rate, spec.horizon, spec.images) == (rate, 3, {camera: ImageSpec(8, 8)})
    texts = [TEXTS[0]] * 2 if kind == "hdf5" else list(TEXTS)
    assert reader.metadata.instructions == texts
    assert [columns.texts[index] for index in columns.text] == [
        text for text, n in zip(texts, LENGTHS, strict=True) for _ in range(n)
    ]
    assert open_reader(path).metadata.fingerprint == reader.metadata.fingerprint, "it is recognised, and the same wherever"


@pytest.mark.parametrize("kind", FORMATS)
def test_another_content_is_another_fingerprint(tmp_path, kind):
    write = FORMATS[kind][0]
    before = open_reader(write(tmp_path / "one")).metadata.fingerprint
    assert open_reader(write(tmp_path / "two")).metadata.fingerprint == before
    path = write(tmp_path / "three")
    changed = next(file for file in sorted(tmp_path.glob("three/**/*")) if file.suffix in (".hdf5", ".jpg", ".png", ".json"))
    if kind == "hdf5":
        with h5py.File(changed, "a") as file:
            file["data/demo_0/actions"][0, 0] = 5
    else:
        changed.write_bytes(changed.read_bytes() + b" ")
    assert open_reader(path).metadata.fingerprint != before


def test_what_decides_the_frames_is_another_fingerprint(tmp_path):
    """Or a frame cache would show one camera, demonstration or depth for another."""
    path = write_robomimic(tmp_path / "demo.hdf5")
    cameras = ("agentview_rgb",)
    choices = [
        Choice(),
        Choice(mask="train"),
        Choice(mask="valid"),
        Choice(depth_range=(0.0, 1.0)),
        Choice(depth_range=(0.0, 2.0)),
        Choice(rename={"agentview_rgb": "agentview_depth", "agentview_depth": "agentview_rgb"}),
    ]
    found = [open_reader(path, replace(choice, cameras=cameras, instruction="x")).metadata.fingerprint for choice in choices]
    assert len(set(found)) == len(choices)
    assert open_reader(path, Choice(instruction="y", state=())).metadata.fingerprint == found[0]


def test_libero_state_and_reward(tmp_path):
    path = write_libero(tmp_path / "demo.hdf5")
    reader = open_reader(path, Choice(cameras=()))
    columns = reader.columns()
    assert reader.metadata.spec.state_names == ("ee_pos.0", "ee_pos.1", *[f"ee_ori.{i}" for i in range(3)], "gripper_states.0")
    assert columns.state[4].tolist() == [1, 1, 0, 0, 0, 1]
    assert columns.reward.tolist() == [0, 0, 1, 0, 1]
    assert columns.terminated.tolist() == [False, False, True, False, True]


def test_a_folder_of_tasks_has_the_words_of_each(tmp_path):
    write_libero(tmp_path / "b.hdf5", lengths=(2,), text="open the box")
    write_libero(tmp_path / "a.hdf5", lengths=(3, 1))
    reader = open_reader(tmp_path, Choice(cameras=()))
    assert reader.metadata.instructions == [TEXTS[0], TEXTS[0], "open the box"]
    assert reader.metadata.spec.tasks == (TEXTS[0], "open the box")
    assert reader.columns().starts.tolist() == [0, 3, 4, 6]
    assert reader.metadata.episodes[2]["source"] == "b.hdf5, data/demo_0"


def test_robomimic_by_filter_key_and_with_words_of_the_user(tmp_path):
    path = write_robomimic(tmp_path / "demo.hdf5")
    with pytest.raises(DataError, match=r"no instruction for 2 of its 2 episodes .* dataset.instruction='...'"):
        Hdf5(str(path)).open(path)
    for mask, actions in (("train", ACTIONS[3:]), ("valid", ACTIONS[:3])):
        reader = Hdf5(str(path), mask=mask, cameras=(), instruction="lift it").open(path)
        assert reader.columns().action.tolist() == actions
        assert (reader.metadata.instructions, reader.columns().texts) == (["lift it"], ["lift it"])
        assert reader.metadata.spec.state_names[0] == "robot0_eef_pos.0"
    with pytest.raises(DataError, match=r"has no mask/test .*; it has train, valid"):
        Hdf5(str(path), mask="test", instruction="lift it").open(path)


def test_demonstrations_come_in_the_order_of_their_numbers(tmp_path):
    path = write_libero(tmp_path / "demo.hdf5", lengths=[1] * 11)
    assert open_reader(path, Choice(cameras=())).columns().action[:, 0].tolist() == [10.0 * e for e in range(11)]


def test_depth_is_one_more_camera(tmp_path):
    path = write_libero(tmp_path / "demo.hdf5")
    reader = open_reader(path, Choice(cameras=("agentview_rgb", "agentview_depth"), depth_range=(0.0, 51.0)))
    assert reader.metadata.spec.images["agentview_depth"] == ImageSpec(8, 8, 1, kind="depth", depth_range=(0.0, 51.0))
    assert pixels(reader, "agentview_depth") == [[0], [50], [100], [255], [255]], "five steps of a byte each; beyond 51 is cut"
    with pytest.raises(DataError, match=r"'agentview_depth' .* holds depth as uint16: .* dataset.depth_range="):
        list(open_reader(path).frames(["agentview_depth"]))


def test_depth_in_png_of_a_collector(tmp_path):
    folder = write_collector(tmp_path / "data", cameras=("top", "wrist_depth"))
    reader = open_reader(folder, Choice(depth_range=(0.0, 255.0)))
    assert set(reader.metadata.spec.images) == {"top", "wrist_depth"}
    assert pixels(reader, "wrist_depth") == DEPTHS
    assert pixels(reader, "top") == PIXELS


def test_columns_of_a_collector(tmp_path):
    reader = open_reader(write_collector(tmp_path / "data"), Choice(cameras=()))
    assert reader.metadata.spec.state_names == ("robot_state.arm.0", "robot_state.arm.1", "robot_state.grip.open.0")
    assert reader.columns().state[1].tolist() == [0, 1, 1]
    world = open_reader(reader.folder, Choice(cameras=(), state=("environment_state.cup",)))
    assert world.columns().state[0].tolist() == [0.5, 0.25]
    with pytest.raises(DataError, match=r"no column 'environment_state.late'"):
        open_reader(reader.folder, Choice(state=("environment_state.late",)))


def test_names_can_be_changed(tmp_path):
    path = write_libero(tmp_path / "demo.hdf5")
    rename = {"ee_pos": "observation.state", "agentview_rgb": "front"}
    reader = open_reader(path, Choice(rename=rename, cameras=("front",), state=("observation.state",)))
    assert reader.metadata.spec.state_names == ("observation.state.0", "observation.state.1")
    assert reader.columns().state.tolist() == STATES
    assert pixels(reader, "front") == PIXELS
    whole = open_reader(path, Choice(rename=rename, cameras=())).metadata.spec.state_names
    assert whole[:2] == ("observation.state.0", "observation.state.1"), "what is usual is known under its new name"
    for wrong, said in (
        ({"ee_poz": "x"}, "has no 'ee_poz'. Did you mean ee_pos"),
        ({"ee_pos": "ee_ori"}, "would be called 'ee_ori'"),
    ):
        with pytest.raises(DataError, match=said):
            open_reader(path, Choice(rename=wrong))


def test_whole_numbers_are_choices(tmp_path):
    folder = write_image_folder(tmp_path / "data")
    rows = json.loads((folder / "metadata.json").read_text())
    (folder / "metadata.json").write_text(json.dumps([row | {"action": 3 * row["sequence_id"]} for row in rows]))
    reader = open_reader(folder)
    assert (reader.metadata.spec.action.kind, reader.metadata.spec.action.choices) == ("discrete", 4)
    assert reader.columns().action.ravel().tolist() == [0, 0, 0, 3, 3]


def test_the_near_end_comes_first():
    with pytest.raises(UsageError, match="near end first"):
        Hdf5("x", depth_range=[2.0, 0.5]).choice()


def test_what_the_first_demonstration_lacks_is_told(tmp_path):
    path = write_robomimic(tmp_path / "demos.hdf5")
    with h5py.File(path, "a") as file:
        file["data/demo_1/obs/wrist"] = np.zeros((LENGTHS[1], 8, 8, 3), np.uint8)
    reader = open_reader(path, Choice(instruction="lift"), "hdf5")
    assert "wrist" not in reader.metadata.spec.images
    told = "obs/wrist is not read: demos.hdf5, data/demo_0 lacks it, demos.hdf5, data/demo_1 is the first that has it"
    assert f"the dataset at {path}: {told}" in reader.notes, "who trains is told too"


def test_a_picture_in_colour_is_read_in_its_order(tmp_path):
    folder = write_collector(tmp_path / "data")
    picture = np.zeros((8, 8, 3), np.uint8)
    picture[..., 2] = 255  # red, to OpenCV
    cv2.imwrite(str(folder / "images/top-0.png"), picture)
    (block,) = open_reader(folder).frames(["image"])
    assert block["image"][0, 0, 0].tolist() == [255, 0, 0]


def test_depth_in_the_video_of_a_lerobot_dataset(tmp_path):
    """Stored in three channels, all alike, as encoders want them."""
    feature = FEATURES["observation.images.top"] | {"info": {"video.is_depth_map": True}}
    folder = write_v21(tmp_path, features=FEATURES | {"observation.images.top": feature})
    reader = open_reader(folder, Choice(cameras=("top",), state=(), action=("action.arm",)))
    assert reader.metadata.spec.images == {"top": ImageSpec(64, 64, 1, kind="depth")}
    (block,) = reader.frames(["top"])
    assert block["top"].shape == (15, 64, 64, 1)
    assert [number(frame) for frame in block["top"]][5:7] == [16, 17]


@pytest.mark.parametrize("unit", [1e3, 1e6, 1e9])
@pytest.mark.parametrize("rate", [100, 5])
def test_time_that_is_not_told_in_seconds_is_refused(tmp_path, unit, rate):
    folder = write_collector(tmp_path / "data")
    for file in folder.glob("*.json"):
        rows = json.loads(file.read_text())
        file.write_text(json.dumps([row | {"timestamp": round(unit * (1.7e9 + i / rate))} for i, row in enumerate(rows)]))
    with pytest.raises(DataError, match="timestamps must be seconds; divide milliseconds by 1e3"):
        open_reader(folder)


def test_poses_of_an_hdf5_file_are_no_depth_cameras(tmp_path):
    """[t, 4, 4] is not chosen, and told of as what is not read."""
    path = write_libero(tmp_path / "demo.hdf5")
    with h5py.File(path, "a") as file:
        for demo in file["data"].values():
            demo["obs/eef_pose"] = np.tile(np.eye(4), (len(demo["actions"]), 1, 1))
    reader = open_reader(path, Choice(depth_range=(0.0, 51.0)))
    assert set(reader.metadata.spec.images) == {"agentview_rgb", "agentview_depth"}
    assert reader.columns().state.shape == (5, 6)
    assert open_contents(path).unread == {"eef_pose": "float64"}
    with pytest.raises(DataError, match=r"'eef_pose' \(dataset.state\) as float64 \[4, 4\], which is no vector"):
        open_reader(path, Choice(state=("eef_pose",)))


def test_files_of_several_rates_are_no_dataset(tmp_path):
    """The third file says nothing, and so nothing else."""
    for name, told in {"a": 20, "b": 5, "c": None}.items():
        with h5py.File(write_libero(tmp_path / f"{name}.hdf5"), "a") as file:
            file["data"].attrs["env_args"] = json.dumps({"env_kwargs": {"control_freq": told}})
    with pytest.raises(DataError, match=r"other steps per second \(20 in a.hdf5, 5 in b.hdf5\)"):
        open_reader(tmp_path)
    (tmp_path / "a.hdf5").unlink()
    assert open_reader(tmp_path).metadata.spec.rate == 5.0


def test_numbers_are_known_by_their_columns(tmp_path):
    reader = open_reader(write_libero(tmp_path / "demo.hdf5"))
    assert reader.metadata.columns == {
        "state": ("ee_pos",) * 2 + ("ee_ori",) * 3 + ("gripper_states",),
        "action": ("action",) * 2,
    }


def test_what_would_be_called_like_the_action_gets_a_name_of_its_own(tmp_path):
    """Nothing is hidden: the demonstrations' own keep their names, and inspect tells of the others."""
    path = write_libero(tmp_path / "demo.hdf5")
    with h5py.File(path, "a") as file:
        for demo in file["data"].values():
            length = len(demo["actions"])
            demo["action"], demo["obs/action"] = np.full((length, 1), -1.0), np.full((length, 3), -3.0)
            demo["obs/states"], demo["obs/next.reward"] = np.full((length, 4), 9.0), np.full(length, 7.0)
    reader = open_reader(path, Choice(cameras=()))
    columns = reader.columns()
    assert columns.action.tolist() == ACTIONS
    assert columns.reward.tolist() == [0, 0, 1, 0, 1]
    contents = open_contents(path)
    numbers = contents.numbers()
    assert {name: values[0].tolist() for name, values in numbers.items() if name.startswith(("obs.", "demo.", "st"))} == {
        "states": [0] * 5,
        "demo.action": [-1],
        "obs.action": [-3] * 3,
        "obs.next.reward": [7],
        "obs.states": [9] * 4,
    }
    notes = contents.table.notes
    assert [note for note in notes if "action" in note] == [
        "two arrays would be called action: actions is, action is called demo.action",
        "two arrays would be called action: actions is, obs/action is called obs.action",
    ]
    assert "two arrays would be called states: states is, obs/states is called obs.states" in notes
