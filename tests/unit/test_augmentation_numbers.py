"""State, action and pictures under moves, by hand."""

import math

import numpy as np
import pytest

from vla_train.data.augmentation.batch import Batch
from vla_train.data.augmentation.geometry import MOVES, Geometry, moved_pictures
from vla_train.data.augmentation.paint import Painter
from vla_train.envs.tabletop import TabletopVectorEnv, world
from vla_train.envs.tabletop.actions import DISCRETE
from vla_train.errors import UsageError
from vla_train.spec import ActionSpec, ImageSpec, Spec
from vla_train.symmetry import Paint, Plane

ARM = Plane(("top",), ("x", "y", "yaw", ""), ("dx", "dy", "dyaw", "x", "y"), centre=(0.5, 0.0))


def spec(state=4, action=5, **images):
    return Spec(images or {"top": ImageSpec(4, 4)}, state, ActionSpec("continuous", action, (-1.0,) * action, (1.0,) * action))


def geometry(plane=ARM, of=None, flips=("horizontal", "vertical"), rotation=True, **options):
    of = of or spec()
    return Geometry(plane, of, of.images, flips=flips, rotation=rotation, **options)


def move(number, plane=ARM):
    """One sample after a move: at (0.6, 0.2) heading 30 degrees, going (0.1, 0) and turning left, to the place (0.7, 0.3)."""
    state = np.array([[[0.6, 0.2, math.radians(30), 7.0]]], np.float32)
    action = np.array([[[0.1, 0.0, 0.2, 0.7, 0.3]]], np.float32)
    changed = geometry(plane)
    changed._drawn = lambda batch, key: np.array([number])
    batch = Batch({}, state, action, [["go left"]], np.array([0]))
    changed(batch, np.array([0]))
    numbers = batch.state[0, 0] * np.array([1, 1, math.degrees(1), 1])
    return numbers.round(4).tolist(), batch.action[0, 0].astype(float).round(4).tolist(), batch.texts[0][0]


def test_worked_numbers():
    """The centre is (0.5, 0): the place lies (0.1, 0.2) from it."""
    assert move(4) == ([0.4, 0.2, 150.0, 7.0], [-0.1, 0.0, -0.2, 0.3, 0.3], "go right"), "left and right exchanged"
    assert move(6) == ([0.6, -0.2, -30.0, 7.0], [0.1, 0.0, -0.2, 0.7, -0.3], "go left"), "far and near exchanged"
    assert move(2) == ([0.4, -0.2, -150.0, 7.0], [-0.1, 0.0, 0.2, 0.3, -0.3], "go right"), "half a turn"
    assert move(1) == ([0.3, 0.1, 120.0, 7.0], [0.0, 0.1, 0.2, 0.2, 0.2], "go back"), "a quarter to the left"
    assert move(3) == ([0.7, -0.1, -60.0, 7.0], [0.0, -0.1, 0.2, 0.8, -0.2], "go forward"), "a quarter to the right"


def test_a_yaw_that_looks_the_same_after_half_a_turn_stays_within_a_quarter():
    gripper = Plane(ARM.cameras, ARM.state, ARM.action, ARM.centre, period=math.pi)
    assert [move(number, gripper)[0][2] for number in (4, 6, 2, 1, 3)] == [-30.0, -30.0, 30.0, -60.0, -60.0]


def test_the_limit_itself_is_not_carried_over_to_the_other_side():
    table = TabletopVectorEnv(1)
    changed = Geometry(table.symmetry.plane, table.io_spec, table.io_spec.images, flips=["horizontal"], rotation=False)
    changed._drawn = lambda batch, key: np.array([4])
    state = np.array([[[0.0, 0.0, world.YAW_LIMIT, 1.0, 0.0]]], np.float32)
    batch = Batch({}, state, np.zeros((1, 1, 4), np.float32), [["go to the red cup"]], np.array([0]))
    changed(batch, np.array([0]))
    assert batch.state[0, 0, 2] == np.float32(-world.YAW_LIMIT)


def test_pictures_are_mirrored_first_and_then_turned_to_the_left():
    picture = np.arange(4).reshape(1, 2, 2)  # 0 1 / 2 3
    shown = [moved_pictures(picture, *MOVES[number]).ravel().tolist() for number in (1, 2, 4, 6, 5)]
    assert shown == [[1, 3, 0, 2], [3, 2, 1, 0], [1, 0, 3, 2], [2, 3, 0, 1], [0, 2, 1, 3]]


def test_choices_change_places():
    table = TabletopVectorEnv(1, actions="discrete")
    changed = Geometry(table.symmetry.plane, table.io_spec, table.io_spec.images, flips=["horizontal"], rotation=True)
    choices = list(DISCRETE)
    expected = {
        4: {"left": "right", "forward left": "forward right", "forward": "forward", "turn left": "turn right", "open": "open"},
        1: {"left": "back", "forward left": "back left", "forward": "left", "turn left": "turn left", "close": "close"},
    }
    for number, table in expected.items():
        changed._drawn = lambda batch, key, number=number: np.full(len(key), number)
        action = np.array([[choices.index(name)] for name in table])[:, None]
        state, texts = np.zeros((len(table), 1, 5), np.float32), [["go"] * len(table)]
        batch = Batch({}, state, action, texts, np.zeros(len(table), np.int64))
        changed(batch, np.arange(len(table)))
        assert [choices[number] for number in batch.action[:, 0, 0]] == list(table.values())


