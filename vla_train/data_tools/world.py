"""The environment that a dataset came from, from what was noted of it. That is data from elsewhere: it chooses among what is
installed, through the same checks as a command line, and names no code."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from vla_train import config as configuration
from vla_train.build.objects import environment_maker
from vla_train.config import folders
from vla_train.config.check import Checker
from vla_train.config.schema import Schema
from vla_train.data import lerobot_layout as layout
from vla_train.envs.contract import Environment
from vla_train.errors import DataError, UsageError
from vla_train.spec import Stage

NOT_DRAWN: dict[str, Any] = {"cameras": []}  # nobody looks at a replay


def world_of(recipe: Mapping[str, Any], path: Path) -> Callable[..., Environment]:
    """``maker(num_envs)`` of the environment. DataError for a recipe that none fits."""
    settings, stage = recipe.get("settings"), recipe.get("stage")
    if not isinstance(settings, dict) or not isinstance(stage, str) or not isinstance(recipe.get("environment"), str):
        raise DataError(f"{path}: the recipe in {layout.INFO} does not say which environment with which settings made the data")
    settings = dict(settings)
    randomization = settings.pop("randomization", None)
    name = _choice("environment", str(recipe["environment"]), path)
    config = {"environment": _node("environment", name, settings, path), "choices": {"environment": name}}
    config["randomization"] = {"_target_": None}
    if randomization is not None:
        named = _choice("randomization", str(randomization.get("_target_")) if isinstance(randomization, dict) else "", path)
        config["randomization"] = _node("randomization", named, randomization, path)
    maker = environment_maker(config, Stage(stage))
    assert maker is not None, "a choice that names a class makes an environment"
    unseen = {key: value for key, value in NOT_DRAWN.items() if key in config["environment"]}

    def made(num_envs: int) -> Environment:
        try:
            return maker(num_envs, **unseen)
        except UsageError as error:
            raise DataError(f"{path}: its recipe cannot be played: {error}") from None

    return made


def _choice(group: str, target: str, path: Path) -> str:
    """The choice of a group whose class is the one noted: by its name first, so that no other is imported."""
    for name in folders.choices(group):
        shipped = configuration.load_choice(group, name)["_target_"]
        if shipped and shipped.rpartition(".")[2] == target.rpartition(".")[2]:
            found = configuration.resolve_target(shipped, group)
            if target in (shipped, f"{found.__module__}.{found.__qualname__}"):
                return name
    raise DataError(f"{path} was made with the {group} {target!r}, and there is none of that name here")


def _node(group: str, name: str, values: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """The choice with other values, checked as those of a command line are."""
    shipped = configuration.load_choice(group, name)
    try:
        checker = Checker(Schema("policy", {group: name}, {group: shipped}))  # of single groups, as for a policy's parts
        node: dict[str, Any] = checker.check({group: shipped | dict(values)})[group]
    except UsageError as error:
        raise DataError(f"{path}: its recipe cannot be used: {error}") from None
    if checker.problems:
        raise DataError(f"{path}: its recipe does not fit {group}={name}: {checker.message()}")
    return node
