"""Behavioural cloning learns to follow words in seconds: they name regions, and the state says where the gripper is."""

from pathlib import Path

import pytest
import torch

from vla_train import build
from vla_train import config as configuration

SETTINGS = [
    "environment.cameras=[]",  # without pictures only the regions can be learned: three in five goals name an object
    "dataset.episodes=500",
    "model=film_cnn",
    "model.width=32",
    "steps=700",
    "every.evaluate=700",
    "every.log=100",
    "every.save=0",
    "runtime.threads=1",
    "tracker.console=none",
    "tracker.tensorboard=false",
    "evaluation.conditions=[plain,swapped,empty]",
    "evaluation.video_episodes=0",
]


@pytest.fixture(scope="module")
def metrics(tmp_path_factory) -> dict[str, float]:
    output: Path = tmp_path_factory.mktemp("outputs")
    torch.set_num_threads(1)
    return build.train(configuration.compose([*SETTINGS, f"output={output}"]), [])["metrics"]


def test_it_goes_where_the_words_say(metrics):
    """Going for one of the five regions whatever the words would reach 20 %."""
    assert metrics["success/go to region"] >= 0.8


def test_it_listens(metrics):
    """About half of the goals swapped in are regions; with no words at all one region in five is the right one."""
    assert metrics["swapped/success"] >= 0.35
    assert metrics["empty/success"] <= 0.2


def test_held_out_demonstrations_are_predicted(metrics):
    """Of a way across the table; going anywhere whatever is seen comes to 0."""
    assert metrics["held_out/cosine"] >= 0.2
