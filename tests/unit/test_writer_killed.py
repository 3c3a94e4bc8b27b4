"""Real processes that write datasets and are killed: what they committed is there, and can be gone on with."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.killed_writer import SPEC, told
from vla_train.data import lerobot_files, lerobot_meta
from vla_train.data.reader import open_reader
from vla_train.data.records import content_fingerprint
from vla_train.data.writer import LeRobotWriter
from vla_train.errors import DataError, UsageError
from vla_train.spec import ActionSpec, ImageSpec, Spec

ACTION = ActionSpec("continuous", 2, low=(-1.0, -1.0), high=(1.0, 1.0), names=("dx", "dy"), units=("m", "m"))
NAMED = replace(SPEC, action=ACTION, state_names=("x", "y"))

ROOT = Path(__file__).parents[2]
# Writes episodes into argv[1] for ever, and says so; the pictures of episode e are all of brightness 10 e + t.
WRITER = """
import sys
from pathlib import Path
from tests.killed_writer import SPEC, told
from vla_train.data.writer import LeRobotWriter

writer = LeRobotWriter(Path(sys.argv[1]), SPEC, "toy", video=sys.argv[2] or None, append=True)
while True:
    writer.add_episode(**told(writer.num_episodes))
    print(writer.num_episodes, flush=True)
"""


# Is killed at each of all renamings by which files get their names: a half before it, the other half after it. Before that
# argv[3] episodes are written and finished; files of data are full at argv[4] megabytes.
KILLED_AT = """
import os, pathlib, signal, sys
from tests.killed_writer import SPEC, told
from vla_train.data.writer import LeRobotWriter

def attempt(folder, video, place):
    count, replace = 0, pathlib.Path.replace
    def counted(self, target):
        nonlocal count
        count += 1
        if count == (place + 1) // 2 and place % 2:
            os.kill(os.getpid(), signal.SIGKILL)
        replace(self, target)
        if count == (place + 1) // 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return target
    full = float(sys.argv[4])
    if finished := int(sys.argv[3]):
        writer = LeRobotWriter(folder, SPEC, "toy", append=True, file_megabytes=full)
        for e in range(finished):
            writer.add_episode(**told(e))
        writer.finish()
    pathlib.Path.replace = counted
    writer = LeRobotWriter(folder, SPEC, "toy", video=video or None, append=True, file_megabytes=full)
    for _ in range(2):
        done = writer.num_episodes
        print(done, end=" ", flush=True)
        writer.add_episode(**told(done))
    writer.finish()
    sys.stdout.flush()
    os._exit(0)

place = 0
while True:
    place += 1
    folder = pathlib.Path(sys.argv[1], str(place))
    print(place, end=": ", flush=True)
    child = os.fork()
    if child == 0:
        attempt(folder, sys.argv[2], place)
    _, status = os.waitpid(child, 0)
    print(flush=True)
    if status == 0:
        break
