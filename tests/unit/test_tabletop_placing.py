"""Walls block, trays hold, and what "next to", "left of", "on" mean: step by step with worked numbers."""

import numpy as np
import pytest

from vla_train.envs.tabletop import TabletopVectorEnv, world
from vla_train.envs.tabletop.describe import describe
from vla_train.envs.tabletop.furniture import way_round
from vla_train.envs.tabletop.physics import advance
from vla_train.envs.tabletop.placing import RELATIONS, put_place, released_in_place
from vla_train.envs.tabletop.scenes import sample_scenes
from vla_train.envs.tabletop.state import State

OPEN, CLOSE, KEEP = 1.0, -1.0, 0.0


def table(*objects: tuple[str, float, float], upright: int = 1) -> State:
    """The gripper in the middle, open; a wall 20 cm to its right, trays in the upper corners, and objects (shape, x, y)."""
    state = State.empty(1, max(len(objects), 1), trays=2, walls=1)
    state.count[:] = len(objects)
    for slot, (shape, x, y) in enumerate(objects):
        state.shape[0, slot], state.colour[0, slot], state.x[0, slot], state.y[0, slot] = world.SHAPES.index(shape), slot, x, y
    state.start_x[:], state.start_y[:] = state.x, state.y
    state.wall_x[:], state.wall_upright[:] = 0.2, upright
    state.tray_x[:], state.tray_y[:] = [-0.35, 0.35], 0.35
    return state


def act(state: State, *actions: tuple[float, float, float, float]) -> None:
    for action in actions:
        advance(state, np.array([action], np.float64))


def test_a_wall_stops_a_closed_gripper():
    state = table()
    state.opening[:] = 0.0
    act(state, *[(1, 0, 0, KEEP)] * 6)
    assert state.tip_x[0] == pytest.approx(0.2 - 0.012 - 0.03)  # half of its thickness, and the clearance
    act(state, (1, 1, 0, KEEP))
    assert state.tip_x[0] == pytest.approx(0.158)  # it slides along
    assert state.tip_y[0] == pytest.approx(0.05 / np.sqrt(2))


def test_a_wall_is_passed_at_its_end():
    state = table()
    state.opening[:], state.tip_y[:] = 0.0, 0.12 + 0.03
    act(state, *[(1, 0, 0, KEEP)] * 8)
    assert state.tip_x[0] == pytest.approx(0.4)


def test_an_open_gripper_passes_above_a_wall_but_cannot_close_there():
    state = table()
    act(state, *[(1, 0, 0, OPEN)] * 4)
    assert state.tip_x[0] == pytest.approx(0.2)
    act(state, *[(0, 0, 0, CLOSE)] * 3)
    assert state.opening[0] == 0.5
    act(state, *[(1, 0, 0, KEEP)] * 2, (0, 0, 0, CLOSE))
    assert state.tip_x[0] == pytest.approx(0.3)
    assert state.opening[0] == 0.0


def test_a_wall_stops_what_is_carried_and_what_is_pushed():
    state = table(("cup", 0.0, 0.0))
    act(state, *[(0, 0, 0, CLOSE)] * 2, *[(1, 0, 0, KEEP)] * 6)
    assert (state.held[0], state.x[0, 0]) == (0, pytest.approx(0.158))
    state = table(("ball", 0.08, 0.0))
    state.opening[:] = 0.0
    act(state, *[(1, 0, 0, KEEP)] * 2)
    assert state.x[0, 0] == pytest.approx(0.10)  # from 0.138 on its edge would be in the wall: the second push moves nothing


def test_trays_hold_what_lies_on_them():
    state = table(("ball", -0.30, 0.35), ("box", -0.20, 0.25))
    state.opening[:], state.tip_x[:], state.tip_y[:] = 0.0, -0.38, 0.35
    act(state, *[(1, 0, 0, KEEP)] * 4)
    assert state.x[0, 0] == pytest.approx(-0.28)  # the first push was free; the next would take it over the rim at -0.275
    state.tip_x[:], state.tip_y[:] = -0.12, 0.25
    act(state, *[(-1, 0, 0, KEEP)] * 3)  # no tray in the lane: y 0.25 lies below its rim at 0.275
    assert state.x[0, 1] < -0.25
    state.x[0, 1], state.y[0, 1], state.tip_x[:], state.tip_y[:] = -0.35, 0.26, -0.35, 0.18
    act(state, (0, 1, 0, KEEP))
    assert state.y[0, 1] == 0.26  # and nothing is pushed onto it


