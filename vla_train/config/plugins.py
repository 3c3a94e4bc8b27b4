"""What is wrong with the plug-ins that are installed, in words, and what they declare about their own keys."""

from collections.abc import Sequence
from pathlib import Path

from vla_train.config import folders, rules, words
from vla_train.config.read import read_yaml
from vla_train.config.targets import GROUPS
from vla_train.errors import UsageError

NUMBERS = ("int", "float")


def problems() -> list[str]:
    """One sentence for each thing that keeps an installed plug-in, or a choice of it, from being found."""
    packages = folders.named_packages()
    found = [_unfound(package) for package, folder in packages.items() if folder is None]
    for package, folder in folders.plugins().items():
        found += _wrong_folders(package, folder)
    for group in GROUPS:
        several = [files for choice in folders.choices(group) if len(files := folders.files(group, choice)) > 1]
        found += [clash(group, files) for files in several]
    return found


def clash(group: str, files: Sequence[Path]) -> str:
    """The message for a choice that stands in several places: none of them is silently taken for the other."""
    places = " and ".join(folders.owner(file) or "vla-train itself" for file in files)
    return f"{group}={files[0].stem} is a choice of {places}. Rename {files[-1]}, or uninstall that plug-in."


def rules_of(package: str) -> dict[str, str]:
    """What a plug-in declares in ``configs/schema.yaml``, in the names and the language of ``rules``. Raises ``UsageError``."""
    file = folders.plugins()[package] / "schema.yaml"
    declared = {key: str(rule) for key, rule in read_yaml(file).items()} if file.is_file() else {}
    for key, rule in declared.items():
        if not _is_rule(rule):
            raise UsageError(f"{file}: {key}: {words.shown(rule)} is no rule. Rules look like: null | int >= 1, or: auto | fast.")
    return declared


def _unfound(package: str) -> str:
    return (
        f"The plug-in {words.shown(package) or '(no name)'} is declared, but there is no such package. Its entry point must name "
        "a top-level package, a folder with __init__.py: install that, or uninstall what declares it."
    )


def _wrong_folders(package: str, folder: Path) -> list[str]:
    if not folder.is_dir():
        return [f"The plug-in {package} brings no choices: there is no folder {folder}."]
    strangers = [place for place in sorted(folder.iterdir()) if place.is_dir() and place.name not in GROUPS]
    return [f"{place}: there is no group {place.name}.{words.did_you_mean(place.name, GROUPS)}" for place in strangers]


def _is_rule(rule: str) -> bool:
    """Whether each alternative is a type, with bounds where that is a number, or a word."""
    try:
        alternatives = rules.parse(rule)
        items = [item for alternative in alternatives for item in alternative.items or (alternative,)]
        return all(item.name in NUMBERS if item.bounds else item.name == item.name.strip() != "" for item in items)
    except (ValueError, IndexError):
        return False
