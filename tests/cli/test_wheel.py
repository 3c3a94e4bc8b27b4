"""The wheel works where the repository is not: it carries its configs."""

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(*command, **options):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=240, check=False, **options)
    assert done.returncode in (0, 2), done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The wheel in a fresh environment that sees the packages of this one but not the repository. Returns its bin folder."""
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", ROOT, "--no-deps", "--no-build-isolation", "--no-index", "-w", folder)
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "venv", with_pip=False)
    site = next((folder / "venv" / "lib").glob("python*/site-packages"))
    packages = Path(pytest.__file__).parents[1]
    (site / "present.pth").write_text(f"{packages}\n")  # a .pth inside a folder named by a .pth is not read: no editable install
    run(sys.executable, "-m", "pip", "--python", folder / "venv" / "bin" / "python", "install", "--no-deps", "--no-index", wheel)
    return folder / "venv" / "bin"


def test_the_installed_programs_find_their_configs(installed, tmp_path):
    shown = run(installed / "vla-train", "--help", cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert "film_cnn *transformer" in shown.stdout
    code = "from vla_train.config import folders; print(folders.shipped())"
    place = run(installed / "python", "-c", code, cwd=tmp_path).stdout.strip()
    assert place == os.path.realpath(
        installed.parent / "lib" / f"python3.{sys.version_info[1]}" / "site-packages/vla_train/configs"
    )


def test_the_installed_programs_compose(installed, tmp_path):
    shown = run(installed / "vla-train", "--cfg", "job", "dataset=babyai", "-p", "environment", cwd=tmp_path)
    assert "BabyAIVectorEnv" in shown.stdout
    mistake = run(installed / "vla-eval", "chekpoint=x", cwd=tmp_path)
    assert mistake.returncode == 2
    assert "Did you mean checkpoint?" in mistake.stderr
    assert list(tmp_path.iterdir()) == []


def test_every_config_is_in_the_wheel(installed):
    inside = next((installed.parent / "lib").glob("python*/site-packages")) / "vla_train" / "configs"
    assert {f.relative_to(inside) for f in inside.rglob("*.yaml")} == {
        f.relative_to(ROOT / "configs") for f in (ROOT / "configs").rglob("*.yaml")
    }
