"""Point clouds are one more camera: read to the number wherever they lie, kept in the frame cache or not, and never made up."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from tests.clouds import CHANNELS, POINTS, SPEC, cloud, clouds, write_hdf5_clouds, write_v21_clouds, write_v30_clouds
from tests.recordings import LENGTHS
from tests.toy_dataset import toy_processor
from vla_train.data.cache import cache_bytes, open_cache
from vla_train.data.choice import Choice
from vla_train.data.clouds import unpacked
from vla_train.data.dataset import DemonstrationDataset
from vla_train.data.frames import CachedFrames, DecodedFrames
from vla_train.data.lerobot_layout import is_cloud
from vla_train.data.reader import open_reader
from vla_train.errors import DataError, Notice
from vla_train.processor import Processor, train_tokenizer
from vla_train.spec import ImageSpec, Spec

FRONT = ImageSpec(POINTS, 1, CHANNELS, kind="points")
STATE = Choice(state=("state.arm",), action=("action.arm",))


def frames_of(reader, camera):
    found = np.concatenate([block[camera] for block in reader.frames([camera])])
    assert found.dtype == np.float32
    return found


@pytest.mark.parametrize("ours", [True, False])
def test_a_lerobot_dataset(tmp_path, ours):
    reader = open_reader(write_v30_clouds(tmp_path, ours=ours))
    assert reader.metadata.spec.images["front"] == FRONT
    found = frames_of(reader, "front")
    assert found[4, 7].tolist() == [[117, 117.25, 117.5, 117.75]], "episode 1, step 1, point 7"
    np.testing.assert_array_equal(found[:, :, 0], clouds((3, 2)))
    np.testing.assert_array_equal(reader.frames_at(["front"], np.array([1, 4]))["front"][:, :, 0], clouds((3, 2))[[1, 4]])
    assert bool([note for note in reader.notes if "observation.points.front" in note and "x, y, z" in note]) is not ours


@pytest.mark.parametrize("flat", [True, False])
def test_version_two_one_of_others(tmp_path, flat):
    folder = write_v21_clouds(tmp_path, flat=flat)
    reader = open_reader(folder, STATE)
    assert reader.metadata.spec.images["lidar"] == FRONT
    np.testing.assert_array_equal(frames_of(reader, "lidar")[:, :, 0], clouds(LENGTHS))
    renamed = open_reader(folder, replace(STATE, cameras=("scan",), rename={"lidar": "scan"}, exclude=(1,)))
    assert set(renamed.metadata.spec.images) == {"scan"}
    kept = np.concatenate([clouds(LENGTHS)[: LENGTHS[0]], clouds(LENGTHS)[-LENGTHS[2] :]])
    np.testing.assert_array_equal(frames_of(renamed, "scan")[:, :, 0], kept)
    assert set(open_reader(folder, replace(STATE, cameras=("top",))).metadata.spec.images) == {"top"}
    with pytest.raises(DataError, match=r"no camera 'observation.pose'. float32 \[4, 4\] is neither pictures nor a point cloud"):
        open_reader(folder, replace(STATE, cameras=("observation.pose",)))
    with pytest.raises(DataError, match=r"'observation.lidar' \(dataset.state\) as a point cloud .* dataset.cameras"):
        open_reader(folder, replace(STATE, state=("observation.lidar",)))


def test_hdf5(tmp_path):
    pytest.importorskip("h5py")
    reader = open_reader(write_hdf5_clouds(tmp_path / "demo.hdf5"), Choice(state=("robot0_eef_pos",), instruction="go"))
    assert reader.metadata.spec.images == {"scan": FRONT}, "a pose is no cloud"
    np.testing.assert_array_equal(frames_of(reader, "scan")[:, :, 0], clouds((3, 2)))
    assert reader.frames_at(["scan"], np.array([3]))["scan"][0, 2, 0].tolist() == [102, 102.25, 102.5, 102.75]


@pytest.mark.parametrize(
    ("name", "dtype", "shape", "is_one"),
    [
        ("observation.scan", "float32", [8, 3], True),
        ("observation.scan", "float64", [100_000, 16], True),
        ("observation.scan", "float32", [7, 3], False),
        ("observation.scan", "float32", [8, 17], False),
        ("observation.scan", "float32", [8, 2], False),
        ("observation.scan", "int64", [8, 3], False),
        ("observation.scan", "float32", [8, 3, 1], False),
        ("action.chunk", "float32", [16, 7], False),
    ],
)
def test_what_counts_as_one(name, dtype, shape, is_one):
    assert is_cloud(name, {"dtype": dtype, "shape": shape}) is is_one


def test_rows_are_unpacked_up_to_the_first_of_another_size():
    rows = [[[1.0, 2], [3, 4]], [[5, 6], [7, 8]], [[9, 0]]]
    for kind in (pa.list_(pa.list_(pa.float32())), pa.large_list(pa.list_(pa.float16()))):
        column = pa.array(rows, kind)
        assert unpacked(column, (2, 2)).tolist() == rows[:2]
        assert unpacked(column[1:2], (2, 2)).tolist() == rows[1:2]
    assert len(unpacked(pa.array([rows[0], [[1, 2], [3, None]]], pa.list_(pa.list_(pa.float32()))), (2, 2))) == 1
    assert len(unpacked(pa.array([rows[0], [[1, 2, 3], [4]]], pa.list_(pa.list_(pa.float32()))), (2, 2))) == 1
    assert len(unpacked(pa.array([rows[0], None], pa.list_(pa.list_(pa.float32(), 2), 2)), (2, 2))) == 1
    with pytest.raises(ValueError, match="not lists of floats"):
        unpacked(pa.array([[["a"] * 2] * 2]), (2, 2))


def nan(front):
    front[1, 3, 0, 2] = np.nan


def test_nan_is_told_with_its_place(tmp_path):
    with pytest.raises(DataError, match=r"observation.points.front.14 is nan at step 1 of episode 1 of what is to be written"):
        write_v30_clouds(tmp_path / "refused", spoil=nan)
    pytest.importorskip("h5py")

    def spoil(file):
        file["data/demo_1/obs/scan"][1, 3, 2] = np.nan
        file["data/demo_0/obs/scan"][0, 0, 0] = 1e300  # more than float32 holds

    path = write_hdf5_clouds(tmp_path / "demo.hdf5", spoil=spoil)
    choice = Choice(state=("robot0_eef_pos",), instruction="go")
    with pytest.raises(DataError, match=r"'scan' has inf in point 0 at step 0 of episode 0 "):
        frames_of(open_reader(path, choice), "scan")
    with pytest.raises(DataError, match=r"'scan' has nan in point 3 at step 1 of episode 1 .*demo_1.* dataset.exclude=\[1\]"):
        open_reader(path, choice).frames_at(["scan"], np.array([3, 4]))


def opened(folder, cache, **options):
    made = toy_processor(folder, image_size=8)
    assert made.image_specs["front"] == FRONT, "never resized"
    return DemonstrationDataset(folder, made, history=2, chunk=1, validation=0.0, cache=cache, **options)


def test_cache_and_streaming_give_the_same_floats(tmp_path, monkeypatch):
    folder = write_v30_clouds(tmp_path / "data")
    rows = np.array([4, 0, 2, 1])
    cached = opened(folder, tmp_path / "cache")
    assert isinstance(cached._frames, CachedFrames)
    seen = [cached.gather(rows).observation.images]
    monkeypatch.setattr("vla_train.data.frames.MAPPED_BYTES", 10)
    seen.append(opened(folder, tmp_path / "cache").gather(rows).observation.images)
    for buffer in (None, 3):
        with pytest.warns(Notice, match="dataset.cache_gb=0"):
            streamed = opened(folder, tmp_path / "none", cache_gb=0.0, buffer=buffer)
        assert isinstance(streamed._frames, DecodedFrames)
        seen.append(streamed.gather(rows).observation.images)
    for images in seen:
        assert images["front"].shape == (4, 2, CHANNELS, POINTS, 1)
        np.testing.assert_array_equal(images["front"][0, :, :, :, 0].numpy(), [cloud(1, 0).T, cloud(1, 1).T])
        np.testing.assert_array_equal(images["front"][1, 0, :, :, 0].numpy(), cloud(0, 0).T)
        assert images["top"].equal(seen[0]["top"])


def test_the_cache_counts_four_bytes_a_number_and_is_made_again_where_it_is_torn(tmp_path):
    reader = open_reader(write_v30_clouds(tmp_path / "data"))
    made = toy_processor(reader.folder)
    assert cache_bytes(reader, made) == 5 * (POINTS * CHANNELS * 4 + 4 * 4 * 3)
    open_cache(tmp_path / "cache", reader, made)
    (file,) = (tmp_path / "cache").rglob("front.npy")
    for damage in (np.zeros((5, POINTS, 1, CHANNELS), np.uint8), np.zeros((5, POINTS, 1, CHANNELS), np.float64)):
        np.save(file, damage)
        found = open_cache(tmp_path / "cache", reader, made)["front"]
        np.testing.assert_array_equal(found[:, :, 0], clouds((3, 2)))


def test_the_processor_takes_clouds_as_the_spec_has_them_only():
    made = Processor(SPEC, train_tokenizer(["go"], 300), cameras=["front"], image_size=16, max_tokens=4)
    given = np.arange(64, dtype=np.float64).reshape(2, POINTS, 1, CHANNELS)
    assert made.resize({"front": given})["front"].dtype == np.float32
    with pytest.raises(DataError, match=r"gives an array \[2, 7, 1, 4\]; the Spec says \[n, 8, 1, 4\]"):
        made.resize({"front": given[:, 1:]})
    given[1, 5, 0, 2] = np.nan
    with pytest.raises(DataError, match="'front' holds numbers that are not finite, first in point 5 of cloud 1"):
        made.resize({"front": given})


def test_specs(tmp_path):
    assert Spec.from_json(SPEC.to_json()) == SPEC
    fewer = replace(SPEC, images=SPEC.images | {"front": replace(FRONT, height=9)})
    assert SPEC.mismatches(fewer) == ["camera 'front': 8 points, not 9"]
    for wrong in ({"width": 2}, {"height": 7}, {"channels": 2}, {"channels": 17}):
        with pytest.raises(ValueError, match="a point cloud has at least 8 points"):
            replace(FRONT, **wrong)
    folder = write_v30_clouds(tmp_path)
    info = json.loads((folder / "meta/info.json").read_text())
    info["vla_train"]["spec"]["images"]["front"]["width"] = 1_000_000
    (folder / "meta/info.json").write_text(json.dumps(info))
    with pytest.raises(DataError, match="its Spec cannot be read"):
        open_reader(folder)
