"""The schema of one composition: what the chosen YAML files, as shipped, say about keys and types."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from vla_train.config import folders, plugins, rules, words
from vla_train.config.read import read_yaml
from vla_train.config.targets import GROUPS, PRESETS, target_problem, targets_in
from vla_train.errors import UsageError

JSON = Any
Choices = Mapping[str, str]  # group -> the name of its chosen YAML


# What the program itself reads from a choice, whoever wrote it; the other keys go to its class.
NEEDED = {
    "model": ("_target_", "image_size", "cameras", "max_tokens", "vocabulary"),
    "head": ("_target_",),
    "dataset": ("_target_", "batch_size", "history", "chunk", "validation"),
    "paradigm": ("_target_", "heads", "steps"),
}


def merged(base: Mapping[str, JSON], over: Mapping[str, JSON]) -> dict[str, JSON]:
    """``over`` laid over ``base``, section by section."""
    result = dict(base)
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = merged(result[key], value) if both else value
    return result


def layers(group: str, choice: str, path: Sequence[Path]) -> list[Path]:
    """The YAML files of a choice: those of the same group that it is based on first, itself last. Raises ``UsageError``."""
    files = folders.files(group, choice, path)
    if not files:
        raise UsageError(unknown_choice(group, choice, folders.choices(group, path)))
    if len(files) > 1:
        raise UsageError(plugins.clash(group, files))
    bases = [entry for entry in _choice_file(group, files[0]).get("defaults", []) if isinstance(entry, str) and entry != "_self_"]
    return [*(file for base in bases for file in layers(group, base.rpartition("/")[2], path)), files[0]]


def shipped_group(group: str, choice: str, path: Sequence[Path]) -> dict[str, JSON]:
    """A choice's keys with their shipped values, those of YAML files of the same group it is based on included."""
    files = layers(group, choice, path)
    result: dict[str, JSON] = {}
    for file in files:
        result = merged(result, {key: value for key, value in read_yaml(file).items() if key != "defaults"})
    if missing := [key for key in NEEDED.get(group, ()) if key not in result]:
        raise UsageError(f"{files[-1]}: the key {missing[0]} is missing. Every {group} has {', '.join(NEEDED[group])}.")
    return result


@cache
def _choice_file(group: str, file: Path) -> dict[str, JSON]:
    """A choice's file as it stands, if every class that it names is the group's or comes from the plug-in that the file is of."""
    content, owner = read_yaml(file), folders.owner(file)
    for target in targets_in(content):
        if target not in (None, "auto") and (problem := target_problem(target, group, [owner] if owner else [])):
            raise UsageError(f"{file}: {problem}")
    return content


def plugins_used(choices: Choices) -> list[str]:
    """The plug-ins without which a config of these choices cannot be read. An experiment only sets values, so it counts not."""
    path = folders.search_path()
    files = [file for group, name in choices.items() if group not in PRESETS for file in layers(group, name, path)]
    return sorted({owner for file in files if (owner := folders.owner(file))})


def load_choice(group: str, choice: str) -> dict[str, JSON]:
    """The node of ``group=choice`` as shipped, for a choice that is made while a run is built. Raises ``UsageError``."""
    return deepcopy(shipped_group(group, choice, folders.search_path()))


def elsewhere(key: str, group: str) -> str:
    """The choices of a group that have a key that another choice lacks, in a sentence; empty where none has."""
    path, found = folders.search_path(), []
    for name in folders.choices(group, path):
        with suppress(UsageError):  # a plug-in's broken file is no matter here
            found += [f"{group}={name}"] if key.removeprefix(f"{group}.") in words.keys(shipped_group(group, name, path)) else []
    return f" These have it: {', '.join(found)}." if found else ""


def unknown_choice(group: str, choice: object, known: Sequence[str], where: str = "") -> str:
    """The message for ``group=choice`` where there is no such file; ``where`` tells the place if it is not the command line."""
    more = "".join(f"\n{problem}" for problem in plugins.problems())
    if not known:
        return f"{group}={words.shown(choice)}{where}: there is no {group} to choose yet.{more}"
    hint = words.did_you_mean(str(choice), known)
    return f"{group}={words.shown(choice)}{where}: there is no such {group}.{hint} Choices: {', '.join(known)}.{more}"


@dataclass(frozen=True)
class Schema:
    """Shipped values by section, and the choices that they come from."""

    kind: str  # train, eval or collect; or policy, for the parts of a train config that a policy is built from
    choices: Choices
    shipped: dict[str, JSON]
    declared: dict[str, dict[str, str]] = field(default_factory=dict)  # by group: the rules of the plug-in that the choice is of

    @classmethod
    def of(cls, kind: str, choices: Choices, path: Sequence[Path]) -> "Schema":
        """Raises ``UsageError`` if a choice does not exist, or its YAML is not what it must be."""
        main = folders.shipped() / f"{kind}.yaml"
        content = read_yaml(main) if main.is_file() else {}
        top = {key: value for key, value in content.items() if key not in ("defaults", "hydra")}
        chosen = {group: name for group, name in choices.items() if group not in PRESETS}
        groups = {group: shipped_group(group, name, path) for group, name in chosen.items()}
        declared = {}
        for group, name in chosen.items():
            owners = [owner for file in layers(group, name, path) if (owner := folders.owner(file))]
            declared[group] = {key: rule for owner in owners for key, rule in plugins.rules_of(owner).items()}
        return cls(kind, choices, {**top, **groups}, declared)

    def rule(self, key: str, default: JSON) -> str:
        """The rule of a dotted key: that of its choice, that of its group, or what its shipped value stands for."""
        group, _, rest = key.partition(".")
        names = [f"{group}/{self.choices[group]}.{rest}", key] if group in self.choices else [f"vla-{self.kind}.{key}", key]
        tables = (self.declared.get(group, {}), rules.RULES)
        found = next((table[name] for table in tables for name in names if name in table), None)
        return found or rules.from_default(default)

    def place(self, key: str) -> str:
        """Where a key belongs, in words: ``model=transformer``, or the command."""
        group = key.partition(".")[0]
        return f"{group}={self.choices[group]}" if group in self.choices else f"vla-{self.kind}"


# Groups that a config of this kind may have: without a choice their key is null.
MAY_HAVE = {"eval": ("randomization",), "collect": ("environment", "randomization")}


def groups_of(kind: str) -> list[str]:
    """The groups that a config of this kind consists of."""
    every = [group for group in GROUPS if group not in PRESETS]
    return {"train": every, "policy": ["model", "head"]}.get(kind, [])
