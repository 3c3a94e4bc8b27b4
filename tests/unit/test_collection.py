"""Demonstrations: made once, the clean action beside noisy execution, never half used."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.fakes import Corridor
from vla_train.collection import demonstrations as module
from vla_train.collection import expert
from vla_train.collection.demonstrations import Demonstrations, fingerprint
from vla_train.collection.noise import perturb
from vla_train.data.reader import read_metadata
from vla_train.envs.tabletop import TabletopVectorEnv
from vla_train.errors import DataError, UsageError
from vla_train.spec import ActionSpec

SETTINGS = {"size": 4}
ROOT = Path(__file__).resolve().parents[2]


class Recorded(Corridor):
    """The corridor, which notes what was executed: (seed, step, action)."""

    executed: list = []  # noqa: RUF012

    def step(self, actions):
        for seed, step, action, ended in zip(self.seeds, self.steps, actions[:, 0], self.ended, strict=True):
            if not ended:
                self.executed.append((int(seed), int(step), float(action)))
        return super().step(actions)


def frames(folder):
    return pq.read_table(sorted((folder / "data").rglob("*.parquet"))).to_pylist()


def make(output, make_environment=Corridor, **keys):
    return Demonstrations(**{"episodes": 20} | keys).ensure(make_environment, SETTINGS, output=output, name="walks")


def test_the_experts_successes_are_kept_with_what_made_them(tmp_path):
    folder = make(tmp_path, start=5)
    assert folder.parent == tmp_path / "datasets"
    metadata = read_metadata(folder)
    # Seed s walks to place s % 5 + 1; place 5 is out of reach within 4 steps, so seeds 9, 14, 19 and 24 fail.
    assert metadata.num_episodes == 16
    made = json.loads((folder / "meta/info.json").read_text())["vla_train"]
    assert made["dropped_seeds"] == [9, 14, 19, 24]
    assert [row["seed"] for row in metadata.episodes][:5] == [5, 6, 7, 8, 10]
    first = metadata.episodes[1]
    assert (first["environment"], first["stage"], first["outcome"]) == ("Corridor", "walking", "success")
    assert (first["template"], first["task"], first["randomization"], first["goal"]) == ("walk", "near", "none", "2")
    assert json.loads(first["scene"]) == {"place": 0.0}
    assert metadata.instructions[:3] == ["walk 1", "walk 2", "walk 3"]
    rows = frames(folder)[:3]  # one step of seed 5, then two of seed 6
    assert [row["action"] for row in rows] == [1.0, 1.0, 1.0]
    assert [row["observation.state"] for row in rows] == [0.0, 0.0, 1.0]
    assert [row["next.reward"] for row in rows] == [1.0, 0.0, 1.0]


def test_a_dataset_that_exists_is_used_as_it_is(tmp_path):
    folder = make(tmp_path)
    before = (folder / "meta/info.json").stat().st_mtime_ns
    assert make(tmp_path) == folder
    assert (folder / "meta/info.json").stat().st_mtime_ns == before
    assert make(tmp_path, make_environment=None, path="/elsewhere/walks") == Path("/elsewhere/walks")


def test_looking_for_a_dataset_takes_one_environment(tmp_path):
    asked = []

    def counting(num_envs):
        asked.append(num_envs)
        return Corridor(num_envs)

    make(tmp_path, make_environment=counting)
    assert asked == [1, 20]
    make(tmp_path, make_environment=counting)
    assert asked == [1, 20, 1]


@pytest.mark.parametrize("keys", [{"start": 999_999_981}, {"start": -1}, {"start": 1_500_000_000}, {"episodes": 0}])
def test_seeds_beyond_those_of_training_are_refused(tmp_path, keys):
    with pytest.raises(UsageError, match=r"dataset\.start=.*not training seeds"):
        make(tmp_path, **keys)
    assert not (tmp_path / "datasets").exists()


def test_the_fingerprint_covers_what_changes_frames_and_nothing_else():
    def of(environment=None, settings=SETTINGS, **keys):
        return fingerprint(Demonstrations(**{"episodes": 20} | keys).recipe(environment or Corridor(1), settings))

    same = of()
    assert of(batch_size=7, history=9, chunk=3, validation=0.5, level="GoTo", view="rgb") == same
    assert fingerprint(json.loads(json.dumps(Demonstrations(20).recipe(Corridor(3), SETTINGS)))) == same
    newer = type("Corridor", (Corridor,), {"version": 2, "__module__": Corridor.__module__})(1)
    other = Corridor(1)
    other.stage = "running"
    changed = [of(newer), of(other), of(settings={"size": 5}), of(noise=0.1), of(start=1), of(episodes=21)]
    assert len({same, *changed}) == 7


def test_the_number_of_rows_does_not_change_a_dataset(tmp_path, monkeypatch):
    made = []
    for rows in (1, 3, 20):
        monkeypatch.setattr(module, "ROWS", rows)
        made.append(frames(make(tmp_path / str(rows), noise=0.5)))
    assert made[0] == made[1] == made[2]


def test_episodes_wait_in_bounded_memory(tmp_path, monkeypatch):
    expected = frames(make(tmp_path / "free"))
    monkeypatch.setattr(expert, "WAITING_BYTES", 0)
    assert frames(make(tmp_path / "bound")) == expected


def test_what_is_executed_is_noisy_and_what_is_recorded_is_clean(tmp_path):
    Recorded.executed = []
    folder = make(tmp_path, make_environment=Recorded, noise=0.4)
    executed = {(seed, step): action for seed, step, action in Recorded.executed}
    rows = frames(folder)
    seeds = [row["seed"] for row in read_metadata(folder).episodes]
    clean = {(seeds[row["episode_index"]], row["frame_index"]): row["action"] for row in rows}
    assert set(clean.values()) <= {-1.0, 0.0, 1.0}  # what the corridor's expert says
    differing = [key for key, action in clean.items() if executed[key] != action]
    assert 3 < len(differing) < len(clean)  # pushes beyond the bounds are clipped away
    places = {(seeds[row["episode_index"]], row["frame_index"]): row["observation.state"] for row in rows}
    moved = [
        (places[seed, step + 1] - places[seed, step], executed[seed, step]) for seed, step in places if (seed, step + 1) in places
    ]
    assert moved
    np.testing.assert_allclose(*np.array(moved).T, atol=1e-6)


def test_noise_comes_in_bursts_within_the_bounds_and_belongs_to_its_seed():
    spec = ActionSpec("continuous", 2, low=(-1.0, -2.0), high=(1.0, 2.0))
    seeds, clean = np.arange(4000), np.zeros((4000, 2))
    pushes = np.stack([perturb(clean, seeds, np.full(4000, step), 0.3, spec) for step in range(12)], 1)
    assert abs((pushes[:, 0] != 0).any(1).mean() - 0.5) < 0.03
    pushed = pushes[:, 0][(pushes[:, 0] != 0).any(1)]
    np.testing.assert_allclose(pushed.std(0), [0.3, 0.6], rtol=0.06)
    np.testing.assert_allclose(pushed.mean(0), 0, atol=0.04)
    assert (np.abs(pushes) <= [1, 2]).all()
    changes = (pushes[:, 1:] != pushes[:, :-1]).any(2)
    assert changes.sum(1).max() <= 3  # a burst lasts 4 steps
    alone = perturb(np.zeros((1, 2)), np.array([17]), np.array([5]), 0.3, spec)
    np.testing.assert_array_equal(alone[0], pushes[17, 5])
    np.testing.assert_array_equal(perturb(clean, seeds, seeds % 9, 0.0, spec), clean)


def test_discrete_noise_replaces_a_share_of_the_actions():
    spec = ActionSpec("discrete", 1, choices=4)
    clean = np.ones((8000, 1), np.int64)
    executed = perturb(clean, np.arange(8000), np.zeros(8000, np.int64), 0.2, spec)
    assert executed.dtype == np.int64
    assert abs((executed != 1).mean() - 0.2 * 3 / 4) < 0.02
    assert set(executed[:, 0]) == {0, 1, 2, 3}


def test_an_expert_that_always_fails_leaves_nothing(tmp_path):
    class Hopeless(Corridor):
        def expert_action(self, goals=None):
            return np.zeros((self.num_envs, 1))

    with pytest.raises(DataError, match="failed in all 20 episodes"):
        make(tmp_path, make_environment=Hopeless)
    assert [path.suffix for path in (tmp_path / "datasets").iterdir()] == [".lock"]


def test_an_environment_without_an_expert_says_why(tmp_path):
    def mute(num_envs):
        environment = Corridor(num_envs)
        environment.not_applicable = {"expert": "nobody knows the way"}
        return environment

    with pytest.raises(UsageError, match=r"nobody knows the way.*dataset\.path"):
        make(tmp_path, make_environment=mute)
    with pytest.raises(UsageError, match=r"need an environment.*dataset\.path"):
        make(tmp_path, make_environment=None)


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path, monkeypatch):
    def full(self, **episode):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module.LeRobotWriter, "add_episode", full)
    with pytest.raises(UsageError, match=r"no space left; free some space, or choose another place with output="):
        make(tmp_path)
    assert [path.suffix for path in (tmp_path / "datasets").iterdir()] == [".lock"]


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "datasets").write_text("a file in the way")
    with pytest.raises(UsageError, match="cannot be written"):
        make(tmp_path)


SLOW = """
import sys, time
from pathlib import Path
from tests.fakes import Corridor
from vla_train import errors, stopping
from vla_train.collection.demonstrations import Demonstrations

