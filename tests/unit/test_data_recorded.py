"""Recordings with video, in v2.1 and v3.0: every frame is the one of its time, and what is wrong is told with its place."""

import json
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.recordings import FEATURES, FPS, LENGTHS, SIZE, TEXTS, encode, number, numbers_of, write_v21, write_v30
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


def test_a_part_of_what_is_predicted_is_no_input(tmp_path):
    parts = {"action": {"y": {"start": 1, "end": 2, "original_key": "action.arm"}}}
    (write_v21(tmp_path) / "meta/modality.json").write_text(json.dumps(parts))
    with pytest.raises(DataError, match=r"both have 'action.arm.1': a policy must not be told"):
        open_reader(tmp_path, Choice(cameras=(), state=("action.y",), action=("action.arm",)))


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
    grey = FEATURES["observation.images.top"] | {"shape": [SIZE, SIZE, 1]}
    write_v21(tmp_path, features=FEATURES | {"observation.images.top": grey})
    (block,) = open_reader(tmp_path, ARM).frames(["top"])
    assert block["top"].shape == (15, SIZE, SIZE, 1)
    assert [number(frame) for frame in block["top"]] == NUMBERS


def test_a_block_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr("vla_train.data.table_reader.BLOCK_BYTES", 4 * SIZE * SIZE * 3 + 1)
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
        (Choice(state=("action.arm",), action=("action.arm",)), "both have 'action.arm.0': a policy must not be told"),
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


@pytest.mark.parametrize(("episode", "held"), [(0, 2), (1, 1)])
def test_a_short_video_of_many_episodes_names_the_episode(tmp_path, episode, held):
    """The file of episodes 0 (5 frames) and 1 (4) ends in the midst of one of them."""
    write_v30(tmp_path)
    path = tmp_path / "videos/observation.images.top/chunk-000/file-000.mp4"
    encode(path, (numbers_of(0, 5) + numbers_of(1, 4))[: episode * 5 + held])
    with pytest.raises(DataError, match=f"camera 'top', episode {episode}: .* holds {held} of its {LENGTHS[episode]} frames"):
        seen(open_reader(tmp_path, ARM))


def test_episodes_out_of_order_are_refused(tmp_path):
    """Of equal lengths: only their numbers tell that rows, videos and instructions would be those of another episode."""
    path = write_v30(tmp_path, lengths=(5, 5, 6)) / "meta/episodes/chunk-000/file-000.parquet"
    pq.write_table(pq.read_table(path).take([1, 0, 2]), path)
    with pytest.raises(DataError, match="meta/episodes needs a row for every episode_index from 0 on, in their order"):
        open_reader(tmp_path, ARM)


def test_a_text_may_hold_a_line_separator(tmp_path):
    texts = [f"{text}\u2028" for text in TEXTS]
    write_v21(tmp_path)
    for name, key in {"tasks": "task", "episodes": "tasks"}.items():
        rows = [json.loads(row) for row in (tmp_path / f"meta/{name}.jsonl").read_text().splitlines()]
        rows = [row | {key: text if name == "tasks" else [text]} for row, text in zip(rows, texts, strict=True)]
        (tmp_path / f"meta/{name}.jsonl").write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows))
    assert open_reader(tmp_path, ARM).metadata.instructions == texts


@pytest.mark.parametrize("values", [[None] * 3, ["0"] * 3])
def test_a_video_without_a_place_is_named(tmp_path, values):
    path = write_v30(tmp_path) / "meta/episodes/chunk-000/file-000.parquet"
    name = "videos/observation.images.top/file_index"
    table = pq.read_table(path)
    pq.write_table(table.set_column(table.schema.names.index(name), name, pa.array(values)), path)
    with pytest.raises(DataError, match=r"does not say where the video 'observation.images.top' of episode 0 lies"):
        open_reader(tmp_path, ARM)
