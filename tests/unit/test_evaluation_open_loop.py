"""What is drawn of a policy along recorded episodes."""

import cv2
import numpy as np
import pytest
import torch

from tests.fakes import corridor_policy
from tests.toy_dataset import open_toy, write_toy
from vla_train.errors import UsageError
from vla_train.evaluation.held_out import HeldOut
from vla_train.evaluation.open_loop import OpenLoop
from vla_train.evaluation.open_loop_picture import Trace, draw, figure_of
from vla_train.rollouts import Agent
from vla_train.spec import ActionSpec


def trace(size=1, steps=10, chunk=4, execute=2, **action):
    spec = ActionSpec(**{"kind": "continuous", "size": size, "units": ("m",) * size} | action)
    starts = np.arange(0, steps, execute)
    plans = np.broadcast_to((starts[:, None] + np.arange(chunk))[..., None], (len(starts), chunk, size)) + 100.0
    recorded = np.broadcast_to(np.arange(steps)[:, None], (steps, size)) * 1.0
    return Trace("episode 3: do it", recorded, plans, execute, rate=10.0, action=spec)


@pytest.fixture
def dataset(tmp_path):
    write_toy(tmp_path / "toy", 4)  # episodes of 3, 2, 3 and 2 steps
    return open_toy(tmp_path / "toy", chunk=2, validation=0.5)


def agent_that_sees(seen):
    """Predicts, at every step of the chunk, the state that it sees (episode, step)."""
    policy, processor = corridor_policy(history=1)

    def act(observation):
        seen.append(observation.state[:, -1].tolist())
        return observation.state[:, -1:].expand(-1, 2, -1)

    policy.act = act
    policy.loss = lambda batch: torch.zeros(len(batch.action))
    return Agent(policy, processor)


@pytest.mark.parametrize("size", [1, 4, 7, 20])
def test_every_dimension_has_a_panel_with_its_name_and_unit(size):
    names = tuple(f"joint {index}" for index in range(size))
    figure = figure_of(trace(size, names=names))
    panels = [panel for panel in figure.axes if panel.get_visible()]
    assert [panel.get_title(loc="left") for panel in panels] == [f"{name} [m]" for name in names]
    picture = cv2.imdecode(np.frombuffer(draw(trace(size, names=names)), np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape[1] <= 2400
    assert (picture.std(axis=(0, 1)) > 0).all()


def test_plans_are_drawn_where_they_were_made():
    panel = figure_of(trace(steps=5)).axes[0]
    recorded, executed, beyond, starts = panel.get_lines()
    assert recorded.get_xdata() == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4])
    assert recorded.get_ydata().tolist() == [0, 1, 2, 3, 4]
    # Plans at steps 0, 2, 4 say 100 + step; the last one reaches past the end, where nothing is drawn.
    expected = [100, 101, 102, np.nan, 102, 103, 104, np.nan, 104, np.nan, np.nan, np.nan]
    assert executed.get_ydata() == pytest.approx(expected, nan_ok=True)
    assert executed.get_xdata()[4] == pytest.approx(0.2)
    assert beyond.get_ydata() == pytest.approx([102, 103, np.nan, 104, np.nan, np.nan, np.nan, np.nan, np.nan], nan_ok=True)
    assert starts.get_ydata().tolist() == [100, 102, 104]


def test_instructions_and_names_are_no_formulas():
    odd = trace(names=("price in $\\",))
    assert draw(Trace(**vars(odd) | {"title": "pay $\\frac and $5 " + "much " * 500})).startswith(b"\x89PNG")


def test_choices_are_steps_with_their_names():
    plain = trace(chunk=1, execute=1, kind="discrete", choices=3, names=("left", "right", "go"), units=())
    panel = figure_of(plain).axes[0]
    assert [label.get_text() for label in panel.get_yticklabels()] == ["left", "right", "go"]
    assert len(panel.get_lines()) == 3  # nothing lies beyond what is executed
    assert panel.get_lines()[0].get_drawstyle() == "steps-post"


def test_the_first_held_out_episode_is_drawn_unless_others_are_named(dataset):
    seen = []
    first = int(dataset.episodes["validation"][0])
    report = OpenLoop(dataset, episodes=None, execute=1)(agent_that_sees(seen))
    assert list(report.pictures) == [f"open_loop_{first}"]
    assert report.pictures[f"open_loop_{first}"].startswith(b"\x89PNG")
    assert seen == [[[first, step] for step in range(3 if first % 2 == 0 else 2)]]
    assert list(OpenLoop(dataset, episodes=[3, 0], execute=2)(agent_that_sees(seen)).pictures) == ["open_loop_3", "open_loop_0"]
    assert seen[1:] == [[[3, 0]], [[0, 0], [0, 2]]]  # it plans every second step
    with pytest.raises(UsageError, match="0 to 3"):
        OpenLoop(dataset, episodes=[4], execute=None)


def test_held_out_gives_the_section_when_asked(dataset):
    agent = agent_that_sees([])
    assert HeldOut(dataset)(agent).sections == {}
    section = HeldOut(dataset, by_horizon=True)(agent).sections["horizon"]
    held_out = dataset.episodes["validation"]
    assert section["episodes"] == 2
    assert section["frames"][0] == sum(2 if episode % 2 == 0 else 1 for episode in held_out)  # without first frames
    dy = section["parts"]["dy"]["predictors"]
    assert list(dy) == [
        "policy",
        "mean action",
        "last action",
        *([] if "hold state" in section["not_applicable"] else ["hold state"]),
    ]
    assert dy["last action"]["physical"][0] == pytest.approx(1.0)  # dy is -step: every step it falls by one
    # The policy says the step t itself where -t was recorded: 2 t, over the frames from t = 1 on.
    steps = [step for episode in held_out for step in range(1, 3 if episode % 2 == 0 else 2)]
    assert dy["policy"]["physical"][0] == pytest.approx(2 * sum(steps) / len(steps))
