"""Reading the YAML files of choices: ours, and those of plug-ins, whose mistakes are told to their authors."""

from functools import cache
from pathlib import Path
from typing import Any

from vla_train.config import words
from vla_train.errors import UsageError


@cache
def read_yaml(file: Path) -> dict[str, Any]:
    """A YAML file as nested dicts, interpolations left as they stand. Treat the result as read-only.

    Raises ``UsageError`` for one that cannot be read or is no mapping.
    """
    import yaml
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        content = OmegaConf.to_container(OmegaConf.load(file), resolve=False)
    except (yaml.YAMLError, OmegaConfBaseException, UnicodeError, OSError) as error:
        raise UsageError(f"{file} is not readable YAML: {_why(error)}") from error
    if not isinstance(content, dict):
        raise UsageError(f"{file} must be lines of key: value, not {words.shown(content)}")
    if not isinstance(content.get("defaults", []), list):
        raise UsageError(f"{file}: defaults must be a list, not {words.shown(content['defaults'])}")
    return {str(key): value for key, value in content.items()}


def _why(error: Exception) -> str:
    """What is wrong, and in which line, in one line."""
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return str(error).splitlines()[0]
    return f"line {mark.line + 1}, column {mark.column + 1}: {getattr(error, 'problem', None) or 'not YAML'}"
