"""Meta-World: seeds decide scenes, pictures are the protocol's and those of the library, words tell tasks apart."""

import os
import subprocess
import sys

import numpy as np
import pytest

from tests.worlds import need_metaworld
from vla_train.collection.demonstrations import Demonstrations
from vla_train.envs.metaworld import MetaWorldVectorEnv
from vla_train.envs.metaworld_draw import gl_name, upright
from vla_train.envs.metaworld_tasks import GROUPS, INSTRUCTIONS, groups_of, tasks_of
from vla_train.errors import UsageError
from vla_train.evaluation.groups import group_figures
from vla_train.seeds import seeds
from vla_train.spec import EpisodeResult


def test_every_task_is_told_apart_and_has_one_difficulty():
    assert len(INSTRUCTIONS) == len(set(INSTRUCTIONS.values())) == 50
    assert [len(group) for group in GROUPS.values()] == [28, 11, 6, 5]
    assert INSTRUCTIONS["push-v3"] == "Push the puck to a goal"
    assert INSTRUCTIONS["push-back-v3"] == "Pull the puck back to a goal"


def test_tasks_and_benchmarks_are_the_librarys():
    need_metaworld(draws=False)
    from metaworld.env_dict import ALL_V3_ENVIRONMENTS, MT10_V3

    assert set(tasks_of("MT50", "")) == set(ALL_V3_ENVIRONMENTS)
    assert tasks_of("MT10", "") == tuple(MT10_V3)
    assert tasks_of("MT1", "push-v3") == ("push-v3",)
    assert groups_of(("push-v3", "reach-v3")) == {"easy": ("reach-v3",), "hard": ("push-v3",)}


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"task": "reech-v3"}, "did you mean reach-v3"),
        ({"benchmark": "MT11"}, "MT1, MT10 and MT50"),
        ({"stage": "basic_navigation"}, "has no task 'basic_navigation'"),
        ({"cameras": ["corner5"]}, "corner4"),
        ({"crop": [0.5, 0.0, 0.6]}, "at most 1"),
        ({"horizon": 501}, "1 to 500"),
    ],
)
def test_what_cannot_be_is_said(keys, words):
    with pytest.raises(UsageError, match=words):
        MetaWorldVectorEnv(1, **keys)


def test_the_mean_counts_each_group_the_same():
    # easy: 1 of 3 (in two tasks), hard: 1 of 1; the mean of 1/3 and 1 is 2/3, whereas 2 of 4 episodes succeeded.
    played = [("reach-v3", "success"), ("reach-v3", "failure"), ("door-open-v3", "crash"), ("push-v3", "success")]
    results = [EpisodeResult("plain", "none", 0, task, "", "", outcome, 1, 0.0) for task, outcome in played]
    results.append(EpisodeResult("random", "none", 0, "push-v3", "", "", "failure", 1, 0.0))
    found = group_figures(results, groups_of(("reach-v3", "door-open-v3", "push-v3")))
    assert found["success_mean_of_groups"] == pytest.approx(2 / 3)
    assert (found["success/easy"], found["success/hard"], found["episodes/easy"]) == (pytest.approx(1 / 3), 1.0, 3.0)
    some = group_figures(results, groups_of(("reach-v3", "door-open-v3", "push-v3", "soccer-v3")))
    assert "success/medium" not in some  # no episode of it
    assert "success_mean_of_groups" not in some  # the mean of the others is another figure


def test_a_hanging_cameras_picture_is_turned_by_180_degrees():
    # OpenGL gives rows from the lowest one. Of the picture a b / c d it gives c d / a b. A camera that hangs upside down sees
    # a b / c d where the room is d c / b a.
    pixels = np.array([["c", "d"], ["a", "b"]])
    assert upright(pixels, "topview").tolist() == [["a", "b"], ["c", "d"]]
    assert upright(pixels, "corner2").tolist() == [["d", "c"], ["b", "a"]]


def test_seeds_decide_tasks_and_scenes_whatever_was_played_before():
    need_metaworld(draws=False)
    fresh, used = (MetaWorldVectorEnv(10, benchmark="MT10", cameras=[]) for _ in range(2))
    used.reset(seed=seeds("train", 10, 10))
    for _ in range(40):
        used.step(used.expert_action())
    chosen = seeds("train", 10, 30)
    fresh.reset(seed=chosen)
    used.reset(seed=chosen[::-1])  # each row gets another task than before
    assert [goal.task for goal in fresh.goals] == list(tasks_of("MT10", ""))
    other = [fresh.episodes[row].seen for row in range(10)]
    assert all((used.episodes[9 - row].seen == other[row]).all() for row in range(10))
    push = np.linspace(-1, 1, 40, dtype=np.float32).reshape(10, 4)
    for _ in range(5):
        fresh.step(push)
        used.step(push[::-1])
    assert all((used.episodes[9 - row].seen == fresh.episodes[row].seen).all() for row in range(10))


def test_every_seed_of_every_range_has_another_goal():
    need_metaworld(draws=False)
    environment, places = MetaWorldVectorEnv(6, cameras=[]), set()
    for split in ("train", "validation", "test"):
        environment.reset(seed=seeds(split, 6))
        places |= {tuple(row.seen[-3:]) for row in environment.episodes}
    assert len(places) == 18


