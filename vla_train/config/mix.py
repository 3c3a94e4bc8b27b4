"""``dataset.mix``: datasets by name, each a section of its own whose keys are those of its format, checked like any other."""

import re
from collections.abc import Mapping
from typing import Any

from vla_train.config import folders, rules, words
from vla_train.config.schema import Schema
from vla_train.errors import UsageError

OWN = {"format": "str", "path": "path", "weight": "float > 0"}
SHARED = ("batch_size", "history", "chunk", "cache_gb")  # one batch is drawn from all
_NAME = re.compile(r"\w[\w-]*", re.ASCII)


def problems(dataset: Mapping[str, Any]) -> list[str]:
    """What is wrong with the parts of a mix; nothing where there is none."""
    mix = dataset.get("mix")
    if not isinstance(mix, Mapping):
        return []
    found = [] if mix else ["dataset.mix is empty: name at least one dataset."]
    for name, part in mix.items():
        found += [f"dataset.mix.{name}: {problem}" for problem in _of_part(str(name), part)]
    return found


def _of_part(name: str, part: Mapping[str, Any]) -> list[str]:
    if not _NAME.fullmatch(name):
        return ["a part is called by letters, digits, _ and -."]
    if missing := [key for key in ("format", "path") if key not in part]:
        return [f"{missing[0]} is missing. Give both, as in {{format: lerobot, path: FOLDER}}."]
    if part["format"] == "mix":
        return ["a mix has no mixes in it: name their parts here."]
    try:
        schema = Schema.of("train", {"dataset": str(part["format"])}, folders.search_path())
    except UsageError as error:
        return [str(error)]
    shipped, found = schema.shipped["dataset"], []
    known = [key for key in (*OWN, *shipped) if key not in ("_target_", *SHARED)]
    for key, value in part.items():
        if key in SHARED:
            found.append(f"{key} is one for all parts: set dataset.{key}.")
            continue
        if key not in known:
            found.append(f"{key}: dataset={part['format']} has no such key.{words.did_you_mean(str(key), known)}")
            continue
        rule = OWN.get(key) or schema.rule(f"dataset.{key}", shipped[key])
        if not any(one.accepts(value) for one in rules.parse(rule)):
            found.append(f"{key}={words.shown(value)}: must be {rule.replace(' | ', ' or ')}.")
    return found
