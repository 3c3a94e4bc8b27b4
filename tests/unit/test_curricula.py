"""When a stage is over: sequences worked by hand, one evaluation every 100 updates."""

import math

import pytest

from vla_train.curricula import Mixed, Progressive, SingleStage
from vla_train.spec import Curriculum, Report

STAGES = ["walk", "carry", "build"]


def evaluate(curriculum, updates, metric="success", **values):
    """An evaluation after ``updates`` of the run in which each stage had this value; whether the present stage is over."""
    curriculum.observe(updates, Report(metrics={f"{stage}/{metric}": value for stage, value in values.items()}))


def over_at(values, metric="success", **settings):
    """After how many updates the first stage was over, with these values in the evaluations; None if it never was."""
    curriculum = Progressive(STAGES, **settings)
    for number, value in enumerate(values, start=1):
        evaluate(curriculum, 100 * number, metric, walk=value)
        for updates in range(100 * number, 100 * number + 100):
            if curriculum.done(updates):
                return updates
    return None


@pytest.mark.parametrize(
    ("values", "settings", "over"),
    [
        ([0.5, 0.79, 0.8, 0.9], {}, 300),  # at least 0.8
        ([0.9, 0.7, 0.9, 0.9], {"patience": 2}, 400),  # in a row: the 0.7 begins anew
        ([0.9, 0.9, 0.9, 0.9], {"patience": 3}, 300),
        ([0.9, 0.9, 0.9, 0.9], {"min_steps": 250}, 250),  # mastered all the time, but not before
        ([0.9, 0.9, 0.2, 0.9], {"min_steps": 350}, 400),  # what was mastered once must be so when the minimum is reached
        ([0.1, 0.1, 0.1, 0.1], {"max_steps": 333}, 333),
        ([0.1, 0.9, 0.9, 0.1], {"max_steps": 333}, 200),
        ([0.1, 0.1, 0.1, 0.1], {}, None),
        ([0.55, 0.6], {"success": 0.6}, 200),
        ([math.nan, 0.9], {}, 200),
    ],
)
def test_mastery_by_success(values, settings, over):
    assert over_at(values, **settings) == over


@pytest.mark.parametrize(
    ("values", "settings", "over"),
    [
        ([0.3, 0.11, 0.1], {}, 300),  # at most
        ([0.05, math.nan, 0.05, 0.05], {"patience": 2}, 400),
        ([0.3, 0.2, 0.11], {}, None),
    ],
)
def test_mastery_by_loss(values, settings, over):
    settings = settings | {"mastery": "loss", "loss": [0.1, 0.08, 0.06]}
    assert over_at(values, metric="held_out/loss", **settings) == over


def test_each_stage_has_its_own_loss_and_the_last_one_lasts():
    curriculum = Progressive(STAGES, mastery="loss", loss=[0.1, 0.08, 0.06], max_steps=500)
    evaluate(curriculum, 100, "held_out/loss", walk=0.09)
    assert curriculum.done(100)
    assert curriculum.advance(100, 100) == (
        "curriculum: update 100: walk is mastered after 100 updates (held-out loss 0.09, at most 0.1). carry begins"
    )
    evaluate(curriculum, 200, "held_out/loss", walk=0.05, carry=0.09)
    assert not curriculum.done(100), "the threshold of carry is lower"
    assert curriculum.done(500)
    assert "carry is not mastered (held-out loss 0.09, not at most 0.08), but max_steps=500" in curriculum.advance(600, 500)
    evaluate(curriculum, 700, "held_out/loss", build=0.01)
    assert not curriculum.done(10_000)


def test_patience_begins_anew_in_each_stage():
    curriculum = Progressive(STAGES, patience=2)
    for updates in (100, 200):
        evaluate(curriculum, updates, walk=0.9)
    curriculum.advance(200, 200)
    evaluate(curriculum, 300, walk=0.9, carry=0.9)
    assert not curriculum.done(100)
    evaluate(curriculum, 400, walk=0.1, carry=0.9)  # what an earlier stage has become does not count
    assert curriculum.done(200)


def test_earlier_stages_are_rehearsed_alike():
    curriculum = Progressive(STAGES, rehearsal=0.3)
    weights = []
    for step in (100, 200, 300):
        weights.append(curriculum.stage().weights)
        if step < 300:
            curriculum.advance(step, 100)
    assert weights == [{"walk": 1.0}, {"walk": 0.3, "carry": 0.7}, {"walk": 0.15, "carry": 0.15, "build": 0.7}]
    none = Progressive(STAGES, rehearsal=0.0)
    none.advance(100, 100)
    assert none.stage().weights == {"carry": 1.0}


