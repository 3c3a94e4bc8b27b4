"""Recordings with video, in v2.1 and v3.0: every frame is the one of its time, and what is wrong is told with its place."""

import json
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.recordings import FPS, LENGTHS, SIZE, TEXTS, encode, number, numbers_of, write_v21, write_v30
from vla_train.data.choice import Choice
from vla_train.data.reader import open_reader
from vla_train.data.videos import Clip, decode_clips
from vla_train.errors import DataError
from vla_train.spec import ImageSpec

ARM = Choice(cameras=("top",), state=("state.arm",), action=("action.arm", "action.grip"))
NUMBERS = [n for e, length in enumerate(LENGTHS) for n in numbers_of(e, length)]
WRITERS = {"v2.1": write_v21, "v3.0": write_v30}
CODECS = ["libx264", "libsvtav1"]
IMAGE = ImageSpec(SIZE, SIZE)


def seen(reader, camera="top"):
    return [number(frame) for block in reader.frames([camera]) for frame in block[camera]]


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("version", WRITERS)
def test_every_frame_and_number_is_its_own(tmp_path, version, codec):
    reader = open_reader(WRITERS[version](tmp_path, codec=codec), ARM)
    spec, columns = reader.metadata.spec, reader.columns()
    assert seen(reader) == NUMBERS
    assert spec.images == {"top": IMAGE}
    assert (spec.rate, spec.horizon, spec.tasks) == (30.0, 6, TEXTS)
    assert spec.action.names == ("action.arm.0", "action.arm.1", "action.grip.0")
    assert spec.state_names == ("state.arm.0", "state.arm.1")
    assert (columns.action.dtype, columns.state.dtype) == (np.float32, np.float32)
    assert columns.action[:6].tolist() == [[0, 0, 0], [1, -1, 1], [2, -2, 0], [3, -3, 1], [4, -4, 0], [10, 0, 0]]
    assert columns.state[:2].tolist() == [[-1, 1], [0, 0]]
    assert columns.starts.tolist() == [0, 5, 9, 15]
    assert [columns.texts[i] for i in columns.text[[0, 5, 14]]] == list(TEXTS)


def test_the_state_that_an_action_is_about_is_known_although_it_is_no_input(tmp_path):
    reader = open_reader(write_v21(tmp_path), Choice(state=(), action=("action.grip", "action.arm"), cameras=()))
    reference = reader.columns().reference
    assert reference.shape == (15, 3)
    assert np.isnan(reference[:, 0]).all(), "there is no state.grip"
    assert reference[5:7, 1:].tolist() == [[9, 1], [10, 0]]


def test_parts_of_a_column_can_be_chosen_by_the_names_that_gr00t_gives_them(tmp_path):
    parts = {
        "action": {"y": {"start": 1, "end": 2, "original_key": "action.arm"}, "arm": {"start": 0, "end": 1}},
        "state": {"y": {"start": 1, "end": 2, "original_key": "state.arm"}},
    }
    (write_v21(tmp_path) / "meta/modality.json").write_text(json.dumps(parts))
    reader = open_reader(tmp_path, Choice(cameras=(), state=(), action=("action.y", "action.arm")))
    columns = reader.columns()
    assert reader.metadata.spec.action.names == ("action.y.0", "action.arm.0", "action.arm.1"), "a column stays a column"
    assert columns.action[6:8].tolist() == [[-1, 11, -1], [-2, 12, -2]]
    assert columns.reference[6:8].tolist() == [[0, 10, 0], [-1, 11, -1]]


def test_version_2_0_is_read_too(tmp_path):
    assert seen(open_reader(write_v21(tmp_path, version="v2.0"), ARM)) == NUMBERS


def test_episodes_of_one_file_are_found_by_their_time(tmp_path):
    """Pictures of other recordings between them, and a file whose later episode is asked for first."""
    reader = open_reader(write_v30(tmp_path, files=((2, 0), (1,)), gap=0.5), ARM)
    assert seen(reader) == NUMBERS


def test_frames_of_unequal_length_are_taken_by_their_time_not_their_number(tmp_path):
    times = [0.0, 0.1, 0.5, 0.55, 2.0]
    path = encode(tmp_path / "v.mp4", [3, 1, 4, 1, 5], seconds=[Fraction(t).limit_denominator(15360) for t in times])
    wanted = [np.array([0.1, 0.55], np.float32), np.array([0.0, 2.0 - 0.1], np.float32)]
    frames = [number(f) for f in decode_clips([Clip(path), Clip(path, 0.1)], wanted, IMAGE, "top") if f.shape == (64, 64, 3)]
    assert frames == [1, 1, 1, 5]


@pytest.mark.parametrize(("time", "nearest"), [(0.2, "0.1333"), (0.0, "0.1000"), (0.1003, "0.1000")])
def test_a_time_without_a_frame_is_named(tmp_path, time, nearest):
    path = encode(tmp_path / "v.mp4", [1, 2, 3], seconds=[Fraction(n, FPS) for n in (3, 4, 9)])
    with pytest.raises(
        DataError, match=rf"'top', episode 0: .*v.mp4, step 0: it has no frame at {time}.*nearest is at {nearest}"
    ):
        list(decode_clips([Clip(path)], [np.array([time])], IMAGE, "top"))


