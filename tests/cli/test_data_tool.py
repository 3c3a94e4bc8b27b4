"""``vla-data`` on real files: recordings of others, damaged ones, and demonstrations of the simulator."""

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests import formats
from tests.recordings import LENGTHS, REAL, encode, numbers_of, write_v21, write_v30
from tests.toy_dataset import SPEC, episode, write_toy
from vla_train.data.choice import Choice
from vla_train.data.reader import open_reader
from vla_train.data.records import content_fingerprint
from vla_train.data.writer import LeRobotWriter

ARM = Choice(cameras=("top",), state=("state.arm",), action=("action.arm",))
PROGRAM = [sys.executable, "-m", "vla_train.cli.data"]
VIDEO, DATA = "videos/chunk-000/observation.images.top/episode_000001.mp4", "data/chunk-000/episode_000001.parquet"


def start(*words):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [*PROGRAM, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    )


def columns_of(folder):
    """Every number of a dataset by column, as stored."""
    table = open_reader(folder, ARM).table
    names = [name for name, f in table.features.items() if f["dtype"].startswith(("float", "int", "bool"))]
    return table.numbers(names)


def pictures(folder):
    frames = [block["top"] for block in open_reader(folder, ARM).frames(["top"])]
    return np.concatenate(frames)


def recordings(folder):
    """sha256 by name of what must never be written."""
    files = [path for part in ("data", "videos") for path in (folder / part).rglob("*") if path.is_file()]
    return {path.relative_to(folder): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def change(folder, name="meta/info.json", **values):
    path = folder / name
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_inspect_and_stats_tell_what_is_there(data, tmp_path):
    write_v21(tmp_path / "arm")
    told = data("inspect", tmp_path / "arm")
    for text in (
        "LeRobot v2.1, 3 episodes, 15 frames, 30 steps/s",
        "push the cup",
        "64 x 64",
        "video",
        "action.arm",
        "annotation.box",
    ):
        assert text in told
    assert "cameras declared without files: observation.images.wrist" in told
    rows = {
        line.split()[0]: line.split()[1:] for line in data("stats", tmp_path / "arm").splitlines() if line.startswith(" action")
    }
    # action.arm.1 is 0 -1 -2 -3 -4, 0 -1 -2 -3, 0 -1 -2 -3 -4 -5: its mean is -31/15, its median -2
    assert rows["action.arm.1"][0] == "-5"
    assert rows["action.arm.1"][3:5] == ["-2", "-2.067"]
    data("stats", tmp_path / "arm", f"output={tmp_path / 'stats.json'}")
    assert json.loads((tmp_path / "stats.json").read_text())["action.arm"]["mean"][1] == pytest.approx(-31 / 15)
    assert "is there already" in data("stats", tmp_path / "arm", f"output={tmp_path / 'stats.json'}", expect=2)
    not_a_number(tmp_path / "arm")
    assert "NaN or infinite in 1 frames: action.arm.0; episodes 1" in data("inspect", tmp_path / "arm")


@pytest.mark.parametrize(("images", "lossless"), [("keep", True), ("png", True), ("h264", False)])
def test_a_conversion_is_exact(data, tmp_path, images, lossless):
    source = write_v21(tmp_path / "old", codec="libsvtav1")
    told = data("convert", source, tmp_path / "new", f"images={images}")
    info = json.loads((tmp_path / "new/meta/info.json").read_text())
    assert (info["codebase_version"], info["total_episodes"], info["total_frames"], info["fps"]) == ("v3.0", 3, 15, 30)
    old, new = columns_of(source), columns_of(tmp_path / "new")
    assert {name: values.dtype for name, values in old.items()} == {name: values.dtype for name, values in new.items()}
    for name, values in old.items():
        np.testing.assert_array_equal(values, new[name], err_msg=name)
    assert open_reader(tmp_path / "new", ARM).metadata.instructions == [
        "push the cup",
        "lift the ball",
        "open the box",
    ]
    apart = np.abs(pictures(source).astype(int) - pictures(tmp_path / "new"))
    assert (apart.max() == 0) == lossless
    assert apart.mean() < 1.5
    assert ("PSNR" in told) == (not lossless)
    assert "nothing wrong" in data("validate", tmp_path / "new")
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_several_episodes_in_one_video_are_copied_in_their_places(data, tmp_path):
    source = write_v30(tmp_path / "old", gap=0.2)
    assert "copies, byte for byte" in data("convert", source, tmp_path / "new")
    np.testing.assert_array_equal(pictures(source), pictures(tmp_path / "new"))
    data("convert", source, tmp_path / "again", "images=h264")
    with av.open(str(tmp_path / "again/videos/observation.images.top/chunk-000/file-000.mp4")) as video:
        assert video.streams.video[0].frames == sum(LENGTHS)


@pytest.mark.parametrize(
    ("write", "camera"),
    [("libero", "agentview_rgb"), ("image_folder", "image"), ("collector", "image"), ("tensors", "image.top")],
)
def test_every_format_is_shown_and_converted(data, tmp_path, write, camera):
    if write == "libero":
        pytest.importorskip("h5py")
    place = tmp_path / ("demo.hdf5" if write == "libero" else "data")
    source = getattr(formats, f"write_{write}")(place) or place
    assert "2 episodes, 5 frames" in data("inspect", source)
    told = data("convert", source, tmp_path / "new", "depth_range=[0,255]")
    assert "all exact" in told
    assert f"{camera}: all pictures exact" in told
    assert "nothing wrong" in data("validate", tmp_path / "new")
    columns = open_reader(tmp_path / "new", Choice(state=(), action=("action",), cameras=())).columns()
    assert columns.action.tolist() == [[0, 0], [1, -1], [2, -2], [10, 0], [11, -1]]


def test_a_killed_conversion_goes_on_where_it_was(tmp_path):
    """240 episodes of fifty steps, committed every hundred episodes; killed after the first commit."""
    source, count = tmp_path / "source", 240
    writer = LeRobotWriter(source, SPEC, "toy")
    for e in range(count):
        writer.add_episode(**long_episode(e))
    writer.finish()
    partial, ends = tmp_path / ".new.partial", []
    while not ends or ends[-1] == -signal.SIGKILL:
        process = start("convert", source, tmp_path / "new", "verify=false")
        began = (partial / "meta/info.json").stat().st_mtime_ns if partial.exists() else 0
        while len(ends) < 2 and process.poll() is None:
            path = partial / "meta/info.json"
            if path.exists() and path.stat().st_mtime_ns > began:
                assert open_reader(partial).metadata.num_episodes % 100 == 0  # whole episodes, readable
                process.send_signal(signal.SIGKILL)
                break
            time.sleep(0.002)
        printed, _ = process.communicate(timeout=120)
        ends.append(process.returncode)
        assert not (tmp_path / "new").exists() or process.returncode == 0
    assert ends[-1] == 0, printed
    assert ends.count(-signal.SIGKILL) >= 1, "it was killed at least once"
    assert "going on after" in printed
    done = start("convert", source, tmp_path / "once", "verify=false")
    assert done.wait(timeout=120) == 0
    done.stdout.close()
    same = [content_fingerprint(tmp_path / name, ("data", "videos", "meta/episodes")) for name in ("new", "once")]
    assert same[0] == same[1], "as if it had never been killed"


def long_episode(e):
    steps = np.arange(50)
    given = episode(e)
    images = {"top": np.random.default_rng(e).integers(0, 256, (50, 4, 4, 3), dtype=np.uint8)}
    changed = {"images": images, "state": np.stack([np.full(50, e), steps], 1), "action": np.stack([steps % 20, -steps % 20], 1)}
    changed |= {"reward": steps * 1.0, "terminated": steps == 49, "truncated": steps < 0}
    return given | changed


def short_video(folder):
    encode(folder / VIDEO, numbers_of(1, 2))


def torn_video(folder):
    (folder / VIDEO).write_bytes((folder / VIDEO).read_bytes()[:300])


def missing_column(folder):
    table = pq.read_table(folder / DATA)
    pq.write_table(table.drop_columns(["action.grip"]), folder / DATA)


def lying_length(folder):
    lines = [json.loads(line) for line in (folder / "meta/episodes.jsonl").read_text().splitlines()]
    lines[1]["length"] = 7
    (folder / "meta/episodes.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def not_a_number(folder):
    table = pq.read_table(folder / DATA)
    values = pa.array([[0.0, 0.0], [float("nan"), 1.0], [0.0, 0.0], [0.0, 0.0]], pa.list_(pa.float64()))
    pq.write_table(table.set_column(table.schema.names.index("action.arm"), "action.arm", values), folder / DATA)


def gap(folder):
    table = pq.read_table(folder / DATA)
    times = pa.array(np.array([0, 1, 5, 6], np.float32) / 30)
    pq.write_table(table.set_column(table.schema.names.index("timestamp"), "timestamp", times), folder / DATA)
    encode(folder / VIDEO, numbers_of(1, 7))


BAD = {  # damage, what convert says, what validate says
    "a short video": (short_video, r"episode 1.*episode_000001.mp4.*holds 2 of its 4", None),
    "a torn video": (torn_video, r"episode 1: .*episode_000001.mp4 cannot be opened", None),
    "a missing column": (missing_column, r"episode_000001.parquet has no column 'action.grip'", None),
    "a length that lies": (
        lying_length,
        r"says 7 frames of episode 1, its file holds 4",
        r"episode 1: 7, but 4 \(--fix mends it\)",
    ),
    "a thousand million frames": (
        lambda folder: change(folder, total_frames=10**9),
        r"says 1000000000 frames",
        r"total_frames 1,000,000,000 \(the data files hold 15\) \(--fix mends it\)",
    ),
    "no number": (
        not_a_number,
        r"action.arm is not finite at step 1 of episode 1 \(data/chunk-000/episode_000001.parquet\)",
        r"action.arm is not finite in 1 frames, first at step 1 of",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_named_and_nothing_is_made_of_it(data, tmp_path, name):
    damage, said, listed = BAD[name]
    source = write_v21(tmp_path / "source")
    damage(source)
    before = content_fingerprint(source)
    told = data("convert", source, tmp_path / "new", expect=3)
    assert len([line for line in told.splitlines() if line.startswith("error:")]) == 1
    assert re.search(said, told, re.DOTALL), told
    assert [path.name for path in tmp_path.iterdir()] == ["source"], "nothing half-made"
    told = data("validate", source, expect=3)
    assert re.search(listed or said, told, re.DOTALL), told
    assert content_fingerprint(source) == before


def test_what_our_own_writer_noted_may_be_damaged_too(data, tmp_path):
    source = write_toy(tmp_path / "source")
    change(source, vla_train=json.loads((source / "meta/info.json").read_text())["vla_train"] | {"recipe": float("nan")})
    assert "that is none" in data("convert", source, tmp_path / "new", expect=3)
    path = source / "meta/tasks.parquet"
    path.write_bytes(path.read_bytes().replace(b"red cup", b"r\xe9d cup"))
    assert "tasks.parquet" in data("inspect", source, expect=3)
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_nothing_is_written_over(data, tmp_path):
    source = write_toy(tmp_path / "source")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken/mine.txt").write_text("mine")
    assert "is not empty" in data("convert", source, tmp_path / "taken", expect=3)
    assert [path.name for path in (tmp_path / "taken").iterdir()] == ["mine.txt"]
    assert "there is no" in data("convert", tmp_path / "nowhere", tmp_path / "new", expect=3)
    assert "no dataset of a known format" in data("inspect", tmp_path / "taken", expect=3)


def test_mistakes_in_words(data, tmp_path):
    assert "Did you mean inspect?" in data("inspekt", tmp_path, expect=2)
    assert "Did you mean images?" in data("convert", tmp_path, tmp_path / "x", "imags=png", expect=2)
    assert "has no option --force" in data("convert", "--force", tmp_path, tmp_path / "x", expect=2)
    assert "by number" in data("view", tmp_path, "episodes=0-99999999999", expect=2)
    assert "takes FROM TO" in data("convert", tmp_path, expect=2)
    assert "Usage: vla-data" in data(expect=2)
    assert "Usage: vla-data" in data("--help")


@pytest.mark.parametrize("write", [write_v21, lambda folder: write_toy(folder, num_episodes=4, file_megabytes=1e-6)])
def test_what_meta_says_wrongly_is_mended_and_recordings_are_not_touched(data, tmp_path, write):
    folder = write(tmp_path / "data")
    if not (folder / "meta/stats.json").exists():
        data("validate", folder, "--fix")
    assert "nothing wrong" in data("validate", folder)
    right, before = json.loads((folder / "meta/stats.json").read_text()), recordings(folder)
    change(folder, total_frames=99, total_episodes=98)
    column = "action.arm" if "action.arm" in right else "action"
    change(folder, "meta/stats.json", **{column: right[column] | {"mean": [5.0, 5.0]}})
    told = data("validate", folder, expect=3)
    assert "total_frames 99" in told
    told = data("validate", folder, "--fix")
    assert told.count("mended:") == 2
    assert f"{column} has the mean" in told
    assert "nothing wrong" in data("validate", folder)
    assert json.loads((folder / "meta/stats.json").read_text())[column]["mean"] == pytest.approx(right[column]["mean"])
    assert recordings(folder) == before


def test_lengths_are_mended_in_both_versions(data, tmp_path):
    old = write_v21(tmp_path / "old")
    data("validate", old, "--fix")
    lying_length(old)
    assert "mended: meta/ says other lengths" in data("validate", old, "--fix")
    new = write_toy(tmp_path / "new", num_episodes=3)
    path = new / "meta/episodes/chunk-000/file-000.parquet"
    rows = open_reader(new).metadata.episodes
    table = pq.read_table(path)
    pq.write_table(table.set_column(table.schema.names.index("length"), "length", pa.array([3, 9, 3])), path)
    assert "episode 1: 9, but 2" in data("validate", new, expect=3)
    assert "nothing wrong" in data("validate", new, "--fix")
    assert open_reader(new).metadata.episodes == rows


def test_frames_that_are_missing_in_time_are_told(data, tmp_path):
    folder = write_v21(tmp_path)
    data("validate", folder, "--fix")
    gap(folder)
    told = data("validate", folder, expect=3)
    assert "frames are missing in 1 places, first 0.133 s after step 1 of episode 1" in told


@pytest.mark.skipif(not REAL.is_dir(), reason="the recordings sim_pick_place are not on this machine")
def test_statistics_of_real_recordings_are_quick(tmp_path):
    began = time.perf_counter()
    process = start("stats", REAL, f"output={tmp_path / 'stats.json'}")
    printed, _ = process.communicate(timeout=60)
    assert process.returncode == 0, printed
    assert time.perf_counter() - began < 20  # 0.5 s of an idle core
    found = json.loads((tmp_path / "stats.json").read_text())
    said = json.loads((REAL / "meta/stats.json").read_text())
    assert len(found) == 26
    for name, each in found.items():
        for key in ("min", "max", "mean", "std", "q01", "q99"):
            if key in said[name]:
                np.testing.assert_allclose(each[key], np.ravel(said[name][key]), rtol=1e-4, atol=1e-5, err_msg=f"{name} {key}")


def test_nothing_heavy_is_imported():
    modules = "vla_train.cli.data, vla_train.data_tools.overview, vla_train.data_tools.validate"
    code = f"import sys, {modules}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "False"