"""


def check(folder, at_least):
    """Every committed episode is there, whole and right. Returns how many there are."""
    reader = open_reader(folder)
    columns, count = reader.columns(), reader.metadata.num_episodes
    assert count >= at_least
    blocks = list(reader.frames(["top", "depth"]))
    top, depth = (np.concatenate([block[name] for block in blocks]).mean(axis=(1, 2, 3)) for name in ("top", "depth"))
    wanted = [told(e) for e in range(count)]
    np.testing.assert_array_equal(columns.action, np.concatenate([each["action"] for each in wanted]))
    np.testing.assert_array_equal(depth, np.concatenate([each["images"]["depth"][:, 0, 0, 0] for each in wanted]))
    np.testing.assert_allclose(top, depth, atol=2)
    return count


@pytest.mark.parametrize("video", ["", "h264"])
def test_a_killed_writer_leaves_every_whole_episode(tmp_path, video):
    folder, before = tmp_path / "data", 0
    for pause in (0.0, 0.013):
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", WRITER, str(folder), video]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        assert process.stdout is not None
        said = [int(process.stdout.readline()) for _ in range(3)]
        time.sleep(pause)  # somewhere in the next episode
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        assert said[0] == before + 1, "it went on where the one before was killed"
        before = check(folder, at_least=said[-1])
    writer = LeRobotWriter(folder, SPEC, "toy", video=video or None, append=True)
    writer.add_episode(**told(before))
    writer.finish()
    assert check(folder, at_least=before + 1) == before + 1
    assert "unfinished" not in json.loads((folder / "meta/info.json").read_text())["vla_train"]
    assert not [path.name for path in folder.rglob("*") if path.name.endswith((".partial", ".lock"))]


@pytest.mark.parametrize(("finished", "video", "full"), [(0, "h264", 1e-6), (2, "", 1e-6), (0, "", 100.0)])
def test_there_is_no_wrong_moment_to_be_killed(tmp_path, finished, video, full):
    """Neither where each episode has files of its own, nor where small files are written anew with the next one."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", KILLED_AT, str(tmp_path), video, str(finished), str(full)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
    assert done.returncode == 0, done.stderr
    lines = [line.split(":") for line in done.stdout.splitlines()]
    assert len(lines) > 14, "seven renamings at least: data, meta/episodes and info of two episodes, and the tasks"
    for place, said in lines:
        begun = [finished, *map(int, said.split())]  # episode n was begun: all before it had been committed
        folder = tmp_path / place
        if max(begun) == 0 and not (folder / "meta/info.json").exists():
            continue  # the first was not whole yet
        found = check(folder, at_least=max(begun))
        if int(place) % 3:
            continue  # to go on with a third of them will do
        writer = LeRobotWriter(folder, SPEC, "toy", video=video or None, append=True, file_megabytes=full)
        assert writer.num_episodes == found
        writer.add_episode(**told(found))
        writer.finish()
        check(folder, at_least=found + 1)


def test_appended_is_as_if_written_at_once(tmp_path):
    for name, sizes in (("once", [4]), ("twice", [3, 1])):
        for size in sizes:
            writer = LeRobotWriter(tmp_path / name, SPEC, "toy", append=True)
            for _ in range(size):
                writer.add_episode(**told(writer.num_episodes))
            writer.finish()
    once, twice = (open_reader(tmp_path / name) for name in ("once", "twice"))
    assert once.metadata.episodes == twice.metadata.episodes
    assert once.metadata.spec == twice.metadata.spec
    statistics = [json.loads((tmp_path / name / "meta/stats.json").read_text()) for name in ("once", "twice")]
    assert statistics[0]["action"] == statistics[1]["action"]
    top = [stats["observation.images.top"] for stats in statistics]
    for key in ("min", "max", "mean", "std", "count"):
        np.testing.assert_allclose(top[0][key], top[1][key], rtol=1e-12, err_msg=key)
    assert check(tmp_path / "twice", 4) == 4


def interrupted(folder, count, **options):
    """A process that adds ``count`` episodes, each in a file of its own, and is killed before it commits any."""
    if (child := os.fork()) == 0:
        writer = LeRobotWriter(folder, SPEC, "toy", file_megabytes=1e-6, commit_every=0, **options)
        for _ in range(count):
            writer.add_episode(**told(writer.num_episodes))
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)


def test_what_was_never_committed_does_not_count(tmp_path):
    interrupted(tmp_path, 4, append=True)
    assert len(list(tmp_path.glob("data/*/*.parquet"))) == 3
    for size in (2, 1):
        writer = LeRobotWriter(tmp_path, SPEC, "toy", append=True)
        for _ in range(size):
            writer.add_episode(**told(writer.num_episodes))
        done = writer.num_episodes
        assert check(writer.finish(), done) == done
        told_frames = json.loads((tmp_path / "meta/stats.json").read_text())["action"]["count"]
        assert told_frames == [sum(len(told(e)["action"]) for e in range(done))]
        interrupted(tmp_path, 3, append=True)
        assert check(tmp_path, done) == done


def test_files_of_others_are_not_taken_for_leftovers(tmp_path):
    interrupted(tmp_path, 2)
    files = content_fingerprint(tmp_path)
    for append in (False, True):
        with pytest.raises(DataError, match=r"has no meta/info.json, but data/.*file-000.parquet: name an empty folder"):
            LeRobotWriter(tmp_path, SPEC, "toy", append=append)
    assert content_fingerprint(tmp_path) == files


