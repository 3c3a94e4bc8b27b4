"""Colour pictures changed by albumentations: light, colour, noise, blur, small shifts and turns, holes.

Small shifts and turns move the picture alone: state, action and words stay, so they stand for a camera that is a little askew.
"""

import os
import random
from collections.abc import Mapping
from typing import Any

import numpy as np

from vla_train.data.augmentation.batch import Batch
from vla_train.seeds import counter_bits, counter_uniform
from vla_train.spec import ImageSpec

_DRAW = 4
_EACH = 0.5  # probability of each change, in a sample whose pictures are changed
_SEEDS = 2**31


class Pictures:
    """Changes the pictures of a share ``probability`` of the samples, all of a window alike, each camera's by itself.

    Each strength is the largest there is, and 0 leaves its change out: ``brightness`` and ``contrast`` (share), ``hue`` (degrees
    of 360) and ``saturation`` (of 255), ``clahe`` (clip limit above 1), ``noise`` (standard deviation, of 255), ``blur``
    (standard deviation in pixels), ``shift`` and ``crop`` (shares of the width), ``turn`` (degrees), ``cutout`` (side of a hole,
    share of the width). Depth, symbols and point clouds are left alone.
    """

    def __init__(self, cameras: Mapping[str, ImageSpec], *, probability: float, **strengths: float):
        self._cameras = [name for name, image in cameras.items() if self.suits(image)]
        self._probability = probability
        self._strengths = [name for name, strength in strengths.items() if strength]
        self._pipeline = _pipeline(**strengths)

    @staticmethod
    def suits(image: ImageSpec) -> bool:
        """Whether pictures of a camera are changed."""
        return image.kind == "colour" and image.channels == 3

    def __str__(self) -> str:
        share = f"{100 * self._probability:g} % of the samples"
        return f"{', '.join(self._strengths)} of {', '.join(self._cameras)} change ({share})"

    def __call__(self, batch: Batch, key: np.ndarray) -> None:
        chosen = np.flatnonzero(counter_uniform(key, _DRAW, 1)[:, 0] < self._probability)
        seeds = counter_bits(key, _DRAW + 1, len(self._cameras)) % np.uint64(_SEEDS)
        for column, camera in enumerate(self._cameras):
            images = batch.images[camera]
            for row in chosen.tolist():
                seed = int(seeds[row, column])
                # Not set_random_seed: it gives each change the same numbers, so that all are made, or none.
                self._pipeline.set_random_state(np.random.default_rng(seed), random.Random(seed))
                images[row] = self._pipeline(images=images[row])["images"]


def _pipeline(
    *,
    brightness: float,
    contrast: float,
    hue: float,
    saturation: float,
    clahe: float,
    noise: float,
    blur: float,
    shift: float,
    crop: float,
    turn: float,
    cutout: float,
) -> Any:
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # it would ask the network for its newest version
    import albumentations as library  # takes seconds: only runs that use it pay for it

    steps: list[Any] = []
    if shift or crop or turn:
        moves = {"translate_percent": (-shift, shift), "scale": (1.0, 1.0 + crop), "rotate": (-turn, turn)}
        steps.append(library.Affine(**moves, keep_ratio=True, border_mode=1, p=_EACH))  # 1: the edge is carried on
    if brightness or contrast:
        steps.append(library.RandomBrightnessContrast((-brightness, brightness), (-contrast, contrast), p=_EACH))
    if hue or saturation:
        steps.append(library.HueSaturationValue((-hue / 2, hue / 2), (-saturation, saturation), (0, 0), p=_EACH))
    if clahe:
        steps.append(library.CLAHE((1.0, 1.0 + clahe), p=_EACH))
    if blur:
        steps.append(library.GaussianBlur(blur_limit=0, sigma_limit=(0.1, max(blur, 0.1)), p=_EACH))
    if noise:
        steps.append(library.GaussNoise(std_range=(0.0, noise / 255), p=_EACH))
    if cutout:
        side = (cutout / 4, cutout)
        steps.append(library.CoarseDropout((1, 2), side, side, fill=128, p=_EACH))
    return library.Compose(steps)