def test_a_grey_video(tmp_path):
    shape(SIZE, SIZE, 1)(write_v21(tmp_path))
    (block,) = open_reader(tmp_path, ARM).frames(["top"])
    assert block["top"].shape == (15, SIZE, SIZE, 1)
    assert [number(frame) for frame in block["top"]] == NUMBERS


def test_a_block_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr("vla_train.data.lerobot_reader.BLOCK_BYTES", 4 * SIZE * SIZE * 3 + 1)
    blocks = [len(block["top"]) for block in open_reader(write_v21(tmp_path), ARM).frames(["top"])]
    assert blocks == [4, 4, 4, 3]


def test_opaque_columns_are_never_read(tmp_path, monkeypatch):
    """They hold a pickle that would make a file; nothing reads them, and they cannot be chosen."""
    monkeypatch.chdir(tmp_path)
    reader = open_reader(write_v21(tmp_path / "data"), ARM)
    reader.columns()
    assert not (tmp_path / "poisoned").exists()
    with pytest.raises(DataError, match=r"'annotation.box' \(dataset.state\) as binary \[1\], which is no vector of numbers"):
        open_reader(tmp_path / "data", Choice(state=("annotation.box",), action=("action.arm",)))


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (
            Choice(),
            r"no column 'action': .*dataset.action=\[.*\] from\n  action.\*: arm \(2\), grip \(1\)\n.*\n  state.\*: arm \(2\)",
        ),
        (Choice(state=(), action=("action.army",)), r"no column 'action.army' \(dataset.action\). Did you mean action.arm\?"),
        (Choice(state=("what",), action=("action.arm",)), r"no column 'what' .*can be chosen:\n  action.\*: arm \(2\), grip"),
        (Choice(state=("action.arm",), action=("action.arm",)), "both name 'action.arm': a policy must not be told"),
        (Choice(cameras=("tip",), state=(), action=("action.arm",)), r"no camera 'tip'. Did you mean top\? It has top, wrist"),
    ],
)
def test_what_can_be_chosen_is_told(tmp_path, choice, message):
    with pytest.raises(DataError, match=message) as raised:
        open_reader(write_v21(tmp_path, cameras=("top", "wrist")), choice)
    assert raised.value.exit_code == 3


def test_a_camera_without_files_is_noted_and_the_others_go_on(tmp_path):
    reader = open_reader(write_v21(tmp_path), Choice(state=(), action=("action.arm",)))
    assert list(reader.metadata.spec.images) == ["top"]
    (note,) = reader.notes
    assert note.endswith("declares wrist without files: going on with top")


def test_a_camera_without_files_that_was_named_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"declares the camera 'wrist', but has no files for it \(these have: top\)"):
        open_reader(write_v21(tmp_path), Choice(cameras=("top", "wrist"), state=(), action=("action.arm",)))


def test_a_camera_may_be_called_by_its_feature(tmp_path):
    reader = open_reader(write_v21(tmp_path), Choice(("observation.images.top",), (), ("action.arm",)))
    assert list(reader.metadata.spec.images) == ["top"]


def video(episode):
    return f"videos/chunk-000/observation.images.top/episode_{episode:06d}.mp4"


def data(episode):
    return f"data/chunk-000/episode_{episode:06d}.parquet"


def shorten(folder):
    encode(folder / video(1), numbers_of(1, 2))


