"""BabyAI's demonstrations mirrored and renamed, against the library's own world mirrored and renamed."""

import itertools

import numpy as np
import pytest

pytest.importorskip("minigrid")
from minigrid.core.grid import Grid
from minigrid.core.world_object import WorldObj

from vla_train.data.augmentation.batch import Batch
from vla_train.data.augmentation.geometry import Geometry
from vla_train.data.augmentation.renaming import Renaming
from vla_train.envs import babyai_missions as missions
from vla_train.envs.babyai import BabyAIVectorEnv
from vla_train.errors import UsageError

SIDES = {"left": "right", "right": "left"}
COLOURS = ("red", "green", "blue", "purple", "yellow", "grey")
SHAPES = ("ball", "box", "key")


def record(env, seeds):
    """For each row the codes, compass and actions of the expert's episode, and the world at its start."""
    observation, _ = env.reset(seed=seeds)
    steps = [[] for _ in seeds]
    while not all(episode.ended for episode in env.episodes):
        action = env.expert_action()
        for row, episode in enumerate(env.episodes):
            if not episode.ended:
                steps[row].append((observation["images"]["view"][row].copy(), observation["state"][row], action[row]))
        observation, *_ = env.step(action)
    assert env.success.all()
    return steps


def remade(env, row, seed, mirrored=False, colour=None, shape=None):
    """The row's world from its seed, mirrored from east to west or with its things renamed; judged by the mission to match."""
    episode = env.episodes[row]
    episode.reset(seed)
    world, grid, library = episode.env, Grid(episode.env.grid.width, episode.env.grid.height), episode.env.grid
    for x, y in itertools.product(range(grid.width), range(grid.height)):
        thing = library.get(x, y)
        if thing is not None and thing.type in SHAPES:
            name = (shape or {}).get(thing.type, thing.type)
            thing = WorldObj.decode(missions_code(name), COLOURS.index((colour or {}).get(thing.color, thing.color)), 0)
        at = (grid.width - 1 - x, y) if mirrored else (x, y)
        grid.set(*at, thing)
        if thing is not None:
            thing.cur_pos = thing.init_pos = at
    world.grid = grid
    if mirrored:
        world.agent_pos = (grid.width - 1 - world.agent_pos[0], world.agent_pos[1])
        world.agent_dir = {0: 2, 2: 0}.get(world.agent_dir, world.agent_dir)
    rename = {**(colour or {}), **(shape or {}), **(SIDES if mirrored else {})}
    mission = missions.from_json(renamed(episode.goal.data, rename))
    world.instrs = missions.to_instruction(mission)
    world.instrs.reset_verifier(world)
    return episode


def renamed(mission, names):
    """Places stand in the middle of descriptions as left, right, front, behind."""
    return [renamed(part, names) if isinstance(part, tuple) else names.get(part, part) for part in mission]


def missions_code(name):
    from minigrid.core.constants import OBJECT_TO_IDX

    return OBJECT_TO_IDX[name]


def changed(change, steps, text):
    """An episode's codes, compass, actions and words after a change, the same one for all of its steps."""
    images, state, action = (np.array(values) for values in zip(*steps, strict=True))
    batch = Batch(
        {"view": images[:, None]}, state[:, None], action[:, None], [[text] * len(steps)], np.zeros(len(steps), np.int64)
    )
    change(batch, np.full(len(steps), 3))  # one number, so one draw
    return batch.images["view"][:, 0], batch.state[:, 0], batch.action[:, 0], batch.texts[0][0]


def replay(episode, images, state, actions):
    for codes, compass, action in zip(images, state, actions, strict=True):
        seen = episode.env.gen_obs()
        np.testing.assert_array_equal(codes, seen["image"].transpose(1, 0, 2))
        assert compass.argmax() == seen["direction"]
        _, reward, *_ = episode.env.step(int(action[0]))
    assert reward > 0


@pytest.mark.parametrize("level", ["GoToLocal", "PickupLoc", "PutNextLocal"])
def test_a_mirrored_episode_is_what_the_mirrored_world_shows_and_rewards(level):
    env = BabyAIVectorEnv(8, level=level, view="symbolic")
    episodes = record(env, range(8))
    mirror = Geometry(env.symmetry.plane, env.io_spec, env.io_spec.images, flips=["horizontal"], rotation=False)
    mirror._drawn = lambda batch, key: np.full(len(key), 4)
    for row, steps in enumerate(episodes):
        goal = env.episodes[row].goal
        images, state, actions, text = changed(mirror, steps, goal.instruction)
        episode = remade(env, row, row, mirrored=True)
        assert text == episode.env.instrs.surface(episode.env)
        replay(episode, images, state, actions)


@pytest.mark.parametrize("level", ["GoToLocal", "PickupLoc", "PutNextLocal"])
def test_a_renamed_episode_is_what_the_renamed_world_shows_and_rewards(level):
    env = BabyAIVectorEnv(8, level=level, view="symbolic")
    episodes = record(env, range(8))
    renaming = Renaming(env.symmetry.names, env.io_spec.images, [], colours="all", shapes=True)
    (colour,), (shape,) = renaming._drawn(np.array([0]), np.array([3]))
    colour, shape = renaming._of_colours[colour], renaming._of_shapes[shape]
    assert (colour != range(6)).any()
    assert (shape != range(3)).any()
    names = {"colour": {COLOURS[i]: COLOURS[k] for i, k in enumerate(colour)}}
    names["shape"] = {SHAPES[i]: SHAPES[k] for i, k in enumerate(shape)}
    for row, steps in enumerate(episodes):
        images, state, actions, text = changed(renaming, steps, env.episodes[row].goal.instruction)
        episode = remade(env, row, row, **names)
        assert text == episode.env.instrs.surface(episode.env)
        replay(episode, images, state, actions)


def test_keys_keep_their_shape_where_they_may_open_something():
    assert set(BabyAIVectorEnv(1, level="UnlockPickup", view="symbolic").symmetry.names.codes["view"].shapes) == {"ball", "box"}


def test_a_view_that_turns_with_its_owner_is_not_turned():
    env = BabyAIVectorEnv(1, view="symbolic")
    with pytest.raises(UsageError, match="only be mirrored"):
        Geometry(env.symmetry.plane, env.io_spec, env.io_spec.images, flips=[], rotation=True)
    with pytest.raises(UsageError, match="only be mirrored"):
        Geometry(env.symmetry.plane, env.io_spec, env.io_spec.images, flips=["vertical"], rotation=False)
