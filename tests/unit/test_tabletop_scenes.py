"""Scenes, splits and instructions of the tabletop world."""

import numpy as np
import pytest

from vla_train.envs.tabletop import TabletopVectorEnv, grammar, splits, world
from vla_train.envs.tabletop.scenes import SPACING, START_SPACING, sample_scenes
from vla_train.envs.tabletop.stages import STAGES
from vla_train.envs.tabletop.stages.simple_manipulation import pushes
from vla_train.envs.tabletop.state import State

SEEDS = np.arange(3000)


@pytest.fixture(scope="module")
def scenes() -> dict[str, State]:
    return {split: sample_scenes(SEEDS, split, 4, 6) for split in splits.SPLITS}


def pairs_of(state: State) -> list[set[tuple[str, str]]]:
    names = zip(state.colour, state.shape, state.count, strict=True)
    return [{(world.COLOURS[c], world.SHAPES[s]) for c, s in zip(cs[:k], ss[:k], strict=True)} for cs, ss, k in names]


def test_held_out_pairs_leave_each_colour_and_each_shape_three_times():
    assert len({colour for colour, _ in splits.HELD_OUT_PAIRS}) == len(world.COLOURS) == 4
    assert len({shape for _, shape in splits.HELD_OUT_PAIRS}) == len(world.SHAPES) == 4


@pytest.mark.parametrize("split", ["train", "templates"])
def test_a_held_out_pair_stands_in_no_training_scene(scenes, split):
    seen = set.union(*pairs_of(scenes[split]))
    assert seen.isdisjoint(splits.HELD_OUT_PAIRS)
    assert len(seen) == 12


def test_the_target_of_the_split_pairs_is_always_held_out(scenes):
    state = scenes["pairs"]
    targets = {(world.COLOURS[c], world.SHAPES[s]) for c, s in zip(state.colour[:, 0], state.shape[:, 0], strict=True)}
    assert targets == set(splits.HELD_OUT_PAIRS)


def test_there_are_four_to_six_objects_no_two_alike(scenes):
    for state in scenes.values():
        assert set(state.count) == {4, 5, 6}
        assert [len(pairs) for pairs in pairs_of(state)] == state.count.tolist()


def test_each_of_the_first_four_shares_its_colour_and_its_shape(scenes):
    for state in scenes.values():
        for attribute in (state.colour[:, :4], state.shape[:, :4]):
            sharing = (attribute[:, :, None] == attribute[:, None, :]).sum(axis=2)
            assert (sharing == 2).all()


def test_things_keep_their_distance(scenes):
    state = scenes["train"]
    distance = np.hypot(state.x[:, :, None] - state.x[:, None], state.y[:, :, None] - state.y[:, None])
    both = state.present[:, :, None] & state.present[:, None] & ~np.eye(6, dtype=bool)
    assert distance[both].min() >= SPACING
    start = np.hypot(state.x - state.tip_x[:, None], state.y - state.tip_y[:, None])
    assert np.quantile(start[state.present], 0.001) >= START_SPACING


def test_eight_objects_fit():
    state = sample_scenes(SEEDS, "train", 8, 8)
    distance = np.hypot(state.x[:, :, None] - state.x[:, None], state.y[:, :, None] - state.y[:, None]) + np.eye(8)
    assert distance.min() > 2 * world.BODY


def test_a_scene_does_not_depend_on_its_batch(scenes):
    alone = sample_scenes(np.array([1234]), "train", 4, 6)
    assert all((getattr(alone, name)[0] == getattr(scenes["train"], name)[1234]).all() for name in vars(alone))


def test_more_slots_leave_the_first_objects_as_they_are(scenes):
    small, large = sample_scenes(SEEDS, "train", 4, 4), sample_scenes(SEEDS, "train", 8, 8)
    assert (small.x == large.x[:, :4]).all()
    assert (small.colour == large.colour[:, :4]).all()


def test_the_templates_of_the_splits_are_disjoint():
    for task, lines in grammar.TRAIN_TEMPLATES.items():
        assert set(lines).isdisjoint(grammar.HELD_OUT_TEMPLATES[task])
        assert len(lines) >= 3
        assert len(grammar.HELD_OUT_TEMPLATES[task]) >= 2


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("split", splits.SPLITS)
def test_instructions_use_the_templates_of_their_split(stage, split):
    env = TabletopVectorEnv(400, stage, cameras=[], split=split)
    observation, _ = env.reset(seed=SEEDS[:400])
    assert env.sample_instructions(SEEDS[:400]) == observation["instruction"]
    used = {(goal.task, goal.template) for goal in env.goals}
    tasks = [task for task in STAGES[stage].tasks if split != "pairs" or task != "go to region"]
    assert used == {(task, line) for task in tasks for line in grammar.templates(split)[task]}
    wordings = {goal.template for options in env.alternatives() for goal in options}
    assert wordings <= {line for task in STAGES[stage].tasks for line in grammar.templates(split)[task]}


def test_no_instruction_is_longer_than_the_models_read():
    """31 words and commas, and the begin token: ``model.max_tokens`` is 32."""
    for split in splits.SPLITS:
        texts = TabletopVectorEnv(1, "multi_step_reasoning", cameras=[], split=split).sample_instructions(SEEDS[:1500])
        assert max(len(text.replace(",", " ,").split()) for text in texts) <= 31


def test_training_words_make_up_the_held_out_templates():
    """A held-out wording is a new order of known words: what is tested is the sentence, not the vocabulary."""
    train = {word for lines in grammar.TRAIN_TEMPLATES.values() for line in lines for word in line.split()}
    held_out = {word for lines in grammar.HELD_OUT_TEMPLATES.values() for line in lines for word in line.split()}
    assert held_out <= train | {"with"}


@pytest.mark.parametrize("stage", STAGES)
def test_the_object_to_touch_is_held_out_in_the_split_pairs(stage):
    env = TabletopVectorEnv(200, stage, cameras=[], split="pairs")
    env.reset(seed=SEEDS[:200])
    assert {tuple(goal.named.split()) for goal in env.goals} == set(splits.HELD_OUT_PAIRS)


def test_alternatives_are_the_other_legal_goals_of_the_scene():
    env = TabletopVectorEnv(50, "basic_navigation", cameras=[])
    env.reset(seed=SEEDS[:50])
    for scene, own, options in zip(env.get_scenes(), env.goals, env.alternatives(), strict=True):
        keys = {f"go to {item['name']}" for item in scene["objects"]} | {f"go to {region}" for region in world.REGIONS}
        assert {goal.key for goal in options} == keys - {own.key}
        assert len(options) == len(keys) - 1


def test_a_push_needs_room_and_a_free_lane():
    state = State.empty(1, 2)
    state.count[:] = 2
    state.x[0], state.y[0] = [0.0, 0.2], [0.0, 0.0]
    left, right, forward, back = pushes(state)[0, 0]
    assert (left, right, forward, back) == (True, False, True, True)  # the other object lies 0.2 m to the right
    state.x[0], state.y[0] = [0.3, -0.3], [0.0, 0.0]
    assert pushes(state)[0, 0].tolist() == [True, False, True, True]  # 0.3 + 0.22 is past the limit of 0.46
