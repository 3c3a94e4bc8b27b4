"""Frames that are decoded as they are drawn are those of the cache, to the bit, and only as many are held as was said."""

import json
import os
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import av
import numpy as np
import pytest

from tests.formats import write_collector, write_image_folder, write_libero, write_tensors
from tests.recordings import REAL, encode, number, numbers_of, write_v21, write_v30
from tests.toy_dataset import LENGTHS, open_toy, toy_processor, write_toy
from vla_train.data.choice import Choice
from vla_train.data.dataset import DemonstrationDataset
from vla_train.data.frames import SLACK, CachedFrames, DecodedFrames, open_frames
from vla_train.data.reader import open_reader
from vla_train.data.records import RandomReader
from vla_train.data.video_access import ClipAccess
from vla_train.data.video_check import torn
from vla_train.data.videos import Clip, Video
from vla_train.errors import DataError, Notice
from vla_train.sources.dataset import DatasetSource
from vla_train.spec import ImageSpec

ROOT = Path(__file__).parents[2]
ARM = Choice(cameras=("top",), state=("state.arm",), action=("action.arm", "action.grip"))
FORMATS = {
    "v2.1": (write_v21, ARM),
    "v2.1 av1": (lambda folder: write_v21(folder, codec="libsvtav1"), ARM),
    "v3.0": (write_v30, ARM),
    "v3.0 av1": (lambda folder: write_v30(folder, codec="libsvtav1", gap=0.5), ARM),
    "parquet": (lambda folder: write_toy(folder, num_episodes=5), None),
    "image_folder": (write_image_folder, None),
    "collector": (write_collector, None),
    "tensors": (write_tensors, None),
    "hdf5": (lambda folder: write_libero(folder / "demo.hdf5", (3, 2, 4)), Choice(depth_range=(0.0, 200.0))),
}


@pytest.mark.parametrize("kind", FORMATS)
def test_chosen_frames_are_those_that_come_in_order(tmp_path, kind):
    write, choice = FORMATS[kind]
    if kind == "hdf5":
        pytest.importorskip("h5py")
    reader = open_reader(write(tmp_path), choice)
    assert isinstance(reader, RandomReader)
    cameras = list(reader.metadata.spec.images)
    blocks = list(reader.frames(cameras))
    count = reader.metadata.num_frames
    random = np.random.default_rng(0)
    questions = [np.array([row]) for row in random.permutation(count)]
    questions += [np.arange(count), np.arange(1, count - 1), np.sort(random.choice(count, 3, replace=False))]
    for camera in cameras:
        frames = np.concatenate([block[camera] for block in blocks])
        for rows in questions:
            np.testing.assert_array_equal(reader.frames_at([camera], rows)[camera], frames[rows])


def test_a_long_video_is_sought_in_and_read_on(tmp_path):
    numbers = [n % 256 for n in range(400)]  # 13 s; libx264 puts a frame that stands alone every 250, and B-frames between
    path = encode(tmp_path / "long.mp4", numbers)
    times = [np.arange(400) / 30]
    access = ClipAccess([Clip(path)], times, np.array([0, 400]), ImageSpec(64, 64), "top")
    for rows in ([399], [0], [251, 252, 399], [249], [250], [10, 390], [120]):
        assert [number(frame) for frame in access.frames(np.array(rows))] == [numbers[row] for row in rows]


def test_what_no_frame_before_stands_alone_for_is_reached_without_a_seek(tmp_path, monkeypatch):
    """Ten seconds of one group of pictures: whatever is asked for in order, they are decoded once."""
    path = encode(tmp_path / "long.mp4", np.arange(200), options={"g": "1000", "keyint_min": "1000", "sc_threshold": "0"})
    clip = ClipAccess([Clip(path)], [np.arange(200) / 30], np.array([0, 200]), ImageSpec(64, 64), "top")
    sought = []
    monkeypatch.setattr(Video, "seek", lambda video, time: sought.append(time))
    assert [number(frame) for frame in clip.frames(np.array([1, 50, 120, 199]))] == [1, 50, 120, 199]
    assert len(sought) == 1, "to the first"


def test_a_video_that_is_cut_short_is_told_before_others_are_decoded(tmp_path):
    folder = write_v21(tmp_path)
    last = sorted(folder.rglob("*.mp4"))[-1]
    last.write_bytes(last.read_bytes()[:300])
    with pytest.raises(DataError, match=r"camera 'top', episode 2: .*000002.mp4 cannot be opened"):
        next(open_reader(folder, ARM).frames(["top"]))
    with pytest.raises(DataError, match=r"camera 'top', episode 2: .*000002.mp4 cannot be opened"):
        open_reader(folder, ARM).frames_at(["top"], np.array([0]))


def test_a_video_whose_index_tells_of_more_than_is_there_is_cut_short(tmp_path):
    """The index stands in front, as in files for the web, and the last ten pictures are gone."""
    path = encode(tmp_path / "fast.mp4", np.arange(40), movflags="faststart")
    with av.open(str(path)) as video:
        there = video.streams.video[0].index_entries[30].pos
    path.write_bytes(path.read_bytes()[:there])
    halves = [Clip(path), Clip(path, 20 / 30)]
    found = torn(halves, [np.arange(5) / 30, np.arange(20) / 30])
    assert list(found) == [1]
    assert "nothing is there from" in found[1]


