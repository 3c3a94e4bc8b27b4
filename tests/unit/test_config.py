"""A composed config is closed, typed and within range, and its mistakes are told in words that help."""

import pytest

from vla_train import config
from vla_train.errors import UsageError
from vla_train.seeds import RANGES


def test_a_config_is_plain_dicts_with_its_choices():
    composed = config.compose(["dataset=babyai", "dataset.level=GoToLocal", "optimizer.lr=1"])
    assert type(composed) is dict
    assert type(composed["model"]) is dict
    assert composed["environment"]["level"] == "GoToLocal"  # follows the dataset
    assert composed["optimizer"]["lr"] == 1.0
    assert type(composed["optimizer"]["lr"]) is float
    choices = composed["choices"]
    assert (choices["dataset"], choices["environment"], choices["curriculum"]) == ("babyai", "babyai", "none")
    assert composed["plugins"] == []
    assert "hydra" not in composed


def test_a_dataset_brings_its_environment_which_can_be_overridden():
    assert config.compose([])["choices"]["environment"] == "tabletop"
    assert config.compose(["environment=none"])["environment"] == {"_target_": None}


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("+model.widht=3", ["model.widht", "Did you mean model.width?"]),
        ("+lerning_rate=3", ["lerning_rate", "no such key"]),
        ("model.width=wide", ["model.width=wide", "int >= 1", "As shipped: "]),
        ("model.width=0", ["model.width=0", "int >= 1"]),
        ("model.stem=film_con", ["film_conv or patch", "Did you mean film_conv?"]),
        ("optimizer.lr=0", ["optimizer.lr=0", "float > 0"]),
        ("optimizer.lr=fast", ["optimizer.lr=fast"]),
        ("optimizer.ema=1", ["optimizer.ema=1", "float >= 0 < 1"]),
        ("optimizer.betas=[0.9,1.5]", ["optimizer.betas=[0.9, 1.5]"]),
        ("dataset.validation=1.0", ["dataset.validation"]),
        ("dataset.batch_size=0", ["dataset.batch_size"]),
        ("runtime.deterministic=1", ["runtime.deterministic=1", "bool"]),
        ("runtime.precision=fp16", ["auto or fp32 or bf16"]),
        ("runtime.threads=0", ["runtime.threads"]),
        ("optimizer.betas=[0.9]", ["optimizer.betas=[0.9]", "list of 2 float"]),
        ("optimizer.betas=[0.9,0.9,0.9]", ["optimizer.betas", "list of 2 float"]),
        ("evaluation.conditions=[]", ["evaluation.conditions=[]", "list of 1+ plain or"]),
        (f"seed={10**400}", ["seed=1000", "...: must be int >= 0"]),
        (f"optimizer.lr={10**400}", ["optimizer.lr"]),
        ("evaluation.conditions=[plain,swaped]", ["Did you mean swapped?"]),
        ("environment.cameras=[tpo]", ["Did you mean top?"]),
        ("steps=0", ["steps=0", "null or int >= 1"]),
        ("minutes=-1", ["minutes=-1"]),
        ("resume=", ["resume=: must be null or a path (one that is not empty)"]),
        ("init=", ["init=: must be null or a path"]),
        ("every=3", ["every is a section", "log, evaluate, save"]),
        ("~model.width", ["model.width", "needs it"]),
        ("~model", ["model", "film_cnn, transformer"]),
        ("model.width=${model.depth}", ["model.width", "model.depth"]),
        ("model._target_=os.system", ["os.system", "vla_train.models"]),
        ("model._target_=vla_train.paradigms.bc.BehaviouralCloning", ["vla_train.models"]),
        ("model._target_=vla_train.modelsx.Foreign", ["not allowed"]),
        ("model._target_=vla_train.models.film_cnn.FilmCNNEncoder", ["model=transformer has the class", "Choose another model"]),
        ("model.cameras=[{_target_:os.system}]", ["os.system"]),
        ("+tracker.sink={_target_:os.system}", ["tracker.sink"]),
    ],
)
def test_a_mistake_is_told_with_the_place_and_the_way_out(override, said):
    with pytest.raises(UsageError) as error:
        config.compose([override])
    for words in said:
        assert words in str(error.value)


def test_several_mistakes_are_told_at_once():
    with pytest.raises(UsageError) as error:
        config.compose(["model.width=0", "optimizer.lr=-1", "seed=-1"])
    assert len(str(error.value).splitlines()) == 3


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["paradigm.steps=null"], "no length"),
        (["resume=a", "init=b"], "exclude each other"),
        (["environment.min_objects=9"], "above max_objects"),
        (["optimizer.micro_batches=65"], "optimizer.micro_batches=65 is above dataset.batch_size=64"),
        (["model.width=66"], "model.width=66 must be a multiple of model.num_heads=4"),
        (["dataset.start=999999000", "dataset.episodes=1001"], "beyond the 1000000000 training seeds"),
    ],
)
def test_values_that_do_not_go_together(overrides, said):
    with pytest.raises(UsageError, match=said):
        config.compose(overrides)


def test_the_last_training_seeds_may_be_played():
    assert len(RANGES["train"]) == 1_000_000_000
    assert config.compose(["dataset.start=999999000", "dataset.episodes=1000"])["dataset"]["start"] == 999_999_000


def test_evaluation_needs_a_checkpoint():
    with pytest.raises(UsageError, match=r"checkpoint= is missing\. Give a run folder"):
        config.compose([], kind="eval")
    with pytest.raises(UsageError, match=r"^conditions=\[\]: must be list of 1\+ plain"):
        config.compose(["checkpoint=outputs/x", "conditions=[]"], kind="eval")
    composed = config.compose(["checkpoint=outputs/x", "execute=2"], kind="eval")
    assert (composed["checkpoint"], composed["execute"], composed["output"]) == ("outputs/x", 2, None)


def test_a_choice_is_read_as_shipped():
    node = config.load_choice("head", "regression")
    assert node["loss"] == "l1"
    node["loss"] = "changed"
    assert config.load_choice("head", "regression")["loss"] == "l1"
    with pytest.raises(UsageError, match="Did you mean gaussian"):
        config.load_choice("head", "gausian")