output, gate = map(Path, sys.argv[1:])

class Slow(Corridor):
    def step(self, actions):
        time.sleep(0.02)
        while gate.name == "gate" and not gate.exists():
            time.sleep(0.02)
        return super().step(actions)

try:
    with stopping.handlers():
        print(Demonstrations(1000).ensure(Slow, {}, output=output, name="slow"))
except errors.VlaTrainError as error:
    sys.exit(error.exit_code)
"""


@pytest.fixture
def start():
    """Starts processes that make a dataset of 800 episodes, slowly; with a gate they wait in a step until that file exists."""
    begun = []

    def begin(output, gate="none"):
        command = [sys.executable, "-c", SLOW, str(output), str(gate)]
        begun.append(subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return begun[-1]

    yield begin
    for process in begun:
        process.kill()
        process.communicate()


def wait_for(folder, pattern):
    deadline = time.monotonic() + 60
    while not any(folder.glob(pattern)):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_two_processes_make_a_dataset_once(tmp_path, start):
    gate = tmp_path / "gate"
    first = start(tmp_path, gate)
    wait_for(tmp_path, "datasets/.slow-*.partial")
    second = start(tmp_path, gate)
    assert "waiting for it" in second.stderr.readline()
    gate.touch()
    (one, one_said), (two, two_said) = first.communicate(timeout=60), second.communicate(timeout=60)
    assert one == two
    assert read_metadata(Path(one.strip())).num_episodes == 800
    assert "800 demonstrations" in one_said
    assert two_said == ""  # it made none


@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -9), (signal.SIGTERM, 75), (signal.SIGINT, 130)])
def test_what_an_interrupted_run_left_is_made_anew(tmp_path, start, number, code):
    process = start(tmp_path)
    wait_for(tmp_path, "datasets/.slow-*.partial")
    os.kill(process.pid, number)
    process.communicate(timeout=60)
    assert process.returncode == code
    left = [path.name for path in (tmp_path / "datasets").iterdir()]
    assert all(name.startswith(".") for name in left)  # nothing that could be taken for a dataset
    assert any(name.endswith(".partial") for name in left) == (number == signal.SIGKILL)
    if number == signal.SIGKILL:
        again = start(tmp_path)
        folder = Path(again.communicate(timeout=60)[0].strip())
        assert read_metadata(folder).num_episodes == 800
        assert not list(folder.parent.glob("*.partial"))


def test_tabletop_and_babyai_for_real(tmp_path):
    pytest.importorskip("minigrid")
    from vla_train.envs.babyai import BabyAIVectorEnv

    for kind, kept in ((TabletopVectorEnv, 24), (BabyAIVectorEnv, 25)):
        folder = make(tmp_path, make_environment=kind, episodes=25, noise=0.3 if kind is TabletopVectorEnv else 0.0)
        metadata = read_metadata(folder)
        assert metadata.num_episodes >= kept
        environment = kind(1)
        assert metadata.spec == environment.io_spec
        row = metadata.episodes[3]
        seen, _ = environment.reset(seed=[row["seed"]])
        assert seen["instruction"] == [metadata.instructions[3]]
        assert environment.get_scenes()[0] == json.loads(row["scene"])
