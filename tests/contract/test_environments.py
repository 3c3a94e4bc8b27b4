"""One contract for every environment: what rollouts, evaluation and the generation of demonstrations rely on."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, VectorEnv

from tests.worlds import need_metaworld
from vla_train.envs.babyai import BabyAIVectorEnv
from vla_train.envs.gym import GymVectorEnv
from vla_train.envs.metaworld import MetaWorldVectorEnv
from vla_train.envs.tabletop import TabletopVectorEnv
from vla_train.errors import WorldError
from vla_train.seeds import seeds
from vla_train.types import RawObservation

Make = Callable[[int], Any]

ENVIRONMENTS: dict[str, Make] = {
    "tabletop navigation": lambda n: TabletopVectorEnv(n, "basic_navigation", cameras=["top", "gripper"]),
    "tabletop manipulation": lambda n: TabletopVectorEnv(n, "simple_manipulation"),
    "tabletop complex": lambda n: TabletopVectorEnv(n, "complex_tasks", cameras=["top", "gripper"]),
    "tabletop several steps": lambda n: TabletopVectorEnv(n, "multi_step_reasoning"),
    "tabletop discrete": lambda n: TabletopVectorEnv(n, "simple_manipulation", actions="discrete"),
    "tabletop held-out pairs": lambda n: TabletopVectorEnv(n, "basic_navigation", split="pairs", cameras=[]),
    "babyai pixels": lambda n: BabyAIVectorEnv(n),
    "babyai symbols": lambda n: BabyAIVectorEnv(n, level="PutNextLocal", view="symbolic"),
    "metaworld pixels": lambda n: MetaWorldVectorEnv(n, image_size=16, horizon=80),
    "metaworld MT10": lambda n: MetaWorldVectorEnv(n, benchmark="MT10", cameras=[], horizon=200),
    "gym state": lambda n: GymVectorEnv(n, env_id="Pendulum-v1", horizon=30),
    "gym pixels": lambda n: GymVectorEnv(n, env_id="CartPole-v1", observation="pixels", image_size=16),
}
FEATURES = {"success", "alternatives", "first_touched", "expert", "scene", "describe"}


@pytest.fixture(params=ENVIRONMENTS)
def make(request: pytest.FixtureRequest) -> Iterator[Make]:
    if request.param.startswith("metaworld"):
        need_metaworld(draws="pixels" in request.param)
    made: list[Any] = []

    def maker(num_envs: int) -> Any:
        made.append(ENVIRONMENTS[request.param](num_envs))
        return made[-1]

    yield maker
    for environment in made:
        environment.close()


def same(one: RawObservation, two: RawObservation, rows: Any = slice(None), others: Any = slice(None)) -> bool:
    """Are rows of one observation equal, bit for bit, to rows of another?"""
    return (
        all((one["images"][name][rows] == two["images"][name][others]).all() for name in one["images"])
        and one["state"][rows].tobytes() == two["state"][others].tobytes()
        and (np.array(one["instruction"])[rows] == np.array(two["instruction"])[others]).all()
    )


def has(environment: Any, feature: str) -> bool:
    return feature not in environment.not_applicable


def act(environment: Any) -> np.ndarray:
    """The expert's actions, or some that are always the same where there is no expert."""
    if has(environment, "expert"):
        return np.asarray(environment.expert_action())
    spec = environment.io_spec.action
    if spec.kind == "discrete":
        return np.full((environment.num_envs, 1), spec.choices - 1)
    return np.tile(np.float32(spec.high) / 2, (environment.num_envs, 1))


