"""The schema of one composition: what the chosen YAML files, as shipped, say about keys and types."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from vla_train.config import folders, rules, words
from vla_train.config.targets import GROUPS
from vla_train.errors import UsageError

JSON = Any
Choices = Mapping[str, str]  # group -> the name of its chosen YAML


@cache
def read_yaml(file: Path) -> dict[str, JSON]:
    """A YAML file as nested dicts, interpolations left as they stand. Treat the result as read-only."""
    from omegaconf import OmegaConf

    content = OmegaConf.to_container(OmegaConf.load(file), resolve=False)
    return {str(key): value for key, value in content.items()} if isinstance(content, dict) else {}


def merged(base: Mapping[str, JSON], over: Mapping[str, JSON]) -> dict[str, JSON]:
    """``over`` laid over ``base``, section by section."""
    result = dict(base)
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = merged(result[key], value) if both else value
    return result


def shipped_group(group: str, choice: str, path: Sequence[Path]) -> dict[str, JSON]:
    """A choice's keys with their shipped values, those of YAML files of the same group it is based on included."""
    file = folders.find(group, choice, path)
    if file is None:
        raise UsageError(unknown_choice(group, choice, folders.choices(group, path)))
    content = read_yaml(file)
    result: dict[str, JSON] = {}
    for entry in content.get("defaults", []):
        if isinstance(entry, str) and entry != "_self_":
            result = merged(result, shipped_group(group, entry.rpartition("/")[2], path))
    return merged(result, {key: value for key, value in content.items() if key != "defaults"})


def load_choice(group: str, choice: str) -> dict[str, JSON]:
    """The node of ``group=choice`` as shipped, for a choice that is made while a run is built. Raises ``UsageError``."""
    return deepcopy(shipped_group(group, choice, folders.search_path()))


def unknown_choice(group: str, choice: object, known: Sequence[str]) -> str:
    """The message for ``group=choice`` where there is no such file."""
    if not known:
        return f"{group}={words.shown(choice)}: there is no {group} to choose yet."
    hint = words.did_you_mean(str(choice), known)
    return f"{group}={words.shown(choice)}: there is no such {group}.{hint} Choices: {', '.join(known)}."


def plugin_rules() -> dict[str, str]:
    """What installed plug-ins declare in ``configs/schema.yaml``, in the names and language of ``rules``."""
    files = [folder / "schema.yaml" for folder in folders.plugins().values()]
    return {key: str(rule) for file in files if file.is_file() for key, rule in read_yaml(file).items()}


@dataclass(frozen=True)
class Schema:
    """Shipped values by section, and the choices that they come from."""

    kind: str  # train or eval
    choices: Choices
    shipped: dict[str, JSON]
    declared: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, kind: str, choices: Choices, path: Sequence[Path]) -> "Schema":
        """Raises ``UsageError`` if a choice does not exist."""
        top = {
            key: value for key, value in read_yaml(folders.shipped() / f"{kind}.yaml").items() if key not in ("defaults", "hydra")
        }
        groups = {group: shipped_group(group, name, path) for group, name in choices.items() if group != "experiment"}
        return cls(kind, choices, {**top, **groups}, plugin_rules())

    def rule(self, key: str, default: JSON) -> str:
        """The rule of a dotted key: that of its choice, that of its group, or what its shipped value stands for."""
        group, _, rest = key.partition(".")
        names = [f"{group}/{self.choices[group]}.{rest}", key] if group in self.choices else [f"vla-{self.kind}.{key}", key]
        found = next((table[name] for name in names for table in (rules.RULES, self.declared) if name in table), None)
        return found or rules.from_default(default)

    def place(self, key: str) -> str:
        """Where a key belongs, in words: ``model=transformer``, or the command."""
        group = key.partition(".")[0]
        return f"{group}={self.choices[group]}" if group in self.choices else f"vla-{self.kind}"


def groups_of(kind: str) -> list[str]:
    """The groups that a program's config consists of."""
    return [group for group in GROUPS if group != "experiment"] if kind == "train" else []