@pytest.mark.parametrize(
    ("relation", "x", "y", "right"),
    [
        ("next to", 0.13, 0.0, True), ("next to", -0.09, 0.09, True), ("next to", 0.17, 0.0, False),
        ("next to", 0.07, 0.0, False), ("left of", -0.13, 0.0, True), ("left of", 0.13, 0.0, False),
        ("left of", -0.13, 0.06, False), ("left of", -0.2, 0.0, False),
        ("right of", 0.13, -0.04, True), ("right of", -0.13, 0.0, False), ("right of", 0.07, 0.0, False),
        ("on", 0.02, 0.03, True), ("on", 0.03, 0.03, False),
    ],
)  # fmt: skip
def test_what_the_relations_mean(relation, x, y, right):
    state = table(("cup", x, y), ("box", 0.0, 0.0))
    number = np.array([RELATIONS.index(relation)])
    assert released_in_place(state, number, np.array([0]), np.array([1]))[0] == right
    state.held[:] = 0
    assert not released_in_place(state, number, np.array([0]), np.array([1]))[0]


@pytest.mark.parametrize(("x", "right"), [(0.35, True), (0.40, True), (0.41, False), (-0.35, False)])
def test_what_on_a_tray_means(x, right):
    state = table(("cup", x, 0.35))
    on_second = released_in_place(state, np.array([RELATIONS.index("on tray")]), np.array([0]), np.array([1]))
    assert on_second[0] == right


def test_next_to_is_the_nearest_place_with_room():
    near, other = np.array([RELATIONS.index("next to")]), np.array([1])
    state = table(("cup", -0.3, 0.0), ("box", 0.0, 0.0))
    state.tip_x[:] = -0.3
    x, y, room = put_place(state, near, np.array([0]), other)
    assert (x[0], y[0], room[0]) == (pytest.approx(-0.13), 0.0, True)
    crowded = table(("cup", -0.3, 0.0), ("box", 0.0, 0.0), ("ball", -0.15, 0.03))
    crowded.tip_x[:], crowded.tip_y[:] = -0.3, -0.01
    x, y, room = put_place(crowded, near, np.array([0]), other)
    assert (x[0], y[0]) == pytest.approx((-0.13 * 0.5**0.5, -0.13 * 0.5**0.5))  # the next one of the eight, 0.136 from the ball


def test_the_way_round_a_wall():
    state = table()
    x, y, corner = way_round(state, np.array([0.4]), np.array([0.05]))
    assert (x[0], y[0], corner[0]) == (pytest.approx(0.133), pytest.approx(0.175), True)  # over its upper end: the near corner
    state.tip_x[:], state.tip_y[:] = 0.1, 0.18
    x, y, _ = way_round(state, np.array([0.4]), np.array([0.05]))
    assert (x[0], y[0]) == pytest.approx((0.267, 0.175))  # from here the one beyond is in sight
    assert not way_round(state, np.array([0.0]), np.array([0.3]))[2][0]


def test_what_is_put_on_something_lies_above_it_and_is_said_to():
    state = table(("cup", 0.0, 0.0), ("box", -0.2, 0.0), ("ball", 0.0, -0.3))
    act(state, *[(0, 0, 0, CLOSE)] * 2, *[(-1, 0, 0, KEEP)] * 4, *[(0, 0, 0, OPEN)] * 2)
    assert state.layer[0].tolist() == [1, 0, 0]
    assert "the red cup is on the blue box" in describe(state)[0]
    act(state, (0, 0, 0, CLOSE), (0, 0, 0, CLOSE))
    state.tip_x[:], state.tip_y[:] = 0.35, 0.35
    act(state, (0, 0, 0, KEEP), (0, 0, 0, OPEN))
    assert "the red cup is on the grey tray" in describe(state)[0]
    assert "a wall stands near the centre" in describe(state)[0]


def test_trays_walls_and_objects_keep_their_distance():
    state = sample_scenes(np.arange(3000), "train", 4, 6, trays=2, walls=1)
    away = np.hypot(state.x[:, :, None] - state.tray_x[:, None], state.y[:, :, None] - state.tray_y[:, None])
    assert np.quantile(away, 0.002) >= 0.16
    upright = state.wall_upright == 1
    half_x, half_y = np.where(upright, 0.012, 0.12), np.where(upright, 0.12, 0.012)
    beside_x = np.maximum(np.abs(state.x - state.wall_x) - half_x, 0)
    surface = np.hypot(beside_x, np.maximum(np.abs(state.y - state.wall_y) - half_y, 0))
    assert np.quantile(surface, 0.002) >= 0.11


def test_without_furniture_scenes_are_those_of_the_first_stages():
    plain, furnished = (sample_scenes(np.arange(500), "train", 4, 6, n, n) for n in (0, 1))
    assert (plain.colour == furnished.colour).all()
    assert (plain.x == furnished.x).mean() > 0.65  # only what was in the way stands elsewhere


def test_every_relation_is_asked_for():
    env = TabletopVectorEnv(1000, "complex_tasks", cameras=[])
    env.reset(seed=range(1000))
    tasks = [goal.task for goal in env.goals]
    assert min(tasks.count(task) for task in env.io_spec.tasks) > 100
    assert {goal.data["other"].split()[1] for goal in env.goals if goal.task == "put on"} == {"box"}
