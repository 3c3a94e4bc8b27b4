"""What is declared of how data move with their pictures (``symmetry.Plane``): read, and held against the data."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from vla_train.data.augmentation.moves import COORDINATES, FLIPS, MOVES, SIGNED, moved_tag
from vla_train.errors import UsageError
from vla_train.spec import ImageSpec, Spec
from vla_train.symmetry import Plane

_WORDS = (*COORDINATES, "yaw", "dyaw")
_KINDS: dict[str, tuple[str, tuple[type, ...]]] = {
    "centre": ("two numbers", (list,)),
    "period": ("a number of radians", (float, int)),
    "limited": ("true or false", (bool,)),
    "mirror_only": ("true or false", (bool,)),
}
_LISTS = tuple(field.name for field in fields(Plane) if field.name not in _KINDS)


def declared(plane: Mapping[str, Any], cameras: Sequence[str]) -> Plane:
    """``augmentation.plane`` as a Plane, of data that have these cameras. A list that is left out is an empty one. UsageError
    names all that is wrong with it."""
    found = [problem for key, value in plane.items() if (problem := _of_key(key, value))]
    if not found:
        named = dict.fromkeys((*plane.get("cameras", ()), *plane.get("following", ())))
        found = [_unknown_camera(name, cameras) for name in named if name not in cameras]
    if found:
        raise UsageError("\n".join(f"augmentation.plane: {problem} (docs/augmentation.md)" for problem in found))
    lists: dict[str, tuple[Any, ...]] = {"cameras": (), "state": (), "action": ()}
    given: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in plane.items()}
    return Plane(**(lists | given))


def _of_key(key: str, value: Any) -> str:
    if key in _LISTS:
        fits = isinstance(value, list) and all(isinstance(word, str) for word in value)
        return "" if fits else f"{key}={value} is no list of words, as in {key}: [x, y, '']"
    if key not in _KINDS:
        near = difflib.get_close_matches(key, [*_LISTS, *_KINDS], 1)
        return f"there is no {key!r}.{f' Did you mean {near[0]}?' if near else ''} It has {', '.join([*_LISTS, *_KINDS])}"
    what, types = _KINDS[key]
    fits = isinstance(value, types) and (bool in types or not isinstance(value, bool))
    if key == "centre":
        fits = fits and len(value) == 2 and all(isinstance(place, float | int) for place in value)
    return "" if fits else f"{key}={value} must be {what}"


def _unknown_camera(name: str, cameras: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, cameras, 1)
    return (
        f"the data have no camera {name!r}.{f' Did you mean {near[0]}?' if near else ''} They have {', '.join(cameras) or 'none'}"
    )


def problems(plane: Plane, spec: Spec, cameras: Mapping[str, ImageSpec], moves: Sequence[int]) -> list[str]:
    """All that stands in the way of moving data of a Spec, and its pictures from ``cameras``, by these moves; as sentences."""
    found = []
    if plane.mirror_only and set(moves) - {0, FLIPS["horizontal"]}:
        found.append(
            "these pictures can only be mirrored, for up is where their owner looks: "
            "set augmentation.flips=[horizontal] augmentation.rotation=false"
        )
    discrete = spec.action.kind == "discrete"
    choices = spec.action.choices if discrete else spec.action.size
    found += _of_numbers("state", plane.state, spec.state_size, spec.state_names, moves, discrete=False)
    found += _of_numbers("action", plane.action, choices, spec.action.names, moves, discrete=discrete)
    return found + _of_cameras(plane, cameras, moves)


def _of_numbers(
    what: str, tags: Sequence[str], size: int, names: Sequence[str], moves: Sequence[int], *, discrete: bool
) -> list[str]:
    found = []
    if len(tags) != size:
        which = f": {', '.join(names)}" if names else ""
        found.append(
            f"{len(tags)} numbers of the {what} are declared ({', '.join(map(repr, tags)) or 'none'}), but there are "
            f"{size}{which}; give each its word, '' to one that does not move"
        )
    return found + [problem for tag in dict.fromkeys(tags) if (problem := _of_tag(what, tag, tags, moves, discrete))]


def _of_tag(what: str, tag: str, tags: Sequence[str], moves: Sequence[int], discrete: bool) -> str:
    signed = tag[:1] in ("+", "-") and SIGNED.sub("", tag) == ""
    if not (tag == "" or signed or (not discrete and tag in _WORDS)):
        known = "'', '+x', '-x+y', '+yaw'" if discrete else f"'', {', '.join(_WORDS)}, '+x'"
        return f"{what} declares {tag!r}, where it may be {known} and the like: docs/augmentation.md"
    missing: set[str] = set()
    if signed:
        missing = {moved_tag(tag, *MOVES[move]) for move in moves} - set(tags)
    elif tag in COORDINATES and any(MOVES[move][1] % 2 for move in moves):
        missing = {tag[:-1] + "x", tag[:-1] + "y"} - set(tags)
    if not missing:
        return ""
    return (
        f"{what} has {tag!r}, which these moves turn into {sorted(missing)}, but it has none such: choose fewer of "
        "augmentation.flips and augmentation.rotation"
    )


def _of_cameras(plane: Plane, cameras: Mapping[str, ImageSpec], moves: Sequence[int]) -> list[str]:
    found = []
    if foreign := sorted(set(cameras) - set(plane.cameras)):
        kept = [name for name in cameras if name in plane.cameras]
        found.append(
            f"the pictures of {foreign} do not show the plane that moves ({list(plane.cameras)} do): leave them out with "
            f"model.cameras=[{','.join(kept)}], or choose another augmentation"
        )
    for name, image in cameras.items():
        if image.kind == "points":
            found.append(
                f"how the points of {name} move is not known: leave it out with model.cameras, or set augmentation.flips=[] "
                "augmentation.rotation=false"
            )
        elif any(MOVES[move][1] % 2 for move in moves) and image.height != image.width:
            found.append(
                f"the pictures of {name} are {image.width} x {image.height}; only square ones can be turned by a right angle: "
                "set augmentation.rotation=false, or model.image_size to a number"
            )
    return found
