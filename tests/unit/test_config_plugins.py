"""What a plug-in's YAML may say, what a checkpoint records of it, and what its author is told about mistakes."""

import sys

import pytest
import yaml
from hydra.core.global_hydra import GlobalHydra

from vla_train import config
from vla_train.build.objects import choose_head
from vla_train.cli import command
from vla_train.config import folders
from vla_train.config.plugins import problems
from vla_train.errors import CheckpointError, UsageError
from vla_train.spec import ActionSpec

MODEL = "_target_: acme_robots.encoder.Encoder\nwidth: 8\nimage_size: null\ncameras: null\nmax_tokens: 8\nvocabulary: 300\n"
PARADIGM = "_target_: acme_robots.learn.Learn\nheads: [acme_head, regression]\nsteps: 3\n"
BASED = "defaults: [film_cnn, _self_]\n_target_: acme_robots.encoder.Encoder\ngain: null\n"


def test_its_yaml_is_found_checked_and_recorded(plugins, plugin):
    plugins.write({"acme_robots/configs/model/acme.yaml": BASED})
    plugins.write({"acme_robots/configs/schema.yaml": "model/acme.gain: null | float > 0\n"})
    composed = config.compose(["model=acme", "model.gain=2"])
    assert composed["plugins"] == ["acme_robots"]
    assert (composed["model"]["gain"], composed["model"]["blocks"]) == (2.0, 2)
    assert "acme_robots" not in sys.modules  # located, not imported
    with pytest.raises(UsageError, match=r"model\.gain=-1: must be null or float > 0"):
        config.compose(["model=acme", "model.gain=-1"])
    text = config.dump(composed)
    assert config.load_saved(text) == composed
    other = text.replace("acme_robots.encoder.Encoder", "acme_robots.setup.Installer")
    with pytest.raises(CheckpointError, match=r"acme_robots\.setup\.Installer: model=acme has the class acme_robots\.encoder"):
        config.load_saved(other)
    plugins.uninstall("acme_robots")
    with pytest.raises(CheckpointError, match=r"plug-in acme_robots, which is not installed here \(for model=acme\)"):
        config.load_saved(text)


def test_its_rules_hold_for_its_own_choices_only(plugins, plugin):
    plugins.write({"acme_robots/configs/model/acme.yaml": MODEL})
    plugins.write({"acme_robots/configs/schema.yaml": "model.width: str\nmodel/film_cnn.width: str\n"})
    assert config.compose(["model=acme", "model.width=wide"])["model"]["width"] == "wide"
    with pytest.raises(UsageError, match="must be int >= 1"):
        config.compose(["model=film_cnn", "model.width=wide"])


def test_its_head_is_recorded_where_auto_takes_it(plugins, plugin):
    plugins.write({"acme_robots/configs/head/acme_head.yaml": "_target_: acme_robots.head.Head\n"})
    head = "class Head:\n    @classmethod\n    def fits(cls, action): return action.kind == 'discrete'\n"
    plugins.write({"acme_robots/head.py": head})
    composed = config.compose([]) | {"paradigm": {"heads": ["acme_head", "regression"]}}
    chosen = choose_head(composed, ActionSpec("discrete", 1, choices=3))
    assert (chosen["choices"]["head"], chosen["plugins"]) == ("acme_head", ["acme_robots"])
    assert choose_head(composed, ActionSpec("continuous", 1))["plugins"] == []


def test_a_policy_is_read_without_the_plugin_of_its_paradigm(plugins, plugin):
    plugins.write({"acme_robots/configs/paradigm/acme.yaml": PARADIGM, "acme_robots/configs/model/acme.yaml": MODEL})
    ours = config.dump(config.compose(["paradigm=acme", "head=regression"]))
    theirs = config.dump(config.compose(["model=acme", "head=regression"]))
    assert config.load_saved(theirs, kind="policy")["plugins"] == ["acme_robots"]
    plugins.uninstall("acme_robots")
    loaded = config.load_saved(ours, kind="policy")
    assert set(loaded) == {"model", "head", "choices", "plugins"}
    assert (loaded["choices"], loaded["plugins"]) == ({"model": "transformer", "head": "regression"}, [])
    with pytest.raises(CheckpointError, match=r"acme_robots, which is not installed here \(for paradigm=acme\)"):
        config.load_saved(ours)
    with pytest.raises(CheckpointError, match=r"acme_robots, which is not installed here \(for model=acme\)"):
        config.load_saved(theirs, kind="policy")


@pytest.mark.parametrize("kind", ["train", "policy"])
@pytest.mark.parametrize("recorded", [["os"], ["vla_train"], []])
def test_a_checkpoint_never_extends_what_may_be_named(kind, recorded):
    content = yaml.safe_load(config.dump(config.compose(["head=regression"])))
    content["plugins"] = recorded
    content["model"]["_target_"] = "os.system"
    with pytest.raises(CheckpointError, match=r"plug-in os, which|plug-in vla_train, which|os\.system is not allowed"):
        config.load_saved(yaml.safe_dump(content), kind=kind)


