"""What ``vla-data convert`` calls things, which episodes it takes, and what it does when it is stopped."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests import formats
from tests.recordings import LENGTHS, number, numbers_of, write_v21, write_v30
from tests.toy_dataset import write_toy
from vla_train.data import lerobot_layout as layout
from vla_train.data.choice import Choice
from vla_train.data.reader import open_reader
from vla_train.data_tools import convert as converting
from vla_train.data_tools.contents import Contents
from vla_train.errors import Interrupted

DEPTH = "depth_range=[0,255]"


def frames(reader, camera):
    return np.concatenate([block[camera] for block in reader.frames([camera])])


@pytest.mark.parametrize("write", ["libero", "image_folder", "collector", "tensors"])
def test_what_is_converted_is_trained_on_without_a_word_more_and_has_the_names_of_lerobot(data, tmp_path, write):
    if write == "libero":
        pytest.importorskip("h5py")
    place = tmp_path / ("demo.hdf5" if write == "libero" else "data")
    getattr(formats, f"write_{write}")(place)
    told = data("convert", place, tmp_path / "new", DEPTH)
    assert f"to train: vla-train dataset=lerobot dataset.path={tmp_path / 'new'}" in told
    features = json.loads((tmp_path / "new/meta/info.json").read_text())["features"]
    assert all(name.startswith(layout.IMAGE) == (feature["dtype"] == "image") for name, feature in features.items())
    old, new = open_reader(place, Choice(depth_range=(0.0, 255.0))), open_reader(tmp_path / "new")
    for name in ("state", "action"):
        np.testing.assert_array_equal(getattr(old.columns(), name), getattr(new.columns(), name))
    assert list(old.metadata.spec.images) == list(new.metadata.spec.images)
    assert (layout.STATE in features) == (old.metadata.spec.state_size > 0)
    if write == "libero":
        assert (features[layout.STATE]["shape"], features[layout.STATE]["dtype"]) == ([6], "float32")
        assert features[layout.STATE]["names"] == list(old.metadata.spec.state_names)


def test_one_column_that_is_the_state_gets_its_name_and_no_copy(data, tmp_path):
    folder = formats.write_collector(tmp_path / "data")
    for file in folder.glob("*.json"):
        rows = json.loads(file.read_text())
        file.write_text(json.dumps([row | {"robot_state": [1.5, 2.5, 3.5]} for row in rows]))
    assert "robot_state -> observation.state" in data("convert", folder, tmp_path / "new")
    features = json.loads((tmp_path / "new/meta/info.json").read_text())["features"]
    assert (features[layout.STATE]["dtype"], "robot_state" in features) == ("float64", False)


def test_episodes_words_and_names_can_be_chosen(data, tmp_path):
    pytest.importorskip("h5py")
    source = formats.write_robomimic(tmp_path / "demo.hdf5")
    refused = data("convert", source, tmp_path / "new", DEPTH, expect=3)
    assert "has no instruction in episodes 0, 1: say it with vla-data convert instruction='...'" in refused
    words = ("episodes=[1]", "instruction=lift the cube", "rename={agentview_rgb: front, states: simulator}")
    data("convert", source, tmp_path / "new", DEPTH, *words)
    reader = open_reader(tmp_path / "new", Choice(cameras=("front",)))
    assert reader.metadata.instructions == ["lift the cube"]
    assert reader.metadata.episodes[0]["mask"] == "train"
    assert reader.columns().action.tolist() == [[10, 0], [11, -1]]
    assert frames(reader, "front")[:, 0, 0, 1].tolist() == [0, 1]
    assert "simulator" in reader.table.features


@pytest.mark.parametrize(("write", "images"), [(write_v21, "keep"), (write_v30, "keep"), (write_v21, "h264")])
def test_episodes_of_video_can_be_chosen_whatever_is_wrong_with_the_others(data, tmp_path, write, images):
    source = write(tmp_path / "old")
    if write is write_v21:
        sorted(source.rglob("*.mp4"))[1].write_bytes(b"torn")
    data("convert", source, tmp_path / "new", "episodes=0,2", f"images={images}", "rename={observation.images.top: above}")
    reader = open_reader(tmp_path / "new", Choice(state=(), action=("action.arm",)))
    wanted = [*numbers_of(0, LENGTHS[0]), *numbers_of(2, LENGTHS[2])]
    assert [number(frame) for frame in frames(reader, "above")] == wanted
    assert "observation.images.above" in reader.table.features
    assert reader.columns().starts.tolist() == [0, 5, 11]
    assert reader.metadata.instructions == ["push the cup", "open the box"]
    assert "nothing wrong" in data("validate", tmp_path / "new")


def test_names_of_parts_follow_their_columns(data, tmp_path):
    source = write_v21(tmp_path / "old")
    part = {"start": 0, "end": 1, "original_key": "action.arm"}
    (source / "meta/modality.json").write_text(json.dumps({"action": {"first": part}}))
    data("convert", source, tmp_path / "new", "rename={action.arm: action}")
    assert open_reader(tmp_path / "new", Choice(action=("action.first",), state=())).columns().action[:2, 0].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["episodes=7"], 3, "so there is no episode 7"),
        (["rename={nothing: x}"], 3, "has no 'nothing'"),
        (["rename={action.arm: action.grip}"], 3, "would be called 'action.grip'"),
        (["rename={action.arm}"], 2, "is no pair of names"),
    ],
)
def test_choices_that_cannot_be_are_refused(data, tmp_path, words, code, said):
    source = write_v21(tmp_path / "old")
    assert said in data("convert", source, tmp_path / "new", *words, expect=code)
    assert [path.name for path in tmp_path.iterdir()] == ["old"]


def test_nothing_is_made_within_the_source_and_no_spec_is_contradicted(data, tmp_path):
    source = write_toy(tmp_path / "old")
    before = sorted(source.rglob("*"))
    assert "lies within" in data("convert", source, source / "new", expect=2)
    assert "lies within" in data("convert", source, source / "data/../new", expect=2)
    assert "stand in its Spec" in data("convert", source, tmp_path / "new", "rename={action: x}", expect=2)
    assert sorted(source.rglob("*")) == before


def test_a_conversion_that_is_stopped_says_how_it_goes_on(data, tmp_path, monkeypatch):
    def stopped():
        raise Interrupted("stopped by SIGTERM", 75)

    source = write_toy(tmp_path / "old")
    with monkeypatch.context() as patch:
        patch.setattr(converting.stopping, "check", stopped)
        assert "the same command goes on" in data("convert", source, tmp_path / "new", expect=75)
    data("convert", source, tmp_path / "new")


def test_inspect_tells_filter_keys_and_rates_that_are_assumed(data, tmp_path):
    h5py = pytest.importorskip("h5py")
    source = formats.write_robomimic(tmp_path / "demo.hdf5")
    told = data("inspect", source)
    assert "train (1 of 2 demonstrations)" in told
    assert "dataset.mask=" in told
    assert "assumed" not in told
    with h5py.File(source, "a") as file:
        del file["data"].attrs["env_args"]
    assert "its files tell no rate: 20 steps/s are assumed" in data("inspect", source)


def test_what_lies_near_is_told(data, tmp_path):
    source = write_v21(tmp_path / "all" / "arm")
    assert f"Did you mean {source}?" in data("inspect", tmp_path / "all", expect=3)
    assert f"Did you mean {source}?" in data("inspect", source / "meta", expect=3)


def test_statistics_of_chosen_columns(data, tmp_path):
    source = write_v21(tmp_path / "arm")
    told = data("stats", source, "columns=action.grip")
    assert "action.grip" in told
    assert "action.arm" not in told
    assert "did you mean action.arm?" in data("stats", source, "columns=action.amr", expect=3)


@pytest.mark.parametrize(("name", "code", "said"), [("data/mine.txt", 2, "of no conversion"), ("meta/info.json", 3, "info.json")])
def test_a_partial_folder_of_others_is_left_as_it_is(data, tmp_path, name, code, said):
    mine = tmp_path / ".new.partial" / name
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    assert said in data("convert", write_toy(tmp_path / "source"), tmp_path / "new", expect=code)
    assert mine.read_text() == "mine"


def test_what_a_conversion_left_before_it_could_be_gone_on_with_is_removed(data, tmp_path):
    left = tmp_path / ".new.partial"
    (left / "data").mkdir(parents=True)
    for name in (".converting", "data/file-000.parquet.partial"):
        (left / name).touch()
    data("convert", write_toy(tmp_path / "source"), tmp_path / "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "source"]
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["data", "meta"]


def test_a_number_that_is_none_is_found_before_a_picture_is_decoded(data, tmp_path, monkeypatch):
    """With its file, and the number that its episode has in the source."""
    source = write_v21(tmp_path / "source")
    path = source / "data/chunk-000/episode_000002.parquet"
    table = pq.read_table(path)
    values = [[0.0, 1.0]] * 5 + [[0.0, float("nan")]]
    pq.write_table(table.set_column(table.schema.names.index("action.arm"), "action.arm", pa.array(values)), path)
    monkeypatch.setattr(Contents, "pictures", None)
    for words in ([], ["episodes=1,2"]):
        told = data("convert", source, tmp_path / "new", *words, expect=3)
        assert "action.arm is not finite at step 5 of episode 2 (data/chunk-000/episode_000002.parquet) of" in told
    assert [path.name for path in tmp_path.iterdir()] == ["source"]
    assert "(data/chunk-000/episode_000002.parquet); episodes 2" in data("validate", source, "pictures=false", expect=3)


@pytest.mark.parametrize("name", ["a/" * 3000, "a" * 252])
def test_a_file_of_a_name_that_is_none_is_told(data, tmp_path, name):
    source = write_v21(tmp_path / "source")
    info = json.loads((source / "meta/info.json").read_text())
    (source / "meta/info.json").write_text(json.dumps(info | {"video_path": f"videos/{name}.mp4"}))
    assert "video_path is 'videos/a" in data("inspect", source, expect=3)