def test_a_video_in_fragments_is_whole_although_its_index_is_not(tmp_path):
    """As recorders and web servers write them: the file's header leads to its first fragments only."""
    path = encode(tmp_path / "stream.mp4", np.arange(40), options={"g": "10", "bf": "0"}, movflags="dash+frag_keyframe")
    with av.open(str(path)) as video:
        assert len(video.streams.video[0].index_entries) < 40
    assert torn([Clip(path)], [np.arange(40) / 30]) == {}
    access = ClipAccess([Clip(path)], [np.arange(40) / 30], np.array([0, 40]), ImageSpec(64, 64), "top")
    assert [number(frame) for frame in access.frames(np.array([3, 38, 39]))] == [3, 38, 39]


def test_a_whole_video_of_too_few_frames_is_told_without_decoding(tmp_path):
    path = encode(tmp_path / "short.mp4", np.arange(4))
    assert torn([Clip(path)], [np.arange(6) / 30]) == {0: f"{path} holds 4 of its 6 frames"}


def test_a_video_that_ends_too_soon_is_told_with_its_place(tmp_path):
    path = encode(tmp_path / "short.mp4", numbers_of(0, 4))
    access = ClipAccess([Clip(path)], [np.arange(6) / 30], np.array([0, 6]), ImageSpec(64, 64), "top")
    assert [number(frame) for frame in access.frames(np.array([3]))] == [3]
    with pytest.raises(DataError, match=r"camera 'top', episode 0: .*short.mp4, step 5: the video ends there"):
        list(access.frames(np.array([5])))
    assert [number(frame) for frame in access.frames(np.array([1]))] == [1]


def datasets(folder, choice, **options):
    """The same recordings through the cache and without it."""
    reader = open_reader(folder, choice)
    processor = toy_processor(folder) if choice is None else processor_of(reader)
    keys = {"history": 2, "chunk": 3, "validation": 0.0, "cache": folder.parent / "cache"}
    cached = DemonstrationDataset(reader, processor, **keys)
    with pytest.warns(Notice, match="they are decoded"):
        decoded = DemonstrationDataset(reader, processor, **keys, cache_gb=0.0, **options)
    assert isinstance(cached._frames, CachedFrames)
    assert isinstance(decoded._frames, DecodedFrames)
    return cached, decoded


def processor_of(reader):
    from vla_train.processor import Processor, train_tokenizer

    metadata = reader.metadata
    tokenizer = train_tokenizer(metadata.instructions, 300)
    return Processor(metadata.spec, tokenizer, cameras=None, image_size=32, max_tokens=16)


def drawn(dataset, batches, *, start=0, **options):
    source = DatasetSource(dataset, batch_size=4, seed=3, indices=[dataset.frames("train")], **options)
    source.load_state_dict({"batches": start})
    found = [next(source) for _ in range(batches)]
    source.close()
    return [[tensor.numpy() for tensor in batch.tensors()] for batch in found]


