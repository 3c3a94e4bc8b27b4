"""The tabletop's physics and success tests, step by step with worked numbers."""

import numpy as np
import pytest

from vla_train.envs.tabletop import TabletopVectorEnv, world
from vla_train.envs.tabletop.physics import advance
from vla_train.envs.tabletop.state import State

OPEN, CLOSE, KEEP = 1.0, -1.0, 0.0


def world_with(shape: str = "cup", x: float = 0.2, angle: float = 0.0) -> State:
    """The gripper in the middle, open, and one object to its right."""
    state = State.empty(1, 1)
    state.count[:], state.shape[:] = 1, world.SHAPES.index(shape)
    state.x[:], state.y[:], state.angle[:] = x, 0.0, angle
    state.start_x[:], state.start_y[:] = x, 0.0
    return state


def act(state: State, *actions: tuple[float, float, float, float]) -> None:
    for action in actions:
        advance(state, np.array([action], np.float64))


def test_an_action_of_one_moves_five_percent_of_the_table():
    state = world_with()
    act(state, (1, 0, 1, KEEP), (0, 0.5, 0, KEEP))
    assert state.tip_x[0] == pytest.approx(0.05)
    assert state.tip_y[0] == pytest.approx(0.025)
    assert state.yaw[0] == pytest.approx(0.3)


def test_a_diagonal_move_is_no_longer_than_a_straight_one():
    state = world_with()
    act(state, (0.8, 0.6, 0, KEEP), (1, -1, 0, KEEP))
    assert state.tip_x[0] == pytest.approx(0.04 + 0.05 / np.sqrt(2))
    assert state.tip_y[0] == pytest.approx(0.03 - 0.05 / np.sqrt(2))


def test_the_gripper_stays_over_the_table_and_within_its_joint():
    state = world_with()
    act(state, *[(-1, 1, -1, OPEN)] * 30)
    assert (state.tip_x[0], state.tip_y[0], state.yaw[0], state.opening[0]) == (-0.5, 0.5, -np.pi / 2, 1.0)


def test_closing_on_an_object_takes_hold_and_carries_it():
    state = world_with(x=0.03)  # within the 0.035 m of the grasp
    act(state, (0, 0, 0, CLOSE))  # opening 0.5: still open
    assert state.held[0] == -1
    act(state, (0, 0, 0, CLOSE))
    assert state.held[0] == 0
    act(state, (0, 1, 1, KEEP))
    assert (state.x[0, 0], state.y[0, 0], state.angle[0, 0]) == pytest.approx((0.0, 0.05, 0.3))
    act(state, (0, 0, 0, OPEN), (1, 0, 0, OPEN))
    assert state.held[0] == -1
    assert state.x[0, 0] == pytest.approx(0.0)  # left where it was put


def test_closing_beside_an_object_holds_nothing_but_touches():
    state = world_with(x=0.04)
    act(state, *[(0, 0, 0, CLOSE)] * 3)
    assert state.held[0] == -1
    assert state.touched[0] == 0


def test_entering_an_object_closed_is_no_grasp():
    state = world_with(x=0.06)
    state.opening[:] = 0.0
    act(state, (1, 0, 0, CLOSE))
    assert state.held[0] == -1


@pytest.mark.parametrize(("angle", "held"), [(0.3, 0), (0.4, -1), (-0.34, 0), (1.2, -1)])
def test_a_bottle_is_grasped_along_its_axis_only(angle, held):
    state = world_with("bottle", x=0.0, angle=angle)
    act(state, *[(0, 0, 0, CLOSE)] * 2)
    assert state.held[0] == held


def test_the_axis_of_a_bottle_has_no_direction():
    state = world_with("bottle", x=0.0, angle=1.5)
    state.yaw[:] = -1.5  # pi - 3.0 = 0.14 rad off
    act(state, *[(0, 0, 0, CLOSE)] * 2)
    assert state.held[0] == 0


