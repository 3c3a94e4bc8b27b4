"""What the tabletop's pictures show."""

import numpy as np
import pytest

from vla_train.envs.tabletop import TabletopVectorEnv, shapes, world
from vla_train.envs.tabletop.render import CAMERAS, Renderer
from vla_train.envs.tabletop.state import State


def one(shape: str = "ball", colour: str = "red", x: float = 0.2, y: float = 0.1) -> State:
    """One object, and the gripper out of the way."""
    state = State.empty(1, 1)
    state.count[:], state.shape[:], state.colour[:] = 1, world.SHAPES.index(shape), world.COLOURS.index(colour)
    state.x[:], state.y[:], state.tip_x[:], state.tip_y[:] = x, y, -0.4, -0.4
    return state


def top(state: State, size: int = 64) -> np.ndarray:
    return Renderer(CAMERAS["top"], size).draw(state).astype(int)


@pytest.mark.parametrize("size", [32, 64, 224])
def test_an_object_is_where_it_is(size):
    difference = np.abs(top(one(), size) - top(one(x=10.0), size))[0].sum(axis=2)
    rows, columns = np.nonzero(difference > 100)
    pixel = 1 / size
    assert (columns.mean() + 0.5) * pixel - 0.5 == pytest.approx(0.2, abs=0.4 * pixel)
    assert 0.5 - (rows.mean() + 0.5) * pixel == pytest.approx(0.1, abs=0.4 * pixel)
    assert np.sqrt((difference > 100).sum() / np.pi) * pixel == pytest.approx(0.046, rel=0.15)  # the radius of a ball


def test_a_small_motion_shows():
    assert (top(one(x=0.2)) != top(one(x=0.204))).any()  # 4 mm: a quarter of a pixel


@pytest.mark.parametrize("colour", world.COLOURS)
def test_shapes_differ_by_their_outline(colour):
    """The mask of what is not table, whatever its colour, differs in several pixels between any two shapes."""
    bare = top(one(x=10.0))
    masks = [np.abs(top(one(shape, colour)) - bare).sum(axis=3)[0] > 50 for shape in world.SHAPES]
    for index, mask in enumerate(masks):
        for other in masks[:index]:
            assert (mask != other).sum() >= 4


@pytest.mark.parametrize("shape", world.SHAPES)
def test_colours_differ(shape):
    pictures = [top(one(shape, colour)) for colour in world.COLOURS]
    for index, picture in enumerate(pictures):
        for other in pictures[:index]:
            assert (np.abs(picture - other).max(axis=3) > 100).sum() >= 8


def test_the_gripper_shows_its_opening_and_its_yaw():
    def gripper(opening: float, yaw: float) -> np.ndarray:
        state = one(x=10.0)
        state.opening[:], state.yaw[:] = opening, yaw
        return top(state)

    assert (np.abs(gripper(1.0, 0.0) - gripper(0.5, 0.0)).max(axis=3) > 60).sum() >= 8
    assert (np.abs(gripper(1.0, 0.0) - gripper(1.0, 0.5)).max(axis=3) > 60).sum() >= 8


def test_a_held_object_shows_between_the_fingers():
    state = one("box", "yellow", x=0.0, y=0.0)
    state.tip_x[:], state.tip_y[:], state.opening[:], state.held[:] = 0.0, 0.0, 0.0, 0
    yellow = (np.abs(top(state)[0] - shapes.RGB[world.COLOURS.index("yellow")]).max(axis=2) < 60).sum()
    dark = (top(state)[0].max(axis=2) < 80).sum()
    assert yellow >= 8
    assert dark >= 8


def test_the_gripper_camera_follows():
    camera = Renderer(CAMERAS["gripper"], 64)
    state = one(x=-0.3, y=-0.4)  # 0.1 m to the right of the tip: 16 pixels of 0.4 m / 64
    picture = camera.draw(state)[0].astype(int)
    red = np.abs(picture - shapes.RGB[world.COLOURS.index("red")]).max(axis=2) < 40
    rows, columns = np.nonzero(red)
    assert columns.mean() == pytest.approx(32 + 16, abs=1.5)
    assert rows.mean() == pytest.approx(32, abs=1.5)
    assert (picture[-1] == shapes.FLOOR_RGB).all()  # 0.2 m below the tip lies the floor


def test_nothing_is_drawn_without_cameras():
    env = TabletopVectorEnv(2, cameras=[])
    assert env.reset(seed=[0, 1])[0]["images"] == {}
    assert env.render()[0].shape == (256, 256, 3)


def test_things_at_every_edge_can_be_drawn():
    states = State.empty(500, 1)
    angle = np.linspace(0, 40, 500)
    states.count[:], states.x[:, 0], states.y[:, 0] = 1, 0.46 * np.cos(angle), 0.46 * np.sin(angle)
    states.tip_x[:], states.tip_y[:] = 0.5 * np.sign(np.cos(angle)), 0.5 * np.sign(np.sin(angle))
    for camera in CAMERAS.values():
        assert Renderer(camera, 64).draw(states).shape == (500, 64, 64, 3)
