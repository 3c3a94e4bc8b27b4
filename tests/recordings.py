"""Recordings as others make them: LeRobotDataset v2.1 and v3.0 with real video, whose every frame tells its own number.

In episode e at step t: action (10 e + t, -t) under ``action.arm`` and t % 2 under ``action.grip``, state (10 e + t - 1, 1 - t)
under ``state.arm``, and pictures of 64 x 64 in which eight blocks, black or white, are the bits of 16 e + t.
"""

import json
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vla_train.data import lerobot_layout as layout

REAL = Path(__file__).parents[2] / "shared/data/sim_pick_place"  # recordings of others, where they are at hand
FPS, SIZE = 30, 64
LENGTHS = (5, 4, 6)
TEXTS = ("push the cup", "lift the ball", "open the box")
SCALARS = {"timestamp": "float32", "frame_index": "int64", "episode_index": "int64", "index": "int64", "task_index": "int64"}
FEATURES = {
    "action.arm": {"dtype": "float64", "shape": [2]},
    "action.grip": {"dtype": "float64", "shape": [1]},
    "state.arm": {"dtype": "float64", "shape": [2]},
    "annotation.box": {"dtype": "binary", "shape": [1]},
    "observation.images.top": {"dtype": "video", "shape": [SIZE, SIZE, 3], "names": ["height", "width", "channels"]},
    "observation.images.wrist": {"dtype": "video", "shape": [SIZE, SIZE, 3], "names": ["height", "width", "channels"]},
    **{name: {"dtype": dtype, "shape": [1], "names": None} for name, dtype in SCALARS.items()},
}
POISON = b"cposix\nsystem\n(S'touch poisoned'\ntR."  # a pickle that would run a command


def picture(number):
    """uint8 [64, 64, 3]: the eight bits of a number, in two rows of four blocks."""
    bits = np.array([number >> bit & 1 for bit in range(8)], np.uint8).reshape(2, 4) * 255
    return np.repeat(np.kron(bits, np.ones((32, 16), np.uint8))[:, :, None], 3, axis=2)


def number(frame):
    """What ``picture`` wrote, after any compression."""
    bits = frame.mean(axis=2).reshape(2, 32, 4, 16).mean(axis=(1, 3)) > 127
    return int((bits.ravel() * (1 << np.arange(8))).sum())


