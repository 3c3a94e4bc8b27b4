"""Colours and shapes exchanged in pictures and words together: where all balls turn red, "the blue ball" is "the red ball"."""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import permutations
from typing import Literal

import numpy as np

from vla_train.data.augmentation.batch import Batch
from vla_train.data.augmentation.paint import Painter
from vla_train.errors import UsageError
from vla_train.seeds import counter_integers, counter_uniform
from vla_train.spec import ImageSpec
from vla_train.symmetry import Codes, Names

_DRAW = 2
_MOST = 8  # names of one kind: all their permutations are listed


class Renaming:
    """Gives each sample a random permutation of the colours' names, and of the shapes' where ``shapes``; with ``probability``.

    ``colours`` are "none", "all" permutations alike, or the "legal" ones: those after which no thing of the episode's scene
    (``scenes``, one for each episode; None: not known yet) is one that is held out.

    Raises:
        UsageError: a camera's pictures cannot be painted anew, or the scenes are not known where they must be.
    """

    def __init__(
        self,
        names: Names,
        cameras: Mapping[str, ImageSpec],
        scenes: Sequence[str] | None,
        *,
        colours: Literal["none", "legal", "all"],
        shapes: bool,
        probability: float = 1.0,
    ):
        if missing := [name for name in cameras if name not in names.paint and name not in names.codes]:
            raise UsageError(
                f"augmentation: what colours look like in the pictures of {missing} is not known: set augmentation.colours=none, "
                "or leave them out with model.cameras"
            )
        if shapes and not names.codes:
            raise UsageError("augmentation: shapes can be exchanged in symbols, not in pictures: set augmentation.shapes=false")
        known = [tuple(paint.colours) for paint in names.paint.values()] + [tuple(code.colours) for code in names.codes.values()]
        self._colours = known[0] if colours != "none" else ()
        self._shapes = tuple(next(iter(names.codes.values())).shapes) if shapes else ()
        self._probability = probability
        self._of_colours, self._of_shapes = _permutations(self._colours), _permutations(self._shapes)
        self._painters = {name: Painter(names.paint[name], self._colours) for name in cameras if name in names.paint}
        self._codes = {name: names.codes[name] for name in cameras if name in names.codes}
        legal = colours == "legal" and names.held_out and names.things is not None
        self._allowed = _legal(names, scenes, self._colours, self._of_colours) if legal and scenes is not None else None
        self._named = [name for name, known in ((f"colours ({colours})", self._colours), ("shapes", self._shapes)) if known]

    def __str__(self) -> str:
        share = f"{100 * self._probability:g} % of the samples"
        return f"{' and '.join(self._named)} change places in pictures and words ({share})"

    def __call__(self, batch: Batch, key: np.ndarray) -> None:
        colours, shapes = self._drawn(batch.episode, key)
        drawn = list(zip(colours.tolist(), shapes.tolist(), strict=True))
        for texts in batch.texts:
            texts[:] = [renamed(text, self._colours, c, self._shapes, s) for text, (c, s) in zip(texts, drawn, strict=True)]
        for camera, images in batch.images.items():
            if camera in self._painters and self._colours:
                self._painters[camera](images, self._of_colours[colours])
            elif camera in self._codes:
                _recode(images, self._codes[camera], self._of_colours[colours], self._of_shapes[shapes])

    def _drawn(self, episode: np.ndarray, key: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """int64 [b] each: the numbers of the permutations of colours and shapes; 0 changes nothing."""
        count = len(key)
        options = np.ones((count, len(self._of_colours)), bool) if self._allowed is None else self._allowed[episode]
        colour = (options.cumsum(axis=1) > counter_integers(key, _DRAW, 1, options.sum(axis=1)[:, None])).argmax(axis=1)
        more = counter_uniform(key, _DRAW, 3)
        shape = (more[:, 1] * len(self._of_shapes)).astype(np.int64)
        kept = more[:, 2] >= self._probability
        return np.where(kept, 0, colour), np.where(kept, 0, shape)


@lru_cache(maxsize=200_000)
def renamed(text: str, colours: tuple[str, ...], colour: int, shapes: tuple[str, ...], shape: int) -> str:
    """An instruction with the permutations of these numbers in it."""
    new: dict[str, str] = {}
    for names, number in ((colours, colour), (shapes, shape)):
        new |= {name: names[place] for name, place in zip(names, _permutations(names)[number].tolist(), strict=True)}
    if not new:
        return text
    return re.sub(r"\b(" + "|".join(map(re.escape, new)) + r")\b", lambda match: new[match[0]], text)


@lru_cache
def _permutations(names: tuple[str, ...]) -> np.ndarray:
    """int64 [all, names]: which name each one gets. The first changes nothing; without names it is the only one."""
    if len(names) > _MOST:
        raise UsageError(f"augmentation: {len(names)} names are too many to exchange; at most {_MOST} are")
    return np.array(list(permutations(range(len(names)))), np.int64)


def _legal(names: Names, scenes: Sequence[str], colours: Sequence[str], orders: np.ndarray) -> np.ndarray:
    """bool [episodes, permutations]: those that make no thing that is held out of any thing in an episode's scene."""
    assert names.things is not None
    if "" in scenes:
        raise UsageError(
            f"augmentation: episode {list(scenes).index('')} has no scene recorded, so renaming colours could make things that "
            "are held out for tests: set augmentation.colours=all to let it, or colours=none"
        )
    places = {name: place for place, name in enumerate(colours)}
    kept = [name.partition(" ") for name in names.held_out]
    wrong = np.zeros((len(scenes), len(colours), len(colours)), bool)  # [episode, colour, new colour]
    for episode, scene in enumerate(scenes):
        for colour, _, shape in (thing.partition(" ") for thing in names.things(scene)):
            wrong[episode, places[colour], [places[held] for held, _, other in kept if other == shape]] = True
    return np.logical_not(wrong[:, np.arange(len(colours)), orders].any(axis=-1))


def _recode(images: np.ndarray, codes: Codes, colours: np.ndarray, shapes: np.ndarray) -> None:
    """Change the codes of symbols [b, k, y, x, c] in place; ``colours`` [b, names] and ``shapes`` [b, names] are permutations."""
    count, (kind_channel, colour_channel) = len(images), codes.channels
    kinds = np.tile(np.arange(256, dtype=np.uint8), (count, 1))
    new_colours = kinds.copy()
    of_kind, of_colour = np.array(list(codes.shapes.values())), np.array(list(codes.colours.values()))
    if shapes.shape[1]:
        kinds[:, of_kind] = of_kind[shapes]
    if colours.shape[1]:
        new_colours[:, of_colour] = of_colour[colours]
    kind, colour = (images[..., channel].reshape(count, -1) for channel in codes.channels)
    named = np.isin(kind, [*codes.shapes.values(), *codes.painted])
    painted = np.where(named, np.take_along_axis(new_colours, colour, axis=1), colour)
    shaped = np.take_along_axis(kinds, kind, axis=1)
    images[..., kind_channel] = shaped.reshape(images.shape[:-1])
    images[..., colour_channel] = painted.reshape(images.shape[:-1])
