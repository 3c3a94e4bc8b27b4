"""What the wiring refuses before a run begins, and what ``auto`` becomes."""

import numpy as np
import pytest

from tests.fakes import Corridor
from vla_train import config as configuration
from vla_train.build import objects
from vla_train.build.evaluating import _splits
from vla_train.data.dataset import DemonstrationDataset
from vla_train.errors import UsageError
from vla_train.sources.dataset import DatasetSource
from vla_train.spec import ActionSpec, Spec, Stage
from vla_train.types import Demonstration, Features, Transition

CONTINUOUS = ActionSpec("continuous", 2, low=(-1.0, -1.0), high=(1.0, 1.0))
DISCRETE = ActionSpec("discrete", 1, choices=4)


class Recording(DemonstrationDataset):
    """A dataset of three frames without anything on disk; two of them have a next one."""

    has_rewards = True

    def __init__(self):
        pass

    def frames(self, split):
        return np.arange(3)

    def transition_frames(self, split):
        return np.arange(2)


def config(*words: str):
    return configuration.compose(words)


@pytest.mark.parametrize(("action", "head"), [(CONTINUOUS, "regression"), (DISCRETE, "categorical")])
def test_auto_takes_the_first_head_that_fits(action, head):
    assert objects.choose_head(config(), action)["choices"]["head"] == head


def test_a_named_head_that_does_not_fit_is_refused_with_those_that_do():
    with pytest.raises(UsageError, match=r"head=categorical.*regression, gaussian"):
        objects.choose_head(config("head=categorical"), CONTINUOUS)


def test_length_of_the_run():
    assert objects.make_limits(config()).steps == config()["paradigm"]["steps"]
    assert objects.make_limits(config("steps=7")).steps == 7
    limits = objects.make_limits(config("minutes=1.5"))
    assert (limits.steps, limits.minutes) == (None, 1.5)


def test_a_source_gets_the_frames_that_its_batches_can_use():
    plain = objects.make_source(config(), Recording(), Demonstration, Stage("none"))
    steps = objects.make_source(config(), Recording(), Transition, Stage("none"))
    assert isinstance(plain, DatasetSource)
    assert (plain.batch_type, steps.batch_type) == (Demonstration, Transition)
    assert (plain._order.size, steps._order.size) == (3, 2)


def test_a_paradigm_that_learns_from_something_else_is_told():
    with pytest.raises(UsageError, match=r"learns from Features.*yields Demonstration"):
        objects.make_source(config(), Recording(), Features, Stage("none"))


def test_a_dataset_cannot_end_a_run_by_environment_steps():
    with pytest.raises(UsageError, match="steps no environment"):
        objects.make_source(config("env_steps=1000"), Recording(), Demonstration, Stage("none"))


SPEC = Spec(images={}, state_size=1, action=CONTINUOUS, tasks=("go",))


def choice(*words: str, environment: bool):
    return objects.make_choice(config(*words)["evaluation"], SPEC, has_environment=environment, has_held_out=True)


def test_best_is_chosen_by_what_the_run_can_measure():
    assert choice(environment=True).best == "success"
    alone = choice(environment=False)
    assert (alone.best, alone.mode) == ("held_out/loss", "min")
    assert not alone.better(float("nan"), 0.5)
    assert alone.better(0.4, 0.5)
    assert not alone.better(float("nan"), None)


def test_a_metric_that_the_run_will_not_measure_is_told_at_the_start():
    assert choice("evaluation.best=success/go", environment=True).mode == "max"
    with pytest.raises(UsageError, match="Did you mean success"):
        choice("evaluation.best=sucess", environment=True)
    with pytest.raises(UsageError, match="held_out/loss"):
        choice("evaluation.best=success", environment=False)


@pytest.mark.parametrize("best", ["chance/success", "random/reward", "foreign/success", "empty/success", "paraphrase/gap"])
def test_a_policy_that_does_nothing_is_never_the_best(best):
    played = "evaluation.conditions=[plain,swapped,foreign,empty,garbage,paraphrase,random,chance]"
    assert choice(played, "evaluation.best=swapped/success_low", environment=True).mode == "max"
    with pytest.raises(UsageError, match=f"evaluation.best={best}: .*by which one policy is better"):
        choice(played, f"evaluation.best={best}", environment=True)


def test_a_split_that_was_trained_on_is_no_unseen_one():
    trained = {"environment": {"split": "pairs"}, "choices": {"environment": "toy"}}
    splits, reasons = _splits(["templates", "pairs"], trained, [lambda num_envs, split: Corridor(num_envs)])
    assert list(splits) == ["templates"]
    assert reasons == {"zero_shot/pairs": "the run was trained on this split"}
