"""Where config groups lie: our own folder of YAML files, then those of installed plug-ins. Nothing here imports Hydra.

A plug-in is a user's own package, named by an entry point of the group ``vla_train.plugins`` whose value is the bare
top-level package name. Its YAML lies in ``<package>/configs/``. The package is located, never imported, until a run needs it.
"""

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
    from importlib.metadata import entry_points
    from importlib.util import find_spec

    found = {}
    for entry in entry_points(group=PLUGIN_ENTRY_POINTS):
        package = entry.value.split(".")[0].split(":")[0].strip()
        spec = find_spec(package)
        if spec is not None and spec.origin is not None:
            found[package] = Path(spec.origin).resolve().parent / "configs"
    return dict(sorted(found.items()))


def search_path() -> list[Path]:
    """Every folder that group choices are looked up in, first match wins."""
    return [shipped(), *(folder for folder in plugins().values() if folder.is_dir())]


def choices(group: str, folders: Sequence[Path] | None = None) -> list[str]:
    """The names that ``group=`` accepts."""
    found = {file.stem for folder in folders or search_path() for file in (folder / group).glob("*.yaml")}
    return sorted(found - {"schema"})


def find(group: str, choice: str, folders: Sequence[Path] | None = None) -> Path | None:
    """The YAML file of a choice, or None. A name that would leave the group's folder finds nothing."""
    if choice not in choices(group, folders):
        return None
    return next(file for folder in folders or search_path() if (file := folder / group / f"{choice}.yaml").is_file())


def owner(file: Path) -> str | None:
    """The plug-in that a YAML file belongs to, or None for our own."""
    return next((package for package, folder in plugins().items() if file.is_relative_to(folder)), None)
