"""Mirroring and turning: worked numbers, and episodes that are replayed in the simulator, moved."""

from dataclasses import asdict

import numpy as np
import pytest

from tests.moved_scenes import moved_goal, moved_scene
from vla_train.data.augmentation.batch import Batch
from vla_train.data.augmentation.directions import moved_words
from vla_train.data.augmentation.geometry import MOVES, Geometry, _aside
from vla_train.envs.tabletop import TabletopVectorEnv
from vla_train.spec import ImageSpec

H, V, HALF_TURN, LEFT_TURN = 4, 6, 2, 1  # numbers of moves


def geometry(env, flips=("horizontal", "vertical"), rotation=True, **options):
    return Geometry(env.symmetry.plane, env.io_spec, env.io_spec.images, flips=flips, rotation=rotation, **options)


def play(env, seeds):
    """What the expert does: per step (images, state, actions), and the scenes at the start."""
    observation, _ = env.reset(seed=seeds)
    scenes, steps = env.get_scenes(), []
    for _ in range(env.io_spec.horizon):
        action = env.expert_action()
        steps.append((observation["images"]["top"], observation["state"], action))
        observation, *_ = env.step(action)
        if env.success.all():
            break
    assert env.success.all()
    return scenes, steps


def moved_batch(augment, move, images, state, action, texts):
    """A batch of which every sample takes the given move, if its words and its action allow it."""
    augment._drawn = lambda batch, key: np.where([moved_words(t, *MOVES[move]) is not None for t in texts], move, 0)
    pictures, episode = {"top": images[:, None].copy()}, np.zeros(len(texts), np.int64)
    batch = Batch(pictures, state[:, None].copy(), action[:, None].copy(), [list(texts)], episode)
    augment(batch, np.arange(len(texts)))
    return batch.images["top"][:, 0], batch.state[:, 0], batch.action[:, 0], batch.texts[0]


def replay(stage, move, seeds, turning=True):
    """Moved episodes, played by the augmented actions in the moved scenes: which succeed, and how far pictures and states are
    from what the simulator shows."""
    env = TabletopVectorEnv(len(seeds), stage)
    scenes, steps = play(env, seeds)
    augment, texts = geometry(env), [scene["goal"]["instruction"] for scene in scenes]
    mirrored, quarters = MOVES[move]
    possible = [moved_goal(scene["goal"]["data"], mirrored, quarters) is not None for scene in scenes]
    assert possible == [moved_words(text, mirrored, quarters) is not None for text in texts]
    if not turning:
        possible &= ~np.any([(action[:, 2] != 0) for *_, action in steps], axis=0)
    rows = np.flatnonzero(possible)
    world_ = TabletopVectorEnv(len(rows), stage)
    world_.reset(seed=seeds[rows])
    observation = world_.set_scenes(range(len(rows)), [moved_scene(scenes[row], mirrored, quarters) for row in rows])
    away, states = [], []
    for images, state, action in steps:
        told = [texts[row] for row in rows]
        picture, number, motion, words = moved_batch(augment, move, images[rows], state[rows], action[rows], told)
        away.append(np.abs(picture.astype(int) - observation["images"]["top"]).max(axis=-1))
        states.append(np.abs(number - observation["state"]).max())
        observation, *_ = world_.step(motion)
    instructions = [asdict(goal)["data"] for goal in world_.goals]
    assert len(instructions) == len(words)
    return world_.success, np.array(away), max(states)


SEEDS = np.arange(24)


@pytest.mark.parametrize("move", range(1, 8))
def test_moved_episodes_of_going_somewhere_succeed_and_look_as_the_simulator_draws_them(move):
    success, away, states = replay("basic_navigation", move, SEEDS)
    assert success.all()
    assert states < 1e-5
    if move < 4:
        assert away.max() == 0, "turned pictures are the simulator's to the bit"
    else:
        assert away.mean() < 0.1, "of 255: the highlight of balls stays on the same side when the simulator mirrors them"


@pytest.mark.parametrize("move", range(1, 8))
def test_what_the_camera_on_the_gripper_sees_is_moved_to_the_pixel(move):
    """But for the row and the column at the edge that come into sight."""
    env, told = (TabletopVectorEnv(24, "basic_navigation", cameras=["gripper"]) for _ in range(2))
    observation, _ = env.reset(seed=SEEDS)
    scenes = [moved_scene(scene, *MOVES[move]) for scene in env.get_scenes()]
    told.reset(seed=SEEDS)
    expected = told.set_scenes(range(24), scenes)["images"]["gripper"]
    augment = geometry(env)
    augment._drawn = lambda batch, key: np.full(24, move)
    batch = Batch({"gripper": observation["images"]["gripper"][:, None].copy()}, observation["state"][:, None].copy(),
                  env.expert_action()[:, None], [list(observation["instruction"])], np.zeros(24, np.int64))  # fmt: skip
    augment(batch, SEEDS)
    away = np.abs(batch.images["gripper"][:, 0].astype(int) - expected)[:, 1:, 1:]
    assert away.max() == 0 if move < 4 else away.mean() < 0.05, "the highlight of balls"


def test_a_pixel_aside_is_one_of_the_recorded_size():
    recorded = ImageSpec(64, 64)
    assert [_aside(recorded, ImageSpec(size, size)) for size in (64, 128, 24)] == [1, 2, 0]
    assert _aside(ImageSpec(65, 65), recorded) == 0, "an odd number has a middle"


@pytest.mark.parametrize("move", [H, V, HALF_TURN])
@pytest.mark.parametrize("stage", ["simple_manipulation", "complex_tasks"])
def test_mirrored_episodes_of_handling_things_succeed(stage, move):
    success, _, states = replay(stage, move, SEEDS)
    assert success.all()
    assert states < 1e-5


@pytest.mark.parametrize("stage", ["simple_manipulation", "complex_tasks"])
def test_episodes_that_do_not_turn_the_gripper_succeed_when_turned_by_a_right_angle(stage):
    success, _, states = replay(stage, LEFT_TURN, SEEDS, turning=False)
    assert len(success) > 6
    assert success.all()
    assert states < 2e-3, "round the corner of a wall the simulator looks at x before y"
