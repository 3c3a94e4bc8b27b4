"""Robustness: on a corridor by hand, and what each axis of the tabletop does to a policy."""

import io
from dataclasses import dataclass

import numpy as np
import pytest
from rich.console import Console

from tests.fakes import Corridor, CountingAgent
from vla_train import config
from vla_train.build.judged import changes_of
from vla_train.build.objects import environment_maker
from vla_train.envs.tabletop.randomization import changed
from vla_train.errors import UsageError
from vla_train.evaluation.robustness import NO_AXES, Robustness
from vla_train.evaluation.robustness_picture import figure_of
from vla_train.evaluation.robustness_table import print_robustness
from vla_train.spec import Stage


@dataclass(frozen=True)
class Shift:
    axis: str
    strength: float


class Shifted(Corridor):
    """A corridor whose ends can be moved further away: on axis ``far`` by one step at strength 0.5, by two at 1."""

    robustness_axes = ("far", "harmless")

    def __init__(self, num_envs, randomization=None, stage="walking"):
        super().__init__(num_envs)
        self.stage = stage
        self.further = round(2 * randomization.strength) if randomization and randomization.axis == "far" else 0

    @staticmethod
    def changed(axis, strength):
        return Shift(axis, strength)

    def reset(self, *, seed, options=None):
        observation, info = super().reset(seed=seed, options=options)
        self.place[self.steps == 0] = -self.further
        return observation, info


def robustness(*makers, agent=None, **changes):
    settings = {"split": "validation", "episodes": 10, "num_envs": 4, "strengths": [1.0, 0.5]} | changes
    return Robustness(*(makers or (Shifted,)), **settings)(agent or CountingAgent(chunk=1))


def test_success_falls_along_the_axis_that_matters():
    # Goals 1 to 5 twice, 4 steps: places 1 to 4 are reached unchanged, 1 to 3 when they lie one step further, 1 to 2 when two.
    report = robustness()
    metrics = report.metrics
    assert metrics["robustness/unchanged/success"] == 0.8
    assert (metrics["robustness/far/0.5/success"], metrics["robustness/far/1/success"]) == (0.6, 0.4)
    assert (metrics["robustness/harmless/0.5/success"], metrics["robustness/harmless/1/success"]) == (0.8, 0.8)
    assert metrics["robustness/far/1/success_low"] == pytest.approx(0.168, abs=1e-3)  # Wilson, 4 of 10
    assert metrics["robustness/far/1/success_high"] == pytest.approx(0.687, abs=1e-3)
    assert metrics["robustness/far/1/episodes"] == 10
    assert metrics["robustness/far/mean"] == pytest.approx(0.5)
    assert metrics["robustness/worst"] == pytest.approx(0.5)
    assert metrics["robustness/mean"] == pytest.approx(0.65)
    section = report.sections["robustness"]
    assert section["strengths"] == [0.5, 1.0]
    assert section["worst"] == {"axis": "far", "mean": pytest.approx(0.5)}
    assert section["stages"] == {}
    conditions = [result.condition for result in report.episodes]
    assert {name: conditions.count(name) for name in conditions} == dict.fromkeys(
        ["robustness/unchanged"] + [f"robustness/{axis}/{s}" for axis in ("far", "harmless") for s in ("0.5", "1")], 10
    )


def test_stages_stand_apart_and_together():
    def easy(num_envs, randomization=None):
        return Shifted(num_envs, None, "easy")

    metrics = robustness(easy, Shifted).metrics
    assert metrics["easy/robustness/far/1/success"] == 0.8
    assert metrics["walking/robustness/far/1/success"] == 0.4
    assert metrics["robustness/far/1/success"] == pytest.approx(0.6)
    assert metrics["walking/robustness/worst"] == pytest.approx(0.5)


def test_what_does_not_apply_says_why():
    assert robustness(Corridor).not_applicable == {"robustness": NO_AXES}

    class Endless(Shifted):
        def __init__(self, num_envs, randomization=None):
            super().__init__(num_envs, randomization)
            self.not_applicable = {"success": "nobody wins"}

    report = robustness(Endless)
    assert report.not_applicable == {"robustness": "nobody wins"}
    assert not report.metrics


@pytest.mark.parametrize("world", [Corridor, Shifted])
def test_every_world_that_is_made_is_closed_again(world):
    left = []

    class Counted(world):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            left.append(self)

        def close(self):
            left.remove(self)

    class Stopped(CountingAgent):
        def act(self, *arguments, **options):
            raise KeyboardInterrupt

    robustness(Counted)
    assert not left
    if world is Shifted:
        with pytest.raises(KeyboardInterrupt):
            robustness(Counted, agent=Stopped(chunk=1))
        assert not left


