"""Values of a curriculum that cannot be: told before anything is made or imported."""

import pytest

from vla_train import config
from vla_train.build import datasets, objects
from vla_train.errors import UsageError
from vla_train.spec import ActionSpec, Spec, Stage

PROGRESSIVE = "curriculum=progressive"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["curriculum.success=1.5"], "curriculum.success=1.5: must be float > 0 <= 1"),
        (["curriculum.success=0"], "curriculum.success=0"),
        (["curriculum.loss=[0.1,0.08,-0.06,0.05]"], "curriculum.loss"),
        (["curriculum.mastery=loss", "curriculum.loss=[0.1,0.08]"], "2 numbers for 4 stages"),
        (["curriculum.mastery=lost"], "Did you mean loss"),
        (["curriculum.patience=0"], "curriculum.patience=0"),
        (["curriculum.min_steps=-1"], "curriculum.min_steps=-1"),
        (["curriculum.max_steps=0"], "curriculum.max_steps=0"),
        (["curriculum.min_steps=300", "curriculum.max_steps=200"], "min_steps=300 is above max_steps=200"),
        (["curriculum.rehearsal=1.0"], "curriculum.rehearsal=1.0"),
        (["curriculum.stages=[]"], "curriculum.stages"),
        (["curriculum.stages=[complex_tasks,complex_tasks]"], "complex_tasks twice"),
        (["every.evaluate=0"], "no stage is ever mastered"),
    ],
)
def test_progressive(words, said):
    with pytest.raises(UsageError) as told:
        config.compose([PROGRESSIVE, *words])
    assert said in str(told.value)


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ("[1,2]", "2 numbers for 4 stages"),
        ("[0,0,0,0]", "all 0"),
        ("[1,1,1,-1]", "curriculum.weights"),
        ("[]", "curriculum.weights"),
    ],
)
def test_mixed(weights, said):
    with pytest.raises(UsageError, match=said):
        config.compose(["curriculum=mixed", f"curriculum.weights={weights}"])


def test_what_can_be():
    """Losses for four stages do not matter where two are judged by success; nor evaluations where updates alone decide."""
    config.compose([PROGRESSIVE, "curriculum.stages=[basic_navigation,complex_tasks]"])
    config.compose([PROGRESSIVE, "every.evaluate=0", "curriculum.max_steps=100"])
    config.compose(["curriculum=mixed", "curriculum.weights=[1,2,0,0.5]"])


def test_a_stage_that_does_not_exist_is_told_before_demonstrations_are_made(tmp_path):
    composed = config.compose([PROGRESSIVE, f"output={tmp_path}", "curriculum.stages=[basic_navigation,complex_task]"])
    with pytest.raises(UsageError, match="Did you mean 'complex_tasks'"):
        datasets.open_stages(composed, [Stage("basic_navigation"), Stage("complex_task")])
    assert not (tmp_path / "datasets").exists()


def test_one_folder_is_not_the_data_of_several_stages(tmp_path):
    composed = config.compose([PROGRESSIVE, f"dataset.path={tmp_path}"])
    with pytest.raises(UsageError, match=r"dataset\.path names one dataset"):
        datasets.open_stages(composed, [Stage("basic_navigation"), Stage("complex_tasks")])


SPEC = Spec(images={}, state_size=1, action=ActionSpec("discrete", 1, choices=4), tasks=("go",))


def choice(*words, **facts):
    settings = config.compose(words)["evaluation"]
    return objects.make_choice(settings, SPEC, **({"has_environment": True, "has_held_out": True} | facts))


def test_what_mastery_is_judged_by_must_be_measured():
    assert choice(reads=["success"], stages=["walk"]).best == "success"
    with pytest.raises(UsageError, match="judged by its success"):
        choice(reads=["success"], has_environment=False)
    with pytest.raises(UsageError, match="judged by its held_out/loss"):
        choice(reads=["held_out/loss"], has_held_out=False)


def test_best_may_be_that_of_a_stage_which_is_measured_from_the_beginning():
    words = ["evaluation.best=walk/held_out/loss"]
    assert choice(*words, stages=["walk", "carry"]).mode == "min"
    with pytest.raises(UsageError, match="measures nothing so called"):
        choice(*words, stages=["carry"])
