"""Every YAML file under ``configs/`` (ours, and those of installed plug-ins), found by glob: it composes, validates, and names a
class that exists."""

import pytest

from vla_train import config
from vla_train.config import folders, plugins, rules
from vla_train.config.read import read_yaml
from vla_train.config.schema import Schema, groups_of
from vla_train.config.targets import EVAL_PRESETS, GROUPS, PRESETS

FILES = sorted(file for folder in folders.search_path() for file in folder.glob("*/*.yaml"))
CHOICES = [(file.parent.name, file.stem) for file in FILES]
OF_TRAINING = [pair for pair in CHOICES if pair[0] not in EVAL_PRESETS]
PROGRAMS = {"train": [], "eval": ["checkpoint=outputs/run"], "collect": ["output=data/new", "environment=tabletop"]}
PART = {"format": "lerobot", "path": "x"}
# For keys that must be given: as words of a command line, and as values.
SAMPLES = {"x": "x", "1": 1, "[x]": ["x"], "{a:{format:lerobot,path:x}}": {"a": PART}}


def test_every_group_has_a_choice_and_every_folder_is_a_group():
    assert {group for group, _ in CHOICES} == {*GROUPS, *EVAL_PRESETS}


def what_must_be_given(group, choice):
    if group == "experiment":  # it leaves to the user what its choices leave to them
        file = next(file for file in FILES if (file.parent.name, file.stem) == (group, choice))
        overrides = [entry for entry in read_yaml(file).get("defaults", []) if isinstance(entry, dict)]
        for name, chosen in (pair for entry in overrides for pair in entry.items()):
            yield from what_must_be_given(name.removeprefix("override /"), chosen)
        return
    shipped = config.load_choice(group, choice)
    schema = Schema.of("train", {group: choice}, folders.search_path())
    for key in [key for key, value in shipped.items() if value == "???"]:
        alternatives = rules.parse(schema.rule(f"{group}.{key}", "???"))
        fitting = (word for word, value in SAMPLES.items() if any(one.accepts(value) for one in alternatives))
        yield f"{group}.{key}={next(fitting)}"


@pytest.mark.parametrize(("group", "choice"), [pair for pair in OF_TRAINING if pair[0] != "sweep"])
def test_it_composes_and_validates(group, choice):
    composed = config.compose([f"{group}={choice}", *what_must_be_given(group, choice)])
    assert composed["choices"][group] == choice
    assert config.load_saved(config.dump(composed)) == composed


@pytest.mark.parametrize("choice", [name for group, name in CHOICES if group == "sweep"])
def test_how_a_sweep_runs_is_no_part_of_the_run(choice):
    composed = config.compose([f"sweep={choice}"])
    assert "sweep" not in composed["choices"]
    assert config.load_saved(config.dump(composed)) == composed


@pytest.mark.parametrize("choice", [name for group, name in CHOICES if group == "suite"])
def test_a_suite_sets_keys_of_an_evaluation_and_what_is_typed_wins(choice):
    file = next(file for file, pair in zip(FILES, CHOICES, strict=True) if pair == ("suite", choice))
    composed = config.compose(["checkpoint=outputs/run", f"suite={choice}"], kind="eval")
    assert composed["suite"] == choice
    assert {key: composed[key] for key in read_yaml(file)} == read_yaml(file)
    assert config.compose(["checkpoint=outputs/run", f"suite={choice}", "episodes=7"], kind="eval")["episodes"] == 7


@pytest.mark.parametrize(("group", "choice"), [pair for pair in OF_TRAINING if pair[0] not in PRESETS])
def test_its_target_is_a_class_of_its_group(group, choice):
    path = config.load_choice(group, choice).get("_target_")
    if path not in (None, "auto"):
        assert isinstance(config.resolve_target(path, group), type)


@pytest.mark.parametrize(("group", "choice"), [pair for pair in OF_TRAINING if pair[0] not in PRESETS])
def test_a_value_that_tells_no_type_has_a_declared_one(group, choice):
    shipped = config.load_choice(group, choice)
    schema = Schema.of("train", {group: choice}, folders.search_path())
    undeclared = [
        key for key, value in shipped.items() if key != "_target_" and schema.rule(f"{group}.{key}", value) in ("any", "list")
    ]
    assert not undeclared, "declare them in vla_train/config/rules.py, or in the configs/schema.yaml of your plug-in"


@pytest.mark.parametrize("kind", PROGRAMS)
def test_a_program_composes_and_every_key_has_a_type(kind):
    config.compose(PROGRAMS[kind], kind)
    schema = Schema.of(kind, {}, folders.search_path())
    leaves = {key: value for key, value in schema.shipped.items() if not isinstance(value, dict)}
    leaves |= {
        f"{name}.{key}": value for name, node in schema.shipped.items() if isinstance(node, dict) for key, value in node.items()
    }
    assert [key for key, value in leaves.items() if schema.rule(key, value) in ("any", "list")] == []


def test_a_declared_rule_belongs_to_a_key_that_exists():
    known = {f"vla-{kind}.{key}" for kind in PROGRAMS for key in read_yaml(folders.shipped() / f"{kind}.yaml")}
    for kind in PROGRAMS:
        content = read_yaml(folders.shipped() / f"{kind}.yaml")
        known |= set(content) | {f"{name}.{key}" for name, node in content.items() if isinstance(node, dict) for key in node}
    for file, (group, choice) in zip(FILES, CHOICES, strict=True):
        known |= {name for key in read_yaml(file) for name in (f"{group}.{key}", f"{group}/{choice}.{key}")}
    declared = {name for package in folders.plugins() for name in plugins.rules_of(package)}
    assert {*rules.RULES, *declared} - known == set()


def test_groups_stand_in_the_main_config_in_an_order_that_lets_a_paradigm_override_its_source():
    entries = read_yaml(folders.shipped() / "train.yaml")["defaults"]
    names = [key for entry in entries if isinstance(entry, dict) for key in entry if not key.startswith("override")]
    assert set(names) == {*groups_of("train"), *PRESETS}
    for earlier, later in [
        ("source", "paradigm"),
        ("environment", "dataset"),
        ("curriculum", "dataset"),
        ("paradigm", "experiment"),
        ("experiment", "sweep"),
    ]:
        assert names.index(earlier) < names.index(later)
