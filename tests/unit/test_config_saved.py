"""A config that comes with a checkpoint is foreign data: it passes the same closed schema, and nothing in it is executed."""

import sys
import time

import pytest
import yaml

from vla_train import config
from vla_train.errors import CheckpointError, UsageError

FILM_CNN = "vla_train.models.film_cnn.FilmCNNEncoder"
TRANSFORMER = "vla_train.models.transformer.TransformerEncoder"


@pytest.fixture(scope="module")
def text():
    return config.dump(config.compose(["model=film_cnn", "model.dropout=0.1", "optimizer.lr=1e-5"]))


def changed(text, changes):
    content = yaml.safe_load(text)
    for key, value in changes.items():
        section, _, leaf = key.rpartition(".")
        (content[section] if section else content)[leaf] = value
    return yaml.safe_dump(content).replace("HUGE", "0x" + "f" * 5000)


def test_what_was_saved_is_what_is_loaded(text):
    loaded = config.load_saved(text)
    assert loaded == config.compose(["model=film_cnn", "model.dropout=0.1", "optimizer.lr=1e-5"])
    assert loaded["choices"]["model"] == "film_cnn"


@pytest.mark.parametrize(
    ("overrides", "accepted"),
    [
        (["steps=500"], {"steps": 500}),
        (["minutes=2", "resume=outputs/x"], {"minutes": 2.0}),
        (["force_dataset=true", "debug=true"], {"force_dataset": True}),
    ],
)
def test_a_resumed_run_may_change_its_length(text, overrides, accepted):
    loaded = config.load_saved(text, overrides)
    assert {key: loaded[key] for key in accepted} == accepted
    assert loaded["model"]["dropout"] == 0.1


def test_a_resumed_run_may_change_device_and_tracker(text):
    loaded = config.load_saved(text, ["runtime.device=cpu", "tracker.console=none"])
    assert (loaded["runtime"]["device"], loaded["runtime"]["precision"]) == ("cpu", "auto")
    assert loaded["tracker"]["console"] == "none"


@pytest.mark.parametrize("override", ["model.width=3", "model=transformer", "seed=1", "runtime.precision=bf16", "step=3"])
def test_a_resumed_run_keeps_all_else(text, override):
    with pytest.raises(UsageError, match="keeps its own config"):
        config.load_saved(text, [override])


def test_a_resumed_run_checks_what_it_accepts(text):
    with pytest.raises(UsageError, match="steps=-3"):
        config.load_saved(text, ["steps=-3"])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model._target_": "os.system"}, "os.system is not allowed"),
        ({"environment._target_": "vla_train.models.film_cnn.FilmCNNEncoder"}, "not allowed"),
        ({"model.cameras": [{"_target_": "os.system"}]}, "os.system"),
        ({"model._target_": TRANSFORMER}, f"model._target_={TRANSFORMER}: model=film_cnn has the class {FILM_CNN}"),
        (
            {"model.cameras": [{"_target_": FILM_CNN}]},
            f"_target_={FILM_CNN} is not allowed here. model=film_cnn has there no class",
        ),
        ({"head._target_": None}, "head._target_=null: head=auto has the class auto"),
        ({"uncertainty._target_": "vla_train.uncertainty.x.X"}, "has the class null"),
        ({"model.width": "w" * 9000}, "model.width=" + "w" * 100 + "...: must be"),
        ({"model.width": "HUGE"}, "model.width=a number of thousands of digits: must be"),
        ({"k" * 9000: 1}, "k" * 100 + "...: vla-train has no such key"),
        ({"choices.model": "m" * 9000}, "model=" + "m" * 100 + "...: there is no such model"),
        ({"model.widht": 3}, "Did you mean model.width"),
        ({"model.width": "wide"}, "model.width=wide"),
        ({"surprise": 1}, "surprise"),
        ({"choices.model": "../../etc/passwd"}, "no such model"),
        ({"choices.model": 3}, "does not say"),
        ({"choices": None}, "does not say"),
        ({"plugins": ["acme"]}, "acme, which is not installed"),
        ({"name": "${oc.env:HOME}"}, None),
    ],
)
def test_an_altered_config_is_refused(text, changes, said):
    altered = changed(text, changes)
    if said is None:  # an interpolation stays the text it is
        assert config.load_saved(altered)["name"] == "${oc.env:HOME}"
        return
    with pytest.raises(CheckpointError) as error:
        config.load_saved(altered, where="step_000500/config.yaml")
    assert said in str(error.value)
    assert "step_000500/config.yaml" in str(error.value)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "a: [", "!!python/object/apply:os.system ['touch executed']", "- " * 5000, "{a: 1}: 2", "a: 0b_"],
)
def test_what_is_no_config_is_refused_and_not_executed(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError):
        config.load_saved(text)
    assert not (tmp_path / "executed").exists()


BOMB = "".join(f"x{i + 1}: &x{i + 1} [{', '.join([f'*x{i}'] * 10)}]\n" for i in range(12))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (f"x0: &x0 [lol]\n{BOMB}", "it has the anchor or alias x0"),
        ("surprise: &a [*a]\n", "it has the anchor or alias a"),
        ("surprise: &a 1\n", "it has the anchor or alias a"),
        ("surprise: !!timestamp soon\n", "it has the tag tag:yaml.org,2002:timestamp"),
        ("surprise: !!python/name:os.system ''\n", "it has the tag"),
        (f"surprise: {'[' * 100_000}{']' * 100_000}\n", "it has more than 32 levels"),
        (f"surprise: 1{':0' * 100_000}\n", "it has a value of more than 10,000 letters"),
        (f"surprise: [{'a, ' * 400_000}]\n", "letters, more than any config of this program; it was not read"),
    ],
)
def test_a_config_that_would_eat_memory_or_time_is_refused_at_once(text, more, said):
    """The rest of the config is right, so nothing but the check refuses it."""
    began = time.process_time()
    with pytest.raises(CheckpointError) as error:
        config.load_saved(text + more, where="step_000500/config.yaml")
    assert said in str(error.value)
    assert str(error.value).startswith("step_000500/config.yaml has") or "is not a config of this program" in str(error.value)
    assert len(str(error.value)) < 500
    assert time.process_time() - began < 10


def test_a_great_many_unknown_keys_are_refused_at_once(text):
    began = time.process_time()
    with pytest.raises(CheckpointError, match="and 29995 more"):
        config.load_saved(text + "".join(f"surprise{i}: 1\n" for i in range(30_000)))
    assert time.process_time() - began < 20


def test_what_stands_in_two_places_is_saved_without_an_alias(text):
    loaded = config.load_saved(text)
    shared = ["plain", "random"]
    loaded["evaluation"]["conditions"] = loaded["paradigm"]["heads"] = shared
    assert "&" not in config.dump(loaded)
    assert yaml.safe_load(config.dump(loaded))["paradigm"]["heads"] == shared


def test_a_key_added_since_takes_its_shipped_value(text):
    content = yaml.safe_load(text)
    del content["evaluation"]["patience"]
    assert config.load_saved(yaml.safe_dump(content))["evaluation"]["patience"] == 0


def test_a_policy_from_before_a_key_of_its_model_is_what_it_was():
    content = yaml.safe_load(config.dump(config.compose([])))
    assert content["model"].pop("places") is True
    assert config.load_saved(yaml.safe_dump(content))["model"]["places"] is False


def test_nothing_of_the_config_needs_torch():
    """In this process others may have imported torch; the command line's tests look at a fresh one."""
    assert not [name for name in vars(sys.modules["vla_train.config"]) if name == "torch"]
