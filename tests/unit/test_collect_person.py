"""A person at the keyboard: keys to actions, episodes that are given up, a real terminal."""

import io
import os

import numpy as np
import pytest

from tests.fakes import Corridor
from vla_train.build import collecting
from vla_train.collection.expert import ExpertRun
from vla_train.collection.person import PersonPlayer, action_of, legend, refuse_unplayable
from vla_train.collection.terminal import Terminal, blocks
from vla_train.errors import UsageError, WorldError
from vla_train.spec import ActionSpec

ARM = ActionSpec("continuous", 3, low=(-1.0, 0.0, -2.0), high=(1.0, 4.0, 2.0), names=("dx", "dy", "grip"))
GRID = ActionSpec("discrete", 1, choices=3, names=("left", "right", "forward"))


class Scripted:
    def __init__(self, keys):
        self.keys, self.shown = list(keys), []

    def show(self, picture, lines):
        self.shown.append((picture, lines))

    def key(self):
        return self.keys.pop(0)

    def close(self):
        pass


@pytest.mark.parametrize(
    ("key", "action"),
    [
        ("d", [0.5, 0, 0]),  # half of the way from nothing to the bound
        ("A", [-1, 0, 0]),
        ("\x1b[C", [0.5, 0, 0]),
        ("W", [0, 4, 0]),
        ("s", [0, 0, 0]),  # there is nothing below 0
        ("q", [0, 0, -1]),
        (" ", [0, 0, 0]),
        ("r", None),
        ("?", None),
    ],
)
def test_a_key_is_an_action(key, action):
    found = action_of(key, ARM)
    assert found is None if action is None else found.tolist() == action


def test_keys_of_a_discrete_action_are_numbered():
    assert [action_of(key, GRID) for key in "123"] == [np.array([0]), np.array([1]), np.array([2])]
    assert action_of("4", GRID) is None
    assert legend(GRID) == ["1 left  2 right  3 forward", "x: give up   Ctrl-C: end"]
    many = ActionSpec("discrete", 1, choices=20)
    assert action_of("d", many).tolist() == [13]
    assert action_of("\x1b[C", many) is None  # an arrow is no letter here


@pytest.mark.parametrize("spec", [ActionSpec("discrete", 1, choices=34), ActionSpec("continuous", 9)])
def test_more_than_there_are_keys_for_is_refused(spec):
    with pytest.raises(UsageError, match="player=person has keys for"):
        refuse_unplayable(spec)


def test_what_a_person_does_is_recorded_and_an_episode_can_be_given_up():
    screen = Scripted(["D", "?", "D", "d", "x", "x", "D"])  # seed 1 wants place 2, seed 2 place 3, seed 3 place 4
    episodes = list(ExpertRun(Corridor(1), [1, 2, 3], PersonPlayer(screen, keeps_failures=True)))
    assert [episode.success for episode in episodes] == [True, False, False]
    assert episodes[0].columns()["action"].tolist() == [[1.0], [1.0]]
    given_up = episodes[1].columns()
    assert (given_up["action"].tolist(), given_up["truncated"].tolist()) == ([[0.5]], [True])
    assert not episodes[2].steps
    assert screen.keys == ["D"]
    picture, lines = screen.shown[0]
    assert picture.shape == (4, 4, 3)
    assert lines[0] == "walk 2   (step 1 of 4)"
    assert screen.shown[2][1][0] == "walk 3   (step 1 of 4)   episode 2: 1 of 1 succeeded"


def test_two_pixels_stand_in_each_letter():
    picture = np.array([[[1, 2, 3]], [[4, 5, 6]], [[7, 8, 9]]], np.uint8)
    assert blocks(picture) == ["\x1b[38;2;1;2;3;48;2;4;5;6m▀\x1b[0m", "\x1b[38;2;7;8;9;48;2;0;0;0m▀\x1b[0m"]


def test_a_terminals_keys_come_one_by_one_and_it_is_left_as_it_was():
    import termios

    ours, theirs = os.openpty()
    before = termios.tcgetattr(theirs)
    out = io.StringIO()
    terminal = Terminal(theirs, out)
    os.write(ours, b"d\x1b[Aw")  # pressed faster than the world steps
    assert [terminal.key() for _ in range(3)] == ["d", "\x1b[A", "w"]
    terminal.show(np.zeros((2, 2, 3), np.uint8), ["go"])
    assert out.getvalue().count("▀") == 2
    assert out.getvalue().count("\n") == 2
    terminal.close()
    assert termios.tcgetattr(theirs) == before


def test_a_terminal_is_as_it_was_where_the_world_fails(monkeypatch):
    def failing(num_envs):
        raise WorldError("no picture")

    terminals = []
    monkeypatch.setattr(collecting, "environment_maker", lambda config, stage: failing)
    monkeypatch.setattr(collecting, "Terminal", lambda: terminals.append("changed"))
    monkeypatch.setattr(collecting.runtime, "start", lambda **options: None)
    config = {"device": "cpu", "threads": 1, "stage": "walk", "environment": {}, "processes": 0, "rows": 1, "video": None}
    with pytest.raises(WorldError, match="no picture"):
        collecting.make_station(config | {"player": "person", "keep": "all"})
    assert not terminals


def test_without_a_terminal_nobody_can_play():
    reading, _ = os.pipe()
    with pytest.raises(UsageError, match="no terminal"):
        Terminal(reading)