def test_a_closed_gripper_pushes_what_lies_ahead():
    state = world_with(x=0.08)
    state.opening[:] = 0.0
    act(state, (1, 0, 0, KEEP))  # the tip is at 0.05: contact from 0.03 on, so 0.02 m of pushing
    assert state.x[0, 0] == pytest.approx(0.10)
    act(state, (1, 0, 0, KEEP))
    assert state.x[0, 0] == pytest.approx(0.15)
    assert state.y[0, 0] == 0.0


def test_an_off_centre_push_moves_the_object_straight():
    state = world_with(x=0.08)
    state.opening[:], state.y[:] = 0.0, 0.03
    act(state, (1, 0, 0, KEEP))  # contact where 0.04^2 + 0.03^2 = 0.05^2: the object ends 0.04 ahead of the tip
    assert (state.x[0, 0], state.y[0, 0]) == pytest.approx((0.09, 0.03))


def test_moving_away_drags_nothing():
    state = world_with(x=0.04)
    state.opening[:] = 0.0
    act(state, (-1, 0, 0, KEEP), (-1, 0, 0, KEEP))
    assert state.x[0, 0] == 0.04


def test_an_object_stops_at_the_edge():
    state = world_with(x=0.44)
    state.opening[:], state.tip_x[:] = 0.0, 0.38
    act(state, *[(1, 0, 0, KEEP)] * 3)
    assert state.x[0, 0] == world.OBJECT_LIMIT


def test_an_open_gripper_flies_over_and_touches_only_at_rest():
    state = world_with(x=0.1)
    act(state, *[(1, 0, 0, OPEN)] * 4)
    assert state.touched[0] == -1
    assert state.x[0, 0] == 0.1
    act(state, *[(-1, 0, 0, OPEN)] * 2, (0.4, 0, 0, OPEN))
    assert state.touched[0] == -1  # one slow step may be chance
    act(state, (0.1, 0, 0, OPEN))
    assert state.touched[0] == 0


def env_at(key: str, **scene_changes) -> TabletopVectorEnv:
    """One row of the stage's scene 0 with the goal of this key and an altered state."""
    env = TabletopVectorEnv(1, "basic_navigation" if key.startswith("go") else "simple_manipulation", cameras=[])
    env.reset(seed=[0])
    goal = next(goal for goal in [*env.goals, *env.alternatives()[0]] if goal.key == key)
    env.set_goals([0], [goal])
    env.set_scenes([0], [env.get_scenes()[0] | scene_changes])
    return env


def play(env: TabletopVectorEnv, *actions: tuple[float, float, float, float]) -> list[bool]:
    return [bool(env.step(np.array([action]))[2][0]) for action in actions]


def test_going_is_reached_after_three_slow_steps_within_the_radius():
    env = env_at("go to centre", tip_x=0.02, tip_y=0.0)
    assert play(env, (0.1, 0, 0, 0), (0, 0.1, 0, 0), (1, 0, 0, 0), (0, 0, 0, 0), (0, 0, 0, 0), (0, 0, 0, 0)) == [False] * 6
    assert not env.success[0]  # the third step was fast and left the tip at 0.075 m, outside the radius of 0.05
    assert play(env, (-0.9, 0, 0, 0), (0, 0, 0, 0), (0, 0, 0, 0), (0, 0, 0, 0)) == [False, False, False, True]
    assert env.success[0]


def test_passing_at_full_speed_is_not_going_there():
    env = env_at("go to centre", tip_x=-0.1, tip_y=0.0)
    assert play(env, *[(1, 0, 0, 0)] * 5) == [False] * 5


def test_ended_rows_keep_still_and_give_nothing():
    env = env_at("go to centre", tip_x=0.0, tip_y=0.0)
    assert play(env, *[(0, 0, 0, 0)] * 3) == [False, False, True]
    before = env.get_scenes()
    observation, reward, terminated, truncated, _ = env.step(np.ones((1, 4)))
    assert env.get_scenes() == before
    assert (reward[0], terminated[0], truncated[0]) == (0.0, False, False)
    assert observation["state"][0, 0] == 0.0
    assert env.success[0]
