"""Goals in several steps: the order counts; and references by relation mean what a person would say."""

import re

import numpy as np
import pytest

from vla_train.envs.contract import Goal
from vla_train.envs.tabletop import TabletopVectorEnv, world
from vla_train.errors import WorldError

NEAREST = re.compile(r"(\w+)( object)? nearest to the (\w+ \w+)")


def make(seeds, **options) -> TabletopVectorEnv:
    env = TabletopVectorEnv(len(seeds), "multi_step_reasoning", cameras=[], **options)
    env.reset(seed=seeds)
    return env


def finish(env: TabletopVectorEnv, goals: list[Goal] | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Follow the expert towards the rows' own or other goals; whether and when each row ended."""
    terminated, length = np.zeros(env.num_envs, bool), np.zeros(env.num_envs, int)
    for _ in range(env.io_spec.horizon):
        length += ~terminated
        terminated |= env.step(env.expert_action(goals))[2]
    return terminated, length


def reordered(goal: Goal, steps: list[dict[str, str]]) -> Goal:
    return Goal(goal.instruction, goal.key, goal.task, goal.named, goal.template, {"steps": steps})


def two_puts(count: int) -> TabletopVectorEnv:
    """Rows whose goal is to put one thing somewhere, and then another one."""
    env = make(range(400))
    kinds = [[step["kind"] for step in goal.data["steps"]] for goal in env.goals]
    puts = {"next_to", "left_of", "right_of", "on", "on_tray"}
    return make([row for row, steps in enumerate(kinds) if len(steps) == 2 and set(steps) <= puts][:count])


def test_the_wrong_order_fails_and_ends_the_episode():
    env = two_puts(16)
    backwards = [reordered(goal, goal.data["steps"][::-1]) for goal in env.goals]
    terminated, length = finish(env, backwards)
    assert not env.success.any()
    assert terminated.all()
    right_order = two_puts(16)
    _, needed = finish(right_order)
    assert right_order.success.all()
    assert length.mean() < 0.7 * needed.mean()  # it ends with the first thing that was done too early


def test_a_step_alone_is_not_enough():
    for number in (0, 1):
        env = make(range(16))
        finish(env, [reordered(goal, [goal.data["steps"][number]]) for goal in env.goals])
        assert not env.success.any()


def after_the_first_step(env: TabletopVectorEnv) -> list[dict]:
    """The scene of each row when its first step has just been counted as done."""
    scenes: dict[int, dict] = {}
    while len(scenes) < env.num_envs:
        env.step(env.expert_action())
        now = env.get_scenes()
        scenes |= {row: now[row] for row in range(env.num_envs) if now[row]["done"] and row not in scenes}
    return [scenes[row] for row in range(env.num_envs)]


def test_what_was_undone_does_not_count():
    """The first object is put back where it was, the second step is done: the goal is reached only once that is mended."""
    env = two_puts(20)
    scenes = after_the_first_step(env)
    for scene, goal in zip(scenes, env.goals, strict=True):
        first = next(item for item in scene["objects"] if item["name"] == goal.named)
        first |= {"x": first["start_x"], "y": first["start_y"]}
    env.set_scenes(range(20), scenes)
    second_only = [reordered(goal, [goal.data["steps"][1]]) for goal in env.goals]
    for _ in range(60):
        env.step(env.expert_action(second_only))
    assert not env.success.any()
    finish(env)
    assert env.success.all()


def test_a_scene_keeps_its_progress():
    env, other = two_puts(10), two_puts(10)
    scenes = after_the_first_step(env)
    other.set_scenes(range(10), scenes)
    assert other.get_scenes() == scenes
    finish(other)
    assert other.success.all()


def test_scenes_of_other_stages_and_longer_goals_are_refused():
    env = make([0])
    simple = TabletopVectorEnv(1, "simple_manipulation", cameras=[])
    simple.reset(seed=[0])
    with pytest.raises(WorldError, match="0 trays and 0 walls does not fit this stage, which has 2 and 1"):
        env.set_scenes([0], simple.get_scenes())
    with pytest.raises(WorldError, match="steps; this stage has at most 1"):
        simple.set_goals([0], env.goals)


def referent(scene: dict, phrase: re.Match) -> str:
    """The object that "the cup nearest to the red box" means, from the words and the scene alone."""
    noun, _, anchor = phrase.groups()
    places = {item["name"]: np.array([item["x"], item["y"]]) for item in scene["objects"]}
    candidates = [name for name in places if noun in name.split()]
    assert len(candidates) >= 2, "else nobody would say it so"
    assert anchor in places
    assert anchor not in candidates
    away = sorted((float(np.linalg.norm(places[name] - places[anchor])), name) for name in candidates)
    assert away[1][0] - away[0][0] >= 0.06, "a person could not tell which is nearer"
    return away[0][1]


@pytest.mark.parametrize("split", ["train", "templates", "pairs"])
def test_a_reference_by_relation_means_the_nearest_one(split):
    env = make(range(1500), split=split)
    checked = 0
    for scene, goal in zip(env.get_scenes(), env.goals, strict=True):
        found = list(NEAREST.finditer(goal.instruction))
        assert len(found) == (goal.task == "two steps by relation")
        for phrase in found:
            spoken = NEAREST.sub(referent(scene, phrase), goal.instruction)
            assert all(step["object"] in spoken for step in goal.data["steps"])
            checked += 1
    assert checked > 300


@pytest.mark.parametrize("stage", ["complex_tasks", "multi_step_reasoning"])
def test_every_instruction_names_things_that_are_there_once(stage):
    """Exhaustive over goals and alternatives: each name in the words belongs to exactly one thing of the scene."""
    env = TabletopVectorEnv(150, stage, cameras=[])
    env.reset(seed=range(150))
    names = re.compile(rf"(?:{'|'.join(world.COLOURS)}) (?:{'|'.join(world.SHAPES)})|\w+ tray")
    for scene, own, others in zip(env.get_scenes(), env.goals, env.alternatives(), strict=True):
        there = [item["name"] for item in scene["objects"]] + list(world.TRAYS)
        for goal in (own, *others):
            spoken = names.findall(goal.instruction)
            assert spoken
            assert all(there.count(name) == 1 for name in spoken)
            if "nearest" not in goal.instruction:
                steps = goal.data.get("steps", [goal.data])
                assert {step["object"] for step in steps} | {step.get("other", "") for step in steps} <= {*spoken, ""}


def test_steps_are_about_different_things():
    env = make(range(500))
    for goal in env.goals:
        steps = goal.data["steps"]
        things = [name for step in steps for name in (step["object"], step.get("other", "")) if name]
        assert len(things) == len(set(things))
        assert all("other" in step for step in steps[:-1])  # every step but the last leaves a trace
        assert 2 <= len(steps) <= 3


def test_before_and_after_say_the_order():
    env = make(range(600))
    for goal in env.goals:
        spoken = [goal.instruction.index(step["object"] or step["place"]) for step in goal.data["steps"]
                  if (step["object"] or step["place"]) in goal.instruction]  # fmt: skip
        if "nearest" not in goal.instruction:
            backwards = goal.instruction.startswith("before")
            assert spoken == sorted(spoken, reverse=backwards)
