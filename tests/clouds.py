"""Recordings with point clouds, small enough to work out by hand.

In episode e at step t: the number c of point p is 100 e + 10 t + p + c / 4, of 8 points with 4 numbers each; action (e, t),
state (t, e).
"""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.recordings import write_v21
from vla_train.data.writer import LeRobotWriter
from vla_train.spec import ActionSpec, ImageSpec, Spec

POINTS, CHANNELS = 8, 4
SPEC = Spec(
    images={"front": ImageSpec(POINTS, 1, CHANNELS, kind="points"), "top": ImageSpec(4, 4)},
    state_size=2,
    action=ActionSpec("continuous", 2, names=("e", "t")),
    tasks=("reach",),
)


def cloud(e, t):
    """float32 [8, 4]."""
    return np.float32(100 * e + 10 * t + np.arange(POINTS)[:, None] + np.arange(CHANNELS) / 4)


def clouds(lengths):
    """float32 [n, 8, 4] of episodes, one behind the other."""
    return np.stack([cloud(e, t) for e, length in enumerate(lengths) for t in range(length)])


def write_v30_clouds(folder, lengths=(3, 2), *, spec=SPEC, spoil=None, ours=True, **options):
    """``spoil`` changes the clouds of the second episode; without ``ours`` as if others had written it."""
    writer = LeRobotWriter(folder, spec, "toy", **options)
    for e, length in enumerate(lengths):
        steps = np.arange(length)
        front = clouds([0] * e + [length])[:, :, None]
        if spoil and e == 1:
            spoil(front)
        writer.add_episode(
            images={
                "front": front,
                "top": np.full((length, 4, 4, 3), 10 * e, np.uint8) + steps[:, None, None, None].astype(np.uint8),
            },
            state=np.stack([steps, np.full(length, e)], 1),
            action=np.stack([np.full(length, e), steps], 1),
            reward=steps.astype(np.float32),
            terminated=steps == length - 1,
            truncated=np.zeros(length, bool),
            instruction="touch the point",
            task="reach",
        )
    writer.finish()
    if not ours:
        path = folder / "meta/info.json"
        info = json.loads(path.read_text())
        del info["vla_train"]
        path.write_text(json.dumps(info))
    return folder


def write_v21_clouds(folder, *, flat=False):
    """A recording of others, with a lidar: lists of lists, or ``flat`` all numbers of a cloud in one list."""
    write_v21(folder)
    info = json.loads((folder / "meta/info.json").read_text())
    info["features"]["observation.lidar"] = {"dtype": "float64", "shape": [POINTS, CHANNELS]}
    info["features"]["observation.pose"] = {"dtype": "float32", "shape": [4, 4]}
    (folder / "meta/info.json").write_text(json.dumps(info))
    kind = pa.list_(pa.float64()) if flat else pa.list_(pa.list_(pa.float64()))
    for e, path in enumerate(sorted((folder / "data").rglob("*.parquet"))):
        table = pq.read_table(path)
        rows = [cloud(e, t).ravel().tolist() if flat else cloud(e, t).tolist() for t in range(len(table))]
        pq.write_table(table.append_column("observation.lidar", pa.array(rows, kind)), path)
    return folder


def write_hdf5_clouds(path, lengths=(3, 2), spoil=None):
    """As robomimic writes it, with ``obs/scan`` float64 [t, 8, 4]; ``spoil`` changes the open file."""
    import h5py

    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for e, length in enumerate(lengths):
            demo = file.create_group(f"data/demo_{e}")
            steps = np.arange(length, dtype=np.float64)
            demo["actions"] = np.stack([np.full(length, e), steps], 1)
            demo["obs/robot0_eef_pos"] = np.stack([steps, steps, steps], 1)
            demo["obs/scan"] = np.stack([cloud(e, t) for t in range(length)]).astype(np.float64)
            demo["obs/pose"] = np.zeros((length, 4, 4))
        if spoil:
            spoil(file)
    return path
