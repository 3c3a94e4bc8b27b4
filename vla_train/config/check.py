"""Checking a composed config against its schema, before anything expensive is imported."""

from collections.abc import Iterator, Mapping
from typing import Any

from vla_train.config import rules, words
from vla_train.config.schema import Schema
from vla_train.config.targets import target_problem

MOST_PROBLEMS = 5  # a message must stay readable
MUST_BE_GIVEN = {"checkpoint": "a run folder or a checkpoint: vla-eval checkpoint=outputs/RUN"}


class Checker:
    """Collects what is wrong with a config, and returns it with numbers converted to the declared type."""

    def __init__(self, schema: Schema):
        self.schema = schema
        self.problems: list[str] = []

    def check(self, config: Mapping[str, Any]) -> dict[str, Any]:
        result = self._section(config, self.schema.shipped, "")
        if not self.problems:
            self.problems += combinations(self.schema.kind, result)
        return result

    def message(self) -> str:
        """All problems, one a line; empty if there are none."""
        more = len(self.problems) - MOST_PROBLEMS
        return "\n".join(self.problems[:MOST_PROBLEMS] + ([f"... and {more} more"] if more > 0 else []))

    def _section(self, config: Mapping[str, Any], shipped: Mapping[str, Any], prefix: str) -> dict[str, Any]:
        self.problems += [self._unknown(f"{prefix}{key}") for key in config if key not in shipped]
        self.problems += [self._missing(f"{prefix}{key}") for key in shipped if key not in config]
        return {key: self._value(f"{prefix}{key}", config[key], shipped[key]) for key in shipped if key in config}

    def _value(self, key: str, value: Any, shipped: Any) -> Any:
        if key.endswith("._target_"):
            return self._target(key, value, shipped)
        if isinstance(shipped, Mapping) and shipped:
            if isinstance(value, Mapping):
                return self._section(value, shipped, f"{key}.")
            self.problems.append(f"{key}={value}: {key} is a section. Its keys: {', '.join(shipped)}.")
            return value
        return self._leaf(key, value, shipped)

    def _leaf(self, key: str, value: Any, shipped: Any) -> Any:
        rule = self.schema.rule(key, shipped)
        if value == "???":
            self.problems.append(f"{key}= is missing. Give {MUST_BE_GIVEN.get(key, _spoken(rule))}.")
            return value
        self._nested_targets(key, value)
        if rule == "any":
            return value
        try:
            return rules.convert(rules.parse(rule), value)
        except ValueError:
            known = rules.words(rule)
            hint = "".join(words.did_you_mean(str(word), known) for word in _wrong_words(value, known)[:1])
            self.problems.append(f"{key}={_shown(value)}: must be {_spoken(rule)}.{hint} As shipped: {_shown(shipped)}.")
            return value

    def _target(self, key: str, value: Any, shipped: Any) -> Any:
        problem = None if value is None or value == shipped == "auto" else target_problem(value, key.partition(".")[0])
        self.problems += [problem] if problem else []
        return value

    def _nested_targets(self, key: str, value: Any) -> None:
        """A ``_target_`` deep inside a list or an open section obeys the same rule as the group's own."""
        for target in _targets(value):
            group = key.partition(".")[0]
            allowed = group in self.schema.choices and target_problem(target, group) is None
            self.problems += [] if allowed else [f"{key}: _target_={target} is not allowed here."]

    def _unknown(self, key: str) -> str:
        hint = words.did_you_mean(key, words.keys(self.schema.shipped))
        return f"{key}: {self.schema.place(key)} has no such key.{hint}"

    def _missing(self, key: str) -> str:
        return f"{key}: this key was removed, but {self.schema.place(key)} needs it. Leave out ~{key}."


def _targets(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        if "_target_" in value:
            yield value["_target_"]
        for item in value.values():
            yield from _targets(item)
    elif isinstance(value, list):
        for item in value:
            yield from _targets(item)


def _wrong_words(value: Any, known: list[str]) -> list[Any]:
    return [word for word in (value if isinstance(value, list) else [value]) if word not in known]


def _spoken(rule: str) -> str:
    return rule.replace(" | ", " or ")


def _shown(value: Any) -> str:
    """A value as the command line writes it."""
    if isinstance(value, list):
        return f"[{', '.join(map(_shown, value))}]"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def combinations(kind: str, config: Mapping[str, Any]) -> list[str]:
    """What each value allows but the values together do not, as far as it can be known without building anything."""
    if kind == "eval":
        return []
    found = []
    lengths = [config["steps"], config["env_steps"], config["minutes"], config["paradigm"].get("steps")]
    if all(length is None for length in lengths):
        found.append("The run has no length: give steps, env_steps or minutes.")
    if config["resume"] is not None and config["init"] is not None:
        found.append("resume and init exclude each other: resume goes on with a run, init starts a new one from its weights.")
    environment = config["environment"]
    if environment.get("min_objects", 0) > environment.get("max_objects", 0):
        found.append(f"environment.min_objects={environment['min_objects']} is above max_objects={environment['max_objects']}.")
    return found