def test_a_gap_among_the_files_is_not_filled(tmp_path):
    writer = LeRobotWriter(tmp_path, SPEC, "toy")
    for e in range(3):
        writer.add_episode(**told(e))
        writer.commit()
    writer.finish()
    rows = tmp_path / "meta/episodes/chunk-000"
    (rows / "file-002.parquet").rename(rows / "file-003.parquet")
    with pytest.raises(DataError, match=r"without a gap \(meta/episodes/chunk-000/file-002.parquet\)"):
        LeRobotWriter(tmp_path, SPEC, "toy", append=True)


def test_other_episodes_are_not_appended(tmp_path):
    writer = LeRobotWriter(tmp_path, SPEC, "toy")
    writer.add_episode(**told(0))
    before = content_fingerprint(writer.finish())
    other = Spec(SPEC.images, 3, ActionSpec("continuous", 2), tasks=("go",), rate=20.0)
    with pytest.raises(DataError, match=r"cannot be added .*'observation.state' is .*\[2\].*, not .*\[3\].*; fps is 10, not 20"):
        LeRobotWriter(tmp_path, other, "toy", append=True)
    assert content_fingerprint(tmp_path) == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"state_names": ("y", "x")}, r"'observation.state' is .*'x', 'y'.*not .*'y', 'x'"),
        ({"action": replace(ACTION, names=("dy", "dx"))}, r"'action' is .*'dx', 'dy'.*not .*'dy', 'dx'"),
        ({"action": replace(ACTION, low=(-9.0, -9.0))}, r"action.low is \(-1.0, -1.0\), not \(-9.0, -9.0\)\."),
        ({"action": replace(ACTION, units=("mm", "mm"))}, r"action.units is \('m', 'm'\), not \('mm', 'mm'\)\."),
        ({"images": SPEC.images | {"depth": ImageSpec(8, 8, 1)}}, r"images is .*'kind': 'depth'.* not .*'kind': 'colour'"),
    ],
)
def test_episodes_of_another_meaning_are_not_appended(tmp_path, change, message):
    writer = LeRobotWriter(tmp_path, NAMED, "toy")
    writer.add_episode(**told(0))
    before = content_fingerprint(writer.finish())
    with pytest.raises(DataError, match=message):
        LeRobotWriter(tmp_path, replace(NAMED, **change), "toy", append=True)
    assert content_fingerprint(tmp_path) == before
    longer = LeRobotWriter(tmp_path, replace(NAMED, tasks=("pick",), horizon=7), "toy", append=True)
    longer.add_episode(**told(1))
    assert check(longer.finish(), 2) == 2


def test_two_writers_at_once_are_one_too_many(tmp_path):
    writer = LeRobotWriter(tmp_path, SPEC, "toy", append=True)
    with pytest.raises(UsageError, match="another process is writing"):
        LeRobotWriter(tmp_path, SPEC, "toy", append=True)
    writer.add_episode(**told(0))
    writer.finish()


def test_an_episode_that_is_refused_leaves_no_trace(tmp_path):
    """Its first pictures are in the video already when the last one turns out to have another size."""
    writer = LeRobotWriter(tmp_path, SPEC, "toy", video="h264")
    writer.add_episode(**told(0))
    torn = told(1)
    with pytest.raises(ValueError, match="has 1 pictures for 2 steps"):
        writer.add_episode(**torn | {"images": {name: frames[:1] for name, frames in torn["images"].items()}})
    writer.add_episode(**told(1))
    assert check(writer.finish(), 2) == 2


def test_files_do_not_become_many_because_each_episode_is_safe(tmp_path, monkeypatch):
    """What is full of a file is not written again: 3 episodes of meta/episodes, 7 kB of data."""
    monkeypatch.setattr(lerobot_meta, "SMALL", 3)
    monkeypatch.setattr(lerobot_files, "SMALL_BYTES", 1500)
    writer, before = LeRobotWriter(tmp_path, SPEC, "toy"), {}
    for e in range(8):
        writer.add_episode(**told(e))
        assert check(tmp_path, e + 1) == e + 1
        files = {path: path.stat().st_ino for path in tmp_path.rglob("*.parquet") if path.name != "tasks.parquet"}
        changed = [path for path in before if files[path] != before[path]]
        assert len(changed) <= 2, "of data and of meta/episodes only the last"
        before = files
    writer.finish()
    assert check(tmp_path, 8) == 8
    assert len(list(tmp_path.glob("meta/episodes/*/*"))) == 3
    assert 2 <= len(list(tmp_path.glob("data/*/*"))) <= 4
