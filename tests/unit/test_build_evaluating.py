"""What ``vla-eval`` looks at, before anything is opened."""

import pytest

from tests.toy_dataset import open_toy, write_toy
from vla_train import config
from vla_train.build.evaluating import of_dataset, recorded_of
from vla_train.build.objects import environment_maker
from vla_train.errors import UsageError
from vla_train.evaluation.cross_modal import CrossModal
from vla_train.spec import Stage

FACTS = {"folder": "somewhere"}


def test_held_out_demonstrations_are_of_the_evaluated_stages():
    run = {"reach": FACTS, "push": FACTS}
    assert list(recorded_of(run, ["push"], ["reach", "push"])) == ["push"]
    assert list(recorded_of(run, ["reach", "push"], ["reach", "push"])) == ["reach", "push"]
    assert recorded_of(run, ["stack"], ["reach", "push"]) == {}  # of another stage nothing is said
    assert recorded_of({"": FACTS}, ["reach"], ["reach"]) == {"": FACTS}
    assert list(recorded_of({"ours": FACTS, "theirs": FACTS}, ["none"], ["none"])) == ["ours", "theirs"]


def test_without_held_out_demonstrations_one_sentence_says_so(tmp_path):
    write_toy(tmp_path)
    settings = {"held_out_frames": 16, "open_loop": []}
    [says] = of_dataset(settings, open_toy(tmp_path), None)
    assert says(None).not_applicable == {"held_out": "no demonstrations are held out (dataset.validation is 0)"}
    [measures] = of_dataset(settings, open_toy(tmp_path, validation=0.5), None)
    assert isinstance(measures, CrossModal)


@pytest.mark.parametrize(
    ("words", "stage", "said"),
    [
        (["curriculum=progressive", "curriculum.stages=[complexx]"], "complexx", "^curriculum.stages has complexx: tabletop"),
        (["curriculum=basic_navigation", "environment=gym"], "basic_navigation", "^curriculum=basic_navigation: a gymnasium"),
        (["curriculum.stage=basic"], "basic", "^curriculum.stage=basic: tabletop: unknown stage 'basic'"),
        (["dataset=gym"], "GoToLocal", "^stage=GoToLocal: a gymnasium environment has no stages, so leave this out"),
    ],
)
def test_an_unknown_stage_names_the_key_that_asks_for_it(words, stage, said):
    with pytest.raises(UsageError, match=said):
        environment_maker(config.compose(words), Stage(stage))(1)


def test_a_key_that_the_environment_has_not_is_to_be_left_out():
    with pytest.raises(UsageError, match="environment=gym has no split: leave that out"):
        environment_maker(config.compose(["dataset=gym"]), Stage("none"))(1, split="pairs")
