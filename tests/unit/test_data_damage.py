"""Recordings that contradict themselves or lie: each is refused with its place, and nothing is made of it."""

import json
import struct
import zlib

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.recordings import FEATURES, LENGTHS, SIZE, encode, numbers_of, write_v21
from vla_train.data.choice import Choice
from vla_train.data.reader import open_reader
from vla_train.errors import DataError

ARM = Choice(cameras=("top",), state=("state.arm",), action=("action.arm", "action.grip"))
HEADER = b"IHDR" + struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
ENORMOUS = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + HEADER + struct.pack(">I", zlib.crc32(HEADER))  # 30 GB, it says


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
    "a video cut in two": (cut, r"camera 'top', episode 1: .*episode_000001.mp4 cannot be opened"),
    "a playlist for a video": (playlist, r"camera 'top', episode 1: .*episode_000001.mp4 cannot be opened"),
    "a missing video": (lambda folder: (folder / video(1)).unlink(), r"'observation.images.top' of episode 1 is missing"),
    "two channels": (shape(SIZE, SIZE, 2), "camera 'top' declares 2 channels; videos of 1 or 3 are read"),
    "a picture as large as a lie": (shape(10**6, 10**6, 3), "at most 16,384 pixels a side"),
    "a picture with a lie of channels": (shape(16_000, 16_000, 16_000), "and 4 channels"),
    "a vector as long as a lie": (
        info(features=FEATURES | {"action.arm": {"dtype": "float64", "shape": [10**12]}}),
        "'action.arm' has the shape .1000000000000.; at most 1,000,000 numbers",
    ),
    "no frames a second": (info(fps=float("nan")), "fps is nan, which are no steps per second"),
    "a name that moves the cursor": (info(features=FEATURES | {"a\x1b[2J": FEATURES["action.arm"]}), "a printable name"),
    "a task that there is none": (
        line("episodes.jsonl", "\n".join(f'{{"episode_index": {e}, "length": {n}}}' for e, n in enumerate(LENGTHS))),
        "episode 0 has the tasks None in meta/episodes, but the first is not in meta/tasks",
    ),
    "another size": (shape(32, 64, 3), r"episode 0: .*step 0: its pictures are 64 x 64, where 32 x 64 is declared"),
    "a missing file": (lambda folder: (folder / data(2)).unlink(), r"there is no .*episode_000002.parquet"),
    "other actions": (
        column(1, "action.arm", lists(*[(0, 0, 0)] * 4)),
        r"'action.arm' has 2 numbers in each row, says info.json, but 3 at step 0 of episode 1; 4 rows differ, in episode 1;",
    ),
    "an infinite double": (
        column(1, "action.arm", lists((0, 0), (0, 1e300), (0, 0), (0, 0))),
        r"\.1 is inf at step 1 of episode 1 of .* \(data/chunk-000/episode_000001.parquet\)",
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
    "a path to elsewhere": (info(data_path="../{episode_index:06d}.parquet"), r"data_path is '\.\./.*names no file in"),
    "a path to where no link is looked for": (
        info(data_path="extra/{episode_index:06d}.parquet"),
        "data_path is 'extra/.*names no file in data/ or videos/",
    ),
    "a path from the root": (info(video_path="/etc/{video_key}"), "video_path is '/etc/.*names no file in"),
    "a path that asks": (info(video_path="{video_key.__class__}"), "video_path is '{video_key.__class__}'"),
    "a field that is none": (info(data_path="{who}.parquet"), "data_path is '{who}.parquet', which names no file in"),
    "parts that are not there": (
        line("modality.json", '{"action": {"all": {"start": 0, "end": 3, "original_key": "action.arm"}}}'),
        "'action.all' is said to be 0 to 3 of 'action.arm', which has 2 numbers",
    ),
    "parts without an end": (
        line("modality.json", '{"action": {"all": {"start": 0}}}'),
        r"modality.json cannot be read \('end'\)",
    ),
    "parts of nothing": (line("modality.json", "[]"), "modality.json cannot be read"),
    "a name that no file can have": (info(data_path=f"data/{'a' * 300}"), "data_path is 'data/aaa.*names no file in"),
    "a camera that no file can be called by": (
        info(video_path="videos/" + "{video_key}" * 20),
        "video_path is 'videos/{video_key}.*names no file in",
    ),
    "half a letter": (
        line("tasks.jsonl", r'{"task_index": 0, "task": "\ud800"}'),
        "line 1 of .*tasks.jsonl .*surrogates not allowed",
    ),
    "half a letter among the facts": (
        line("episodes.jsonl", r'{"episode_index": 0, "note": {"\ud800": 1}}'),
        "line 1 of .*episodes.jsonl .*surrogates not allowed",
    ),
    "half a letter in a name": (info(robot_type="\ud800"), "info.json is not JSON .*surrogates not allowed"),
    "no path": (info(data_path=7), "data_path is 7, which names no file in"),
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


def write_whole(folder, values):
    """A v2.1 dataset whose action is one column of declared whole numbers, the same in every episode."""
    info(features=FEATURES | {"action": {"dtype": "int64", "shape": [1]}})(write_v21(folder, cameras=()))
    for episode, length in enumerate(LENGTHS):
        table = pq.read_table(folder / data(episode))
        pq.write_table(table.append_column("action", pa.array(values[:length])), folder / data(episode))
    return open_reader(folder, Choice(cameras=(), state=()))


def test_a_column_of_whole_numbers_is_a_discrete_action(tmp_path):
    reader = write_whole(tmp_path, [0, 2, 1, 3, 1, 0])
    assert (reader.metadata.spec.action.kind, reader.metadata.spec.action.choices) == ("discrete", 4)
    assert reader.columns().action[:6].ravel().tolist() == [0, 2, 1, 3, 1, 0]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([0.5, 1.7, 2.2, 0.1, 0.9, 1.0], "'action' is declared as whole numbers, but its files hold float64"),
        ([0, 1, 2**62, 1, 1, 1], "whole numbers up to 4611686018427387904, too many to choose among"),
        ([0, -1, 1, 1, 1, 1], "action -1 at step 1 of episode 0 is none of the 2 choices"),
    ],
)
def test_whole_numbers_that_are_no_choices_are_refused(tmp_path, values, message):
    with pytest.raises(DataError, match=message):
        write_whole(tmp_path, values).columns()


@pytest.mark.parametrize("content", [b"", b"no picture", ENORMOUS])
def test_bytes_that_are_no_picture_are_named(tmp_path, content):
    write_v21(tmp_path)
    info(features=FEATURES | {"pic": {"dtype": "image", "shape": [8, 8, 3]}})(tmp_path)
    for episode in range(3):
        table = pq.read_table(tmp_path / data(episode))
        pictures = pa.array([{"bytes": content, "path": ""}] * len(table))
        pq.write_table(table.append_column("pic", pictures), tmp_path / data(episode))
    reader = open_reader(tmp_path, Choice(cameras=("pic",), state=(), action=("action.arm",)))
    what = "the image has 100,000 x 100,000 pixels" if content == ENORMOUS else "the bytes are not an image"
    with pytest.raises(DataError, match=f"camera 'pic' cannot be read at step 0 of episode 0: {what}"):
        list(reader.frames(["pic"]))
