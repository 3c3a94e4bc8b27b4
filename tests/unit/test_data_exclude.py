"""``dataset.exclude``: episodes are left out whatever is wrong with them, and the others keep their numbers."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests import formats
from tests.recordings import LENGTHS, number, numbers_of, write_v21, write_v30
from tests.toy_dataset import LENGTHS as TOY_LENGTHS
from tests.toy_dataset import toy_processor, write_toy
from vla_train.data.choice import Choice
from vla_train.data.dataset import DemonstrationDataset
from vla_train.data.reader import open_reader
from vla_train.data.split import split_episodes
from vla_train.errors import DataError, UsageError
from vla_train.evaluation.open_loop import OpenLoop

ARM = {"cameras": ("top",), "state": ("state.arm",), "action": ("action.arm",)}
DATA, VIDEO = "data/chunk-000/episode_000001.parquet", "videos/chunk-000/observation.images.top/episode_000001.mp4"


def changed(folder, name, values):
    table = pq.read_table(folder / DATA)
    place = table.schema.names.index(name)
    pq.write_table(table.set_column(place, name, pa.array(values, table.schema.field(name).type)), folder / DATA)


def nan(folder):
    changed(folder, "action.arm", [[0.0, 0.0], [float("nan"), 1.0], [0.0, 0.0], [0.0, 0.0]])


def back_in_time(folder):
    changed(folder, "timestamp", [0.0, 0.2, 0.1, 0.3])


def without_time(folder):
    changed(folder, "timestamp", [0.0, float("nan"), 0.1, 0.3])


def torn(folder):
    (folder / VIDEO).write_bytes((folder / VIDEO).read_bytes()[:300])


def missing(folder):
    (folder / VIDEO).unlink()


def without_words(folder):
    for name in ("meta/tasks.jsonl", "meta/episodes.jsonl"):
        path = folder / name
        path.write_text(path.read_text().replace('"lift the ball"', '""'))


def without_column(folder):
    pq.write_table(pq.read_table(folder / DATA).drop_columns("action.arm"), folder / DATA)


def of_another_size(folder):
    changed(folder, "action.arm", [[0.0, 0.0, 0.0]] * 4)


def of_another_length(folder):
    path = folder / "meta/episodes.jsonl"
    path.write_text(path.read_text().replace('"length": 4', '"length": 7'))


def cut(folder):
    (folder / DATA).write_bytes((folder / DATA).read_bytes()[:300])


def gone(folder):
    (folder / DATA).unlink()


@pytest.mark.parametrize("damage", [without_column, of_another_size, of_another_length, cut, gone])
def test_of_a_file_whose_episode_is_left_out_nothing_is_read(tmp_path, damage):
    folder = write_v21(tmp_path)
    damage(folder)
    with pytest.raises(DataError):
        read(open_reader(folder, Choice(**ARM)))
    columns, frames = read(open_reader(folder, Choice(**ARM, exclude=(1,))))
    assert columns.starts.tolist() == [0, 5, 5, 11]
    assert [number(frame) for frame in frames] == [*numbers_of(0, LENGTHS[0]), *numbers_of(2, LENGTHS[2])]


@pytest.mark.parametrize("files", [((0, 1), (2,)), ((0,), (1, 2))])
@pytest.mark.parametrize("damage", ["gone", "cut", "column"])
def test_of_version_3_files_are_not_read_in_which_all_is_left_out(tmp_path, files, damage):
    folder = write_v30(tmp_path, data_files=files)
    last = folder / "data/chunk-000/file-001.parquet"
    if damage == "gone":
        last.unlink()
    elif damage == "cut":
        last.write_bytes(last.read_bytes()[:300])
    else:
        pq.write_table(pq.read_table(last).drop_columns("action.arm"), last)
    columns, frames = read(open_reader(folder, Choice(**ARM, exclude=files[1])))
    kept = files[0]
    assert columns.action[:, 0].tolist() == [10 * e + t for e in kept for t in range(LENGTHS[e])]
    assert [number(frame) for frame in frames] == [each for e in kept for each in numbers_of(e, LENGTHS[e])]
    with pytest.raises(DataError):
        read(open_reader(folder, Choice(**ARM, exclude=(0,))))


def test_rows_of_another_size_in_a_file_with_others_are_no_matter(tmp_path):
    folder = write_v30(tmp_path, data_files=((0, 1, 2),))
    path = folder / "data/chunk-000/file-000.parquet"
    rows = pq.read_table(path)
    sizes = [[1.0, 2.0]] * 5 + [[1.0]] * 4 + [[3.0, 4.0]] * 6
    place = rows.schema.names.index("action.arm")
    pq.write_table(rows.set_column(place, "action.arm", pa.array(sizes, pa.list_(pa.float64()))), path)
    with pytest.raises(DataError, match="4 rows differ, in episode 1"):
        open_reader(folder, Choice(**ARM)).columns()
    columns, frames = read(open_reader(folder, Choice(**ARM, exclude=(1,))))
    assert columns.action.tolist() == [[1.0, 2.0]] * 5 + [[3.0, 4.0]] * 6
    assert [number(frame) for frame in frames] == [*numbers_of(0, 5), *numbers_of(2, 6)]
    with pytest.raises(DataError, match="4 rows differ, in episode 1"):
        open_reader(folder, Choice(**ARM, exclude=(0,))).columns()


@pytest.mark.parametrize("damage", [nan, back_in_time, without_time, torn, missing, without_words])
def test_what_is_wrong_with_an_episode_that_is_left_out_is_no_matter(tmp_path, damage):
    folder = write_v21(tmp_path)
    damage(folder)
    with pytest.raises(DataError, match=r"dataset\.exclude"):
        read(open_reader(folder, Choice(**ARM)))
    columns, frames = read(open_reader(folder, Choice(**ARM, exclude=(1,))))
    assert columns.starts.tolist() == [0, 5, 5, 11]
    assert [number(frame) for frame in frames] == [*numbers_of(0, LENGTHS[0]), *numbers_of(2, LENGTHS[2])]
    assert columns.action[5].tolist() == [20, 0]
    assert [columns.texts[index] for index in columns.text[[0, 5]]] == ["push the cup", "open the box"]


def read(reader):
    columns = reader.columns()
    return columns, np.concatenate([block["top"] for block in reader.frames(["top"])])


@pytest.mark.parametrize("write", ["libero", "image_folder", "collector", "tensors", "v30"])
def test_every_format_can_leave_episodes_out(tmp_path, write):
    if write == "libero":
        pytest.importorskip("h5py")
    path = tmp_path / ("data.hdf5" if write == "libero" else "data")
    path = write_v30(path) if write == "v30" else getattr(formats, f"write_{write}")(path)
    choice = ARM if write == "v30" else {"depth_range": (0.0, 200.0)}
    whole, rest = open_reader(path, Choice(**choice)), open_reader(path, Choice(**choice, exclude=(0,)))
    camera = next(iter(whole.metadata.spec.images))
    length = int(whole.columns().starts[1])
    assert rest.columns().starts.tolist() == [0, 0, *(whole.columns().starts[2:] - length)]
    np.testing.assert_array_equal(rest.columns().action, whole.columns().action[length:])
    frames = [np.concatenate([block[camera] for block in reader.frames([camera])]) for reader in (whole, rest)]
    np.testing.assert_array_equal(frames[1], frames[0][length:])
    np.testing.assert_array_equal(rest.frames_at([camera], np.array([1]))[camera], frames[1][1:2])
    assert rest.metadata.fingerprint != whole.metadata.fingerprint


def test_training_sees_the_others_under_their_numbers(tmp_path):
    write_toy(tmp_path, num_episodes=5)
    reader = open_reader(tmp_path, Choice(exclude=(1, 3)))
    dataset = DemonstrationDataset(reader, toy_processor(tmp_path), history=2, chunk=2, validation=0.0, held_out=[4])
    assert {split: numbers.tolist() for split, numbers in dataset.episodes.items()} == {"train": [0, 2], "validation": [4]}
    assert dataset.num_frames == 3 * TOY_LENGTHS[0]
    held_out = dataset.gather(dataset.frames("validation"))
    assert held_out.observation.state[:, -1].tolist() == [[4, 0], [4, 1], [4, 2]]
    assert held_out.observation.present.tolist() == [[False, True], [True, True], [True, True]]
    assert held_out.observation.images["top"][:, -1, 0, 0, 0].tolist() == [40, 40, 40]
    with pytest.raises(UsageError, match="some of them left out"):
        OpenLoop(dataset, episodes=[3], execute=None)


def test_shares_are_of_what_is_left():
    split = split_episodes(6, 0.5, 0, None, (0, 5))
    assert sorted([*split["train"], *split["validation"]]) == [1, 2, 3, 4]
    assert len(split["validation"]) == 2
    with pytest.raises(DataError, match="both name episode 5"):
        split_episodes(6, 0.5, 0, [4, 5], (5,))


@pytest.mark.parametrize(("exclude", "message"), [((3,), "there is no episode 3"), ((0, 1, 2), "all 3 episodes")])
def test_episodes_that_cannot_be_left_out(tmp_path, exclude, message):
    with pytest.raises(DataError, match=message):
        open_reader(write_v21(tmp_path), Choice(**ARM, exclude=exclude))


def test_the_hint_can_be_followed(tmp_path):
    folder = formats.write_collector(tmp_path / "data")
    rows = json.loads((folder / "demo_1.json").read_text())
    rows[1]["action"][0] = float("nan")
    (folder / "demo_1.json").write_text(json.dumps(rows))
    with pytest.raises(DataError, match=r"action\.0 is nan at step 1 of episode 1 .*\(demo_1.json\).*dataset\.exclude=\[1\]"):
        open_reader(folder).columns()
    assert len(open_reader(folder, Choice(exclude=(1,))).columns().action) == 3
