"""Names, paths and column types of LeRobotDataset v3.0, shared by its writer and its reader."""

from typing import Any

import pyarrow as pa

from vla_train.spec import Spec

VERSION = "v3.0"
CHUNK_SIZE = 1000  # files per folder
DATA_MEGABYTES = 100  # where a data file ends, at the next end of an episode
VIDEO_MEGABYTES = 200

INFO, STATS, TASKS = "meta/info.json", "meta/stats.json", "meta/tasks.parquet"
DATA_PATH = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
EPISODES_PATH = "meta/episodes/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"

IMAGE, STATE, ACTION = "observation.images.", "observation.state", "action"
REWARD, DONE, SUCCESS = "next.reward", "next.done", "next.success"
TERMINATED, TRUNCATED = "next.terminated", "next.truncated"
OURS = "vla_train"  # where info.json keeps the Spec and how the data came to be

Feature = dict[str, Any]

_TYPES = {"float32": pa.float32(), "int64": pa.int64(), "bool": pa.bool_()}
_IMAGE_TYPE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def _scalar(dtype: str) -> Feature:
    return {"dtype": dtype, "shape": [1], "names": None}


INDEX_FEATURES = {
    "timestamp": _scalar("float32"),
    "frame_index": _scalar("int64"),
    "episode_index": _scalar("int64"),
    "index": _scalar("int64"),
    "task_index": _scalar("int64"),
}


def features_of(spec: Spec) -> dict[str, Feature]:
    """The ``features`` of info.json for data that follows a Spec. A state of size 0 has no column."""
    features: dict[str, Feature] = {}
    for camera, image in spec.images.items():
        shape = [image.height, image.width, image.channels]
        features[IMAGE + camera] = {"dtype": "image", "shape": shape, "names": ["height", "width", "channels"]}
    if spec.state_size:
        names = list(spec.state_names) or None
        features[STATE] = {"dtype": "float32", "shape": [spec.state_size], "names": names}
    dtype = "int64" if spec.action.kind == "discrete" else "float32"
    features[ACTION] = {"dtype": dtype, "shape": [spec.action.size], "names": list(spec.action.names) or None}
    features[REWARD] = _scalar("float32")
    features |= {name: _scalar("bool") for name in (DONE, TERMINATED, TRUNCATED, SUCCESS)}
    return features | INDEX_FEATURES


def arrow_type(feature: Feature) -> pa.DataType:
    """The parquet column of a feature: a struct for an image, a scalar for shape [1], else a list of fixed length."""
    if feature["dtype"] == "image":
        return _IMAGE_TYPE
    scalar = _TYPES[feature["dtype"]]
    return scalar if feature["shape"] == [1] else pa.list_(scalar, feature["shape"][0])
