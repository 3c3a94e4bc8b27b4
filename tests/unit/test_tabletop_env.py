"""The tabletop as an environment: spaces, errors, scenes, shaping, the discrete variant, the single view."""

import json
import warnings

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

from vla_train.envs.tabletop import TabletopEnv, TabletopVectorEnv, world
from vla_train.envs.tabletop.stages import STAGES
from vla_train.errors import UsageError, WorldError


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("actions", ["continuous", "discrete"])
def test_the_single_view_passes_gymnasiums_checker(stage, actions):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*(render_modes|not having the spec).*")
        check_env(TabletopEnv(stage, render_mode="rgb_array", actions=actions), skip_render_check=True)


def test_the_single_view_is_row_0_of_a_batch():
    single, batch = TabletopEnv(), TabletopVectorEnv(3)
    one, _ = single.reset(seed=5)
    many, _ = batch.reset(seed=[5, 6, 7])
    assert (one["images"]["top"] == many["images"]["top"][0]).all()
    action = batch.expert_action()
    one, _, _, _, info = single.step(action[0])
    many, *_ = batch.step(action)
    assert (one["state"] == many["state"][0]).all()
    assert one["instruction"] == many["instruction"][0]
    assert info == {"success": False}


def test_observations_lie_in_their_space():
    env = TabletopVectorEnv(4, "simple_manipulation", cameras=["top", "gripper"], image_size=32)
    assert env.metadata["autoreset_mode"] is AutoresetMode.DISABLED
    observation, _ = env.reset(seed=range(4))
    assert env.observation_space.contains(observation)
    env.action_space.seed(0)
    observation, reward, terminated, truncated, _ = env.step(env.action_space.sample())
    assert env.observation_space.contains(observation)
    assert (reward.dtype, terminated.dtype, truncated.dtype) == (np.float64, bool, bool)


def test_the_spec_says_what_the_policy_sees_and_does():
    spec = TabletopVectorEnv(2, cameras=["gripper"], image_size=48).io_spec
    assert (spec.images["gripper"].height, spec.state_size, spec.horizon, spec.rate) == (48, 5, 60, 10.0)
    assert spec.action.names == ("dx", "dy", "dyaw", "gripper")
    assert spec.action.units == ("0.05 m", "0.05 m", "0.3 rad", "0.5 of the opening")
    assert spec.tasks == ("go to object", "go to region")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stage": "basic_navigaton"}, "unknown stage 'basic_navigaton'. Did you mean 'basic_navigation'?"),
        ({"split": "test"}, "unknown split 'test'"),
        ({"cameras": ["topp"]}, "unknown camera 'topp'. Did you mean 'top'?"),
        ({"actions": "both"}, "unknown actions 'both'"),
        ({"max_objects": 9}, "max_objects=9"),
        ({"min_objects": 5, "max_objects": 4}, "min_objects=5, max_objects=4"),
        ({"num_envs": 0}, "num_envs=0"),
        ({"image_size": 8}, "image_size=8"),
        ({"shaping": -1.0}, "shaping=-1.0"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(UsageError) as error:
        TabletopVectorEnv(**({"num_envs": 2, "stage": "basic_navigation"} | options))
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("actions", "kind", "message"),
    [
        (np.zeros((2, 3)), "continuous", "shape [2, 3]; it must be [2, 4]"),
        (np.array([[0, 0, 0, 0], [0, np.nan, 0, 0]]), "continuous", "action dy of row 1 is nan"),
        (np.array([[0], [13]]), "discrete", "action 13 of row 1 is none of 0 to 12"),
        (np.array([[0.0], [1.0]]), "discrete", "must be integers"),
    ],
)
def test_wrong_actions_are_named(actions, kind, message):
    env = TabletopVectorEnv(2, cameras=[], actions=kind)
    env.reset(seed=[0, 1])
    with pytest.raises(WorldError) as error:
        env.step(actions)
    assert message in str(error.value)


