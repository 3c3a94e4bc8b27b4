"""Names, paths and column types of LeRobotDataset v3.0, shared by its writer and its reader."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from vla_train.spec import FEWEST_POINTS, POINT_NUMBERS, ImageSpec, Spec

VERSION = "v3.0"
CHUNK_SIZE = 1000  # files per folder
DATA_MEGABYTES = 100  # where a data file ends, at the next end of an episode
VIDEO_MEGABYTES = 200

INFO, STATS, TASKS = "meta/info.json", "meta/stats.json", "meta/tasks.parquet"
DATA_PATH = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEO_PATH = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
EPISODES_PATH = "meta/episodes/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
DATA_FILES, EPISODE_FILES = "data/*/*.parquet", "meta/episodes/*/*.parquet"  # the same as patterns

IMAGE, POINTS, STATE, ACTION = "observation.images.", "observation.points.", "observation.state", "action"
REWARD, DONE, SUCCESS = "next.reward", "next.done", "next.success"
TERMINATED, TRUNCATED = "next.terminated", "next.truncated"
LOCK = ".writing.lock"  # in the folder of a dataset that is being written, or whose writer was killed
OURS = "vla_train"  # where info.json keeps the Spec and how the data came to be
UNFINISHED = "unfinished"  # under OURS while a dataset is written: how many of its files are whole
DEPTH_RANGE = "vla_train.depth_range"  # in the info of a camera: what was made 0 and what 255

CLOUDS = f"floats [at least {FEWEST_POINTS} points, {POINT_NUMBERS[0]} to {POINT_NUMBERS[1]} numbers each]"  # in words

# What a row of meta/episodes has of itself; whatever else stands there are facts that its maker noted.
OF_EPISODES = frozenset({"episode_index", "tasks", "length", "dataset_from_index", "dataset_to_index"})

Feature = dict[str, Any]

NUMBERS = {
    **{f"float{bits}": pa.from_numpy_dtype(f"float{bits}") for bits in (16, 32, 64)},
    **{f"{sign}int{bits}": pa.from_numpy_dtype(f"{sign}int{bits}") for sign in ("", "u") for bits in (8, 16, 32, 64)},
    "bool": pa.bool_(),
}
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
    features = {feature_name(camera, image): camera_feature(image) for camera, image in spec.images.items()}
    if spec.state_size:
        names = list(spec.state_names) or None
        features[STATE] = {"dtype": "float32", "shape": [spec.state_size], "names": names}
    dtype = "int64" if spec.action.kind == "discrete" else "float32"
    features[ACTION] = {"dtype": dtype, "shape": [spec.action.size], "names": list(spec.action.names) or None}
    features[REWARD] = _scalar("float32")
    features |= {name: _scalar("bool") for name in (DONE, TERMINATED, TRUNCATED, SUCCESS)}
    return features | INDEX_FEATURES


def feature_name(camera: str, image: ImageSpec) -> str:
    """What our own writer calls a camera. LeRobot takes whatever has ``image`` in its name for pictures."""
    return (POINTS if image.kind == "points" else IMAGE) + camera


def camera_feature(image: ImageSpec) -> Feature:
    """A camera whose frames lie in parquet."""
    if image.kind == "points":
        return {"dtype": "float32", "shape": [image.height, image.channels], "names": ["points", "channels"]}
    return {"dtype": "image", "shape": [image.height, image.width, image.channels], "names": ["height", "width", "channels"]}


def video_feature(picture: Feature, rate: int | float, codec: str) -> Feature:
    """The same camera as video. ``codec`` as FFmpeg names it: h264, av1."""
    height, width, channels = picture["shape"]
    info = {
        "height": height,
        "width": width,
        "codec": codec,
        "pix_fmt": "yuv420p",
        "is_depth_map": False,
        "fps": whole_or_fraction(rate),
    }
    told = {f"video.{key}": value for key, value in info.items()} | {"video.channels": channels, "has_audio": False}
    return picture | {"dtype": "video", "info": told}


def is_picture(feature: Feature) -> bool:
    return feature["dtype"] in ("image", "video")


def is_cloud(name: str, feature: Feature) -> bool:
    """Whether it is a point cloud: a table of floats that is large enough for one and has enough numbers a row, but not more than
    a point has. Several actions at once are none."""
    shape, (least, most) = feature["shape"], POINT_NUMBERS
    looks = feature["dtype"].startswith("float") and len(shape) == 2 and shape[0] >= FEWEST_POINTS and least <= shape[1] <= most
    return looks and not name.startswith((ACTION, "next."))


def is_camera(name: str, feature: Feature) -> bool:
    return is_picture(feature) or is_cloud(name, feature)


def stored_in_parquet(features: Mapping[str, Feature]) -> dict[str, Feature]:
    """Those that are columns of the data files."""
    return {name: feature for name, feature in features.items() if feature["dtype"] != "video"}


def whole_or_fraction(rate: int | float) -> int | float:
    """A rate as info.json has it: 10 rather than 10.0."""
    return int(rate) if float(rate).is_integer() else rate


def arrow_type(feature: Feature) -> pa.DataType:
    """The parquet column of a feature: a struct for an image, a scalar for shape [1], else a list of fixed length; for a cloud
    a list of lists, as LeRobot has tables of numbers."""
    if feature["dtype"] == "image":
        return _IMAGE_TYPE
    scalar = NUMBERS[feature["dtype"]]
    if len(feature["shape"]) == 2:
        return pa.list_(pa.list_(scalar))
    return scalar if feature["shape"] == [1] else pa.list_(scalar, feature["shape"][0])
