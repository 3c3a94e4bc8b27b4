"""``meta/info.json`` of a LeRobotDataset: read, checked, and turned into a Spec."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vla_train.data import lerobot_layout as layout
from vla_train.data.json_rows import parsed
from vla_train.errors import DataError
from vla_train.spec import ImageSpec, Spec

LARGEST_SIDE = 16_384  # pixels: room for a picture is made before it is decoded, so a lie must not ask for all memory
MOST_CHANNELS = 4
LONGEST = 1_000_000  # numbers in a vector: each of them has a name
FASTEST = 1_000_000  # frames per second
FARTHEST = 1e30  # of depth, in its own units
_NEEDED: dict[str, Any] = {"fps": (int, float), "total_episodes": int, "total_frames": int, "features": dict}


def read_info(folder: Path) -> dict[str, Any]:
    """The parsed info.json. DataError if the folder holds no dataset, or the file lacks what every version has."""
    path = folder / layout.INFO
    if not folder.is_dir():
        raise DataError(f"no dataset at {folder}: there is no such folder; check dataset.path")
    if not path.is_file():
        begun = (folder / layout.LOCK).is_file()
        why = "a writer was killed before its first episodes were safe, or writes them now: the same command goes on"
        hint = why if begun else "give the folder that contains meta/ and data/"
        raise DataError(f"no dataset at {folder}: it has no {layout.INFO}; {hint}")
    try:
        info = parsed(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not JSON ({error}); fetch or make the dataset again") from None
    if not isinstance(info, dict) or "codebase_version" not in info:
        raise DataError(f"{path} has no codebase_version: it is not the info.json of a LeRobotDataset")
    for key, kind in _NEEDED.items():
        if not isinstance(info.get(key), kind) or isinstance(info[key], bool):
            said = f"{key!r} is {info[key]!r}" if key in info else f"there is no {key!r}"
            raise DataError(f"{path}: {said}; fetch or make the dataset again")
    if not (info["total_episodes"] > 0 and info["total_frames"] > 0):
        counts = ", ".join(f"{key} {info[key]}" for key in ("total_episodes", "total_frames"))
        raise DataError(f"the dataset at {folder} is empty ({counts}): record or make at least one episode")
    if not 0 < info["fps"] <= FASTEST:
        raise DataError(f"{path}: fps is {info['fps']}, which are no steps per second: mend it")
    for name, feature in info["features"].items():
        _check_feature(path, name, feature)
    return info


def _check_feature(path: Path, name: str, feature: Any) -> None:
    shape: Any = feature.get("shape") if isinstance(feature, dict) else None
    sizes_fit = isinstance(shape, list) and bool(shape) and all(type(size) is int and size > 0 for size in shape)
    if "/" in name or not name.isprintable() or not sizes_fit or not isinstance(feature.get("dtype"), str):
        raise DataError(f"{path}: feature {name!r} needs a dtype, a shape and a printable name without '/', but is {feature!r}")
    if feature["dtype"] in ("image", "video") and len(shape) != 3:
        raise DataError(f"{path}: feature {name!r} is a picture, whose shape is [height, width, channels], not {shape}")
    if feature["dtype"] in ("image", "video") and (
        max(shape) > LARGEST_SIDE or math.prod(shape) > MOST_CHANNELS * LARGEST_SIDE**2
    ):
        raise DataError(
            f"{path}: feature {name!r} has pictures of {shape}; at most {LARGEST_SIDE:,} pixels a side are read, and "
            f"{MOST_CHANNELS} channels"
        )
    if max(shape) > LONGEST:
        raise DataError(f"{path}: feature {name!r} has the shape {str(shape)[:60]}; at most {LONGEST:,} numbers a side are read")
    if not isinstance(feature.get("names"), list | dict | None):
        raise DataError(f"{path}: the names of feature {name!r} are {feature['names']!r}, which is no list")


def unfinished(info: Mapping[str, Any]) -> dict[str, int] | None:
    """How many files of ``data`` and ``episodes`` are whole, if the dataset is being written, or its writer was killed."""
    ours = info.get(layout.OURS)
    counted = ours.get(layout.UNFINISHED) if isinstance(ours, dict) else None
    if not isinstance(counted, dict) or any(type(counted.get(key)) is not int for key in ("data", "episodes")):
        return None
    return counted


def spec_of(info: dict[str, Any], folder: Path) -> Spec | None:
    """The Spec that our writer noted, checked against the features; None in a dataset that others wrote."""
    noted = info.get(layout.OURS)
    if not isinstance(noted, dict) or "spec" not in noted:
        return None
    try:
        spec = Spec.from_json(json.dumps(noted["spec"]))
        expected = layout.features_of(spec)
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        raise DataError(f"{folder / layout.INFO}: its Spec cannot be read ({error}); make the dataset again") from None
    cameras = [layout.feature_name(camera, image) for camera, image in spec.images.items()]
    for name in (*cameras, layout.ACTION, *[layout.STATE] * bool(spec.state_size)):
        feature = info["features"].get(name)
        if feature is None or feature["shape"] != expected[name]["shape"]:
            declared = "missing" if feature is None else feature["shape"]
            raise DataError(
                f"{folder / layout.INFO} contradicts itself: {name} is {declared} under features, but "
                f"{expected[name]['shape']} in its Spec; make the dataset again"
            )
    return spec


def image_spec(feature: layout.Feature) -> ImageSpec:
    """The camera that an image or video feature, or a point cloud, declares."""
    if not layout.is_picture(feature):
        points, channels = feature["shape"]
        return ImageSpec(height=points, width=1, channels=channels, kind="points")
    names = [str(name) for name in feature.get("names") or ["height", "width", "channels"]]
    height, width, channels = feature["shape"]
    if names[0].startswith("channel"):  # some recorders declare [c, y, x]; what is stored is a picture all the same
        channels, height, width = feature["shape"]
    if _is_depth(feature):  # a video of it may be stored in three channels, all alike
        return ImageSpec(height=height, width=width, channels=1, kind="depth", depth_range=_depth_range(feature))
    return ImageSpec(height=height, width=width, channels=channels)


def _notes(feature: layout.Feature) -> dict[str, Any]:
    notes = feature.get("info")
    return notes if isinstance(notes, dict) else {}


def _depth_range(feature: layout.Feature) -> tuple[float, float] | None:
    """What went to 0 and to 255 where our converter made bytes of depth; None where nothing of the kind is said."""
    limits = _notes(feature).get(layout.DEPTH_RANGE)
    if not isinstance(limits, list) or len(limits) != 2:
        return None
    if any(type(limit) not in (int, float) or not abs(limit) < FARTHEST for limit in limits):  # which no NaN is
        return None
    near, far = map(float, limits)
    return (near, far) if near < far else None


def _is_depth(feature: layout.Feature) -> bool:
    """Whether the feature itself or its ``info`` says so, as LeRobot and our own tables do."""
    notes = _notes(feature)
    return any(
        found is True for found in (feature.get("is_depth_map"), notes.get("is_depth_map"), notes.get("video.is_depth_map"))
    )
