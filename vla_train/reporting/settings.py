"""What distinguishes runs: the settings that differ, and the groups of runs that differ in their seed alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vla_train.reporting.runs import SHOWN_NAME, Run, printable

# Change where a run lies or how it is shown, not what it learns. A name that ends in a dot stands for its section.
WITHOUT_EFFECT = ("name", "output", "resume", "debug", "force_dataset", "tracker.", "plugins")
SEED = "seed"
COMMIT = "commit"  # of the source
INCIDENTAL = ("every.", "evaluation.", "checkpoint.", "runtime.", COMMIT)  # change little of what is learned
ABSENT = "-"
LONGEST_LABEL = 70  # letters
MOST_ENTRIES = 20  # of a list that are shown

Settings = dict[str, str]  # dotted key -> value as the command line writes it


@dataclass(frozen=True)
class Group:
    """Runs that differ in nothing but their seed. ``index`` decides how they are drawn."""

    index: int
    label: str
    runs: list[Run]

    @property
    def seeds(self) -> str:
        return ", ".join(run.seed for run in self.runs)


def settings(run: Run) -> Settings:
    """Every setting of a run that can change what it learns, and the commit of its source. Group choices come first."""
    config = dict(run.config)
    choices = config.pop("choices", None)
    flat = _flat(choices) if isinstance(choices, dict) else {}
    flat |= {key: value for key, value in _flat(config).items() if not _under(key, WITHOUT_EFFECT)}
    source = run.record.get("source")
    return flat | ({COMMIT: printable(source.get("commit"))[:10]} if isinstance(source, dict) else {})


def circumstances(run: Run) -> Settings:
    """What was not set, and may still explain a difference: machine, versions, data."""
    record = run.record
    source, versions, hardware = (record.get(name) for name in ("source", "versions", "hardware"))
    found = {"runtime": record.get("runtime"), "dataset fingerprint": str(record.get("dataset"))[:12]}
    found |= {"uncommitted changes": source.get("dirty")} if isinstance(source, dict) else {}
    found |= {"python": versions.get("python")} if isinstance(versions, dict) else {}
    found |= {name: hardware.get(name) for name in ("cpu", "gpus")} if isinstance(hardware, dict) else {}
    return {name: as_typed(value) for name, value in found.items()}


def differing(all_settings: Sequence[Settings]) -> dict[str, list[str]]:
    """The keys whose values are not the same everywhere, each with its value in every run (``-`` where it has none).

    A key that only one of two choices has, as ``model.layers``, is left out if it has one value where it is: ``model`` says it.
    """
    keys = dict.fromkeys(key for each in all_settings for key in each)
    values = {key: [each.get(key, ABSENT) for each in all_settings] for key in keys}
    differ = {key: column for key, column in values.items() if len(set(column)) > 1}
    told = {key for key, column in differ.items() if key.partition(".")[0] in differ and "." in key and _once(column)}
    return {key: column for key, column in differ.items() if key not in told}


def groups(runs: Sequence[Run]) -> list[Group]:
    """Runs put together that differ in their seed alone, in the order given. Labels are a few settings that tell them apart."""
    differ = {key: column for key, column in differing([settings(run) for run in runs]).items() if key != SEED}
    members: dict[tuple[str, ...], list[int]] = {}
    for number in range(len(runs)):
        members.setdefault(tuple(column[number] for column in differ.values()), []).append(number)
    telling = _telling({key: [column[numbers[0]] for numbers in members.values()] for key, column in differ.items()})
    found = []
    for index, numbers in enumerate(members.values()):
        label = "  ".join(f"{_short(key, telling)}={column[index]}" for key, column in telling.items())
        found.append(Group(index, printable(label, LONGEST_LABEL) or runs[0].name, [runs[number] for number in numbers]))
    return found


def _once(column: Sequence[str]) -> bool:
    return ABSENT in column and len(set(column)) == 2


def _telling(columns: dict[str, list[str]]) -> dict[str, list[str]]:
    """A few columns whose rows are as distinct as those of all columns together: each time the one that helps most.

    What measures a run, and the commit, are taken only where nothing else will do.
    """
    chosen: dict[str, list[str]] = {}
    distinct = 1

    def rows_with(key: str) -> int:
        return len(set(zip(*chosen.values(), columns[key], strict=True)))

    incidental = [key for key in columns if _under(key, INCIDENTAL)]
    for candidates in ([key for key in columns if key not in incidental], incidental):
        while candidates and rows_with(best := max(candidates, key=rows_with)) > distinct:
            chosen[best] = columns[best]
            distinct = rows_with(best)
    return {key: chosen[key] for key in columns if key in chosen}


def _short(key: str, keys: Sequence[str] | dict[str, Any]) -> str:
    """The key's last part, where no other key of the label has the same."""
    leaf = key.rpartition(".")[2]
    return leaf if sum(other.rpartition(".")[2] == leaf for other in keys) == 1 else key


def _flat(config: dict[str, Any], prefix: str = "", depth: int = 0) -> Settings:
    found: Settings = {}
    for key, value in config.items():
        name = f"{prefix}{printable(key)}"
        if isinstance(value, dict) and depth < 8:
            found |= _flat(value, f"{name}.", depth + 1)
        elif not str(key).startswith("_"):  # _target_: the group's choice says it
            found[name] = as_typed(value)
    return found


def as_typed(value: Any, longest: int = SHOWN_NAME) -> str:
    """A value as the command line writes it, in so many letters: ``null``, ``true``, ``[a, b]``, ``{key: 1}``."""
    if isinstance(value, list):
        return printable("[" + ", ".join(as_typed(item, longest) for item in value[:MOST_ENTRIES]) + "]", longest)
    if isinstance(value, dict):
        entries = [f"{printable(key)}: {as_typed(item, longest)}" for key, item in list(value.items())[:MOST_ENTRIES]]
        return printable("{" + ", ".join(entries) + "}", longest)
    return printable("null" if value is None else str(value).lower() if isinstance(value, bool) else value, longest)


def _under(key: str, names: Sequence[str]) -> bool:
    return any(key == name or (name.endswith(".") and key.startswith(name)) for name in names)
