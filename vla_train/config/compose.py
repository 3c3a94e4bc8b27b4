"""From a command line's words to a validated config."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vla_train.config import folders
from vla_train.config.check import Checker
from vla_train.config.plugins import clash
from vla_train.config.schema import MAY_HAVE, Schema, groups_of, plugins_used
from vla_train.config.targets import GROUPS, PRESETS
from vla_train.errors import UsageError

if TYPE_CHECKING:
    from omegaconf import DictConfig


def validate(cfg: "DictConfig", kind: str = "train", hydra: "DictConfig | None" = None) -> dict[str, Any]:
    """The composed ``cfg`` of one job as nested dicts, resolved and checked.

    Beside the keys of ``configs/train.yaml`` and of every group it has ``choices`` ({group: name of the chosen YAML}) and
    ``plugins`` (the packages whose YAML, and so whose classes, it uses). ``hydra`` is the job's ``hydra`` node; by default that
    of the running job. Raises ``UsageError`` with one line for each thing that is wrong.
    """
    from hydra.core.hydra_config import HydraConfig

    node: Any = HydraConfig.get() if hydra is None else hydra
    _refuse_foreign_files([Path(source.path) for source in node.runtime.config_sources if source.schema == "file"])
    if removed := [group for group in groups_of(kind) if not node.runtime.choices.get(group)]:
        raise UsageError(
            f"{removed[0]}: this group was removed, but every run needs it. Choices: {', '.join(folders.choices(removed[0]))}."
        )
    given = [group for group in MAY_HAVE.get(kind, ()) if node.runtime.choices.get(group)]
    choices = {group: str(node.runtime.choices[group]) for group in [*groups_of(kind), *given]}
    checker = Checker(Schema.of(kind, choices, folders.search_path()))
    config = checker.check(_resolved(cfg))
    if checker.problems:
        raise UsageError(checker.message())
    if kind == "train" and config["resume"] is not None and config["init"] is not None:  # a saved config may well have both
        raise UsageError("resume and init exclude each other: resume goes on with a run, init starts a new one from its weights.")
    if kind in MAY_HAVE:
        suite = {"suite": node.runtime.choices.get("suite")} if kind == "eval" else {}
        return {**dict.fromkeys(MAY_HAVE[kind]), **config, "choices": choices, **suite}
    experiment = node.runtime.choices.get("experiment")
    if experiment and len(files := folders.files("experiment", str(experiment))) > 1:
        raise UsageError(clash("experiment", files))
    recorded = {**choices, **({"experiment": str(experiment)} if experiment else {})}
    return {**config, "choices": recorded, "plugins": plugins_used(recorded)}


def compose(overrides: Sequence[str] = (), kind: str = "train") -> dict[str, Any]:
    """``validate`` of what ``vla-train`` (``kind``: another program) would compose from these words, for scripts, notebooks
    and tests."""
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from omegaconf import open_dict

    register_plugins()
    with initialize_config_dir(str(folders.shipped()), version_base="1.3"):
        cfg = hydra_compose(kind, list(overrides), return_hydra_config=True)
    with open_dict(cfg):
        hydra = cfg.pop("hydra")
    return validate(cfg, kind, hydra)


@cache
def register_plugins() -> None:
    """Tell Hydra, once in a process, to ask for the folders of YAML files that installed plug-ins have."""
    from hydra.core.config_search_path import ConfigSearchPath
    from hydra.core.plugins import Plugins
    from hydra.plugins.search_path_plugin import SearchPathPlugin

    class PluginFolders(SearchPathPlugin):
        def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
            known = {element.path for element in search_path.get_path()}
            for folder in folders.search_path()[1:]:
                if f"file://{folder}" not in known:
                    search_path.append("vla_train.plugins", f"file://{folder}")

    Plugins.instance().register(PluginFolders)


def _resolved(cfg: "DictConfig") -> dict[str, Any]:
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        config = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=False)
    except OmegaConfBaseException as error:
        raise UsageError(f"{error.full_key}: {str(error).splitlines()[0]}") from error
    return {str(key): value for key, value in config.items()} if isinstance(config, dict) else {}


def _refuse_foreign_files(path: Sequence[Path]) -> None:
    """A folder of ``--config-dir`` or ``hydra.searchpath`` may hold presets, which only set values. A run made with a group's
    file that lies there could never be read back: nothing records the folder, and a checkpoint must not name one."""
    known = {folder.resolve() for folder in folders.search_path()}
    for folder in (folder for folder in path if folder.resolve() not in known):
        mains = [folder / f"{kind}.yaml" for kind in ("train", *MAY_HAVE)]
        files = [file for group in GROUPS if group not in PRESETS for file in sorted((folder / group).glob("*.yaml"))]
        if found := [file for file in [*mains, *files] if file.is_file()]:
            raise UsageError(
                f"{found[0]}: a folder of your own (--config-dir) may hold only experiment/*.yaml and sweep/*.yaml, because a "
                "run made with other files could not be resumed or evaluated. Put them into the configs/ of a plug-in: a "
                f"package of yours with an entry point of the group {folders.PLUGIN_ENTRY_POINTS}."
            )