def same(ours, theirs):
    return all((a == b).all() for one, other in zip(ours, theirs, strict=True) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("shuffle", [None, 5])
def test_batches_are_the_same_from_cache_and_video_with_any_workers_and_after_any_stop(tmp_path, shuffle):
    cached, decoded = datasets(write_v30(tmp_path / "data"), ARM, buffer=shuffle)
    whole = drawn(cached, 12, prefetch=0, shuffle=shuffle)
    for workers, prefetch in ((1, 0), (1, 2), (3, 2)):
        assert same(drawn(decoded, 12, prefetch=prefetch, workers=workers, shuffle=shuffle), whole)
    for stop in (1, 5, 8):
        assert same(drawn(decoded, 12 - stop, start=stop, prefetch=1, workers=2, shuffle=shuffle), whole[stop:])
    assert not same(drawn(cached, 12, prefetch=0, shuffle=2), whole)


class Counting:
    """A reader that counts how often each frame is decoded, and how many are asked for at once."""

    def __init__(self, reader):
        self._reader, self.folder, self.metadata, self.columns = reader, reader.folder, reader.metadata, reader.columns
        self.frames, self.decoded, self.lock = reader.frames, Counter(), threading.Lock()

    def frames_at(self, cameras, rows):
        with self.lock:
            self.decoded.update(rows.tolist())
        return self._reader.frames_at(cameras, rows)


def test_a_shuffle_buffer_decodes_every_frame_once_and_holds_no_more_than_was_said(tmp_path, monkeypatch):
    monkeypatch.setattr("vla_train.data.frames.RUN_FRAMES", 2)
    folder = write_toy(tmp_path / "toy", num_episodes=100)  # 250 frames, in runs of 2, 1 and 2
    reader, buffer = Counting(open_reader(folder)), 20
    keys = {"history": 1, "chunk": 1, "validation": 0.0, "cache_gb": 0.0, "buffer": buffer}
    with pytest.warns(Notice, match="decoded in order"):
        dataset = DemonstrationDataset(reader, toy_processor(folder), **keys)
    source = DatasetSource(dataset, batch_size=5, seed=0, prefetch=0, shuffle=buffer, indices=[dataset.frames("train")])
    most = 0
    for _ in range(50):  # an epoch
        next(source)
        most = max(most, sum(len(run.result()["top"]) for run in dataset._frames._runs.values()))
    assert reader.decoded == Counter(range(250))
    assert most <= buffer + 2 * SLACK < 250


def test_threads_that_need_one_run_decode_it_once(tmp_path):
    folder = write_toy(tmp_path / "toy", num_episodes=2)
    reader = Counting(open_reader(folder))
    frames = DecodedFrames(reader, toy_processor(folder), reader.columns().starts, buffer=10)
    threads = [threading.Thread(target=frames.take, args=(np.array([[0], [4]]),)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert reader.decoded == Counter(range(5))


def test_the_bound_decides_whether_there_is_a_cache(tmp_path):
    folder = write_toy(tmp_path / "toy")
    bytes_ = 5 * 4 * 4 * 3
    assert isinstance(open_toy(folder, cache=tmp_path / "a", cache_gb=bytes_ / 1e9)._frames, CachedFrames)
    with pytest.warns(
        Notice, match=r"take 2.4e-07 GB, and dataset.cache_gb=2.39e-07: .* source.shuffle=10000 reads them in order"
    ):
        open_toy(folder, cache=tmp_path / "b", cache_gb=(bytes_ - 1) / 1e9)
    assert not (tmp_path / "b").exists()


def test_a_reader_without_chosen_frames_is_told_apart(tmp_path):
    folder = write_toy(tmp_path / "toy")
    reader = Counting(open_reader(folder))
    reader.frames_at = None
    plain = type("Plain", (), {name: getattr(reader, name) for name in ("folder", "metadata", "columns", "frames")})()
    with pytest.raises(DataError, match="gives frames in order only"):
        open_frames(tmp_path, plain, toy_processor(folder), reader.columns().starts, cache_gb=0.0, buffer=None)


def test_a_large_cache_is_read_and_gives_the_same(tmp_path, monkeypatch):
    folder, rows = write_toy(tmp_path / "toy"), np.array([[4, 0], [0, 3]])
    mapped = open_toy(folder)._frames
    monkeypatch.setattr("vla_train.data.frames.MAPPED_BYTES", 5 * 48 - 1)
    read = open_toy(folder)._frames
    assert not mapped._files
    assert list(read._files) == ["top"]
    assert read.take(rows)["top"][:, :, 0, 0].tolist() == [[[10, 1, 200], [0, 0, 200]], [[0, 0, 200], [10, 0, 200]]]
    np.testing.assert_array_equal(read.take(rows)["top"], mapped.take(rows)["top"])
    (path,) = (folder / "cache").glob("*/top.npy")
    os.truncate(path, path.stat().st_size - 1)
    with pytest.raises(DataError, match="has become shorter"):
        read.take(rows)


@pytest.mark.skipif(not REAL.is_dir(), reason="needs recordings of others")
def test_frames_of_the_real_recordings_by_number():
    reader = open_reader(REAL, Choice(state=(), action=("action.eef_position",)))
    (block,) = [next(reader.frames(["ego_view"]))["ego_view"][[3, 20]]]
    np.testing.assert_array_equal(reader.frames_at(["ego_view"], np.array([20]))["ego_view"], block[1:])
    np.testing.assert_array_equal(reader.frames_at(["ego_view"], np.array([3]))["ego_view"], block[:1])


EPOCH = """
import json, sys
from pathlib import Path
from tests.toy_dataset import open_toy
from vla_train.sources.dataset import DatasetSource
folder, rank, workers = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
dataset = open_toy(folder, cache_gb=0.0, buffer=6)
keys = {"seed": 0, "shuffle": 6, "indices": [dataset.frames("train")], "process": (rank, 2)}
source = DatasetSource(dataset, batch_size=1, prefetch=2, workers=workers, **keys)
states = [next(source).observation.state[0, 0].int().tolist() for _ in range(2 * source._order.size)]
source.close()
print(json.dumps(states))
"""


def test_two_processes_share_an_epoch_without_a_sample_lost_or_twice(tmp_path):
    folder = write_toy(tmp_path / "toy", num_episodes=11)  # 28 frames, 14 for each
    words = [sys.executable, "-W", "ignore", "-c", EPOCH, str(folder)]
    running = [subprocess.Popen([*words, str(rank), str(rank + 1)], stdout=subprocess.PIPE, cwd=ROOT) for rank in range(2)]
    first, second = (json.loads(process.communicate(timeout=120)[0]) for process in running)
    every = sorted([e, t] for e in range(11) for t in range(LENGTHS[e % 2]))
    assert sorted(first[:14] + second[:14]) == sorted(first[14:] + second[14:]) == every
    assert first[:14] != first[14:]
