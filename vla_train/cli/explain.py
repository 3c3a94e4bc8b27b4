"""Hydra's errors in our words: what is wrong, where, the nearest right word."""

import re
from collections.abc import Sequence
from typing import Any

from vla_train.config import folders, words
from vla_train.config.compose import compose
from vla_train.config.read import read_yaml
from vla_train.config.schema import MAY_HAVE, elsewhere, load_choice, unknown_choice
from vla_train.config.targets import EVAL_PRESETS, GROUPS
from vla_train.errors import UsageError

SWEEP_EXTRA = ("joblib", "submitit_local", "submitit_slurm", "optuna", "tpe")  # choices of hydra/launcher and hydra/sweeper
NOISE = re.compile(r"See https://hydra\.cc.*|Config search path:.*", re.DOTALL)


def explain(error: Exception, kind: str, overrides: Sequence[str]) -> Exception:
    """The ``UsageError`` for an error of Hydra or OmegaConf, raised from it; any other error as it is."""
    from hydra.errors import HydraException, MissingConfigException, OverrideParseException
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    misused = _misused_group(overrides)
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        message = _missing_file(error.missing_cfg_file, str(error), error.options or [])
    elif isinstance(error, OverrideParseException):
        why = _first_lines(error).removeprefix(f"Error parsing override '{error.override}' ")
        message = f"{error.override}: not of the form key=value ({why}). In a shell, quote what has spaces or special signs."
    elif isinstance(error, ValueError) and misused:
        message = misused
    elif isinstance(error, ValueError) and str(error).startswith("Only one of --run"):
        message = "--cfg, --info, -sc and -m exclude each other: leave out -m to see the config of one job."
    elif match := re.match(r"Ambiguous value for argument '(([^=]+)=(.*))'", str(error)):
        message = f"{match[1]}: several values need a sweep: add -m. If you mean a list, write {match[2]}=[{match[3]}]."
    elif isinstance(error, YAMLError | UnicodeError) or str(error).startswith("Invalid defaults list"):
        message = _unreadable_file() or f"a config file cannot be read: {_first_lines(error)}"
    elif isinstance(error, HydraException | OmegaConfBaseException):
        key = re.match(r"Could not (?:override|delete(?: from config)?)[^'\"]*['\"]([^'\"]+)['\"]", str(error))
        message = _unknown_key(key[1], kind, overrides) if key else _first_lines(error)
    elif isinstance(error, RecursionError):
        message = f"{words.shown(max(overrides, key=len, default=''))}: nested too deeply to be read."
    elif isinstance(error, OSError):  # outside a job only the folder of a sweep is written
        message = f"the output folder cannot be written ({error}); choose another one with output=FOLDER"
    else:
        return error
    explained = UsageError(message)
    explained.__cause__ = error
    return explained


def _first_lines(error: Exception) -> str:
    lines = NOISE.sub("", str(error)).strip().splitlines()
    return " ".join(line.strip() for line in lines if not line.startswith("To append to your config"))


def _missing_file(file: str, text: str, options: Sequence[str]) -> str:
    group, _, choice = file.rpartition("/")
    where = re.match(r"In '([^']+)'", text)
    source = f", named in {where[1]}.yaml" if where and "/" in where[1] else ""
    if group.startswith("hydra/") and choice in SWEEP_EXTRA:
        return f"{group}={choice}{source}: it is not installed. Install it with: pip install 'vla-train[sweep]'"
    if not group:
        return f"There is no config {file}.yaml."
    return unknown_choice(group, choice, options or folders.choices(group), source)


def _unreadable_file() -> str | None:
    """What is wrong with a plug-in's YAML, if any is unreadable; Hydra does not always say which."""
    for file in (file for folder in folders.search_path()[1:] for file in sorted(folder.glob("*/*.yaml"))):
        try:
            read_yaml(file)
        except UsageError as error:
            return str(error)
    return None


def _misused_group(overrides: Sequence[str]) -> str | None:
    """``model=null`` or ``model=3``: a group takes the name of one of its files."""
    for override in overrides:
        group, _, value = override.lstrip("+~").partition("=")
        known = folders.choices(group) if group in (*GROUPS, *EVAL_PRESETS) else []
        if known and value not in known:
            return unknown_choice(group, value, known)
    return None


def _unknown_key(key: str, kind: str, overrides: Sequence[str]) -> str:
    config = known_config(kind, overrides)
    group = key.partition(".")[0]
    known = [*words.keys(config), *(GROUPS if kind == "train" else MAY_HAVE[kind]), *(EVAL_PRESETS if kind == "eval" else ())]
    place = f"{group}={config['choices'][group]}" if group in config.get("choices", {}) else f"vla-{kind}"
    hint = (elsewhere(key, group) if group in GROUPS else "") or words.did_you_mean(key, dict.fromkeys(known))
    section = config.get(group)
    listed = f" Its keys: {', '.join(words.keys(section))}." if isinstance(section, dict) and not hint else ""
    return f"{key}: {place} has no such key.{hint}{listed}"


def known_config(kind: str, overrides: Sequence[str]) -> dict[str, Any]:
    """What would have been composed from the group choices alone: its keys are the known ones."""
    from hydra.core.global_hydra import GlobalHydra

    GlobalHydra.instance().clear()
    if kind in MAY_HAVE:
        content = read_yaml(folders.shipped() / f"{kind}.yaml")
        named = [override.split("=", 1) for override in overrides if override.partition("=")[0] in MAY_HAVE[kind]]
        groups = {group: load_choice(group, choice) for group, choice in named if choice in folders.choices(group)}
        return {key: value for key, value in content.items() if key not in ("defaults", "hydra")} | groups
    chosen = [override for override in overrides if override.partition("=")[0] in GROUPS and "," not in override]
    try:
        return compose([*chosen, *_required(chosen)])
    except Exception:  # a second mistake beside the one that is told
        GlobalHydra.instance().clear()
        return compose()


def _required(chosen: Sequence[str]) -> list[str]:
    """Any value for the keys without which these choices do not compose."""
    pairs = [override.split("=", 1) for override in chosen]
    return [f"{group}.{key}=given" for group, name in pairs for key, value in load_choice(group, name).items() if value == "???"]
