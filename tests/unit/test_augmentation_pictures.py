"""Pictures by albumentations: which are changed, that the same number gives the same picture, that nothing else pays for it."""

import subprocess
import sys

import numpy as np
import pytest

from vla_train.data.augmentation.batch import Batch
from vla_train.data.augmentation.pictures import Pictures
from vla_train.spec import ImageSpec

OFF = dict.fromkeys(
    ("brightness", "contrast", "hue", "saturation", "clahe", "noise", "blur", "shift", "crop", "turn", "cutout"), 0.0
)
STRONG = {"brightness": 0.3, "contrast": 0.3, "hue": 20.0, "saturation": 40.0, "clahe": 3.0, "noise": 20.0, "blur": 1.0}
STRONG |= {"shift": 0.1, "crop": 0.2, "turn": 10.0, "cutout": 0.3}
CAMERAS = {"top": ImageSpec(16, 16), "depth": ImageSpec(16, 16, 1, "depth"), "view": ImageSpec(7, 7, 3, "symbols", (11, 6, 3))}


def batch(rows, frames=2):
    random = np.random.default_rng(0)
    images = {
        name: random.integers(0, 6, (rows, 1, c.height, c.width, c.channels)).astype(np.uint8) * 40 for name, c in CAMERAS.items()
    }
    images = {name: pictures.repeat(frames, axis=1) for name, pictures in images.items()}
    return Batch(
        images,
        np.zeros((rows, frames, 1), np.float32),
        np.zeros((rows, 1, 1), np.float32),
        [["go"] * rows],
        np.zeros(rows, np.int64),
    )


def changed(keys, probability=1.0, **strengths):
    given = batch(len(keys))
    Pictures(CAMERAS, probability=probability, **(OFF | strengths))(given, np.asarray(keys))
    return given.images


def test_the_same_number_gives_the_same_picture_in_any_batch():
    together = changed(range(8), **STRONG)["top"]
    given = batch(8)
    Pictures(CAMERAS, probability=1.0, **(OFF | STRONG))(given, np.arange(8))
    assert (given.images["top"] == together).all()
    alone = Pictures(CAMERAS, probability=1.0, **(OFF | STRONG))
    one = batch(8)
    one.images = {name: pictures[5:6] for name, pictures in one.images.items()}
    alone(one, np.array([5]))
    assert (one.images["top"][0] == together[5]).all()
    assert (changed(range(100, 108), **STRONG)["top"] != together).any()


def test_frames_of_a_window_are_changed_alike_and_symbols_and_depth_never():
    before, after = batch(8).images, changed(range(8), **(STRONG | {"noise": 0.0}))
    assert (after["top"] != before["top"]).any(axis=(1, 2, 3, 4)).sum() >= 7
    assert (after["top"][:, 0] == after["top"][:, 1]).all()
    assert (after["view"] == before["view"]).all()
    assert (after["depth"] == before["depth"]).all()


@pytest.mark.parametrize("name", list(OFF))
def test_each_strength_does_something_by_itself(name):
    before, after = batch(12).images["top"], changed(range(12), **{name: STRONG[name]})["top"]
    share = (after != before).any(axis=(1, 2, 3, 4)).mean()
    assert 0.1 < share < 1.0, "about half of the samples"
    assert after.shape == before.shape
    assert after.dtype == np.uint8


def test_the_share_of_samples():
    before, after = batch(200).images["top"], changed(range(200), probability=0.2, brightness=0.5, contrast=0.5)["top"]
    assert 0.03 < (after != before).any(axis=(1, 2, 3, 4)).mean() < 0.2, "a fifth, of which half"


def test_who_does_not_use_it_does_not_import_it():
    told = "import sys, vla_train.data.augmentation.augmentation as a; print('albumentations' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", told], capture_output=True, text=True).stdout.strip() == "False"
