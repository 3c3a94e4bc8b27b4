"""Small real runs that are broken on purpose: the right diagnostic speaks up, and a healthy run hears none."""

import json
from pathlib import Path

import pytest
import torch

from vla_train import build
from vla_train import config as configuration

SETTINGS = [
    "environment.cameras=[]",
    "dataset.episodes=300",
    "dataset.validation=0.2",
    "model=film_cnn",
    "model.width=32",
    "steps=160",
    "every.log=10",
    "every.evaluate=0",
    "every.save=0",
    "runtime.threads=1",
    "tracker.console=plain",
    "tracker.tensorboard=false",
    "evaluation.episodes=8",
    "evaluation.num_envs=8",
    "evaluation.video_episodes=0",
]
OVERFITTING = ["dataset.episodes=16", "steps=240", "every.evaluate=30"]


@pytest.fixture(scope="module")
def output(tmp_path_factory) -> Path:
    torch.set_num_threads(1)
    return tmp_path_factory.mktemp("outputs")


def warnings(output: Path, *words: str) -> set[str]:
    named = {word.partition("=")[0] for word in words}
    settings = [word for word in SETTINGS if word.partition("=")[0] not in named]
    result = build.train(configuration.compose([*settings, *words, f"output={output}"]), [])
    found = json.loads((Path(result["run"]) / "report.json").read_text())["diagnostics"]
    return {finding["kind"] for finding in found["findings"] + found["earlier"] if finding["severity"] == "warning"}


def test_a_healthy_run_hears_nothing(output, capsys):
    assert warnings(output) == set()
    assert "diagnostics:" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("dead_layers", ["optimizer.lr=5.0"]),
        ("stagnation", ["optimizer.lr=1e-7"]),
        ("dead_input", ["model.max_tokens=1"]),
        ("overfitting", OVERFITTING),
    ],
)
def test_a_broken_run_hears_what_is_wrong(output, capsys, kind, words):
    assert kind in warnings(output, *words)
    assert "diagnostics: " in capsys.readouterr().out
