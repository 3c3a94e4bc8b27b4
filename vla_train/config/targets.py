"""Which classes a config may name. Each group has its own packages; a plug-in's YAML may name the plug-in's classes besides.

A ``_target_`` is checked twice: its dotted prefix before anything is imported, then the module that the class it names was
really defined in, so that neither ``os.system`` nor ``vla_train.data.reader.os.system`` is ever reached.
"""

import importlib
import pkgutil
import re
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any

from vla_train.config.folders import plugins, search_path
from vla_train.config.words import shown
from vla_train.errors import UsageError

GROUPS: dict[str, tuple[str, ...]] = {
    "model": ("vla_train.models",),
    "head": ("vla_train.models.heads",),
    "dataset": ("vla_train.data", "vla_train.collection"),
    "environment": ("vla_train.envs",),
    "paradigm": ("vla_train.paradigms",),
    "source": ("vla_train.sources",),
    "curriculum": ("vla_train.curricula",),
    "continual": ("vla_train.continual",),
    "augmentation": ("vla_train.data",),
    "randomization": ("vla_train.envs",),
    "reward": ("vla_train.rewards",),
    "safety": ("vla_train.envs.guarded",),
    "uncertainty": ("vla_train.uncertainty",),
    "optimizer": ("vla_train.optim",),
    "runtime": (),
    "tracker": ("vla_train.tracking",),
    "experiment": (),
    "sweep": (),
}
PRESETS = ("experiment", "sweep")  # groups without a section of their own: their files only set values
EVAL_PRESETS = ("suite",)  # those of vla-eval
DOTTED = re.compile(r"[A-Za-z]\w*(\.[A-Za-z]\w*)+", re.ASCII)


def _inside(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def target_problem(path: object, group: str, plugin_packages: Iterable[str] | None = None) -> str | None:
    """What is wrong with a ``_target_``, judged by its words alone; None if nothing is.

    ``plugin_packages`` are the plug-ins that it may come from besides: those of the file that it stands in; by default all.
    """
    packages = (*GROUPS[group], *(plugins() if plugin_packages is None else plugin_packages))
    if isinstance(path, str) and DOTTED.fullmatch(path) and _inside(path.rpartition(".")[0], packages):
        return None
    places = " or ".join(packages) or "none (this group has no classes)"
    return f"{group}: _target_={shown(path)} is not allowed here. A class of this group must come from {places}."


def targets_in(value: Any) -> Iterator[Any]:
    """Every ``_target_`` in nested dicts and lists."""
    if isinstance(value, Mapping):
        if "_target_" in value:
            yield value["_target_"]
        for item in value.values():
            yield from targets_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from targets_in(item)


def resolve_target(path: object, group: str) -> Any:
    """The class that ``_target_`` names, or None for the null object.

    Raises ``UsageError`` if it lies outside the group's packages, does not exist, or cannot be imported.
    """
    if path is None:
        return None
    if problem := target_problem(path, group):
        raise UsageError(problem)
    assert isinstance(path, str)
    module_name, _, name = path.rpartition(".")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        if isinstance(error, ModuleNotFoundError) and error.name and _inside(module_name, (error.name,)):  # itself is not there
            raise UsageError(_no_module(path, group, error.name)) from error
        raise UsageError(f"{group}: {path} cannot be imported: {_told(error)}.{_to_install(error)}") from error
    except (Exception, SystemExit) as error:
        if _inside(module_name, GROUPS[group]):
            raise
        raise UsageError(f"{group}: the plug-in {module_name} raised while it was imported: {_told(error)}") from error
    found = getattr(module, name, None)
    package = path.partition(".")[0]
    home = (package,) if package in plugins() else GROUPS[group]  # a plug-in's module may have imported another's class
    if not isinstance(found, type) or not _inside(found.__module__, home):
        classes = [key for key, value in vars(module).items() if isinstance(value, type) and _inside(value.__module__, home)]
        hint = _instead(module_name, name, classes, "class")
        raise UsageError(f"{_place(path, group)}: {module_name} has no class {name} of its own. {hint}")
    return found


def _place(path: str, group: str) -> str:
    """Where a ``_target_`` stands: the YAML files of the group that name it."""
    files = [file for folder in search_path() for file in sorted((folder / group).glob("*.yaml"))]
    named = re.compile(rf"(?<![\w.]){re.escape(path)}(?![\w.])")  # in its text: others of the group may be no readable YAML
    naming = [str(file) for file in files if named.search(file.read_text(encoding="utf-8", errors="replace"))]
    return f"{' and '.join(naming) or group}: _target_={path}"


def _no_module(path: str, group: str, missing: str) -> str:
    """The message for a class whose module does not exist."""
    package, _, name = missing.rpartition(".")
    modules = [module.name for module in pkgutil.iter_modules(getattr(sys.modules.get(package), "__path__", []))]
    hint = _instead(package, name, modules, "module", path[len(missing) :])
    return f"{_place(path, group)}: {package} has no module {name}. {hint}"


def _instead(place: str, name: str, options: Sequence[str], kind: str, rest: str = "") -> str:
    """What there is, the likeliest first, and what to do. ``rest``: what follows the name in the ``_target_``."""
    near = sorted(options, key=lambda option: -SequenceMatcher(None, name.lower(), option.lower()).ratio())
    if not near:
        return f"{place} has none: write the {kind} {name}, or name another one in _target_."
    return f"There is: {shown(near)[1:-1]}. Name it in _target_, as in {place}.{near[0]}{rest}, or write the {kind} {name}."


def _told(error: BaseException) -> str:
    """The error in its own words, with the line that raised it."""
    lines = "".join(traceback.format_exception_only(error)).strip()
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith("<frozen")]
    place = f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames and not isinstance(error, SyntaxError) else ""
    return f"{lines}{place}"


def _to_install(error: ImportError) -> str:
    """What to do about a package that is not here, or not the one that was meant."""
    if hint := install_hint(error):
        return hint
    package = (error.name or "").partition(".")[0]
    if not isinstance(error, ModuleNotFoundError) or not package or package in sys.modules:  # then it is a part that is missing
        return ""
    return f" The package {package} is not installed here: pip install what brings it, or take the import out."


def install_hint(error: ImportError) -> str:
    """How to install what an import missed, if an extra of ours brings it; else nothing."""
    from importlib.metadata import PackageNotFoundError, requires

    missing = (error.name or "").split(".")[0].lower().replace("_", "-")
    try:
        requirements = requires("vla-train") or []
    except PackageNotFoundError:
        return ""
    for requirement in requirements:
        match = re.match(r"([\w.-]+).*extra == ['\"](?!dev)([\w-]+)", requirement)
        if match and match[1].lower().replace("_", "-") == missing:
            return f" Install it with: pip install 'vla-train[{match[2]}]'"
    return ""
