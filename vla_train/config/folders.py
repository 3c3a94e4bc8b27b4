"""Where config groups lie: our own folder of YAML files, then those of installed plug-ins. Nothing here imports Hydra.

A plug-in is a user's own package, named by an entry point of the group ``vla_train.plugins`` whose value is the bare
top-level package name. Its YAML lies in ``<package>/configs/``. The package is located, never imported, until a run needs it.
"""

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

PLUGIN_ENTRY_POINTS = "vla_train.plugins"


@cache
def shipped() -> Path:
    """The absolute folder of our own YAML files: the copy inside an installed wheel, else the repository's."""
    package = Path(__file__).resolve().parents[1]
    packaged = package / "configs"
    return packaged if packaged.is_dir() else package.parent / "configs"


@cache
def plugins() -> dict[str, Path]:
    """Installed plug-ins: top-level package name -> its folder of YAML files (which need not exist)."""
    return {package: folder / "configs" for package, folder in named_packages().items() if folder is not None}


def named_packages() -> dict[str, Path | None]:
    """Every package that an entry point names, sorted -> its folder, or None where there is no such package."""
    from importlib.metadata import entry_points

    values = {entry.value for entry in entry_points(group=PLUGIN_ENTRY_POINTS)}
    return {package: _folder(package) for package in sorted(re.split(r"[.:\s]", value.strip())[0] for value in values)}


def _folder(package: str) -> Path | None:
    """Where a package lies; None for a single module, whose neighbours in ``site-packages`` are not its own, and for ours."""
    from importlib.util import find_spec

    try:
        spec = find_spec(package)
    except (ImportError, ValueError):
        return None
    places = list(spec.submodule_search_locations or []) if spec is not None else []
    return Path(places[0]).resolve() if places and package != __name__.partition(".")[0] else None


def search_path() -> list[Path]:
    """Every folder that group choices are looked up in: ours first."""
    return [shipped(), *(folder for folder in plugins().values() if folder.is_dir())]


def choices(group: str, folders: Sequence[Path] | None = None) -> list[str]:
    """The names that ``group=`` accepts."""
    return sorted({file.stem for folder in folders or search_path() for file in (folder / group).glob("*.yaml")})


def files(group: str, choice: str, folders: Sequence[Path] | None = None) -> list[Path]:
    """The YAML files of a choice: none, one, or one of each plug-in that has it. A name that would leave the group's folder
    finds nothing."""
    places = folders or search_path()
    if choice not in choices(group, places):
        return []
    return [file for folder in places if (file := folder / group / f"{choice}.yaml").is_file()]


def owner(file: Path) -> str | None:
    """The plug-in that a YAML file belongs to, or None for our own."""
    return next((package for package, folder in plugins().items() if file.is_relative_to(folder)), None)
