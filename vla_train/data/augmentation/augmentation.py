"""The ``augmentation`` config: which changes are made, in which order."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeVar

import numpy as np

from vla_train.data.augmentation.batch import Batch, Change
from vla_train.data.augmentation.geometry import Geometry
from vla_train.data.augmentation.language import Language
from vla_train.data.augmentation.pictures import Pictures
from vla_train.data.augmentation.renaming import Renaming
from vla_train.errors import UsageError
from vla_train.spec import ImageSpec, Spec
from vla_train.symmetry import Names, Plane, Symmetry

Auto = Literal["auto"]
_Known = TypeVar("_Known", Plane, Names)


class Augmentation:
    """What happens to a batch of training samples, after resizing and before tokenizing. Never at evaluation.

    First what moves (``flips``, ``rotation``; with probability ``move``), then what is renamed (``colours``, ``shapes``; with
    probability ``rename``), then what is said otherwise (``synonyms``, ``insertion``, ``deletion``: probabilities), then what
    pictures look like (``pictures.Pictures``; with probability ``images``). "auto" is all that the data allow. ``plane``
    declares the geometry of recordings (the fields of ``symmetry.Plane``); None: what the environments declare: ``symmetries`` by
    stage, asked for only where something moves or is renamed, must be the same in that respect.

    Raises:
        UsageError: it cannot be done to these data, because of what is not known of them or of what they are.
    """

    def __init__(
        self,
        *,
        symmetries: Callable[[], Mapping[str, Symmetry]],
        spec: Spec,
        cameras: Mapping[str, ImageSpec],
        scenes: Sequence[str],
        flips: Auto | Sequence[str] = (),
        rotation: Auto | bool = False,
        move: float = 1.0,
        plane: Mapping[str, Any] | None = None,
        colours: Literal["none", "legal", "all"] = "none",
        shapes: Auto | bool = False,
        rename: float = 1.0,
        synonyms: float = 0.0,
        insertion: float = 0.0,
        deletion: float = 0.0,
        images: float = 0.0,
        **strengths: float,
    ):
        self.changes: list[Change] = []
        if (flips or rotation) and move:
            known = (
                _common({name: each.plane for name, each in symmetries().items()}, "moves") if plane is None else _plane(plane)
            )
            self.changes.append(_geometry(known, spec, cameras, flips, rotation, move))
        if (colours != "none" or shapes is True) and rename:
            names = _common({name: each.names for name, each in symmetries().items()}, "is renamed")
            self.changes.append(_renaming(names, cameras, scenes, colours, shapes, rename))
        if synonyms or insertion or deletion:
            self.changes.append(Language(synonyms=synonyms, insertion=insertion, deletion=deletion))
        if images and any(strengths.values()):
            self.changes.append(Pictures(cameras, probability=images, **strengths))

    def __call__(self, batch: Batch, key: np.ndarray) -> None:
        """Change the batch in place; ``key`` int64 [b] is where each sample's randomness comes from."""
        for change in self.changes:
            change(batch, key)


def _common(known: Mapping[str, _Known | None], what: str) -> _Known | None:
    """What all stages declare alike."""
    first, *others = known
    if differing := [name for name in others if known[name] != known[first]]:
        raise UsageError(
            f"augmentation: what {what} in {', '.join(differing)} is not what {what} in {first}, and one augmentation is for all "
            "stages of a curriculum: train them one after the other (init=), or choose another augmentation"
        )
    return known[first]


def _geometry(
    plane: Plane | None,
    spec: Spec,
    cameras: Mapping[str, ImageSpec],
    flips: Auto | Sequence[str],
    rotation: Auto | bool,
    probability: float,
) -> Geometry:
    if plane is None:
        raise UsageError(
            "augmentation: how actions and state move with the pictures is not known of these data, so nothing can be mirrored "
            f"or turned. Say it with augmentation.plane (docs/augmentation.md) for the {spec.state_size} numbers of the state "
            f"{list(spec.state_names)} and the action {list(spec.action.names)}, or set augmentation.flips=[] "
            "augmentation.rotation=false"
        )
    square = all(image.height == image.width for image in cameras.values())
    if flips == "auto":
        flips = ["horizontal"] if plane.mirror_only else ["horizontal", "vertical"]
    if rotation == "auto":
        rotation = square and not plane.mirror_only
    return Geometry(plane, spec, cameras, flips=flips, rotation=rotation, probability=probability)


def _plane(declared: Mapping[str, Any]) -> Plane:
    lists = ("cameras", "state", "action")
    known: dict[str, tuple[type, ...]] = {"centre": (list,), "period": (float, int), "limited": (bool,), "mirror_only": (bool,)}
    known["following"] = (list,)
    fits = all(isinstance(declared.get(key), list) and all(isinstance(tag, str) for tag in declared[key]) for key in lists)
    fits &= all(key in lists or (key in known and isinstance(value, known[key])) for key, value in declared.items())
    centre = declared.get("centre", [0, 0])
    if not (fits and len(centre) == 2 and all(isinstance(place, float | int) for place in centre)):
        raise UsageError(
            f"augmentation.plane={dict(declared)}: it needs the lists of words cameras, state and action, and may have centre "
            "(two numbers), following (cameras), period (a number), limited and mirror_only (true or false): docs/augmentation.md"
        )
    fields: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in declared.items()}
    return Plane(**fields)


def _renaming(
    names: Names | None,
    cameras: Mapping[str, ImageSpec],
    scenes: Sequence[str],
    colours: Literal["none", "legal", "all"],
    shapes: Auto | bool,
    probability: float,
) -> Renaming:
    if names is None:
        raise UsageError(
            "augmentation: which words are colours, and what they look like in the pictures, is not known of these data (with "
            "randomization it changes from episode to episode): set augmentation.colours=none augmentation.shapes=false"
        )
    exchange = any(len(codes.shapes) > 1 for codes in names.codes.values()) if shapes == "auto" else shapes
    return Renaming(names, cameras, scenes, colours=colours, shapes=exchange, probability=probability)