def test_stage_and_history_are_what_is_saved():
    curriculum = Progressive(STAGES, patience=2)
    evaluate(curriculum, 100, walk=0.9)
    evaluate(curriculum, 200, walk=0.85)
    curriculum.advance(200, 200)
    evaluate(curriculum, 300, walk=0.7, carry=0.95)
    again = Progressive(STAGES, patience=2)
    again.load_state_dict(curriculum.state_dict())
    assert again.stage() == curriculum.stage()
    assert (again.stage().name, again.stage().index, again.reached()) == ("carry", 1, 2)
    assert again.figures() == {"curriculum/stage": 2.0, "curriculum/streak": 1.0}
    assert again.state_dict()["advances"] == [{"step": 200, "stage": "walk", "updates": 200, "mastered": True}]
    assert again.state_dict()["seen"][-1] == {"step": 300, "success": {"walk": 0.7, "carry": 0.95}, "held_out/loss": {}}
    evaluate(again, 400, carry=0.8)
    assert again.done(200)
    assert not curriculum.done(200)
    assert again.picture().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"stage": 99}, "at stage 99, and its stages are 0 to 2"),
        ({"stage": "1"}, "'1'"),
        ({"stage": 2}, "over are"),
        ({"streak": -1}, "streak is -1"),
        ({"advances": []}, r"over are \[\]"),
        ({"seen": [{"step": 100}]}, "success"),
        ({"seen": [{"step": 100, "success": {"walk": "x"}, "held_out/loss": {}}]}, "'x' where a number belongs"),
        ({"steak": 1}, "steak"),
    ],
)
def test_a_state_that_cannot_be_is_refused(change, words):
    curriculum = Progressive(STAGES)
    evaluate(curriculum, 100, walk=0.9)
    curriculum.advance(100, 100)
    again = Progressive(STAGES)
    with pytest.raises((ValueError, TypeError, KeyError), match=words):
        again.load_state_dict(curriculum.state_dict() | change)
    assert again.reached() == 1, "as it was"


@pytest.mark.parametrize("losses", [[0.805, 0.825, 0.834], [-1.5, -0.2, 0.1], [math.nan, math.inf, 0.3]])
def test_the_picture_holds_every_curve(monkeypatch, losses):
    from matplotlib.figure import Figure

    drawn, save = [], Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, *args, **kwargs: drawn.append(self) or save(self, *args, **kwargs))
    curriculum = Progressive(STAGES)
    for number in range(1, len(losses) + 1):
        evaluate(curriculum, 100 * number, "held_out/loss", **dict(zip(STAGES[:number], losses, strict=False)))
        if number < len(losses):
            curriculum.advance(100 * number, 100)
    curriculum.picture()
    [panel] = drawn[0].axes
    shown = [value for line in panel.lines for value in line.get_ydata() if math.isfinite(value)]
    low, high = panel.get_ylim()
    room = 0.02 * (high - low)
    assert max(shown) <= high - room, "half a marker and more"
    assert min(shown) >= low + room or (low, min(shown) >= 0) == (0, True)
    assert low <= 0.0


def test_mixed_draws_from_all_from_the_beginning():
    assert Mixed(STAGES).stage().weights == {"walk": 1.0, "carry": 1.0, "build": 1.0}
    mixed = Mixed(STAGES, [3.0, 1.0, 0.0])
    assert mixed.stage().weights == {"walk": 3.0, "carry": 1.0, "build": 0.0}
    assert mixed.reached() == 3
    assert [stage.name for stage in mixed.stages()] == STAGES


@pytest.mark.parametrize("curriculum", [SingleStage("walk"), Mixed(STAGES), Progressive(STAGES)])
def test_what_every_curriculum_promises(curriculum):
    assert isinstance(curriculum, Curriculum)
    assert curriculum.stage() == curriculum.stage()
    assert curriculum.picture() is None, "nothing was observed"
    assert not curriculum.done(10**9)
    evaluate(curriculum, 100, walk=0.1)
    state = curriculum.state_dict()
    curriculum.load_state_dict(state)
    assert curriculum.state_dict() == state
    assert set(curriculum.stage().weights or {curriculum.stage().name: 1.0}) <= {stage.name for stage in curriculum.stages()}


def test_a_curriculum_of_one_stage_sees_its_figures():
    """Where there is one stage its figures have no name before them."""
    curriculum = Progressive(["walk"], patience=2)
    curriculum.observe(100, Report(metrics={"success": 0.9, "held_out/loss": 0.1}))
    assert curriculum.record.seen == [{"step": 100, "success": {"walk": 0.9}, "held_out/loss": {"walk": 0.1}}]
    assert curriculum.figures()["curriculum/streak"] == 1
