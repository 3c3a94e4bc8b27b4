"""A user's own package, and the one that docs/plugins.md writes: installed, trained with, resumed, evaluated; then taken away."""

import json
import os
import re
import subprocess
import sys
import venv
from pathlib import Path

import pytest
import yaml

import vla_train
from vla_train.cli.eval import main as evaluate
from vla_train.cli.train import main as train
from vla_train.errors import CheckpointError, DataError

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "tests" / "plugin_package"
PAGE = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
FILES = ("toml", "python", "yaml")  # blocks that are a file, named in their first line
LONGEST_SECTION = 40  # lines, without blank ones and fences
QUIET = ["tracker.tensorboard=false", "tracker.console=plain"]
PIP = {"PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1", "PIP_NO_BUILD_ISOLATION": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}  # 0: none


class Place:
    """A fresh environment with the programs and the test's plug-in, and a folder to work in."""

    def __init__(self, folder: Path):
        venv.create(folder / "venv", with_pip=False)
        site = next((folder / "venv" / "lib").glob("python*/site-packages"))
        (site / "present.pth").write_text(f"{Path(pytest.__file__).parents[1]}\n")
        self.folder, self.programs = folder, folder / "venv" / "bin"
        self.run(f"python -m pip install -q {ROOT} {PACKAGE}")

    def run(self, command: str, expect: int = 0, cwd: Path | None = None) -> str:
        """What a shell command printed, after checking its exit code."""
        path = f"{self.programs}{os.pathsep}{os.environ['PATH']}"
        environment = {**os.environ, **PIP, "PATH": path, "OMP_NUM_THREADS": "1", "PYTEST_ADDOPTS": "-p no:cacheprovider"}
        done = subprocess.run(
            ["bash", "-e", "-o", "pipefail", "-c", command],
            cwd=cwd or self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == expect, done.stdout
        return done.stdout


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return Place(tmp_path_factory.mktemp("plugins"))


@pytest.fixture(scope="module")
def trained(place):
    """A run made with the plug-in's paradigm and dataset, and a head of ours."""
    words = ["paradigm=my_paradigm", "dataset=my_dataset", "dataset.amplitude=0.5", "head=regression", "model.width=16", *QUIET]
    return run_folder(place, place.run(f"vla-train steps=3 {' '.join(words)}"))


def run_folder(place, printed):
    return place.folder / re.search(r"^run folder: (.+)$", printed, re.MULTILINE)[1]


def test_help_lists_what_a_plugin_brings(place):
    shown = place.run("vla-train --help")
    groups = dict(re.findall(r"^  (\w+) .*\n((?: {18}.*\n)+)", shown, re.MULTILINE))
    assert {"*bc", "my_paradigm"} <= set(groups["paradigm"].split())
    assert {"*auto", "regression", "my_head"} <= set(groups["head"].split())
    assert "  wave_robots" in shown


def test_a_plugin_trains_resumes_and_is_evaluated(place, trained):
    printed = place.run(f"vla-train resume={trained} steps=5 tracker.console=plain")
    assert run_folder(place, printed) == trained
    steps = [json.loads(line)["step"] for line in (trained / "metrics.jsonl").read_text().splitlines()]
    assert max(steps) == 5
    (saved,) = {file.resolve() for file in (trained / "checkpoints/last").glob("config.yaml")}
    assert yaml.safe_load(saved.read_text())["plugins"] == ["wave_robots"]
    place.run(f"vla-eval checkpoint={trained} threads=1 output={trained / 'found'}")
    assert json.loads((trained / "found" / "report.json").read_text())["metrics"]["held_out/loss"] > 0


@pytest.mark.parametrize(("program", "word"), [(train, "resume"), (evaluate, "checkpoint")])
def test_without_the_package_a_run_is_neither_resumed_nor_evaluated(trained, monkeypatch, capsys, program, word):
    """In the environment that these tests run in no plug-in is installed."""
    monkeypatch.setattr(sys, "argv", ["vla", f"{word}={trained}"])
    assert program() == 4
    (told,) = capsys.readouterr().err.splitlines()
    assert "was made with the plug-in wave_robots, which is not installed here" in told
    assert "(for dataset=my_dataset, paradigm=my_paradigm)" in told


def test_a_policy_of_our_own_classes_is_loaded_without_the_package(trained):
    assert "wave_robots" not in sys.modules
    assert vla_train.load(trained).processor.spec.images["front"].height == 16


def blocks(language):
    """The fenced blocks of the page in a language, those inside a list too: first line without its mark, text."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```", PAGE, re.MULTILINE | re.DOTALL)
    texts = [re.sub(rf"^{indent}", "", text, flags=re.MULTILINE) for indent, text in found]
    return {text.partition("\n")[0].removeprefix("# "): text for text in texts}


@pytest.fixture(scope="module")
def documented(place):
    """The package that the page writes, and what its commands print."""
    folder = place.folder / "documented"
    for name, text in [block for language in FILES for block in blocks(language).items()]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    printed = place.run(blocks("bash")["in your folder"], cwd=folder)
    return folder / re.search(r"^run folder: (.+)$", printed, re.MULTILINE)[1]


def test_what_the_page_writes_trains(documented):
    config = yaml.safe_load((documented / "checkpoints/last/config.yaml").read_text())
    assert config["plugins"] == ["my_robots"]
    assert (config["choices"]["model"], config["paradigm"]["noise"]) == ("asked_patches", 0.1)


def test_a_policy_of_a_plugins_model_needs_the_package(documented):
    with pytest.raises(CheckpointError, match=r"plug-in my_robots, which is not installed here \(for model=asked_patches\)"):
        vla_train.load(documented)


def test_the_pages_dataset_says_that_there_is_none(tmp_path):
    names = {}
    exec(blocks("python")["my_robots/recordings.py"], names)
    (tmp_path / "episodes").mkdir()
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(DataError, match=rf"^{folder}: there is no episodes/\*\.npz in it\. dataset\.path= takes"):
            names["Recordings"](folder).ensure(None, {}, output=tmp_path, name="recordings")


def test_what_the_page_writes_keeps_the_contracts(place, documented):
    printed = place.run(blocks("bash")["in a clone of vla-train"], cwd=ROOT)
    (passed,) = re.findall(r"(\d+) passed", printed)
    assert int(passed) > 40  # 6 of the paradigm, more than 30 of the model, 3 of each config


def test_every_block_of_the_page_is_run():
    run = sum(len(blocks(language)) for language in ("toml", "python", "yaml", "bash"))
    assert PAGE.count("```") == 2 * run
    assert all(
        re.fullmatch(r"[\w/]+\.(py|yaml|toml)", name) for language in ("toml", "python", "yaml") for name in blocks(language)
    )


@pytest.mark.parametrize("title", ["A paradigm", "A dataset", "A model"])
def test_each_takes_few_lines(title):
    section = PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.strip() and not line.startswith("```")]
    assert 10 < len(lines) < LONGEST_SECTION
