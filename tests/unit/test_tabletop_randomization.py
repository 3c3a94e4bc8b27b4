"""Domain randomization of the tabletop: each axis alone, within its range, the same for a seed for ever, and solvable."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from vla_train.envs.tabletop import TabletopVectorEnv, scenes
from vla_train.envs.tabletop.randomization import AXES, LIMITS, ROBUSTNESS, Randomization, changed
from vla_train.errors import UsageError

SEEDS = np.arange(24) + 1000
FOLDER = Path(__file__).resolve().parents[2] / "configs" / "randomization"
PRESETS = ["light", "full", "source", "target"]
IN_PICTURES = [axis for axis in AXES if axis not in ("distractors", "start_shift", "start_turn", "start_opening")]


def preset(name):
    return Randomization(
        **{key: value for key, value in yaml.safe_load((FOLDER / f"{name}.yaml").read_text()).items() if key[0] != "_"}
    )


def world(randomization=None, num_envs=24, stage="complex_tasks", cameras=("top", "gripper"), **keys):
    return TabletopVectorEnv(num_envs, stage, cameras=cameras, image_size=32, randomization=randomization, **keys)


def seen(randomization=None, seeds=SEEDS, **keys):
    observation, _ = world(randomization, len(seeds), **keys).reset(seed=seeds)
    return observation


def far_end(axis):
    """A range of one value: the one furthest from what changes nothing in ``full.yaml``."""
    low, high = getattr(preset("full"), axis)
    value = max(low, high, key=lambda end: abs(end - LIMITS[axis][0]))
    return Randomization(**{axis: (value, value)})


@pytest.mark.parametrize("axis", AXES)
def test_each_axis_changes_what_it_names_and_nothing_else(axis):
    before, after = seen(), seen(far_end(axis))
    for camera in ("top", "gripper"):
        assert not np.array_equal(before["images"][camera], after["images"][camera])
    if axis != "distractors":  # among more objects the gripper may have to start elsewhere, and more can be asked for
        assert np.array_equal(before["state"], after["state"]) == (axis in IN_PICTURES)
        assert before["instruction"] == after["instruction"]


def test_nothing_is_changed_without_a_range_or_a_strength():
    before = seen()
    for randomization in (Randomization(), replace(preset("full"), strength=0.0), changed("camera", 0.0)):
        after = seen(randomization)
        np.testing.assert_array_equal(before["state"], after["state"])
        for camera, frames in before["images"].items():
            np.testing.assert_array_equal(frames, after["images"][camera])


def test_an_episode_looks_the_same_alone_and_in_any_batch():
    full = preset("full")
    together = world(full)
    together.reset(seed=SEEDS)
    moved, *_ = together.step(together.expert_action())
    for row in (0, 7, 23):
        alone = world(full, 1)
        alone.reset(seed=SEEDS[row : row + 1])
        own, *_ = alone.step(alone.expert_action())
        for camera, frames in moved["images"].items():
            np.testing.assert_array_equal(frames[row], own["images"][camera][0])
        np.testing.assert_array_equal(moved["state"][row], own["state"][0])


def test_noise_differs_from_frame_to_frame_and_light_does_not():
    still = np.zeros((4, 4), np.float32)
    still[:, 3] = 1.0  # the gripper stays open
    for axis, same in (("noise", False), ("brightness", True)):
        env = world(far_end(axis), 4)
        first, _ = env.reset(seed=SEEDS[:4])
        second, *_ = env.step(still)
        assert np.array_equal(first["images"]["top"], second["images"]["top"]) == same


def test_noise_and_brightness_have_their_units():
    flat = seen(cameras=["top"])["images"]["top"].astype(float)
    noisy = seen(Randomization(noise=(20.0, 20.0)), cameras=["top"])["images"]["top"].astype(float)
    assert np.std((noisy - flat)[(flat > 80) & (flat < 175)]) == pytest.approx(20, rel=0.03)
    dark = seen(Randomization(brightness=(0.5, 0.5)), cameras=["top"])["images"]["top"]
    assert np.abs(dark - flat * 0.5).max() <= 1


def test_the_camera_moves_by_the_metres_and_degrees_that_are_asked_for():
    flat = seen(cameras=["top"])["images"]["top"].astype(float)  # 32 pixels a metre
    shifted = Randomization(camera_shift=(4 / 32, 4 / 32))  # to the right and up: the table goes left and down
    there = seen(shifted, cameras=["top"])["images"]["top"].astype(float)
    assert np.abs(there[:, 4:, :28] - flat[:, :28, 4:]).mean() < 0.5


def test_draws_lie_within_their_ranges_and_fill_them():
    light = preset("light")
    look = light.look(np.arange(4000), 6)
    for axis, drawn in (("camera_zoom", look.zoom), ("temperature", look.temperature), ("object_shade", look.shade)):
        low, high = light.range(axis)
        assert low <= drawn.min() < low + 0.01 * (high - low)
        assert high - 0.01 * (high - low) < drawn.max() <= high
    half = replace(light, strength=0.5)
    assert half.range("brightness") == pytest.approx((0.9, 1.075))  # half as far from 1 as 0.8 and 1.15


def test_more_objects_stand_beside_those_of_the_scene_and_never_more_than_eight():
    plain, more = world(cameras=()), world(Randomization(distractors=(2.0, 2.0)), cameras=())
    plain.reset(seed=SEEDS)
    more.reset(seed=SEEDS)
    counts = [np.array([len(scene["objects"]) for scene in env.get_scenes()]) for env in (plain, more)]
    np.testing.assert_array_equal(counts[1], np.minimum(counts[0] + 2, 8))


def test_a_strength_that_leaves_no_whole_number_of_objects_adds_none_of_them():
    weak = Randomization(strength=0.7, distractors=(1.0, 1.0))  # 0.7 to 0.7
    assert weak.slots(3) == 3
    assert weak.extra(SEEDS).tolist() == [0] * len(SEEDS)


@pytest.mark.parametrize("axis", ROBUSTNESS)
def test_the_middle_of_every_object_stays_in_the_picture(axis):
    look = changed(axis, 1.0).look(np.arange(20_000), 1)
    corner, angle = scenes.SPREAD, np.radians(np.abs(look.rotation))
    turned = corner * (np.cos(angle) + np.sin(angle))
    reach = (turned + np.maximum(np.abs(look.shift_x), np.abs(look.shift_y))) * look.zoom
    assert reach.max() <= 0.5


@pytest.mark.parametrize("name", [*(f"axis {axis}" for axis in ("layout", "start_pose")), "full"])
@pytest.mark.parametrize("stage", ["simple_manipulation", "complex_tasks"])
def test_the_expert_reaches_every_goal_all_the_same(stage, name):
    randomization = changed(name.removeprefix("axis "), 1.0) if name.startswith("axis") else preset(name)
    env = world(randomization, 200, stage, cameras=())
    env.reset(seed=np.arange(200))
    for _ in range(env.io_spec.horizon):
        env.step(env.expert_action())
    assert env.success.mean() >= 0.99


def test_source_and_target_are_worlds_apart():
    source, target = preset("source"), preset("target")
    apart = [
        axis
        for axis in IN_PICTURES
        if source.range(axis)[1] < target.range(axis)[0] or target.range(axis)[1] < source.range(axis)[0]
    ]
    assert {"camera_rotation", "brightness", "contrast", "temperature", "noise", "table_shade", "texture", "object_size"} <= set(
        apart
    )


def test_full_covers_what_robustness_is_measured_on():
    full = preset("full")
    assert {axis: getattr(full, axis) for ranges in ROBUSTNESS.values() for axis in ranges} == {
        axis: ends for ranges in ROBUSTNESS.values() for axis, ends in ranges.items()
    }


def test_a_scene_that_was_noted_looks_as_it_did():
    env = world(preset("full"), 4)
    observation, _ = env.reset(seed=SEEDS[:4])
    noted = json.loads(json.dumps(env.get_scenes()))
    assert noted[0]["randomization"]["zoom"] == pytest.approx(env._look.zoom[0], abs=1e-6)
    again = world(preset("full"), 4)
    again.reset(seed=SEEDS[4:8])
    restored = again.set_scenes(range(4), noted)
    for camera, frames in observation["images"].items():
        np.testing.assert_array_equal(restored["images"][camera], frames)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"brightness": (1.2, 0.8)}, r"randomization\.brightness=\[1\.2, 0\.8\].*smaller one first"),
        ({"camera_zoom": (0.1, 1.0)}, r"from 0\.5 to 2"),
        ({"noise": (0.0, 1.0, 2.0)}, "two numbers"),
        ({"texture": (0.0, float("nan"))}, "two numbers"),
        ({"strength": 1.5}, "at most 1"),
        ({"distractors": (0.0, 1.5)}, r"randomization\.distractors=\[0\.0, 1\.5\].*two whole numbers from 0 to 7"),
        ({"distractors": (0.6, 0.8)}, "whole numbers"),
    ],
)
def test_ranges_that_are_none_are_refused(keys, message):
    with pytest.raises(UsageError, match=message):
        Randomization(**keys)


@pytest.mark.parametrize(("axis", "strength"), [("wind", 0.5), ("light", -0.1)])
def test_axes_and_strengths_that_do_not_exist_are_refused(axis, strength):
    with pytest.raises(UsageError, match="camera, light, noise" if axis == "wind" else "at least 0"):
        changed(axis, strength)
