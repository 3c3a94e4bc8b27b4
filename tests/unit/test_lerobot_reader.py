"""Data that others wrote is read, and data that lies or is damaged is refused with one message that says where."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from tests.toy_dataset import write_toy
from vla_train.data import parquet_tables
from vla_train.data.parquet_tables import ParquetTables
from vla_train.data.reader import open_reader, read_metadata
from vla_train.data_tools.contents import open_contents
from vla_train.errors import DataError
from vla_train.spec import ImageSpec

FOREIGN = Path(__file__).parents[1] / "data" / "lerobot_0_4_4"  # written by LeRobot 0.4.4 itself (use_videos=False)
DATA = "data/chunk-000/file-000.parquet"
EPISODES = "meta/episodes/chunk-000/file-000.parquet"


def test_a_dataset_that_lerobot_wrote():
    reader = open_reader(FOREIGN)
    spec, columns = reader.metadata.spec, reader.columns()
    assert spec.images == {"front": ImageSpec(4, 6, 3)}
    assert (spec.state_names, spec.rate, spec.horizon) == (("x", "y"), 10.0, 3)
    assert spec.action.names == ("dx", "dy")
    assert spec.action.low == spec.action.high == (), "nobody noted bounds, and those of the data would tell what is held out"
    assert spec.tasks == ("go left", "go right")
    assert reader.metadata.instructions == ["go left", "go right"]
    assert columns.state.tolist() == [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1]]
    assert columns.reward is None
    (block,) = reader.frames(["front"])
    assert block["front"][:, 0, 0].tolist() == [[1, 2, 3]] * 5
    assert block["front"][:, 3, 5].tolist() == [[0, 0, 0], [0, 1, 0], [0, 2, 0], [10, 0, 0], [10, 1, 0]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda info: info.update(fps=0), "fps is 0, which are no steps per second: mend it"),
        (lambda info: info.pop("features"), "there is no 'features'"),
        (lambda info: info.update(fps="ten"), "'fps' is 'ten'"),
        (lambda info: info.update(total_episodes=0), r"is empty \(total_episodes 0, total_frames 5\): record"),
    ],
)
def test_what_info_json_lacks_is_told_as_it_is(tmp_path, change, message):
    write_toy(tmp_path)
    change_info(tmp_path, change)
    with pytest.raises(DataError, match=message):
        read_metadata(tmp_path)


def test_a_folder_whose_writer_was_killed_at_once_is_told_from_any_other(tmp_path):
    (tmp_path / ".writing.lock").touch()
    for opened in (read_metadata, open_contents):
        with pytest.raises(DataError, match="killed before its first episodes were safe"):
            opened(tmp_path)


def test_row_groups_are_kept_by_their_bytes(tmp_path, monkeypatch):
    pq.write_table(pa.table({"x": np.arange(40.0)}), tmp_path / "x.parquet", row_group_size=10)  # of 80 bytes each
    tables, read, really = ParquetTables([tmp_path / "x.parquet"]), [], parquet_tables._row_group
    monkeypatch.setattr(parquet_tables, "BYTES_KEPT", 200)
    monkeypatch.setattr(parquet_tables, "_row_group", lambda *key: read.append(key[1]) or really(*key))
    for row in (5, 15, 6, 25, 7, 16):  # at 25 the second one is given up, which was not asked for as long
        assert [part.to_pylist() for part in tables.at("x", np.array([row]))] == [[float(row)]]
    assert read == [0, 1, 2, 1]


@pytest.mark.parametrize(("name", "shape"), [("observation.images.top", [64, 64]), ("action", []), ("observation.state", [])])
def test_shapes_that_lie_in_data_of_others_are_named(tmp_path, name, shape):
    """Without a Spec of ours to compare with."""
    write_toy(tmp_path)
    change_info(tmp_path, lambda info: info.pop("vla_train"))
    change_info(tmp_path, lambda info: info["features"][name].update(shape=shape))
    with pytest.raises(DataError, match=f"feature '{name}'") as raised:
        read_metadata(tmp_path)
    assert raised.value.exit_code == 3


def test_discrete_actions_of_others_are_counted(tmp_path):
    write_toy(tmp_path)
    change_info(tmp_path, lambda info: info.pop("vla_train"))
    change_info(tmp_path, lambda info: info["features"]["action"].update(dtype="int64", shape=[1]))
    change_column(tmp_path / DATA, "action", pa.array([3, 0, 1, 4, 2]))
    action = read_metadata(tmp_path).spec.action
    assert (action.kind, action.size, action.choices) == ("discrete", 1, 5)


def change_info(folder, change):
    path = folder / "meta/info.json"
    info = json.loads(path.read_text())
    change(info)
    path.write_text(json.dumps(info))


def change_column(path, name, values):
    table = pq.read_table(path)
    place = table.schema.names.index(name)
    pq.write_table(table.drop_columns([name]) if values is None else table.set_column(place, name, values), path)


def actions(*rows):
    return pa.array([list(row) for row in rows], pa.list_(pa.float32()))


def set_info(**values):
    return lambda folder: change_info(folder, lambda info: info.update(values))


def set_shape(name, shape):
    return lambda folder: change_info(folder, lambda info: info["features"][name].update(shape=shape))


def set_column(name, values, path=DATA):
    return lambda folder: change_column(folder / path, name, values)


def cut(path):
    def damage(folder):
        (folder / path).write_bytes((folder / path).read_bytes()[:-40])

    return damage


def break_picture(folder):
    pictures = pq.read_table(folder / DATA)["observation.images.top"].to_pylist()
    pictures[4]["bytes"] = pictures[4]["bytes"][:30]
    change_column(
        folder / DATA, "observation.images.top", pa.array(pictures, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    )


DAMAGES = {
    "not json": (lambda folder: (folder / "meta/info.json").write_text("{"), "is not JSON"),
    "another format": (set_info(codebase_version="v9.9"), "is LeRobot v9.9; this program reads v3.0"),
    "no version": (lambda folder: change_info(folder, lambda info: info.pop("codebase_version")), "has no codebase_version"),
    "no features": (set_info(features=None), "'features' is None"),
    "no episodes": (set_info(total_episodes=0), "is empty"),
    "frames lie": (set_info(total_frames=6), "info.json says 6 frames, the data files hold 5"),
    "episodes lie": (set_info(total_episodes=3), "info.json says 3 episodes, meta/episodes hold 2"),
    "a malformed Spec": (set_info(vla_train={"spec": {"images": {}}}), "its Spec cannot be read"),
    "shape lies": (
        lambda folder: change_info(folder, lambda info: info["features"]["action"].update(shape=[3])),
        r"action is \[3\] under features, but \[2\] in its Spec",
    ),
    "an empty shape": (set_shape("next.reward", []), r"feature 'next.reward' needs a dtype, a shape"),
    "a picture without channels": (set_shape("observation.images.top", [4, 4]), r"whose shape is \[height, width, channels\]"),
    "a shape of truth": (set_shape("action", [True]), "feature 'action' needs a dtype, a shape"),
    "names that are none": (
        lambda folder: change_info(folder, lambda info: info["features"]["action"].update(names=7)),
        "names of feature 'action' are 7",
    ),
    "a length that is null": (set_column("length", pa.array([3, None]), EPISODES), "needs a column 'length'"),
    "a length in words": (set_column("length", pa.array(["3", "two"]), EPISODES), "needs a column 'length'"),
    "no lengths": (set_column("length", None, EPISODES), "needs a column 'length'"),
    "a task without a number": (set_column("task_index", pa.array([0, None]), "meta/tasks.parquet"), "task_index 0 to n - 1"),
    "no data": (lambda folder: (folder / DATA).unlink(), "has no file data/"),
    "torn data": (cut(DATA), "is no readable parquet file"),
    "torn episodes": (cut(EPISODES), "is no readable parquet file"),
    "lengths lie": (set_column("length", pa.array([3, 3]), EPISODES), "add up to 6 frames, not 5"),
    "missing column": (set_column("action", None), "has no column 'action'"),
    "a null": (
        set_column("next.reward", pa.array([1.0, None, 1.0, 1.0, 1.0], pa.float32())),
        "'next.reward' has 1 numbers in each row, says info.json, but 0 at step 1 of episode 0; 1 rows differ, in episode 0;",
    ),
    "text for numbers": (set_column("next.reward", pa.array(["a"] * 5)), "holds string, not numbers"),
    "sizes differ": (
        set_column("action", actions((0, 0), (0,), (0, 0, 0), (0, 0), (0, 0))),
        "'action' has 2 numbers in each row, says info.json, but 1 at step 1 of episode 0; 2 rows differ, in episode 0;",
    ),
    "NaN action": (
        set_column("action", actions((0, 0), (0, 0), (0, 0), (0, 0), (0, np.nan))),
        r"action: dy is nan at step 1 of episode 1",
    ),
    "infinite state": (
        set_column("observation.state", actions((0, 0), (0, 0), (-np.inf, 0), (0, 0), (0, 0))),
        r"observation.state: episode is -inf at step 2 of episode 0",
    ),
    "rows out of order": (set_column("frame_index", pa.array([0, 2, 1, 0, 1])), "frame_index of row 1 is 2, but .* puts 1 there"),
    "an unknown task": (set_column("task_index", pa.array([0, 0, 0, 7, 7])), "task_index reaches 7"),
    "a broken picture": (break_picture, "camera 'top' cannot be read at step 1 of episode 1"),
    "video": (
        lambda folder: change_info(folder, lambda info: info["features"]["observation.images.top"].update(dtype="video")),
        "declares the camera 'top', but has no files for it",
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_named(tmp_path, name):
    damage, message = DAMAGES[name]
    damage(write_toy(tmp_path))
    with pytest.raises(DataError, match=message):
        read_everything(tmp_path)


def read_everything(folder):
    reader = open_reader(folder)
    reader.columns()
    list(reader.frames(["top"]))


def test_the_damages_are_what_is_noticed(tmp_path):
    read_everything(write_toy(tmp_path))


def test_an_action_outside_the_choices_is_named(tmp_path):
    write_toy(tmp_path)
    spec = {"kind": "discrete", "size": 1, "choices": 4}
    change_info(tmp_path, lambda info: info["vla_train"]["spec"].update(action=spec))
    change_info(tmp_path, lambda info: info["features"]["action"].update(dtype="int64", shape=[1]))
    change_column(tmp_path / DATA, "action", pa.array([3, 0, 1, 4, 2]))
    with pytest.raises(DataError, match="action 4 at step 0 of episode 1 is none of the 4 choices"):
        open_reader(tmp_path).columns()


def test_no_folder_and_an_empty_folder(tmp_path):
    with pytest.raises(DataError, match="there is no such folder"):
        read_metadata(tmp_path / "nowhere")
    with pytest.raises(DataError, match="has no meta/info"):
        read_metadata(tmp_path)


def test_a_picture_of_another_size_is_named(tmp_path):
    write_toy(tmp_path)
    change_info(tmp_path, lambda info: info["features"]["observation.images.top"].update(shape=[4, 5, 3]))
    change_info(tmp_path, lambda info: info["vla_train"]["spec"]["images"]["top"].update(width=5))
    with pytest.raises(DataError, match=r"uint8 \[4, 4, 3\], where uint8 \[4, 5, 3\] is declared"):
        list(open_reader(tmp_path).frames(["top"]))


def test_a_column_of_variable_lists_is_read_as_well(tmp_path):
    write_toy(tmp_path)
    column = pq.read_table(tmp_path / DATA)["action"]
    change_column(tmp_path / DATA, "action", pc.cast(column, pa.list_(pa.float64())))
    assert open_reader(tmp_path).columns().action.tolist() == [[0, 0], [1, -1], [2, -2], [10, 0], [11, -1]]