def test_the_scene_of_a_seed_stays_what_it_is():
    need_metaworld(draws=False)
    environment = MetaWorldVectorEnv(1, cameras=[])
    environment.reset(seed=[0])
    # reach draws the puck in [-0.1, 0.1] x [0.6, 0.7], and the goal in [-0.1, 0.1] x [0.8, 0.9] x [0.05, 0.3].
    assert environment.describe() == [
        "hand at (0.00, 0.60, 0.20), gripper 100% open; object at (-0.03, 0.63, 0.02); goal at (-0.01, 0.82, 0.19)"
    ]


def gymnasium_frame(environment, size, corner2=(0.75, 0.075, 0.7)):
    """The library's own picture of row 0, flipped on both axes as the published protocol does it."""
    from gymnasium.envs.mujoco.mujoco_rendering import MujocoRenderer

    world = environment.episodes[0]._world.env
    os.environ.setdefault("MUJOCO_GL", gl_name())
    assert np.allclose(world.model.camera("corner2").pos, corner2)
    renderer = MujocoRenderer(world.model, world.data, None, size, size, 1000, None, "corner2")
    frame = np.flip(renderer.render("rgb_array"), (0, 1))
    renderer.close()
    return frame.astype(int)


def test_pictures_are_the_librarys_and_the_fast_ones_lack_shadows_and_soft_edges():
    need_metaworld()
    full, fast = (MetaWorldVectorEnv(1, task="door-open-v3", rendering=rendering) for rendering in ("full", "fast"))
    pictures = [world.reset(seed=[3])[0]["images"]["corner2"][0].astype(int) for world in (full, fast)]
    assert (gymnasium_frame(full, 96) == pictures[0]).all()
    # Without shadows the table is lighter in places; nothing else changes: most pixels differ little.
    difference = np.abs(pictures[0] - pictures[1]).max(-1)
    assert 1 < difference.mean() < 14
    assert np.median(difference) <= 3
    assert full.reset(seed=[3])[0]["images"]["corner2"][0].tolist() == pictures[0].tolist()  # whatever drew in between


def test_a_crop_shows_a_part_of_the_picture_larger():
    need_metaworld()
    for camera in ("corner2", "topview"):
        whole, part = (
            MetaWorldVectorEnv(1, cameras=[camera], image_size=size, crop=crop).reset(seed=[3])[0]["images"][camera][0]
            for size, crop in ((160, (0.0, 0.0, 1.0)), (80, (0.25, 0.125, 0.5)))
        )
        assert (np.abs(whole[20:100, 40:120].astype(int) - part) > 2).mean() < 0.02, camera


def test_the_goal_is_drawn_where_it_is_from_the_first_frame_on():
    need_metaworld()
    environment = MetaWorldVectorEnv(1, task="push-v3", image_size=200)
    for seed in (1, 2):  # of the second scene the marker must not stand where the first one had it
        seen, _ = environment.reset(seed=[seed])
        first = seen["images"]["corner2"][0].astype(int)
        seen, *_ = environment.step(np.zeros((1, 4), np.float32))
        later = seen["images"]["corner2"][0].astype(int)
        green = [np.argwhere((image[..., 1] > 150) & (image[..., [0, 2]].max(-1) < 80)).mean(0) for image in (first, later)]
        assert np.abs(green[0] - green[1]).max() < 1


def test_fifty_demonstrations_for_each_task(tmp_path):
    need_metaworld(draws=False)

    def make(num_envs):
        return MetaWorldVectorEnv(num_envs, benchmark="MT10", cameras=[], horizon=200)

    data = Demonstrations(per_task=2, benchmark="MT10")
    folder = data.ensure(make, {}, output=tmp_path, name="metaworld")
    assert folder.name.startswith("metaworld-MT10-")
    tasks = [row["goal"] for row in data.open(folder).metadata.episodes]
    assert sorted(tasks) == sorted(2 * tasks_of("MT10", ""))


def without_gl(code, **variables):
    environment = {key: value for key, value in os.environ.items() if key != "MUJOCO_GL"} | variables
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=120, check=False)
    return done.stdout + done.stderr


CODE = """
import ctypes.util
find = ctypes.util.find_library
ctypes.util.find_library = lambda name: None if name in ("EGL", "OSMesa") else find(name)
from vla_train.envs.metaworld import MetaWorldVectorEnv
from vla_train.errors import UsageError
MetaWorldVectorEnv(1, cameras=[]).reset(seed=[0])
try:
    MetaWorldVectorEnv(1, image_size=16)
except UsageError as error:
    print("said:", error)
"""


def test_without_opengl_the_package_to_install_is_named():
    need_metaworld(draws=False)
    assert "said: Meta-World draws with OpenGL, and this machine has no library" in (printed := without_gl(CODE)), printed
    assert "apt-get install libosmesa6" in printed
    printed = without_gl(CODE, MUJOCO_GL="glfw", DISPLAY="")
    assert "said: Meta-World cannot draw with MUJOCO_GL=glfw" in printed, printed


def test_a_wrong_way_to_draw_is_answered_with_those_there_are():
    need_metaworld(draws=False)
    code = "from vla_train.envs.metaworld import MetaWorldVectorEnv as World; World(1, cameras=[])"
    printed = without_gl(code, MUJOCO_GL="wrong")
    assert "UsageError: Meta-World cannot be imported with MUJOCO_GL=wrong" in printed, printed
    for name, package in {"osmesa": "libosmesa6", "egl": "libegl1", "glfw": "libglfw3"}.items():
        assert f"MUJOCO_GL={name} (" in printed
        assert package in printed
    assert "pip install" not in printed
