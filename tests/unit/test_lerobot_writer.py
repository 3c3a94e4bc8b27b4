"""What is written comes back to the bit, and lies on disk as LeRobotDataset v3.0 has it."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.recordings import write_v30
from tests.toy_dataset import INSTRUCTIONS, SPEC, episode, write_toy
from vla_train.data.reader import open_reader, read_metadata
from vla_train.data.writer import LeRobotWriter
from vla_train.errors import DataError
from vla_train.spec import ActionSpec, ImageSpec, Spec


def test_every_kind_of_picture_and_discrete_actions_come_back_to_the_bit(tmp_path):
    random = np.random.default_rng(0)
    spec = Spec(
        images={
            "top": ImageSpec(17, 23),
            "depth": ImageSpec(5, 9, channels=1, kind="depth"),
            "view": ImageSpec(7, 7, channels=3, kind="symbols", symbols=(11, 6, 3)),
        },
        state_size=0,
        action=ActionSpec("discrete", 1, choices=7),
    )
    images = {
        name: [
            random.integers(0, 256, (length, image.height, image.width, image.channels), dtype=np.uint8) for length in (4, 300)
        ]
        for name, image in spec.images.items()
    }
    actions = [random.integers(0, 7, (length, 1)) for length in (4, 300)]
    writer = LeRobotWriter(tmp_path, spec, "toy")
    for e, action in enumerate(actions):
        none = np.zeros(len(action), bool)
        writer.add_episode(
            images={name: frames[e] for name, frames in images.items()},
            state=np.zeros((len(action), 0)),
            action=action,
            reward=none,
            terminated=none,
            truncated=none,
            instruction="",
            task="",
        )
    reader = open_reader(writer.finish())

    assert reader.metadata.spec == spec
    assert reader.columns().action.dtype == np.int64
    np.testing.assert_array_equal(reader.columns().action, np.concatenate(actions))
    assert reader.columns().state.shape == (304, 0)
    blocks = list(reader.frames(list(spec.images)))
    for name, frames in images.items():
        np.testing.assert_array_equal(np.concatenate([block[name] for block in blocks]), np.concatenate(frames))


def test_numbers_and_facts_come_back(tmp_path):
    reader = open_reader(write_toy(tmp_path))
    metadata, columns = reader.metadata, reader.columns()
    assert (metadata.spec, metadata.num_episodes, metadata.num_frames) == (SPEC, 2, 5)
    assert metadata.instructions == list(INSTRUCTIONS)
    assert metadata.tasks == ["go", "pick"]
    assert [row["seed"] for row in metadata.episodes] == [100, 101]
    assert [json.loads(row["scene"]) for row in metadata.episodes] == [{"cup": [1, 2]}] * 2
    assert [row["outcome"] for row in metadata.episodes] == ["success", "failure"]
    assert columns.state.tolist() == [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1]]
    assert columns.action.tolist() == [[0, 0], [1, -1], [2, -2], [10, 0], [11, -1]]
    assert columns.starts.tolist() == [0, 3, 5]
    assert columns.text.tolist() == [0, 0, 0, 1, 1]
    assert columns.reward.tolist() == [1, 2, 3, 1, 2]
    assert columns.terminated.tolist() == [False, False, True, False, False]


def test_layout_of_version_3(tmp_path):
    write_toy(tmp_path)
    info = json.loads((tmp_path / "meta/info.json").read_text())
    assert info["codebase_version"] == "v3.0"
    assert (info["total_episodes"], info["total_frames"], info["total_tasks"], info["fps"]) == (2, 5, 2, 10)
    assert info["splits"] == {"train": "0:2"}
    assert info["features"]["observation.images.top"] == {
        "dtype": "image",
        "shape": [4, 4, 3],
        "names": ["height", "width", "channels"],
    }
    assert info["vla_train"]["generation"] == {"noise": 0.3}

    table = pq.read_table(tmp_path / "data/chunk-000/file-000.parquet")
    assert table.schema.field("observation.images.top").type == pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    assert table.schema.field("action").type == pa.list_(pa.float32(), 2)
    assert table["timestamp"].to_pylist() == pytest.approx([0, 0.1, 0.2, 0, 0.1])
    assert table["index"].to_pylist() == [0, 1, 2, 3, 4]
    assert table["next.done"].to_pylist() == [False, False, True, False, True]
    assert table["next.success"].to_pylist() == [False, False, True, False, False]
    assert table["next.truncated"].to_pylist() == [False, False, False, False, True]
    assert table["observation.images.top"][0]["bytes"].as_py().startswith(b"\x89PNG")

    tasks = pq.read_table(tmp_path / "meta/tasks.parquet")
    assert tasks.to_pydict() == {"task_index": [0, 1], "task": list(INSTRUCTIONS)}
    assert json.loads(tasks.schema.metadata[b"pandas"])["index_columns"] == ["task"]


def test_statistics_on_disk(tmp_path):
    """Column dx holds 0 1 2 10 11: its quantiles are linear in rank (0 to 4), so q10 lies at rank 0.4 and q90 at 3.6."""
    write_toy(tmp_path)
    stats = json.loads((tmp_path / "meta/stats.json").read_text())
    action = {key: value[0] for key, value in stats["action"].items()}
    assert (action["min"], action["max"], action["mean"], action["count"], action["q50"]) == (0, 11, 4.8, 5, 2)
    assert action["q10"] == pytest.approx(0.4)
    assert action["q90"] == pytest.approx(10.6)
    assert action["std"] == pytest.approx(np.sqrt((4.8**2 + 3.8**2 + 2.8**2 + 5.2**2 + 6.2**2) / 5))

    pixels = stats["observation.images.top"]  # red is 0 in three frames and 10 in two, green is the step, blue 200
    assert np.shape(pixels["mean"]) == (3, 1, 1)
    assert np.ravel(pixels["mean"]) == pytest.approx([4 / 255, 0.8 / 255, 200 / 255])
    assert np.ravel(pixels["max"]) == pytest.approx([10 / 255, 2 / 255, 200 / 255])
    assert np.ravel(pixels["std"]) == pytest.approx([np.sqrt(24) / 255, np.sqrt(0.56) / 255, 0])
    assert np.ravel(pixels["q50"]) == pytest.approx([0, 1 / 255, 200 / 255])

    rows = pq.read_table(tmp_path / "meta/episodes/chunk-000/file-000.parquet").to_pylist()
    assert rows[1]["stats/action/mean"] == [10.5, -0.5]
    assert rows[1]["stats/next.reward/max"] == [2]
    assert np.ravel(rows[1]["stats/observation.images.top/min"]) == pytest.approx([10 / 255, 0, 200 / 255])


def test_a_full_file_is_followed_by_another_and_no_episode_is_cut(tmp_path):
    write_toy(tmp_path, num_episodes=5, file_megabytes=1e-6)
    rows = pq.read_table(tmp_path / "meta/episodes/chunk-000/file-000.parquet").to_pylist()
    assert [row["data/file_index"] for row in rows] == [0, 1, 2, 3, 4]
    assert [(row["dataset_from_index"], row["dataset_to_index"]) for row in rows] == [(0, 3), (3, 5), (5, 8), (8, 10), (10, 13)]
    second = pq.read_table(tmp_path / "data/chunk-000/file-001.parquet")
    assert set(second["episode_index"].to_pylist()) == {1}

    reader = open_reader(tmp_path)
    assert reader.columns().action[:, 0].tolist() == [0, 1, 2, 10, 11, 20, 21, 22, 30, 31, 40, 41, 42]
    frames = np.concatenate([block["top"] for block in reader.frames(["top"])])
    assert frames[:, 0, 0, 0].tolist() == [0, 0, 0, 10, 10, 20, 20, 20, 30, 30, 40, 40, 40]


def test_equal_content_has_equal_fingerprints_wherever_it_lies(tmp_path):
    same, again, other = (read_metadata(write_toy(tmp_path / name, n)).fingerprint for name, n in (("a", 2), ("b", 2), ("c", 3)))
    assert same == again != other


def test_what_was_not_committed_is_no_dataset(tmp_path):
    writer = LeRobotWriter(tmp_path, SPEC, "toy", commit_every=0)
    writer.add_episode(**episode(0))
    with pytest.raises(DataError, match="has no meta/info"):
        read_metadata(tmp_path)


def test_a_number_that_is_not_finite_is_refused_with_its_place(tmp_path):
    writer = LeRobotWriter(tmp_path, SPEC, "toy")
    writer.add_episode(**episode(0))
    with pytest.raises(DataError, match=r"action\.1 is nan at step 1 of episode 1"):
        writer.add_episode(**episode(1, action=np.array([[0.0, 0.0], [0.0, np.nan]])))


def test_the_arrays_given_may_be_used_again(tmp_path):
    writer = LeRobotWriter(tmp_path, SPEC, "toy")
    given = episode(0, action=np.ones((3, 2), np.float32))
    writer.add_episode(**given)
    given["action"][:] = 7
    given["images"]["top"][:] = 7
    reader = open_reader(writer.finish())
    assert reader.columns().action.tolist() == [[1, 1]] * 3
    assert next(reader.frames(["top"]))["top"].max() == 200


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"state": np.zeros((3, 3))}, r"observation.state has shape \[3, 3\], not \[3, 2\]"),
        ({"reward": np.zeros(2)}, "next.reward has shape"),
        ({"images": {}}, "the episode has"),
        ({"images": {"top": np.zeros((3, 4, 4, 3), np.float32)}}, "must be uint8"),
        ({"task": "fly"}, "task 'fly' is none"),
        ({"metadata": {"length": 3}}, "may not be called"),
    ],
)
def test_what_does_not_fit_the_spec_is_refused(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        LeRobotWriter(tmp_path, SPEC, "toy").add_episode(**episode(0, **changes))


def test_a_folder_that_holds_a_dataset_is_not_written_over(tmp_path):
    write_toy(tmp_path)
    with pytest.raises(ValueError, match="already holds a dataset"):
        LeRobotWriter(tmp_path, replace(SPEC, state_size=1), "toy")


def test_of_what_another_dataset_has_otherwise_the_first_things_are_told(tmp_path):
    write_v30(tmp_path)
    with pytest.raises(DataError, match=r"which is made otherwise: .* more such things\. Name another folder") as refused:
        LeRobotWriter(tmp_path, SPEC, "toy", append=True)
    assert str(refused.value).count(";") == 5
