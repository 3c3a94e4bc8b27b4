"""``vla-data replay``: recorded actions of the simulator's demonstrations, and recipes that cannot be trusted."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.recordings import write_v21
from vla_train.data.reader import open_reader


@pytest.fixture(scope="module")
def demonstrations(tmp_path_factory):
    """Ten noisy demonstrations of the simulator, small ones."""
    return made(tmp_path_factory.mktemp("demonstrations"), noise=0.3)


def made(folder, **keys):
    from vla_train.collection.demonstrations import Demonstrations
    from vla_train.envs.tabletop import TabletopVectorEnv

    settings = {"image_size": 32, "cameras": ["top"], "min_objects": 4, "max_objects": 6, "split": "train"}
    settings |= {"actions": "continuous", "shaping": 0.0}
    looks = {key: value for key, value in settings.items() if key != "shaping"}
    demonstrations = Demonstrations(**{"episodes": 10} | keys)
    return demonstrations.ensure(lambda n: TabletopVectorEnv(n, "basic_navigation", **looks), settings, output=folder, name="t")


def test_demonstrations_replayed_succeed(data, demonstrations, tmp_path):
    count = open_reader(demonstrations).metadata.num_episodes
    told = data("replay", demonstrations)
    assert f"{count} of {count} replayed episodes succeed, {count} did when they were recorded (with the noise 0.3" in told
    assert f"states: equal in {count}, apart by more than 1e-05 in 0" in told
    data("convert", demonstrations, tmp_path / "film", "images=h264")
    assert f"{count} of {count}" in data("replay", tmp_path / "film"), "what a dataset is from survives a conversion"


def test_lapses_are_told_of(data, tmp_path):
    told = data("replay", made(tmp_path, episodes=3, lapses=0.1, noise=0.1), "episodes=0")
    assert "1 of 1 replayed episodes succeed, 1 did when they were recorded (with the noise 0.1 and lapses 0.1 of" in told


def test_what_was_executed_is_not_disturbed_again(data, tmp_path):
    """Where others than the expert play, what is executed is what is recorded, with the noise in it."""
    told = data("replay", made(tmp_path, noise=0.5, mediocre=0.5))
    assert "states: equal in 10, apart by more than 1e-05 in 0" in told
    assert "noise" not in told


def test_actions_that_were_altered_do_not_succeed(data, demonstrations, tmp_path):
    data("convert", demonstrations, tmp_path / "copy")
    path = tmp_path / "copy/data/chunk-000/file-000.parquet"
    table = pq.read_table(path)
    place = table.schema.names.index("action")
    still = pa.array(np.zeros((len(table), 4), np.float32).tolist(), table.schema.field("action").type)
    pq.write_table(table.set_column(place, "action", still), path)
    told = data("replay", tmp_path / "copy", "episodes=0-2", expect=3)
    assert "wrong: 3 come out otherwise than recorded" in told


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"environment": "os.system"}, "was made with the environment 'os.system', and there is none"),
        ({"environment": "tests.evil.TabletopVectorEnv"}, "there is none of that name here"),
        ({"settings": {"image_size": "huge"}}, "its recipe does not fit environment=tabletop: environment.image_size=huge"),
        ({"settings": {"min_objects": 10**9}}, "its recipe cannot be played"),
        ({"settings": {"image_size": 32, "spell": "x"}}, "spell"),
        ({"noise": "loud"}, "no shares and noise"),
    ],
)
def test_a_recipe_from_a_stranger_runs_nothing(data, demonstrations, tmp_path, recipe, message):
    data("convert", demonstrations, tmp_path / "copy", "verify=false")
    path = tmp_path / "copy/meta/info.json"
    info = json.loads(path.read_text())
    ours = info["vla_train"]
    path.write_text(json.dumps(info | {"vla_train": ours | {"recipe": ours["recipe"] | recipe}}))
    assert message in data("replay", tmp_path / "copy", expect=3)


def test_recordings_of_others_cannot_be_replayed(data, tmp_path):
    write_v21(tmp_path)
    assert "does not say from which environment" in data("replay", tmp_path, expect=3)


def test_episodes_that_no_collection_made_are_not_replayed_with_the_others(data, demonstrations, tmp_path):
    data("convert", demonstrations, tmp_path / "copy", "verify=false")
    path = tmp_path / "copy/meta/info.json"
    info = json.loads(path.read_text())
    one = {"recipe": info["vla_train"]["recipe"], "start": 0, "episodes": 2, "played": 2, "kept": info["total_episodes"] - 1}
    info["vla_train"]["collections"] = [one]
    path.write_text(json.dumps(info))
    assert "nothing tells where the others were played" in data("replay", tmp_path / "copy", expect=3)
