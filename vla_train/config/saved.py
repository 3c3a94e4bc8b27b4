"""The config as it is saved with a checkpoint, and read back through the same closed schema.

A saved config is data from elsewhere: it is read as plain YAML (no interpolation, no objects), and what it names must pass the
same checks as a command line. It can never extend the list of allowed packages.
"""

import json
from collections.abc import Sequence
from typing import Any

from vla_train.config import folders, words
from vla_train.config.check import Checker
from vla_train.config.schema import Schema, groups_of, merged, plugins_used
from vla_train.errors import CheckpointError, UsageError

# What a resumed run accepts: its length, how it is shown, where it computes. A name that ends in a dot stands for its section.
RESUMABLE = ("resume", "steps", "env_steps", "minutes", "tracker.", "runtime.device", "force_dataset", "debug")


ADDED = {"reward": "environment", "safety": "none"}  # groups that older configs lack, and what was done before there was a choice
MODEL = {"transformer": {"places": False}}  # keys that older configs of a model lack, and what was done before there were any

LARGEST = 1_000_000  # letters of a config; ours have three thousand
LONGEST = 10_000  # letters of one value, for numbers of a million digits take minutes to read
DEEPEST = 32  # levels; the depth of Python's stack must never decide


def dump(config: dict[str, Any]) -> str:
    """A validated config as YAML text, without anchors, which ``load_saved`` refuses."""
    import yaml

    unshared = json.loads(json.dumps(config))  # YAML writes a list that stands in two places as an anchor and an alias
    return str(yaml.safe_dump(unshared, sort_keys=False, allow_unicode=True))


def load_saved(
    text: str,
    overrides: Sequence[str] = (),
    *,
    kind: str = "train",
    allowed: Sequence[str] = RESUMABLE,
    where: str = "config.yaml",
) -> dict[str, Any]:
    """The config that ``dump`` wrote, checked again, with a command line's ``overrides`` (``key=value``) laid over it.

    Keys that were added to a shipped YAML since take their shipped value. ``kind="policy"`` reads and returns only ``model`` and
    ``head``, and asks only for the plug-ins that these come from. Raises ``CheckpointError`` for a config that is torn, names
    another ``_target_`` than its choice, a missing plug-in or unknown keys; ``UsageError`` for an override outside ``allowed``.
    """
    config = _read(text, where)
    choices, recorded = config.pop("choices"), config.pop("plugins")
    groups = {group: name for group, name in choices.items() if group in groups_of(kind)}
    if kind == "policy":
        config, choices = {group: config.get(group, {}) for group in groups}, groups
    schema = _schema(kind, groups, recorded, where)
    checked = _checked(
        merged(_plain(schema.shipped), config), schema, CheckpointError, f"{where} is not a config of this program:\n"
    )
    changed = merged(checked, _parsed(overrides, allowed))
    return {**_checked(changed, schema, UsageError, ""), "choices": choices, "plugins": plugins_used(groups)}


def _schema(kind: str, groups: dict[str, str], recorded: list[str], where: str) -> Schema:
    """The schema of the recorded choices, each looked up in what is installed here: the recorded plug-ins only serve to say what
    is missing, and extend nothing."""
    missing = [package for package in recorded if package not in folders.plugins()]
    lost = [f"{group}={words.shown(name)}" for group, name in groups.items() if not folders.files(group, name)]
    if missing and (lost or kind == "train"):
        what = f" (for {', '.join(lost)})" if lost else ""
        names = " and ".join(map(words.shown, missing))
        raise CheckpointError(f"{where} was made with the plug-in {names}, which is not installed here{what}: install it first.")
    try:
        return Schema.of(kind, groups, folders.search_path())
    except UsageError as error:
        raise CheckpointError(f"{where}: {error}") from error


def _read(text: str, where: str) -> dict[str, Any]:
    import yaml

    if len(text) > LARGEST:
        raise CheckpointError(f"{where} has {len(text):,} letters, more than any config of this program; it was not read.")
    try:
        if foreign := _foreign_yaml(text):
            raise CheckpointError(f"{where} is not a config of this program: it has {foreign}, which none of ours has.")
        config = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:
        raise CheckpointError(f"{where} is not readable YAML: {error}") from error
    if isinstance(config, dict) and isinstance(choices := config.get("choices"), dict):
        config["choices"] = ADDED | choices
        if isinstance(model := config.get("model"), dict):
            config["model"] = MODEL.get(str(choices.get("model")), {}) | model
    if not isinstance(config, dict) or not _records_its_choices(config):
        raise CheckpointError(f"{where} does not say which group choices and plug-ins it was made with.")
    return config


def _foreign_yaml(text: str) -> str | None:
    """What ``dump`` never writes and a reader must fear: aliases (a few lines can stand for gigabytes), tags, depth, length."""
    import yaml

    depth = 0
    for event in yaml.parse(text, yaml.SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            return f"more than {DEEPEST} levels"
        if isinstance(event, yaml.NodeEvent) and event.anchor is not None:
            return f"the anchor or alias {words.shown(event.anchor)}"
        if isinstance(event, yaml.CollectionStartEvent | yaml.ScalarEvent) and event.tag is not None:
            return f"the tag {words.shown(event.tag)}"
        if isinstance(event, yaml.ScalarEvent) and len(event.value) > LONGEST:
            return f"a value of more than {LONGEST:,} letters"
    return None


def _records_its_choices(config: dict[Any, Any]) -> bool:
    choices, plugins = config.get("choices"), config.get("plugins")
    if not isinstance(choices, dict) or not isinstance(plugins, list) or not set(groups_of("train")) <= set(choices):
        return False
    return all(isinstance(word, str) for word in [*config, *choices, *choices.values(), *plugins])


def _checked(config: dict[str, Any], schema: Schema, error: type[Exception], prefix: str) -> dict[str, Any]:
    checker = Checker(schema)
    result = checker.check(config)
    if checker.problems:
        raise error(prefix + checker.message())
    return result


def _plain(shipped: dict[str, Any]) -> dict[str, Any]:
    """Shipped values that stand for themselves, to fill what an older config lacks; an interpolation cannot."""
    plain = {key: _plain(value) if isinstance(value, dict) else value for key, value in shipped.items()}
    return {key: value for key, value in plain.items() if not (isinstance(value, str) and "${" in value)}


def _parsed(overrides: Sequence[str], allowed: Sequence[str]) -> dict[str, Any]:
    """Overrides as a nested dict. Raises ``UsageError`` for one that is not allowed."""
    if not overrides:
        return {}
    from hydra.core.override_parser.overrides_parser import OverridesParser

    result: dict[str, Any] = {}
    for override in OverridesParser.create().parse_overrides(list(overrides)):
        key = override.key_or_group
        if not any(key == name or (name.endswith(".") and key.startswith(name)) for name in allowed):
            names = ", ".join(f"{name}*" if name.endswith(".") else name for name in allowed)
            hint = words.did_you_mean(key, allowed)
            raise UsageError(f"{key}: a resumed run keeps its own config.{hint} It accepts only {names}.")
        *sections, leaf = key.split(".")
        node: dict[str, Any] = {leaf: override.value()}
        for section in reversed(sections):
            node = {section: node}
        result = merged(result, node)
    return result
