"""Which classes a config may reach, and what an import that fails says."""

import pytest

from vla_train.config import resolve_target
from vla_train.errors import UsageError


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
    with pytest.raises(UsageError, match=r"There is: SingleStage.*Name it in _target_, as in vla_train\.curricula\.SingleStage,"):
        resolve_target("vla_train.curricula.SingleStag", "curriculum")


def test_a_missing_extra_is_named(plugin):
    (plugin / "world.py").write_text("import minigrid_that_is_not_installed\n")
    with pytest.raises(UsageError, match="No module named 'minigrid_that_is_not_installed'"):
        resolve_target("acme_robots.world.World", "environment")
    (plugin / "grid.py").write_text("raise ModuleNotFoundError(\"No module named 'minigrid'\", name='minigrid')\n")
    with pytest.raises(UsageError, match=r"pip install 'vla-train\[babyai\]'"):
        resolve_target("acme_robots.grid.World", "environment")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "import does_not_exist_mod",
            r"No module named 'does_not_exist_mod' \(.*/acme_robots/world\.py, line 2\)\. "
            r"The package does_not_exist_mod is not installed here: pip install what brings it, or take the import out\.$",
        ),
        ("from json import nope", r"cannot import name 'nope' .* \(.*/acme_robots/world\.py, line 2\)\.$"),
        ("from acme_robots import other", r"cannot import name 'other' .* \(.*/acme_robots/world\.py, line 2\)\.$"),
        ("import acme_robots.other", r"No module named 'acme_robots\.other' \(.*/acme_robots/world\.py, line 2\)\.$"),
        ("import json as", r"the plug-in acme_robots\.world raised while it was imported: .*world\.py\", line 2"),
    ],
)
def test_an_import_that_fails_is_shown_with_its_line(plugin, line, said):
    (plugin / "world.py").write_text(f"import json\n{line}\nclass World: ...\n")
    with pytest.raises(UsageError, match=f"(?s){said}"):
        resolve_target("acme_robots.world.World", "environment")


@pytest.mark.parametrize(
    ("target", "said"),
    [
        (
            "acme_robots.encoder.Encodr",
            "acme_robots.encoder has no class Encodr of its own. There is: Encoder, Wave. Name it in _target_, as in "
            "acme_robots.encoder.Encoder, or write the class Encodr.",
        ),
        (
            "acme_robots.encodr.Encoder",
            "acme_robots has no module encodr. There is: encoder, empty. Name it in _target_, as in acme_robots.encoder.Encoder, "
            "or write the module encodr.",
        ),
        ("acme_robots.empty.Model", "acme_robots.empty has no class Model of its own. acme_robots.empty has none: write the"),
        ("acme_robots.encoder.deep.Model", "acme_robots.encoder has no module deep. acme_robots.encoder has none: write"),
    ],
)
def test_a_class_that_is_not_there_is_told_with_its_yaml_and_what_there_is(plugins, plugin, target, said):
    (plugin / "encoder.py").write_text("from collections import OrderedDict\nclass Wave: ...\nclass Encoder: ...\n")
    (plugin / "empty.py").write_text("")
    plugins.write({"acme_robots/configs/model/acme.yaml": f"_target_: {target}\n", "acme_robots/configs/model/b.yaml": "[\n"})
    with pytest.raises(UsageError) as told:
        resolve_target(target, "model")
    assert str(told.value).startswith(f"{plugin}/configs/model/acme.yaml: _target_={target}: {said}")


def test_an_installed_plugin_may_be_named_in_every_group(plugin):
    (plugin / "encoder.py").write_text("class Encoder: ...\n")
    assert resolve_target("acme_robots.encoder.Encoder", "model").__name__ == "Encoder"


def test_a_plugin_that_raises_at_import_shows_its_own_error(plugin):
    (plugin / "broken.py").write_text("1 / 0\n")
    with pytest.raises(UsageError, match=r"ZeroDivisionError: division by zero \(.*/acme_robots/broken.py, line 1\)"):
        resolve_target("acme_robots.broken.Model", "model")


def test_a_plugin_that_ends_the_program_at_import_is_told_of_as_well(plugin):
    (plugin / "gone.py").write_text("raise SystemExit(0)\n")
    with pytest.raises(UsageError, match=r"the plug-in acme_robots\.gone raised while it was imported: SystemExit: 0"):
        resolve_target("acme_robots.gone.Model", "model")


@pytest.mark.parametrize("line", ["from vla_train.curricula import SingleStage", "from other_robots.model import SingleStage"])
def test_a_plugins_module_gives_only_its_own_classes(plugins, plugin, line):
    plugins.install("other_robots", {"__init__.py": "", "model.py": "class SingleStage: ...\n"})
    (plugin / "borrowed.py").write_text(f"{line}\n")
    with pytest.raises(UsageError, match=r"acme_robots\.borrowed has no class SingleStage of its own"):
        resolve_target("acme_robots.borrowed.SingleStage", "curriculum")