@pytest.mark.parametrize("strengths", [[], [0.0], [1.5], [0.5, -0.1]])
def test_strengths_that_are_none_are_refused(strengths):
    with pytest.raises(ValueError, match="above 0 and at most 1"):
        robustness(strengths=strengths)


def test_the_picture_shows_every_axis_with_its_interval():
    report = robustness()
    assert report.pictures["robustness"].startswith(b"\x89PNG")
    figure = figure_of(report.sections["robustness"])
    shown = {panel.get_title(loc="left"): panel for panel in figure.axes if panel.get_visible()}
    assert list(shown) == ["far, mean 50 %", "harmless, mean 80 %"]
    lines = {line.get_label(): line for line in shown["far, mean 50 %"].get_lines()}
    np.testing.assert_allclose(lines["success"].get_xdata(), [0, 0.5, 1])
    np.testing.assert_allclose(lines["success"].get_ydata(), [0.8, 0.6, 0.4])
    band = shown["far, mean 50 %"].collections[0].get_paths()[0].vertices
    assert band[:, 1].min() == pytest.approx(0.168, abs=1e-3)
    assert figure.get_supxlabel() == "strength of the change (0: none)"


def test_the_table_names_axes_and_strengths():
    file = io.StringIO()
    print_robustness(robustness().sections["robustness"], Console(file=file, width=200))
    title, means, head, far, _ = file.getvalue().strip().splitlines()
    assert "10 episodes each; nothing changed: 80.0 % (49 to 94)" in title
    assert means == "mean of the axes 65.0 %, worst 50.0 % (far)"
    assert head.split("  ")[0] == "axis"
    assert "strength 0.5" in head
    assert far.split() == ["far", "60.0", "%", "(31", "to", "83)", "40.0", "%", "(17", "to", "69)", "50.0", "%"]


def test_progress_says_what_is_played():
    said = []
    robustness(strengths=[0.5], progress=lambda words, done, total: said.append(words))
    assert list(dict.fromkeys(said)) == [
        f"evaluating walking, robustness/{name}" for name in ("unchanged", "far/0.5", "harmless/0.5")
    ]


def composed(*words):
    return config.compose(["checkpoint=outputs/run", *words], kind="eval")


def test_an_evaluation_is_played_as_trained_or_in_the_world_that_is_named():
    assert composed()["randomization"] is None
    assert changes_of(composed()) == {}
    assert changes_of(composed("randomization=none", "split=pairs")) == {"split": "pairs", "randomization": None}
    target = changes_of(composed("randomization=target", "randomization.noise=[1.0,2.0]"))["randomization"]
    assert (target.brightness, target.noise) == ((0.6, 0.8), (1.0, 2.0))


def test_the_world_of_a_run_is_replaced_by_what_an_evaluation_names():
    trained = config.compose(["randomization=full", "environment.cameras=[]"])
    maker = environment_maker(trained, Stage("basic_navigation"))
    looks = [maker(2)._look, maker(2, randomization=None)._look, maker(2, randomization=changed("light", 0.5))._look]
    assert (looks[0] is None, looks[1] is None, looks[2] is None) == (False, True, False)
    assert looks[2].noise.max() == 0 < looks[0].noise.max()


@pytest.mark.parametrize("words", ["robustness=[1.5]", "robustness=[0]", "robustness=[strong]"])
def test_strengths_are_checked_before_anything_is_loaded(words):
    with pytest.raises(UsageError, match="must be list of float > 0 <= 1"):
        composed(words)


@pytest.mark.parametrize(
    "words",
    [
        *("robustness=[0.5]", "zero_shot=[pairs]", "suite=full", "suite=grounding", "conditions=[plain,swapped]"),
        *("held_out_frames=64", "open_loop=[3]", "video_episodes=2"),
    ],
)
def test_a_comparison_does_not_leave_out_silently_what_was_asked_for(words):
    with pytest.raises(UsageError, match="compare plays the plain episodes alone"):
        composed(words, "checkpoint=null", "compare=[a,b]")


def test_a_comparison_may_be_asked_for_nothing_else():
    composed("conditions=[plain]", "held_out_frames=0", "open_loop=[]", "video_episodes=0", "checkpoint=null", "compare=[a,b]")
