"""``vla-collect`` in real processes: an expert, a policy and both, kills in the middle, and what training makes of it."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from tests.cli.conftest import run_folder
from vla_train.data.reader import open_reader
from vla_train.data.records import content_fingerprint

PROGRAM = [sys.executable, "-m", "vla_train.cli.collect"]
TABLETOP = ["environment=tabletop", "environment.image_size=16", "rows=8", "block=8"]


@pytest.fixture(scope="module")
def run(workplace):
    """A trained policy, if badly."""
    words = ["steps=4", "every.save=4", "every.evaluate=0", "environment.image_size=16", "name=collector", "randomization=light"]
    words += ["curriculum=simple_manipulation"]
    return run_folder(workplace.here("vla-train", *words))


def collections(folder):
    return json.loads((folder / "meta/info.json").read_text())["vla_train"]["collections"]


def test_killed_and_begun_again_it_becomes_what_it_would_have_been(workplace, tmp_path):
    words = [*TABLETOP, "episodes=64", "noise=0.3", "randomization=light"]
    process = subprocess.Popen([*PROGRAM, f"output={tmp_path / 'killed'}", *words], env={**os.environ, "OMP_NUM_THREADS": "1"})
    info = tmp_path / "killed/meta/info.json"
    while not info.exists():
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    (torn,) = collections(tmp_path / "killed")
    assert 0 < torn["played"] < 64
    reader = open_reader(tmp_path / "killed")
    assert reader.metadata.num_episodes == torn["kept"]
    assert sum(len(block["top"]) for block in reader.frames(["top"])) == len(reader.columns().action)
    looks = [json.loads(row["randomization"]) for row in reader.metadata.episodes]
    assert len({json.dumps(look) for look in looks}) == len(looks)  # each episode has its own
    told = workplace.here("vla-collect", f"output={tmp_path / 'killed'}", *words)
    assert f"{torn['played']} of 64 episodes are played" in told
    workplace.here("vla-collect", f"output={tmp_path / 'whole'}", *words)
    parts = ("data", "meta/episodes")  # stats.json has samples of pictures, merged in another order
    assert content_fingerprint(tmp_path / "killed", parts) == content_fingerprint(tmp_path / "whole", parts)
    assert collections(tmp_path / "killed") == collections(tmp_path / "whole")
    assert "64 replayed episodes succeed" in workplace.here("vla-data", "replay", str(tmp_path / "whole"))


def test_a_policy_plays_alike_in_any_number_of_processes_and_the_expert_labels(workplace, run, tmp_path):
    words = [f"checkpoint={run}", "player=mixture", "expert=0.5", "episodes=8", "rows=4", "block=4"]
    told = workplace.here("vla-collect", f"output={tmp_path / 'here'}", *words)
    assert "the expert acted in" in told
    workplace.here("vla-collect", f"output={tmp_path / 'there'}", *words, "processes=2")
    here, there = (open_reader(tmp_path / name).columns() for name in ("here", "there"))
    for name in ("state", "action"):
        assert np.array_equal(getattr(here, name), getattr(there, name))
    (noted,) = collections(tmp_path / "here")
    weights = (run / "checkpoints/last/policy.safetensors").read_bytes()
    assert noted["recipe"]["policy"] == hashlib.sha256(weights).hexdigest()  # wherever the run lies
    workplace.here("vla-collect", f"output={tmp_path / 'here'}", f"checkpoint={run}", "episodes=4", "rows=4")
    rows = open_reader(tmp_path / "here").metadata.episodes
    assert [row["player"] for row in rows] == ["mixture"] * 8 + ["policy"] * 4
    assert [row["seed"] for row in rows] == list(range(12))


def test_what_was_collected_in_several_ways_is_replayed_each_in_its_own(workplace, run, tmp_path):
    into = [f"output={tmp_path / 'walks'}", *TABLETOP]
    workplace.here("vla-collect", *into, "episodes=8", "noise=0.3", "lapses=0.2")
    workplace.here("vla-collect", *into, "episodes=4", "stage=simple_manipulation")
    refused = workplace.here("vla-collect", *into[:-2], "episodes=4", "stage=simple_manipulation", "start=8", "rows=4", expect=2)
    assert "has seeds 8 to 11 of the same already" in refused, "side by side or not, an expert does the same"
    workplace.here("vla-collect", into[0], f"checkpoint={run}", "player=mixture", "episodes=2", "rows=2")
    count = open_reader(tmp_path / "walks").metadata.num_episodes - 2
    told = workplace.here("vla-data", "replay", str(tmp_path / "walks"))
    assert "left out: 2 episodes that are an expert's word" in told
    assert f"{count} of {count} replayed episodes succeed, {count} did when they were recorded (with the noise 0.3" in told
    workplace.here("vla-data", "convert", str(tmp_path / "walks"), str(tmp_path / "some"), "episodes=0-4", "verify=false")
    assert "nothing tells of which each is" in workplace.here("vla-data", "replay", str(tmp_path / "some"), expect=3)
    told = workplace.here("vla-data", "replay", str(tmp_path / "walks"), f"episodes={count}", expect=3)
    assert "so they cannot be replayed" in told


def test_the_runs_environment_named_again_keeps_the_runs_stage_and_randomization(workplace, run, tmp_path):
    words = [f"checkpoint={run}", f"output={tmp_path / 'walks'}", *TABLETOP, "episodes=1", "rows=1"]
    workplace.here("vla-collect", *words)
    workplace.here("vla-collect", *words, "randomization=none", "stage=basic_navigation", "start=8")
    as_trained, otherwise = (one["recipe"] for one in collections(tmp_path / "walks"))
    assert as_trained["stage"] == "simple_manipulation"
    assert as_trained["settings"]["randomization"]["_target_"]
    assert otherwise["stage"] == "basic_navigation"
    assert "randomization" not in otherwise["settings"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "output= is missing"),
        (["output=x"], "environment= is missing"),
        (["output=x", "environment=tabletop", "player=policy"], "needs a policy"),
        (["output=x", "environment=tabletop", "expert=0.5"], "set player=mixture"),
        (["output=x", "environment=tabletop", "environment.split=pairs"], "held out is never recorded"),
        (["output=x", "environment=tabletop", "environment.image_sise=16"], "Did you mean environment.image_size"),
        (["output=x", "environment=tabletop", "episode=16"], "Did you mean episodes"),
        (["output=x", "environment=none"], "name one"),
        (["output=x", "environment=gym"], "has no expert"),
        (["output=/dev/null/x", "environment=tabletop", "episodes=1"], "episodes cannot be written to /dev/null"),
        (["output=deep/x", "environment=tabletop", "player=person"], "no terminal"),
    ],
)
def test_what_cannot_be_is_told(workplace, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", open(os.devnull))  # noqa: SIM115
    assert message in workplace.here("vla-collect", *words, expect=2)
    assert not list(tmp_path.iterdir())
