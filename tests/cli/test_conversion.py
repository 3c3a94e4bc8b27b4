"""``vla-data convert`` where the source has depth, uneven steps, or things that a dataset has no column for."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests import formats
from tests.killed_writer import SPEC, told
from tests.recordings import encode, numbers_of, write_v21
from vla_train.data.choice import Choice
from vla_train.data.episode_writer import EpisodeWriter
from vla_train.data.reader import open_reader
from vla_train.data.writer import LeRobotWriter
from vla_train.data_tools import convert as converting
from vla_train.data_tools.compare import compare
from vla_train.data_tools.contents import open_contents
from vla_train.data_tools.target import target_of
from vla_train.errors import DataError
from vla_train.spec import ImageSpec

VIDEO, DATA = "videos/chunk-000/observation.images.top/episode_000001.mp4", "data/chunk-000/episode_000001.parquet"


@pytest.fixture
def maps(tmp_path):
    """Depth as PNG of 16 bits."""
    return formats.write_collector(tmp_path / "maps", ("top", "depth"))


def test_a_conversion_goes_on_at_the_same_scale_of_depth_only(data, maps, tmp_path, monkeypatch):
    def fails(self):
        raise OSError("no space")

    with monkeypatch.context() as patch:
        patch.setattr(EpisodeWriter, "finish", fails)
        patch.setattr(converting, "COMMIT_FRAMES", 1)
        assert "no space" in data("convert", maps, tmp_path / "new", "depth_range=[0,255]", expect=2)
    assert "other settings" in data("convert", maps, tmp_path / "new", "depth_range=[0,510]", expect=2)
    assert "going on after" in data("convert", maps, tmp_path / "new", "depth_range=[0,255]")


def test_the_scale_of_depth_goes_with_the_data(data, maps, tmp_path):
    data("convert", maps, tmp_path / "new", "depth_range=[0,510]")
    data("convert", tmp_path / "new", tmp_path / "again", "depth_range=[3,4]")  # bytes already: they stay as they are
    for folder in ("new", "again"):
        images = open_reader(tmp_path / folder, Choice(state=())).metadata.spec.images.values()
        (camera,) = [image for image in images if image.kind == "depth"]
        assert camera == ImageSpec(*formats.depth(0, 0).shape[:2], channels=1, kind="depth", depth_range=(0.0, 510.0))


def test_a_scale_that_is_none_is_no_scale(data, maps, tmp_path):
    data("convert", maps, tmp_path / "new", "depth_range=[0,510]")
    path = tmp_path / "new/meta/info.json"
    info = json.loads(path.read_text())
    (name,) = [name for name in info["features"] if "depth" in name]
    for limits in ("far", [1], [2, 1], [0, float("inf")], [0, float("nan")], [None, 1], [False, True], [0, 10**400]):
        info["features"][name]["info"]["vla_train.depth_range"] = limits
        path.write_text(json.dumps(info))
        assert open_contents(tmp_path / "new").cameras[name].depth_range is None


def test_pictures_without_loss_that_differ_are_refused(data, maps, tmp_path):
    data("convert", maps, tmp_path / "new", "depth_range=[0,255]")
    with pytest.raises(DataError, match=r"depth of .*maps came out otherwise than it went in at step \d of episode 0"):
        compare(source := open_contents(maps), open_contents(tmp_path / "new"), target_of(source, {}, None), (0.0, 510.0))


def test_uneven_steps_are_refused_before_they_are_encoded(data, tmp_path):
    source = write_v21(tmp_path / "uneven")
    table = pq.read_table(source / DATA)
    times = pa.array(np.array([0, 1, 5, 6], np.float32) / 30)
    pq.write_table(table.set_column(table.schema.names.index("timestamp"), "timestamp", times), source / DATA)
    encode(source / VIDEO, numbers_of(1, 7))
    said = data("convert", source, tmp_path / "new", "images=h264", expect=3)
    assert "step 2 of episode 1" in said
    assert "is at 0.1667 s, not at 0.0667 s as 30 steps/s say" in said
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["uneven"]
    for images in ("png", "keep"):
        data("convert", source, tmp_path / images, f"images={images}")


def test_names_of_parts_may_stand_beside_a_version(data, tmp_path):
    source = write_v21(tmp_path / "old")
    part = {"start": 0, "end": 1, "original_key": "action.arm"}
    (source / "meta/modality.json").write_text(json.dumps({"version": "1.0", "action": {"first": part}}))
    data("convert", source, tmp_path / "new")
    assert json.loads((tmp_path / "new/meta/modality.json").read_text()) == {"action": {"first": part}}
    assert open_reader(tmp_path / "new", Choice(action=("action.first",), state=(), cameras=())).columns().action.shape[1] == 1


def test_a_type_that_parquet_lacks_is_named(data, tmp_path):
    h5py = pytest.importorskip("h5py")
    path = formats.write_libero(tmp_path / "demo.hdf5")
    with h5py.File(path, "a") as file:
        for demo in file["data"].values():
            demo["obs/long"] = np.zeros((len(demo["actions"]), 2), np.longdouble)
    assert "store it as float64" in data("convert", path, tmp_path / "new", "depth_range=[0,255]", expect=3)


@pytest.mark.parametrize("text", ["5-3", "", "[]", "0,5-3"])
@pytest.mark.parametrize("command", ["view", "replay"])
def test_episodes_that_are_none(data, tmp_path, command, text):
    assert "name episodes by number" in data(command, tmp_path, f"episodes={text}", expect=2)


@pytest.mark.parametrize(
    ("notes", "kept"),
    [
        ([1, "x"], ["1", '"x"']),
        ([1, 2**70], ["1", str(2**70)]),
        ([{"a": 1}, {}], ['{"a": 1}', "{}"]),
        ([{}, None], ["{}", None]),
        ([1, 2.5], [1.0, 2.5]),
    ],
)
def test_facts_of_any_type(tmp_path, notes, kept):
    writer = LeRobotWriter(tmp_path, SPEC, "toy")
    for e, note in enumerate(notes):
        writer.add_episode(**told(e) | {"metadata": {"note": note}})
    writer.finish()
    assert [row["note"] for row in open_reader(tmp_path).metadata.episodes] == kept
