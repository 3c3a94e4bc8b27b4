"""Shell completion of a key that takes one of a few words: Hydra itself offers only the value that the key has."""

import shlex
from typing import Any

from vla_train.cli.explain import known_config
from vla_train.config import folders, rules
from vla_train.config.schema import Schema
from vla_train.config.targets import GROUPS, PRESETS


def offered(kind: str, line: str) -> list[str]:
    """Each ``key=word`` that may complete a command line ending in ``key=...``; empty where Hydra knows better."""
    try:
        *before, last = shlex.split(line)[1:]
    except ValueError:  # an open quote, or nothing typed yet
        return []
    key, equals, begun = last.partition("=")
    if not equals or key in GROUPS or line.endswith(" "):
        return []
    config: Any = known_config(kind, before)
    choices = {group: name for group, name in config.get("choices", {}).items() if group not in PRESETS}
    for name in key.split("."):
        config = config.get(name) if isinstance(config, dict) else None
    rule = Schema.of(kind, choices, folders.search_path()).rule(key, config)
    return [f"{key}={word}" for word in _words(rule) if word.startswith(begun)]


def _words(rule: str) -> list[str]:
    """The words that a rule takes outside of lists; null only beside others, for many a number may be null too."""
    names = [alternative.name for alternative in rules.parse(rule) if not alternative.items]
    found = [name for name in names if name not in (*rules.TYPES, "any")] + ["true", "false"] * ("bool" in names)
    return found + ["null"] * (bool(found) and "null" in names)