def play_expert(environment: Any, steps: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Follow the expert to the end; returns the summed reward and the length of each row."""
    total, length = np.zeros(environment.num_envs), np.zeros(environment.num_envs, int)
    ended = np.zeros(environment.num_envs, bool)
    for _ in range(steps or environment.io_spec.horizon):
        length += ~ended
        _, reward, terminated, truncated, _ = environment.step(act(environment))
        total += reward
        ended |= terminated | truncated
        if ended.all():
            break
    return total, length


def test_it_is_a_vector_env_that_never_resets_by_itself(make):
    environment = make(2)
    assert isinstance(environment, VectorEnv)
    assert environment.metadata["autoreset_mode"] is AutoresetMode.DISABLED
    assert set(environment.not_applicable) <= FEATURES
    assert isinstance(environment.version, int)


def test_observations_are_as_the_spec_says(make):
    environment = make(3)
    spec = environment.io_spec
    observation, _ = environment.reset(seed=seeds("train", 3))
    assert (spec.history, spec.chunk) == (1, 1)
    assert set(observation["images"]) == set(spec.images)
    for name, image in spec.images.items():
        assert observation["images"][name].shape == (3, image.height, image.width, image.channels)
        assert observation["images"][name].dtype == np.uint8
        assert observation["images"][name].flags.c_contiguous
    assert observation["state"].shape == (3, spec.state_size)
    assert observation["state"].dtype == np.float32
    assert observation["instruction"] == [goal.instruction for goal in environment.goals]
    assert all(goal.task in spec.tasks for goal in environment.goals)
    assert environment.single_observation_space.contains(
        {
            "images": {name: images[0] for name, images in observation["images"].items()},
            "state": observation["state"][0],
            "instruction": observation["instruction"][0],
        }
    )


def test_a_row_is_the_same_whatever_the_batch(make):
    large, small = make(5), make(1)
    chosen = seeds("train", 5)
    many, _ = large.reset(seed=chosen)
    one, _ = small.reset(seed=chosen[3:4])
    assert same(many, one, [3], [0])
    for _ in range(12):
        actions = act(large)
        assert (actions[3:4] == act(small)).all()
        many, *facts = large.step(actions)
        one, *others = small.step(actions[3:4])
        assert same(many, one, [3], [0])
        assert [fact[3] for fact in facts[:3]] == [fact[0] for fact in others[:3]]


def test_a_masked_reset_leaves_the_other_rows_alone(make):
    environment = make(4)
    first, _ = environment.reset(seed=seeds("train", 4))
    stepped, *_ = environment.step(act(environment))
    mask = np.array([True, False, False, True])
    again, _ = environment.reset(seed=seeds("train", 4), options={"reset_mask": mask})
    assert same(again, first, mask, mask)
    assert same(again, stepped, ~mask, ~mask)


def test_the_expert_succeeds_and_success_ends_the_episode(make):
    environment = make(8)
    if not has(environment, "expert"):
        pytest.skip(environment.not_applicable["expert"])
    environment.reset(seed=seeds("validation", 8))
    assert not environment.success.any()
    total, length = play_expert(environment)
    assert environment.success.all()
    assert (total > 0).all()
    assert (length < environment.io_spec.horizon).all()


def test_ended_rows_keep_still_until_they_are_reset(make):
    environment = make(2)
    environment.reset(seed=seeds("train", 2))
    play_expert(environment)
    last, *_ = environment.step(act(environment))
    now, reward, terminated, truncated, _ = environment.step(act(environment))
    assert same(last, now)
    assert not reward.any()
    assert not (terminated | truncated).any()
    assert environment.success.all() or not has(environment, "expert")


def test_the_horizon_truncates(make):
    environment = make(2)
    environment.reset(seed=seeds("train", 2))
    spec = environment.io_spec
    if spec.tasks == ("CartPole-v1",):
        pytest.skip("the pole falls before that, whatever is done without looking")
    idle = np.zeros((2, spec.action.size), np.int64 if spec.action.kind == "discrete" else np.float32)
    ends = [environment.step(idle)[2:4] for _ in range(spec.horizon)]
    assert not any(terminated.any() for terminated, _ in ends)
    assert [bool(truncated.all()) for _, truncated in ends] == [False] * (spec.horizon - 1) + [True]


def test_wrong_actions_raise_world_errors(make):
    environment = make(2)
    environment.reset(seed=seeds("train", 2))
    with pytest.raises(WorldError):
        environment.step(np.zeros((2, 9), act(environment).dtype))
    bad = act(environment)
    bad[1] = environment.io_spec.action.choices if environment.io_spec.action.kind == "discrete" else np.nan
    with pytest.raises(WorldError):
        environment.step(bad)


def test_alternatives_differ_and_can_be_set_and_reached(make):
    environment = make(6)
    if not has(environment, "alternatives"):
        pytest.skip(environment.not_applicable["alternatives"])
    environment.reset(seed=seeds("validation", 6))
    options = environment.alternatives()
    for own, others in zip(environment.goals, options, strict=True):
        keys = [goal.key for goal in others]
        assert own.key not in keys
        assert len(keys) == len(set(keys))
    rows = [row for row, others in enumerate(options) if others]
    goals = [options[row][-1] for row in rows]
    observation = environment.set_goals(rows, goals)
    assert [environment.goals[row] for row in rows] == goals
    assert [observation["instruction"][row] for row in rows] == [goal.instruction for goal in goals]
    play_expert(environment)
    assert environment.success.all()


def test_the_expert_can_be_asked_for_another_goal(make):
    environment = make(6)
    if not has(environment, "alternatives"):
        pytest.skip(environment.not_applicable["alternatives"])
    environment.reset(seed=seeds("validation", 6))
    goals = [(others or [own])[-1] for own, others in zip(environment.goals, environment.alternatives(), strict=True)]
    asked = environment.expert_action(goals)
    rows = range(6)
    environment.set_goals(rows, goals)
    assert (asked == act(environment)).all()


def test_scenes_round_trip_through_json(make):
    environment, other = make(3), make(3)
    if not has(environment, "scene"):
        pytest.skip(environment.not_applicable["scene"])
    environment.reset(seed=seeds("train", 3))
    seen, *_ = environment.step(act(environment))
    other.reset(seed=seeds("train", 3, start=50))
    restored = other.set_scenes(range(3), json.loads(json.dumps(environment.get_scenes())))
    assert same(seen, restored)
    assert other.goals == environment.goals
    action = act(environment)
    assert same(environment.step(action)[0], other.step(action)[0])


def test_the_first_touched_object_of_an_expert_is_the_named_one(make):
    environment = make(8)
    if not has(environment, "first_touched"):
        pytest.skip(environment.not_applicable["first_touched"])
    environment.reset(seed=seeds("validation", 8))
    assert environment.first_touched == [""] * 8
    play_expert(environment)
    for goal, touched in zip(environment.goals, environment.first_touched, strict=True):
        assert touched == goal.named or not goal.named


def test_instructions_can_be_sampled_without_a_reset(make):
    environment = make(2)
    expected = environment.reset(seed=seeds("train", 2, start=10))[0]["instruction"]
    assert make(1).sample_instructions(seeds("train", 2, start=10)) == expected


def test_the_state_is_described_in_words(make):
    environment = make(2)
    if not has(environment, "describe"):
        pytest.skip(environment.not_applicable["describe"])
    environment.reset(seed=seeds("train", 2))
    for text, goal in zip(environment.describe(), environment.goals, strict=True):
        assert len(text.split()) > 3
        assert goal.named in text
