"""Which classes a config may reach, and what an import that fails says."""

import sys

import pytest

from vla_train.config import resolve_target
from vla_train.config.folders import plugins
from vla_train.errors import UsageError


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """Installs a package ``acme_robots`` as a plug-in; returns its folder."""
    package, metadata = tmp_path / "acme_robots", tmp_path / "acme_robots-1.0.dist-info"
    (package / "configs" / "model").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-robots\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[vla_train.plugins]\nacme = acme_robots\n")
    monkeypatch.syspath_prepend(tmp_path)
    plugins.cache_clear()
    yield package
    plugins.cache_clear()
    for name in [name for name in sys.modules if name.startswith("acme_robots")]:
        del sys.modules[name]


def test_null_is_the_null_object():
    assert resolve_target(None, "environment") is None


def test_a_class_of_the_groups_own_package_is_found():
    from vla_train.curricula import SingleStage

    assert resolve_target("vla_train.curricula.SingleStage", "curriculum") is SingleStage


@pytest.mark.parametrize(
    "path",
    [
        "os.system",
        "builtins.eval",
        "vla_train.modelsx.Class",
        "vla_train.paradigms.bc.BehaviouralCloning",  # ours, but of another group
        "vla_train.models..os.system",
        "vla_train.models.x; import os",
        "SingleStage",
        "",
        3,
    ],
)
def test_a_foreign_prefix_is_refused_before_any_import(path, monkeypatch):
    monkeypatch.setattr("importlib.import_module", lambda name: pytest.fail(f"{name} was imported"))
    with pytest.raises(UsageError, match="not allowed"):
        resolve_target(path, "model")


@pytest.mark.parametrize("name", ["Stage", "Any", "__name__", "SingleStages"])
def test_what_a_module_only_imported_is_refused(name):
    """``Stage`` stands in ``vla_train.curricula``, but was defined elsewhere."""
    import vla_train.curricula

    vla_train.curricula.__dict__.setdefault("Stage", __import__("vla_train.spec").spec.Stage)
    with pytest.raises(UsageError):
        resolve_target(f"vla_train.curricula.{name}", "curriculum")


def test_a_misspelt_class_names_the_nearest():
    with pytest.raises(UsageError, match="Did you mean SingleStage"):
        resolve_target("vla_train.curricula.SingleStag", "curriculum")


def test_a_missing_extra_is_named(plugin):
    (plugin / "world.py").write_text("import minigrid_that_is_not_installed\n")
    with pytest.raises(UsageError, match="No module named 'minigrid_that_is_not_installed'"):
        resolve_target("acme_robots.world.World", "environment")
    (plugin / "grid.py").write_text("raise ModuleNotFoundError(\"No module named 'minigrid'\", name='minigrid')\n")
    with pytest.raises(UsageError, match=r"pip install 'vla-train\[babyai\]'"):
        resolve_target("acme_robots.grid.World", "environment")


def test_an_installed_plugin_may_be_named_in_every_group(plugin):
    (plugin / "encoder.py").write_text("class Encoder: ...\n")
    assert resolve_target("acme_robots.encoder.Encoder", "model").__name__ == "Encoder"


def test_a_plugin_that_raises_at_import_shows_its_own_error(plugin):
    (plugin / "broken.py").write_text("1 / 0\n")
    with pytest.raises(UsageError, match="ZeroDivisionError: division by zero"):
        resolve_target("acme_robots.broken.Model", "model")


def test_a_plugins_yaml_is_found_checked_and_recorded(plugin):
    from vla_train import config
    from vla_train.errors import CheckpointError

    (plugin / "configs" / "model" / "acme.yaml").write_text(
        "defaults:\n  - film_cnn\n  - _self_\n_target_: acme_robots.encoder.Encoder\ngain: null\n"
    )
    (plugin / "configs" / "schema.yaml").write_text("model/acme.gain: null | float > 0\n")
    composed = config.compose(["model=acme", "model.gain=2"])
    assert composed["plugins"] == ["acme_robots"]
    assert composed["model"]["gain"] == 2.0
    assert "acme_robots" not in sys.modules  # located, not imported
    with pytest.raises(UsageError, match=r"model\.gain=-1: must be null or float > 0"):
        config.compose(["model=acme", "model.gain=-1"])
    text = config.dump(composed)
    assert config.load_saved(text) == composed
    other = text.replace("acme_robots.encoder.Encoder", "acme_robots.setup.Installer")
    with pytest.raises(
        CheckpointError, match=r"acme_robots\.setup\.Installer: model=acme has the class acme_robots\.encoder\.Encoder"
    ):
        config.load_saved(other)
    (plugin.parent / "acme_robots-1.0.dist-info" / "entry_points.txt").write_text("")
    plugins.cache_clear()
    with pytest.raises(CheckpointError, match="acme_robots, which is not installed"):
        config.load_saved(text)