def test_a_preset_of_a_plugin_is_not_needed_again(plugins, plugin):
    plugins.write({"acme_robots/configs/experiment/acme.yaml": "# @package _global_\nsteps: 7\n"})
    composed = config.compose(["experiment=acme"])
    assert (composed["steps"], composed["plugins"]) == (7, [])
    plugins.uninstall("acme_robots")
    assert config.load_saved(config.dump(composed)) == composed


def run(*words, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["vla-train", *words])
    GlobalHydra.instance().clear()
    return command.run("train", lambda config, *_: pytest.fail("accepted"))


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"model/acme.yaml": "width: [1\n"}, "acme.yaml is not readable YAML: line 2, column 1: expected ',' or ']'"),
        ({"model/acme.yaml": "- 1\n"}, "acme.yaml must be lines of key: value, not [1]"),
        ({"model/acme.yaml": b"\xff\xfe"}, "acme.yaml is not readable YAML: 'utf-8'"),
        ({"model/acme.yaml": "defaults: 3\n"}, "acme.yaml: defaults must be a list, not 3"),
        ({"model/acme.yaml": "defaults: [nothing]\n"}, "model=nothing, named in model/acme.yaml: there is no such model"),
        ({"model/acme.yaml": MODEL.replace("cameras: null\n", "")}, "acme.yaml: the key cameras is missing. Every model has _t"),
        ({"model/acme.yaml": MODEL.replace("acme_robots.encoder", "os")}, "acme.yaml: model: _target_=os.Encoder is not allowed"),
        ({"model/acme.yaml": MODEL.replace("acme_", "other_")}, "must come from vla_train.models or acme_robots."),
        ({"model/acme.yaml": MODEL + "inner: [{_target_: os.system}]\n"}, "acme.yaml: model: _target_=os.system is not allowed"),
        ({"model/acme.yaml": MODEL, "schema.yaml": "a: ["}, "schema.yaml is not readable YAML: line 1"),
        ({"model/acme.yaml": MODEL, "schema.yaml": "model.width: int or null"}, "model.width: int or null is no rule."),
        ({"model/acme.yaml": MODEL, "schema.yaml": "model.width: flaot > 0"}, "model.width: flaot > 0 is no rule."),
        ({"models/acme.yaml": MODEL}, "acme_robots/configs/models: there is no group models. Did you mean model?"),
    ],
)
def test_a_mistake_in_its_yaml_is_told_with_the_file(plugins, plugin, monkeypatch, capsys, files, said):
    plugins.install("other_robots", {"__init__.py": ""})
    plugins.write({f"acme_robots/configs/{name}": text for name, text in files.items()})
    assert run("model=acme", monkeypatch=monkeypatch) == 2
    shown = capsys.readouterr().err
    assert said in shown
    assert "Traceback" not in shown
    assert "acme_robots" not in sys.modules
    assert config.compose([])["plugins"] == []  # who does not choose it is not troubled


def test_a_choice_in_two_places_is_refused_only_where_it_is_chosen(plugins, plugin, monkeypatch, capsys):
    ours = (folders.shipped() / "model" / "film_cnn.yaml").read_text()
    plugins.write({"acme_robots/configs/model/film_cnn.yaml": ours, "acme_robots/configs/model/twin.yaml": MODEL})
    plugins.install("other_robots", {"__init__.py": "", "configs/model/twin.yaml": MODEL.replace("acme_", "other_")})
    for name, places in [("film_cnn", "vla-train itself and acme_robots"), ("twin", "acme_robots and other_robots")]:
        assert run(f"model={name}", monkeypatch=monkeypatch) == 2
        assert f"error: model={name} is a choice of {places}. Rename /" in capsys.readouterr().err
    assert run("--help", monkeypatch=monkeypatch) == 0
    assert "model=twin is a choice of acme_robots and other_robots." in " ".join(capsys.readouterr().out.split())
    assert config.compose([])["plugins"] == []
    preset = "# @package _global_\nsteps: 7\n"
    plugins.write({f"{name}_robots/configs/experiment/same.yaml": preset for name in ("acme", "other")})
    with pytest.raises(UsageError, match="experiment=same is a choice of acme_robots and other_robots"):
        config.compose(["experiment=same"])


def test_what_is_declared_but_not_there_is_told_where_a_choice_is_missing(plugins, monkeypatch, capsys):
    plugins.install("ghost_robots")
    plugins.write({"single.py": ""})
    for package in ("single", "vla_train", "..", "acme_robots"):
        plugins.install(package, {"__init__.py": ""} if package == "acme_robots" else None)
    assert list(folders.plugins()) == ["acme_robots"]
    assert [text.partition(" is declared")[0] for text in problems()[:-1]] == [
        "The plug-in (no name)",
        "The plug-in ghost_robots",
        "The plug-in single",
        "The plug-in vla_train",
    ]
    assert "acme_robots brings no choices: there is no folder" in problems()[-1]
    assert run("model=ghost", monkeypatch=monkeypatch) == 2
    assert "The plug-in ghost_robots is declared, but there is no such package." in capsys.readouterr().err
    assert run("--help", monkeypatch=monkeypatch) == 0
    assert "The plug-in ghost_robots is declared" in capsys.readouterr().out
