"""The floor under the difficulty, and the expert that is well above it.

``scripts/check_expert.py`` measures the same over as many seeds as the figures in ``docs/tabletop.md`` are made from.
"""

import numpy as np
import pytest

from vla_train.envs.tabletop import TabletopVectorEnv, world
from vla_train.envs.tabletop.stages import STAGES
from vla_train.seeds import counter_uniform, seeds

pytestmark = pytest.mark.parametrize("stage", STAGES)


def make(stage: str, episodes: int, **options) -> TabletopVectorEnv:
    env = TabletopVectorEnv(episodes, stage, cameras=[], **options)
    env.reset(seed=seeds("test", episodes))
    return env


def finish(env: TabletopVectorEnv, act) -> np.ndarray:
    """Play every row to its end; bool [n] success."""
    ended = np.zeros(env.num_envs, bool)
    for step in range(env.io_spec.horizon):
        _, _, terminated, truncated, _ = env.step(act(step))
        ended |= terminated | truncated
        if ended.all():
            break
    assert ended.all()
    return env.success


def noise(env: TabletopVectorEnv, step: int) -> np.ndarray:
    """Roughly normal numbers of standard deviation 1, [n, 4]."""
    uniform = counter_uniform(seeds("test", env.num_envs), 1000 + step, 4 * 12)
    return uniform.reshape(env.num_envs, 4, 12).sum(axis=2) - 6


def test_radius_and_step_are_at_most_five_percent_of_the_table(stage):
    assert max(world.RADIUS, world.MOVE) <= 0.05 * 2 * world.HALF


@pytest.mark.parametrize("actions", ["continuous", "discrete"])
def test_random_actions_reach_at_most_3_percent(stage, actions):
    env = make(stage, 1000, actions=actions)

    def act(step: int) -> np.ndarray:
        if actions == "continuous":
            return 2 * counter_uniform(seeds("test", 1000), 1000 + step, 4) - 1
        return np.floor(counter_uniform(seeds("test", 1000), 1000 + step, 1) * env.io_spec.action.choices).astype(int)

    assert finish(env, act).mean() <= 0.03


def test_an_expert_with_a_random_legal_goal_reaches_at_most_30_percent(stage):
    env = make(stage, 250)
    draw = counter_uniform(seeds("test", 250), 999, 1)[:, 0]
    options = [[own, *others] for own, others in zip(env.goals, env.alternatives(), strict=True)]
    goals = [choices[int(u * len(choices))] for u, choices in zip(draw, options, strict=True)]
    assert finish(env, lambda step: env.expert_action(goals)).mean() <= 0.30


@pytest.mark.parametrize("scale", [0.0, 0.3])
def test_the_expert_succeeds_in_99_5_percent(stage, scale):
    env = make(stage, 1000)
    success = finish(env, lambda step: env.expert_action() + scale * noise(env, step))
    assert success.mean() >= 0.995
    if not scale:
        named = [(touched, goal.named) for touched, goal in zip(env.first_touched, env.goals, strict=True) if goal.named]
        assert np.mean([touched == name for touched, name in named]) >= 0.995


@pytest.mark.parametrize(
    "options", [{"actions": "discrete"}, {"split": "pairs"}, {"min_objects": 8, "max_objects": 8}, {"min_objects": 1}]
)
def test_the_expert_masters_the_variants(stage, options):
    env = make(stage, 400, **options)
    assert finish(env, lambda step: env.expert_action()).mean() >= 0.995


def test_every_alternative_can_be_reached(stage):
    """Swapping the goal is a fair test: the expert reaches all legal goals of a scene within the horizon."""
    scenes = make(stage, 20)
    pairs = [(row, goal) for row, options in enumerate(scenes.alternatives()) for goal in options]
    env = TabletopVectorEnv(len(pairs), stage, cameras=[])
    env.reset(seed=seeds("test", 20)[[row for row, _ in pairs]])
    env.set_goals(range(len(pairs)), [goal for _, goal in pairs])
    success = finish(env, lambda step: env.expert_action())
    assert success.mean() >= 0.995, [goal.key for (_, goal), reached in zip(pairs, success, strict=True) if not reached]


def test_the_expert_recovers_from_any_pose(stage):
    """Closed fingers, or the wrong object in them: the expert opens, and goes on."""
    env = make(stage, 500)
    scenes = env.get_scenes()
    for row, scene in enumerate(scenes):
        thing = scene["objects"][row % len(scene["objects"])]
        scene |= {"tip_x": thing["x"], "tip_y": thing["y"], "yaw": thing["angle"], "opening": 0.0}
        scene["held"] = row % len(scene["objects"]) if row % 2 else -1
    env.set_scenes(range(500), scenes)
    assert finish(env, lambda step: env.expert_action()).mean() >= 0.99