def cut(folder):
    content = (folder / video(1)).read_bytes()
    (folder / video(1)).write_bytes(content[: len(content) // 2])


def playlist(folder):
    """FFmpeg, left to guess, would open the file that it names."""
    (folder / video(1)).write_text("ffconcat version 1.0\nfile episode_000000.mp4\n")


def shape(*sizes):
    def change(folder):
        features = json.loads((folder / "meta/info.json").read_text())["features"]
        features["observation.images.top"]["shape"] = list(sizes)
        info(features=features)(folder)

    return change


def info(**values):
    def change(folder):
        path = folder / "meta/info.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | values))

    return change


def column(episode, name, values):
    def change(folder):
        table = pq.read_table(folder / data(episode))
        pq.write_table(table.set_column(table.schema.names.index(name), name, values), folder / data(episode))

    return change


def line(name, text):
    return lambda folder: (folder / "meta" / name).write_text(text)


def lists(*rows):
    return pa.array([list(row) for row in rows], pa.list_(pa.float64()))


DAMAGES = {
    "a short video": (shorten, r"camera 'top', episode 1: .*episode_000001.mp4 holds 2 of its 4 frames"),
    "a video cut in two": (cut, r"camera 'top', episode 1: .*episode_000001.mp4 holds 0 of its 4 frames"),
    "a playlist for a video": (playlist, r"camera 'top', episode 1: .* holds 0 of its 4 frames"),
    "a missing video": (lambda folder: (folder / video(1)).unlink(), r"'observation.images.top' of episode 1 is missing"),
    "two channels": (shape(SIZE, SIZE, 2), "camera 'top' declares 2 channels; videos of 1 or 3 are read"),
    "a picture as large as a lie": (shape(10**6, 10**6, 3), "at most 16,384 pixels a side"),
    "another size": (shape(32, 64, 3), r"episode 0: .*step 0: its pictures are 64 x 64, where 32 x 64 is declared"),
    "a missing file": (lambda folder: (folder / data(2)).unlink(), r"there is no .*episode_000002.parquet"),
    "other actions": (
        column(1, "action.arm", lists(*[(0, 0, 0)] * 4)),
        r"'action.arm' does not hold 2 numbers in every row, but 2 in episodes 0, 2, 3 in episode 1",
    ),
    "an infinite double": (
        column(1, "action.arm", lists((0, 0), (0, 1e300), (0, 0), (0, 0))),
        r"\[1\] is inf at step 1 of episode 1",
    ),
    "time that goes back": (
        column(1, "timestamp", pa.array([0.0, 0.2, 0.1, 0.3], pa.float32())),
        r"timestamps of episode 1 go back after step 1",
    ),
    "a length that lies": (
        line("episodes.jsonl", '{"episode_index": 0, "length": 7}\n'),
        "says 7 frames of episode 0, .* holds 5",
    ),
    "no json": (line("episodes.jsonl", '{"episode_index": 0}\n{'), r"line 2 of .*episodes.jsonl is not JSON"),
    "deep json": (line("tasks.jsonl", "[" * 100_000), r"line 1 of .*tasks.jsonl is not JSON"),
    "no object": (line("tasks.jsonl", "[]"), r"line 1 of .*tasks.jsonl is no JSON object"),
    "two for one": (line("tasks.jsonl", '{"task_index": 0}\n{"task_index": 0}'), "a line for every task_index from 0 on"),
    "no tasks": (lambda folder: (folder / "meta/tasks.jsonl").unlink(), r"tasks.jsonl cannot be read"),
    "chunks of nothing": (info(chunks_size=0), "chunks_size in meta/info.json is 0"),
    "a path to elsewhere": (info(data_path="../{episode_index:06d}.parquet"), r"data_path is '\.\./.*names no file inside"),
    "a path from the root": (info(video_path="/etc/{video_key}"), "video_path is '/etc/.*names no file inside"),
    "a path that asks": (info(video_path="{video_key.__class__}"), "declares the camera 'top', but has no files"),
    "a field that is none": (info(data_path="{who}.parquet"), "data_path is '{who}.parquet', which names no file inside"),
    "parts that are not there": (
        line("modality.json", '{"action": {"all": {"start": 0, "end": 3, "original_key": "action.arm"}}}'),
        "'action.all' is said to be 0 to 3 of 'action.arm', which has 2 numbers",
    ),
    "parts without an end": (
        line("modality.json", '{"action": {"all": {"start": 0}}}'),
        r"modality.json cannot be read \('end'\)",
    ),
    "parts of nothing": (line("modality.json", "[]"), "modality.json cannot be read"),
    "no path": (info(data_path=7), "data_path is 7, which names no file inside"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_named(tmp_path, name):
    damage, message = DAMAGES[name]
    damage(write_v21(tmp_path))
    with pytest.raises(DataError, match=message) as raised:
        read_everything(tmp_path)
    assert raised.value.exit_code == 3


def read_everything(folder):
    reader = open_reader(folder, ARM)
    reader.columns()
    list(reader.frames(["top"]))


def test_the_damages_are_what_is_noticed(tmp_path):
    read_everything(write_v21(tmp_path))


@pytest.mark.parametrize(("episode", "held"), [(0, 2), (1, 1)])
def test_a_short_video_of_many_episodes_names_the_episode(tmp_path, episode, held):
    """The file of episodes 0 (5 frames) and 1 (4) ends in the midst of one of them."""
    write_v30(tmp_path)
    path = tmp_path / "videos/observation.images.top/chunk-000/file-000.mp4"
    encode(path, (numbers_of(0, 5) + numbers_of(1, 4))[: episode * 5 + held])
    with pytest.raises(DataError, match=f"camera 'top', episode {episode}: .* holds {held} of its {LENGTHS[episode]} frames"):
        seen(open_reader(tmp_path, ARM))


@pytest.mark.parametrize("values", [[None] * 3, ["0"] * 3])
def test_a_video_without_a_place_is_named(tmp_path, values):
    path = write_v30(tmp_path) / "meta/episodes/chunk-000/file-000.parquet"
    name = "videos/observation.images.top/file_index"
    table = pq.read_table(path)
    pq.write_table(table.set_column(table.schema.names.index(name), name, pa.array(values)), path)
    with pytest.raises(DataError, match=r"does not say where the video 'observation.images.top' of episode 0 lies"):
        open_reader(tmp_path, ARM)
