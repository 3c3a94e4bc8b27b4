"""The ``augmentation`` config: which changes are made, in which order."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeVar

import numpy as np

from vla_train.data.augmentation.batch import Batch, Change
from vla_train.data.augmentation.geometry import Geometry
from vla_train.data.augmentation.language import Language
from vla_train.data.augmentation.pictures import Pictures
from vla_train.data.augmentation.planes import declared
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
    stage, asked for only where something moves or is renamed, must be the same in that respect. ``scenes`` are those of the
    episodes; None: none is there yet, and what depends on them is not looked at. ``str`` tells what is done, and what is not.

    Raises:
        UsageError: it cannot be done to these data, because of what is not known of them or of what they are. All such reasons
            are told at once.
    """

    def __init__(
        self,
        *,
        symmetries: Callable[[], Mapping[str, Symmetry]],
        spec: Spec,
        cameras: Mapping[str, ImageSpec],
        scenes: Sequence[str] | None,
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
        def moving() -> Change:
            if plane is not None:
                known: Plane | None = declared(plane, list(spec.images))
            else:
                known = _common({name: each.plane for name, each in symmetries().items()}, "moves")
            return _geometry(known, spec, cameras, flips, rotation, move)

        def renaming() -> Change:
            names = _common({name: each.names for name, each in symmetries().items()}, "is renamed")
            why = next((each.unnamed for each in symmetries().values()), "")
            return _renaming(names, why, cameras, scenes, colours, shapes, rename)

        wanted: list[Callable[[], Change]] = [moving] if (flips or rotation) and move else []
        wanted += [renaming] if (colours != "none" or shapes is True) and rename else []
        if synonyms or insertion or deletion:
            wanted.append(lambda: Language(synonyms=synonyms, insertion=insertion, deletion=deletion))
        self._idle: list[str] = []
        if images and any(strengths.values()):
            if any(Pictures.suits(image) for image in cameras.values()):
                wanted.append(lambda: Pictures(cameras, probability=images, **strengths))
            else:
                self._idle.append("light, colour and the like, for no camera has colour pictures")
        self.changes = _made(wanted)

    def __call__(self, batch: Batch, key: np.ndarray) -> None:
        """Change the batch in place; ``key`` int64 [b] is where each sample's randomness comes from."""
        for change in self.changes:
            change(batch, key)

    def __str__(self) -> str:
        idle = [f"nothing is done about {'; '.join(self._idle)}"] if self._idle else []
        return "; ".join([*map(str, self.changes), *idle]) or "nothing is changed"


def _made(wanted: Sequence[Callable[[], Change]]) -> list[Change]:
    """The changes. UsageError with the reasons of all that cannot be made."""
    changes, refused = [], []
    for make in wanted:
        try:
            changes.append(make())
        except UsageError as error:
            refused.append(str(error))
    if refused:
        raise UsageError("\n".join(refused))
    return changes


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


def _renaming(
    names: Names | None,
    why: str,
    cameras: Mapping[str, ImageSpec],
    scenes: Sequence[str] | None,
    colours: Literal["none", "legal", "all"],
    shapes: Auto | bool,
    probability: float,
) -> Renaming:
    if names is None:
        known = (
            f"{why}, or" if why else "which words are colours, and what they look like in pictures, is not known of these data:"
        )
        raise UsageError(f"augmentation: {known} set augmentation.colours=none augmentation.shapes=false")
    exchange = any(len(codes.shapes) > 1 for codes in names.codes.values()) if shapes == "auto" else shapes
    return Renaming(names, cameras, scenes, colours=colours, shapes=exchange, probability=probability)
