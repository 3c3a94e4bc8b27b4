"""``vla-data`` on point clouds: converted to the bit and back, checked, described, drawn."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.clouds import CHANNELS, POINTS, cloud, clouds, write_hdf5_clouds, write_v21_clouds, write_v30_clouds
from tests.recordings import LENGTHS
from vla_train.data.choice import Choice
from vla_train.data.reader import open_reader
from vla_train.data_tools import cloud_picture
from vla_train.data_tools.contents import open_contents

pytest.importorskip("h5py")


def recorded(path, name):
    """A cloud's frames as they lie there."""
    contents = open_contents(path)
    return np.stack([frame.copy() for frame in contents.table.pictures(name, contents.cameras[name])])


def test_converted_to_the_bit_and_back(data, tmp_path):
    source = write_hdf5_clouds(tmp_path / "demo.hdf5", spoil=lambda file: file["data/demo_0/obs/scan"].write_direct(third()))
    printed = data("convert", source, tmp_path / "once", "instruction=go", "rename=scan:lidar")
    assert "scan: all point clouds exact" in printed
    assert "observation.pose" not in printed
    info = json.loads((tmp_path / "once/meta/info.json").read_text())
    assert info["features"]["observation.points.lidar"] == {"dtype": "float64", "shape": [POINTS, CHANNELS], "names": None}
    data("convert", tmp_path / "once", tmp_path / "twice", "episodes=1,0")
    for folder in ("once", "twice"):
        made = recorded(tmp_path / folder, "observation.points.lidar")
        assert made.dtype == np.float64
        np.testing.assert_array_equal(made, recorded(source, "scan"))
    stats = json.loads((tmp_path / "once/meta/stats.json").read_text())["observation.points.lidar"]
    assert np.shape(stats["mean"]) == (CHANNELS,)
    assert stats["max"] == [117, 117.25, 117.5, 117.75]
    assert stats["count"] == [5]
    reader = open_reader(tmp_path / "once", Choice(state=()))
    assert reader.frames_at(["lidar"], np.array([4]))["lidar"][0, :, 0].tolist() == cloud(1, 1).tolist()


def third():
    """Numbers that float32 does not hold."""
    return clouds((3,)).astype(np.float64) / 3


def test_version_two_one_of_others_becomes_three(data, tmp_path):
    data("convert", write_v21_clouds(tmp_path / "old"), tmp_path / "new", "images=png")
    np.testing.assert_array_equal(recorded(tmp_path / "new", "observation.lidar")[:, :, 0], clouds(LENGTHS))


def test_validate_tells_nan_and_other_sizes_with_their_place(data, tmp_path):
    def spoil(file):
        file["data/demo_1/obs/scan"][1, 3, 2] = np.nan
        file["data/demo_0/obs/scan"][2, 7, 0] = np.inf

    path = write_hdf5_clouds(tmp_path / "demo.hdf5", spoil=spoil)
    printed = data("validate", path, expect=3)
    assert (
        "'scan' is not finite in 2 frames, in episodes 0, 1; the first: 'scan' has inf in point 7 at step 2 of episode 0"
        in printed
    )
    assert "at step 2 of episode 0 of" in data("convert", path, tmp_path / "new", "instruction=go", expect=3)

    folder = write_v30_clouds(tmp_path / "v30", ours=False)
    assert "nothing wrong" in data("validate", folder)
    (file,) = folder.glob("data/*/*.parquet")
    table = pq.read_table(file)
    place = table.schema.get_field_index("observation.points.front")
    rows = table.column(place).to_pylist()
    rows[4] = rows[4][:-1]
    pq.write_table(table.set_column(place, table.schema.field(place).name, [rows]), file)
    printed = data("validate", folder, expect=3)
    assert "'observation.points.front' has 8 points of 4 numbers, says info.json, but not at step 1 of episode 1" in printed


def test_inspect_stats_and_view(data, tmp_path):
    folder = write_v30_clouds(tmp_path / "v30")
    cameras = [line.split() for line in data("inspect", folder).splitlines() if "observation.points.front" in line]
    assert cameras == [["observation.points.front", "float32", "points", "8", "points", "4"]]
    rows = [line.split() for line in data("stats", folder).splitlines() if "observation.points.front.1 " in line]
    assert [float(row[1]) for row in rows] == [0.25], "the least of the second number of all points"
    data("view", folder, f"output={tmp_path / 'page.html'}")
    assert "front" in (tmp_path / "page.html").read_text()


def test_a_cloud_is_drawn_from_above_and_from_the_side():
    points = np.zeros((9, 1, 3))
    points[:8, 0] = [[x, y, z] for x in (0, 1) for y in (0, 2) for z in (0, 4)]
    points[8] = np.nan
    middle, side = cloud_picture.limits(points)
    assert middle.tolist() == [0.5, 1.0, 2.0]
    assert side == pytest.approx(4.8)
    picture = cloud_picture.drawn(points, middle, side)
    above, beside = (np.argwhere((part < 200).any(axis=-1)) for part in np.split(np.delete(picture, 120, 1), 2, axis=1))
    assert len(above) == len(beside) == 4
    assert np.ptp(above, axis=0).tolist() == pytest.approx([2 / 4.8 * 119, 1 / 4.8 * 119], abs=1), "y upwards, x to the right"
    assert np.ptp(beside, axis=0).tolist() == pytest.approx([4 / 4.8 * 119, 1 / 4.8 * 119], abs=1), "z upwards"
