"""Plug-ins for one test: written to a folder, found like installed ones, forgotten afterwards."""

import sys

import pytest
from hydra.core.global_hydra import GlobalHydra

from vla_train.config import folders


class Plugins:
    """``install`` makes packages in a folder on Python's path; ``write`` puts files there."""

    def __init__(self, folder):
        self.folder = folder

    def write(self, files):
        for name, text in files.items():
            file = self.folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(text if isinstance(text, bytes) else text.encode())

    def install(self, package, files=None):
        """A distribution whose entry point names ``package``, which exists if it has files."""
        inside = {f"{package}/{name}": text for name, text in (files or {}).items()}
        metadata = f"{package}-1.0.dist-info"
        self.write(inside | {f"{metadata}/METADATA": f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n"})
        self.write({f"{metadata}/entry_points.txt": f"[{folders.PLUGIN_ENTRY_POINTS}]\nown = {package}\n"})
        folders.plugins.cache_clear()
        return self.folder / package

    def uninstall(self, package):
        (self.folder / f"{package}-1.0.dist-info/entry_points.txt").unlink()
        folders.plugins.cache_clear()


@pytest.fixture
def plugins(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    GlobalHydra.instance().clear()
    yield Plugins(tmp_path)
    monkeypatch.undo()
    folders.plugins.cache_clear()
    for name in [name for name in sys.modules if name.startswith(("acme_robots", "other_robots"))]:
        del sys.modules[name]


@pytest.fixture
def plugin(plugins):
    """Installs a package ``acme_robots`` as a plug-in; returns its folder."""
    return plugins.install("acme_robots", {"__init__.py": ""})