def test_a_goal_that_does_not_fit_is_refused():
    env = TabletopVectorEnv(200, cameras=[])
    env.reset(seed=range(200))
    goal = next(goal for goal in env.goals if goal.named)
    row = next(row for row, scene in enumerate(env.get_scenes()) if goal.named not in [o["name"] for o in scene["objects"]])
    with pytest.raises(WorldError, match=f"does not fit row {row}"):
        env.set_goals([row], [goal])


def test_stepping_before_a_reset_is_refused():
    with pytest.raises(WorldError, match="reset before"):
        TabletopVectorEnv(1, cameras=[]).step(np.zeros((1, 4)))


def test_a_scene_set_again_goes_on_bit_for_bit():
    env, other = (TabletopVectorEnv(16, "simple_manipulation", cameras=["top"], shaping=0.5) for _ in range(2))
    env.reset(seed=range(16))
    for _ in range(9):
        env.step(env.expert_action())
    other.reset(seed=range(100, 116))
    scenes = json.loads(json.dumps(env.get_scenes()))
    seen = other.set_scenes(range(16), scenes)
    assert seen["instruction"] == [goal.instruction for goal in env.goals]
    for _ in range(12):
        (one, *facts), (two, *others) = env.step(env.expert_action()), other.step(other.expert_action())
        assert (one["images"]["top"] == two["images"]["top"]).all()
        assert all((a == b).all() for a, b in zip(facts[:3], others[:3], strict=True))
    assert env.get_scenes() == other.get_scenes()


def test_shaping_sums_to_the_potential_that_was_overcome():
    """With discount 0.99 the discounted sum of the shaping is minus the first potential, whatever the path (Ng et al. 1999)."""
    env, plain = (TabletopVectorEnv(64, "basic_navigation", cameras=[], shaping=scale) for scale in (2.0, 0.0))
    env.reset(seed=range(64))
    plain.reset(seed=range(64))
    scenes, goals = env.get_scenes(), env.goals
    start = []
    for scene, goal in zip(scenes, goals, strict=True):
        places = {item["name"]: (item["x"], item["y"]) for item in scene["objects"]} | world.REGIONS
        x, y = places[goal.named or goal.data["place"]]
        start.append(np.hypot(x - scene["tip_x"], y - scene["tip_y"]))
    total = np.zeros(64)
    for step in range(40):
        action = env.expert_action()
        total += 0.99**step * (env.step(action)[1] - plain.step(action)[1])
    assert env.success.all()
    np.testing.assert_allclose(total, 2.0 * np.array(start), atol=1e-9)


def test_discrete_actions_move_turn_open_and_close():
    env = TabletopVectorEnv(1, cameras=[], actions="discrete")
    env.reset(seed=[0])
    names = env.io_spec.action.names

    def after(name: str) -> np.ndarray:
        before = env.get_scenes()[0]
        env.step(np.array([[names.index(name)]]))
        now = env.get_scenes()[0]
        return np.round([now[key] - before[key] for key in ("tip_x", "tip_y", "yaw", "opening")], 9)

    assert after("right").tolist() == [0.03, 0, 0, 0]
    assert after("back left").tolist() == [-0.03, -0.03, 0, 0]
    assert after("turn right").tolist() == [0, 0, -0.18, 0]
    assert after("close").tolist() == [0, 0, 0, -0.5]
    assert after("open").tolist() == [0, 0, 0, 0.5]
    assert after("stay").tolist() == [0, 0, 0, 0]


def test_the_description_says_who_holds_what():
    env = TabletopVectorEnv(1, "simple_manipulation", cameras=[])
    env.reset(seed=[0])
    scene = env.get_scenes()[0]
    names = [item["name"] for item in scene["objects"]]
    assert "the gripper holds nothing" in env.describe()[0]
    assert all(name in env.describe()[0] for name in names)
    env.set_scenes([0], [scene | {"held": 1, "opening": 0.0}])
    assert f"the gripper holds the {names[1]}" in env.describe()[0]