def test_a_joint_with_limits_is_not_turned_besides():
    table = TabletopVectorEnv(1)
    changed = Geometry(table.symmetry.plane, table.io_spec, table.io_spec.images, flips=["horizontal"], rotation=True)
    action = np.zeros((4000, 2, 4), np.float32)
    action[:2000, 1, 2] = 0.1
    batch = Batch({}, np.zeros((4000, 1, 5), np.float32), action, [["go"] * 4000], np.zeros(4000, np.int64))
    drawn = changed._drawn(batch, np.arange(4000))
    assert np.unique(drawn[:2000]).tolist() == [0, 2, 4, 6]
    assert np.unique(drawn[2000:]).tolist() == list(range(8))
    assert np.bincount(drawn[2000:]).min() > 2000 / 8 * 0.75, "all equally likely"


def test_the_words_decide_which_moves_there_are():
    changed = geometry()
    texts = [["put it left of the box"] * 2000]
    batch = Batch({}, np.zeros((2000, 1, 4), np.float32), np.zeros((2000, 1, 5), np.float32), texts, np.zeros(2000, np.int64))
    assert np.unique(changed._drawn(batch, np.arange(2000))).tolist() == [0, 2, 4, 6]


@pytest.mark.parametrize(
    ("plane", "of", "message"),
    [
        (ARM, spec(state=3), "4 numbers of the state are declared .*, but there are 3"),
        (Plane(("top",), ("x", "y", "roll", ""), ARM.action), spec(), "state declares 'roll'"),
        (Plane(("top",), ("x", "", "yaw", ""), ARM.action), spec(), r"has 'x', which these moves turn into \['y'\]"),
        (Plane(("top",), ("+x", "-y", "+y", ""), ARM.action), spec(), r"has '\+x', which these moves turn into"),
        (ARM, spec(top=ImageSpec(4, 4), wrist=ImageSpec(4, 4)), r"pictures of \['wrist'\] do not show the plane"),
        (ARM, spec(top=ImageSpec(4, 6)), "only square ones can be turned"),
    ],
)
def test_what_does_not_fit_is_refused(plane, of, message):
    with pytest.raises(UsageError, match=message):
        geometry(plane, of)


def test_paint_is_exchanged_in_shades_and_mixtures():
    red, blue, ground = np.array([200.0, 40, 40]), np.array([40.0, 80, 200]), np.array([196.0, 186, 168])
    mixtures = [(0.0, 0.0), (1.0, 1.0), (0.5, 0.5), (0.8, 0.28), (1.0, 0.35)]  # how much covers, and how much colour it brings
    pictures = np.array([[(1 - cover) * ground + amount * colour for cover, amount in mixtures] for colour in (red, blue)])
    given = np.round(pictures).astype(np.uint8).reshape(2, 1, len(mixtures), 1, 3)
    painter = Painter(Paint({"red": (200, 40, 40), "blue": (40, 80, 200)}, ((196, 186, 168), (36, 36, 42))), ("red", "blue"))
    kept, changed = given.copy(), given.copy()
    painter(kept, np.array([[0, 1], [0, 1]]))
    assert (kept == given).all()
    painter(changed, np.array([[1, 0], [1, 0]]))
    np.testing.assert_allclose(changed[:, 0, :, 0].astype(float), pictures[::-1], atol=2)
    painter(changed[:1], np.array([[1, 0]]))
    np.testing.assert_allclose(changed[0, 0, :, 0].astype(float), pictures[0], atol=3)


@pytest.mark.parametrize("stage", ["basic_navigation", "complex_tasks"])
def test_painted_pictures_are_nearly_those_that_the_simulator_draws(stage):
    env = TabletopVectorEnv(48, stage, cameras=["top", "gripper"])
    env.reset(seed=np.arange(48))
    for _ in range(9):
        observation, *_ = env.step(env.expert_action())
    orders = np.array([np.random.default_rng(row).permutation(4) for row in range(48)])
    painters = {name: Painter(paint, world.COLOURS) for name, paint in env.symmetry.names.paint.items()}
    env._state.colour = np.take_along_axis(orders, env._state.colour, axis=1)
    for name, drawn in env._observation()["images"].items():
        given = observation["images"][name]
        painted = given.copy()
        painters[name](painted, orders)
        away = np.abs(painted.astype(int) - drawn).max(axis=-1)
        things = (given != drawn).any(axis=-1)
        assert away[things].mean() < 1.2, "of 255; 0.5 to 0.7 were measured"
        assert (away[things] > 32).mean() < 0.002
        assert away.mean() < 0.1
