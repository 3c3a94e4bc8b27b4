"""The frame cache is built once, whole or not at all, and again where it is torn."""

import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from tests.toy_dataset import open_toy, toy_processor, write_toy
from vla_train import stopping
from vla_train.data.cache import open_cache
from vla_train.data.frames import CachedFrames
from vla_train.data.reader import open_reader
from vla_train.errors import DataError, Interrupted


class CountingReader:
    """A Reader that counts how often it is asked to decode, and can fail on the way."""

    def __init__(self, folder, fail=None):
        self._reader, self.folder = open_reader(folder), folder
        self.metadata, self.columns, self.fail, self.decoded = self._reader.metadata, self._reader.columns, fail, 0

    def frames(self, cameras):
        self.decoded += 1
        yield from self._reader.frames(cameras)
        if self.fail:
            raise self.fail


@pytest.fixture
def folder(tmp_path):
    return write_toy(tmp_path / "toy")


def only_home(cache):
    (home,) = [path for path in cache.iterdir() if path.is_dir()]
    return home


def test_built_once_and_read_only(folder, tmp_path):
    reader = CountingReader(folder)
    for _ in range(2):
        frames = open_cache(tmp_path / "cache", reader, toy_processor(folder))["top"]
    assert reader.decoded == 1
    assert frames[:, 0, 0].tolist() == [[0, 0, 200], [0, 1, 200], [0, 2, 200], [10, 0, 200], [10, 1, 200]]
    assert not frames.flags.writeable


def test_another_size_is_another_cache(folder, tmp_path):
    reader = CountingReader(folder)
    open_cache(tmp_path / "cache", reader, toy_processor(folder))
    frames = open_cache(tmp_path / "cache", reader, toy_processor(folder, image_size=2))
    assert frames["top"].shape == (5, 2, 2, 3)
    assert reader.decoded == 2


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.write_bytes(path.read_bytes() + b"\0"),
        lambda path: path.write_bytes(path.read_bytes()[:20]),
        lambda path: np.save(path, np.zeros((4, 4, 4, 3), np.uint8)),
        lambda path: np.save(path, np.zeros((5, 4, 4, 3), np.int8)),
    ],
)
def test_what_is_torn_is_built_again(folder, tmp_path, damage):
    reader = CountingReader(folder)
    before = open_cache(tmp_path / "cache", reader, toy_processor(folder))["top"].copy()
    damage(only_home(tmp_path / "cache") / "top.npy")
    np.testing.assert_array_equal(open_cache(tmp_path / "cache", reader, toy_processor(folder))["top"], before)
    assert reader.decoded == 2


def test_an_accident_leaves_nothing_and_is_made_good(folder, tmp_path):
    with pytest.raises(KeyError):
        open_cache(tmp_path / "cache", CountingReader(folder, fail=KeyError()), toy_processor(folder))
    assert not [path for path in (tmp_path / "cache").iterdir() if path.is_dir()]
    assert open_cache(tmp_path / "cache", CountingReader(folder), toy_processor(folder))["top"].shape == (5, 4, 4, 3)


def test_a_full_disk_is_told_with_what_is_needed(folder, tmp_path):
    reader = CountingReader(folder, fail=OSError(28, "No space left on device"))
    with pytest.raises(DataError, match=r"No space left on device.*free space"):
        open_cache(tmp_path / "cache", reader, toy_processor(folder))


def test_a_folder_that_cannot_be_written_is_told(folder, tmp_path):
    (tmp_path / "cache").write_text("in the way")
    with pytest.raises(DataError, match="cannot be written to"):
        open_cache(tmp_path / "cache", CountingReader(folder), toy_processor(folder))


def test_a_stop_is_heeded_while_decoding(folder, tmp_path):
    class StoppedReader(CountingReader):
        def frames(self, cameras):
            os.kill(os.getpid(), signal.SIGTERM)
            yield from super().frames(cameras)

    with stopping.handlers(), pytest.raises(Interrupted):
        open_cache(tmp_path / "cache", StoppedReader(folder), toy_processor(folder))
    assert not [path for path in (tmp_path / "cache").iterdir() if path.is_dir()]


BUILD = """
import sys, time
from pathlib import Path
from tests.toy_dataset import toy_processor
from tests.unit.test_data_cache import CountingReader
from vla_train.data import cache

folder, home, delay = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])
reader, frames = CountingReader(folder), CountingReader.frames
def slowly(self, cameras):
    print("decoding", flush=True)
    time.sleep(delay)
    yield from frames(self, cameras)
CountingReader.frames = slowly
processor = toy_processor(folder)
print("ready", flush=True)
sys.stdin.readline()
found = cache.open_cache(home, reader, processor)["top"]
print(reader.decoded, int(found.sum()), flush=True)
"""


def start(folder, cache, delay):
    process = subprocess.Popen(
        [sys.executable, "-c", BUILD, folder, cache, str(delay)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n"
    return process


def go(process):
    process.stdin.write("\n")
    process.stdin.flush()


def test_two_processes_build_it_once(folder, tmp_path):
    processes = [start(folder, tmp_path / "cache", 0.5) for _ in range(2)]
    for process in processes:
        go(process)
    results = [process.communicate(timeout=60)[0].split("\n")[-2].split() for process in processes]
    assert sorted(int(decoded) for decoded, _ in results) == [0, 1]
    assert results[0][1] == results[1][1]


def test_a_process_that_is_killed_leaves_no_cache(folder, tmp_path):
    process = start(folder, tmp_path / "cache", 60)
    go(process)
    assert process.stdout.readline() == "decoding\n"
    assert only_home(tmp_path / "cache").name.endswith(".partial")
    process.kill()
    process.wait()
    begun = time.monotonic()
    frames = open_cache(tmp_path / "cache", CountingReader(folder), toy_processor(folder))["top"]
    assert frames[4, 0, 0].tolist() == [10, 1, 200]
    assert not only_home(tmp_path / "cache").name.endswith(".partial")
    assert time.monotonic() - begun < 30  # the dead process's lock does not hold anyone up


def test_the_default_place_does_not_change_the_fingerprint(folder):
    before = open_reader(folder).metadata.fingerprint
    open_cache(folder / "cache", CountingReader(folder), toy_processor(folder))
    assert open_reader(folder).metadata.fingerprint == before
    shutil.rmtree(folder / "cache")


def test_for_few_frames_no_cache_is_made_and_one_that_is_there_is_used(tmp_path):
    folder = write_toy(tmp_path / "toy")
    few, cache = open_toy(folder, whole=False), folder / "cache"
    rows = np.array([[1], [4]])
    pictures = few._frames.take(rows)["top"]
    assert not cache.exists()
    assert np.array_equal(open_toy(folder)._frames.take(rows)["top"], pictures)
    assert isinstance(open_toy(folder, whole=False)._frames, CachedFrames)