def encode(path, numbers, *, codec="libx264", seconds=None, options=(), movflags=""):
    """A video of these pictures; ``seconds`` are their times (default: one after another at 30 a second), ``options`` further
    ones of the encoder, ``movflags`` of the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    seconds = [Fraction(i, FPS) for i in range(len(numbers))] if seconds is None else seconds
    usual = {"libx264": {"preset": "veryfast", "bf": "2"}, "libsvtav1": {"preset": "12", "svtav1-params": "lp=1"}}[codec]
    options = usual | dict(options)
    with av.open(str(path), "w", options={"movflags": movflags} if movflags else {}) as container:
        stream = container.add_stream(codec, rate=FPS, options=options)
        stream.width = stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = stream.time_base = Fraction(1, 15360)
        for value, time in zip(numbers, seconds, strict=True):
            frame = av.VideoFrame.from_ndarray(picture(value), format="rgb24")
            frame.pts, frame.time_base = round(time * 15360), Fraction(1, 15360)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def numbers_of(episode, length):
    return [16 * episode + step for step in range(length)]


def table(episodes, lengths):
    """The rows of these episodes as they stand in parquet."""
    rows = [(e, t) for e in episodes for t in range(lengths[e])]
    first = np.concatenate([[0], np.cumsum(lengths)])
    return pa.table(
        {
            "action.arm": pa.array([[10.0 * e + t, -float(t)] for e, t in rows], pa.list_(pa.float64())),
            "action.grip": pa.array([[float(t % 2)] for _, t in rows], pa.list_(pa.float64())),
            "state.arm": pa.array([[10.0 * e + t - 1, 1.0 - t] for e, t in rows], pa.list_(pa.float64())),
            "annotation.box": pa.array([POISON] * len(rows), pa.binary()),
            "timestamp": pa.array(np.array([t / FPS for _, t in rows], np.float32)),
            "frame_index": [t for _, t in rows],
            "episode_index": [e for e, _ in rows],
            "index": [int(first[e]) + t for e, t in rows],
            "task_index": [e % len(TEXTS) for e, _ in rows],
        }
    )


def write_v21(folder, lengths=LENGTHS, *, codec="libx264", cameras=("top",), version="v2.1", **changes):
    """A v2.1 dataset; both cameras are declared, ``cameras`` have files. ``changes`` go into info.json."""
    for e, length in enumerate(lengths):
        path = folder / f"data/chunk-000/episode_{e:06d}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table([e], lengths), path)
        for camera in cameras:
            encode(
                folder / f"videos/chunk-000/observation.images.{camera}/episode_{e:06d}.mp4", numbers_of(e, length), codec=codec
            )
    episodes = [{"episode_index": e, "tasks": [TEXTS[e % len(TEXTS)]], "length": n} for e, n in enumerate(lengths)]
    tasks = [{"task_index": i, "task": text} for i, text in enumerate(TEXTS)]
    _lines(folder / "meta/episodes.jsonl", episodes)
    _lines(folder / "meta/tasks.jsonl", tasks)
    paths = {
        "data_path": "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet",
        "video_path": "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4",
    }
    return _info(folder, version, lengths, **paths, **changes)


def write_v30(folder, lengths=LENGTHS, *, codec="libx264", files=((0, 1), (2,)), gap=0.0, data_files=(), **changes):
    """A v3.0 dataset with the camera ``top``, whose episodes share video ``files``, ``gap`` seconds of other pictures between,
    and ``data_files``, if they are named: else all rows are in one, and it is not said in which."""
    tables = {
        f"data/chunk-000/file-{file:03d}.parquet": table(episodes, lengths)
        for file, episodes in enumerate(data_files or [range(len(lengths))])
    }
    tables["meta/tasks.parquet"] = pa.table({"task_index": range(len(TEXTS)), "task": TEXTS})
    places = {}
    for file, episodes in enumerate(files):
        numbers, seconds, now = [], [], Fraction(0)
        for e in episodes:
            places[e] = (file, float(now))
            numbers += numbers_of(e, lengths[e]) + [255] * bool(gap)
            seconds += [now + Fraction(t, FPS) for t in range(lengths[e] + bool(gap))]
            now += Fraction(lengths[e], FPS) + Fraction(gap).limit_denominator(15360)
        encode(folder / f"videos/observation.images.top/chunk-000/file-{file:03d}.mp4", numbers, codec=codec, seconds=seconds)
    key = "videos/observation.images.top"
    of_data = [file for file, episodes in enumerate(data_files) for _ in episodes]
    said = {"data/chunk_index": [0] * len(lengths), "data/file_index": of_data} if data_files else {}
    tables["meta/episodes/chunk-000/file-000.parquet"] = pa.table(
        {
            **said,
            "episode_index": range(len(lengths)),
            "tasks": [[TEXTS[e % len(TEXTS)]] for e in range(len(lengths))],
            "length": list(lengths),
            f"{key}/chunk_index": [0] * len(lengths),
            f"{key}/file_index": [places[e][0] for e in range(len(lengths))],
            f"{key}/from_timestamp": [places[e][1] for e in range(len(lengths))],
        }
    )
    for name, content in tables.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(content, folder / name)
    features = {name: feature for name, feature in FEATURES.items() if not name.endswith("wrist")}
    video_path = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
    return _info(
        folder, "v3.0", lengths, **{"video_path": video_path, "data_path": layout.DATA_PATH, "features": features, **changes}
    )


def _info(folder, version, lengths, **content):
    info = {"codebase_version": version, "fps": FPS, "total_episodes": len(lengths), "total_frames": sum(lengths)}
    (folder / "meta/info.json").write_text(json.dumps(info | {"chunks_size": 1000, "features": FEATURES} | content))
    return folder


def _lines(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
