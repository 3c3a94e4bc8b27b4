"""``vla-collect`` without its command line: who plays, what is recorded, and how a dataset is gone on with."""

import functools
import json
import os
import signal
import time
from contextlib import closing
from dataclasses import replace
from multiprocessing import Pipe
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.fakes import CORRIDOR, Corridor, CountingAgent
from vla_train import errors, stopping
from vla_train.checkpoint import TornCheckpointError
from vla_train.collection import crew, ledger
from vla_train.collection.behaviour import Behaviour
from vla_train.collection.collect import Wish, collect
from vla_train.collection.expert import ExpertRun
from vla_train.collection.player import Moment
from vla_train.collection.policy_player import MixturePlayer, PolicyPlayer, Turns
from vla_train.collection.recording import World, write_episode
from vla_train.data.reader import open_reader
from vla_train.data.records import content_fingerprint
from vla_train.data.writer import LeRobotWriter
from vla_train.rollouts.chunks import RecedingHorizon
from vla_train.seeds import counter_uniform
from vla_train.spec import ImageSpec

ROWS = 3


class Backwards(CountingAgent):
    """Walks away from every goal, one place at a step."""

    def act(self, *args, **keys):
        return -super().act(*args, **keys)


class Dawdling(Corridor):
    """Begins seed 0 late, so that other processes are done first."""

    def reset(self, *, seed, options=None):
        time.sleep(0.5 * (0 in seed))
        return super().reset(seed=seed, options=options)


def agent_player(kind=PolicyPlayer, agent=CountingAgent, *turns, chunk=2):
    return kind(agent(chunk), RecedingHorizon(ROWS, 1), *turns)


def station(player=Behaviour, environment=Corridor, encodes=True):
    return SimpleNamespace(environment=environment(ROWS), player=player(), encodes=encodes, close=lambda: None)


def dying():
    import os

    os._exit(9)


def run(folder, episodes=20, make=station, processes=0, blocks=None, **wish):
    """Collect; ``blocks`` ends it after so many."""

    def play(seeds):
        for number, played in enumerate(crew.play_blocks(make, seeds, processes)):
            if number == blocks:
                raise errors.WorldError("enough")
            yield played

    said = []
    wish = Wish(**{"recipe": {"player": "expert"}, "episodes": episodes, "block": 4, "note": said.append} | wish)
    found = collect(folder, wish, World.of(Corridor(1)), play)
    return found, said


def bits(folder):
    """All files but stats.json, whose samples of pictures are merged in another order where a dataset was gone on with."""
    return content_fingerprint(folder, ("data", "meta/episodes")), (folder / "meta/info.json").read_text()


def seeds_of(folder):
    return [row["seed"] for row in open_reader(folder).metadata.episodes]


def test_an_experts_successes_are_added_and_counted(tmp_path):
    found, _ = run(tmp_path / "walks", start=5)
    # Seed s walks to place s % 5 + 1; place 5 lies out of reach of 4 steps. 5 to 24: each place four times.
    assert (found.played, found.succeeded, found.kept, found.total) == (20, 16, 16, 16)
    assert found.frames == 4 * (1 + 2 + 3 + 4)
    assert seeds_of(tmp_path / "walks") == [seed for seed in range(5, 25) if seed % 5 != 4]
    text = found.sentence()
    assert "20 episodes played, 16 succeeded, 16 recorded (40 frames)" in text
    assert "episodes/s" in text


def test_failures_are_kept_on_request(tmp_path):
    run(tmp_path / "all", 5, functools.partial(station, functools.partial(Behaviour, failures=True)), only_successes=False)
    rows = open_reader(tmp_path / "all").metadata.episodes
    assert [row["outcome"] for row in rows] == ["success"] * 4 + ["failure"]
    assert [row["length"] for row in rows] == [1, 2, 3, 4, 4]


def test_what_is_added_goes_on_behind_what_is_there(tmp_path):
    run(tmp_path / "walks", 6)
    run(tmp_path / "walks", 4)
    assert seeds_of(tmp_path / "walks") == [0, 1, 2, 3, 5, 6, 7, 8]
    ours = json.loads((tmp_path / "walks/meta/info.json").read_text())["vla_train"]
    assert [(one["start"], one["episodes"], one["kept"]) for one in ours["collections"]] == [(0, 6, 5), (6, 4, 3)]
    with pytest.raises(errors.UsageError, match="has seeds 0 to 5 of the same already"):
        run(tmp_path / "walks", 4, start=3)


@pytest.mark.parametrize("blocks", [1, 3])
def test_a_collection_that_ended_in_the_middle_is_gone_on_with_to_the_same_bits(tmp_path, blocks):
    run(tmp_path / "whole")
    with pytest.raises(errors.WorldError):
        run(tmp_path / "torn", blocks=blocks)
    assert seeds_of(tmp_path / "torn") == [seed for seed in range(4 * blocks) if seed % 5 != 4]
    found, said = run(tmp_path / "torn")
    assert f"{4 * blocks} of 20 episodes are played" in said[0]
    assert found.played == 20 - 4 * blocks
    assert bits(tmp_path / "torn") == bits(tmp_path / "whole")


def test_what_different_players_noted_are_columns_of_every_file(tmp_path):
    """``datasets``, by which LeRobot reads them, takes the columns of the first file for those of all."""
    walks, labelled = tmp_path / "walks", functools.partial(agent_player, MixturePlayer, CountingAgent, Turns())
    writer = LeRobotWriter(walks, CORRIDOR, "Corridor")
    with closing(Corridor(1)) as corridor:
        for episode in ExpertRun(corridor, [0], Behaviour()):
            write_episode(writer, World.of(corridor), episode, {"place": 7})  # who played is not noted
    writer.finish()
    run(walks, 2, functools.partial(station, labelled), start=1, recipe={"player": "mixture"})
    run(walks, 2, start=3)
    files = sorted((walks / "meta/episodes").rglob("*.parquet"))
    assert len(files) == 3
    assert len({pq.read_schema(file) for file in files}) == 1
    rows = open_reader(walks).metadata.episodes
    assert [row["player"] for row in rows] == [None, "mixture", "mixture", "expert"]
    assert [row["expert_steps"] for row in rows] == [None, 0, 0, None]
    assert [row["place"] for row in rows] == [7, None, None, None]


def test_nobody_else_writes_from_when_it_is_read_what_there_is(tmp_path, monkeypatch):
    run(tmp_path / "walks", 2)
    decided = ledger.current

    def current(*words):
        with pytest.raises(errors.UsageError, match="another process is writing"):
            LeRobotWriter(tmp_path / "walks", CORRIDOR, "Corridor", append=True)
        return decided(*words)

    monkeypatch.setattr(ledger, "current", current)
    run(tmp_path / "walks", 2)
    assert seeds_of(tmp_path / "walks") == [0, 1, 2, 3]


def test_a_refused_wish_leaves_no_folder(tmp_path):
    with pytest.raises(errors.UsageError, match="reach beyond"):
        run(tmp_path / "walks", 2, start=10**12)
    assert not list(tmp_path.iterdir())


def test_seeds_up_to_where_a_stranger_says_are_told_with_their_place(tmp_path):
    run(tmp_path / "walks", 2)
    path = tmp_path / "walks/meta/info.json"
    info = json.loads(path.read_text())
    info["vla_train"]["collections"][0]["start"] = 10**12
    path.write_text(json.dumps(info))
    with pytest.raises(errors.UsageError, match="walks has seeds up to 1,000,000,000,001, and episodes=2 reach beyond"):
        run(tmp_path / "walks", 2)


def test_another_wish_leaves_a_torn_collection_as_it_is(tmp_path):
    with pytest.raises(errors.WorldError):
        run(tmp_path / "walks", blocks=1)
    run(tmp_path / "walks", 4, recipe={"player": "another"})
    assert seeds_of(tmp_path / "walks") == [0, 1, 2, 3, 20, 21, 22, 23]


@pytest.mark.parametrize(("processes", "encodes"), [(1, False), (2, True)])
def test_the_number_of_processes_changes_nothing_nor_who_encodes(tmp_path, processes, encodes):
    run(tmp_path / "here")
    run(tmp_path / "there", processes=processes, make=functools.partial(station, environment=Dawdling, encodes=encodes))
    assert content_fingerprint(tmp_path / "there") == content_fingerprint(tmp_path / "here")


def test_a_block_is_as_large_as_its_pictures_allow():
    large = replace(CORRIDOR, images={"top": ImageSpec(1024, 1024)}, horizon=10)  # 30 MiB an episode, and 256 are allowed
    assert crew.block_size(128, CORRIDOR, ROWS) == 128
    assert crew.block_size(128, large, ROWS) == 8
    assert crew.block_size(4, large, ROWS) == 4
    assert crew.block_size(128, large, 16) == 16, "these are in memory anyway"


def test_pictures_are_encoded_before_the_next_episode_is_there(monkeypatch):
    known = []

    class Run(ExpertRun):
        def __iter__(self):
            for episode in super().__iter__():
                assert all(before.encoded for before in known)
                known.append(episode)
                yield episode

    monkeypatch.setattr(crew, "ExpertRun", Run)
    crew.play_block(Corridor(ROWS), Behaviour(), np.arange(4))
    assert len(known) == 4


def test_a_process_that_dies_is_told_and_what_was_collected_stays(tmp_path):
    with pytest.raises(errors.WorldError, match="exit code 9"):
        run(tmp_path / "walks", make=dying, processes=1)


def test_an_error_in_a_process_is_told_in_its_words(tmp_path):
    broken = functools.partial(station, environment=functools.partial(Corridor, broken_seed=6))
    with pytest.raises(errors.WorldError, match="a row is broken"):
        run(tmp_path / "walks", make=broken, processes=1)
    assert seeds_of(tmp_path / "walks") == [0, 1, 2, 3]


class Ending(Corridor):
    """Sends SIGTERM at seed 4 as it comes to a group of processes: to its own and to the one that collects."""

    def __init__(self, num_envs, collector):
        super().__init__(num_envs)
        self.collector = collector

    def reset(self, *, seed, options=None):
        for process in (self.collector, os.getpid()) if 4 in seed else ():
            os.kill(process, signal.SIGTERM)
        return super().reset(seed=seed, options=options)


def test_a_stop_of_the_whole_group_is_a_stop_and_no_death(tmp_path):
    make = functools.partial(station, environment=functools.partial(Ending, collector=os.getpid()))
    with stopping.handlers(), pytest.raises(errors.Interrupted, match="4 episodes were added") as stopped:
        run(tmp_path / "walks", make=make, processes=1)
    assert stopped.value.exit_code == 75
    assert seeds_of(tmp_path / "walks") == [0, 1, 2, 3]


class StrangeError(errors.WorldError):
    """As a plug-in may have it: made in another way, and unknown elsewhere."""

    def __init__(self, rows, why, trouble):
        super().__init__(why, rows)
        self.trouble = trouble


@pytest.mark.parametrize(
    ("error", "kind", "facts"),
    [
        (TornCheckpointError("x is torn"), errors.CheckpointError, {}),
        (errors.Interrupted("stopped", 130), errors.Interrupted, {"exit_code": 130}),
        (StrangeError([1], "bad luck", lambda: None), errors.WorldError, {"rows": [1]}),
    ],
)
def test_an_error_comes_out_of_a_process_as_its_nearest_kind_with_all_it_tells(error, kind, facts):
    here, there = Pipe()
    there.send(errors.nearest(error))
    known = here.recv()
    assert (type(known), str(known)) == (kind, str(error))
    assert {name: getattr(known, name) for name in facts} == facts


def refusing():
    raise TornCheckpointError("x is torn")


def test_a_torn_checkpoint_in_a_process_is_told_as_one(tmp_path):
    with pytest.raises(errors.CheckpointError, match="x is torn"):
        run(tmp_path / "walks", make=refusing, processes=1)


def test_nothing_worth_keeping_is_an_error(tmp_path):
    with pytest.raises(errors.DataError, match="none of 1 episodes succeeded"):
        run(tmp_path / "walks", 1, start=4)


def test_a_folder_with_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(errors.UsageError, match="no dataset"):
        run(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_ledger_that_lies_is_refused(tmp_path):
    run(tmp_path / "walks", 4)
    path = tmp_path / "walks/meta/info.json"
    info = json.loads(path.read_text())
    info["vla_train"]["collections"][0]["played"] = -1
    path.write_text(json.dumps(info))
    with pytest.raises(errors.DataError, match="collections cannot be read"):
        ledger.collections_in(tmp_path / "walks")


def test_a_policys_own_actions_are_recorded(tmp_path):
    make = functools.partial(station, functools.partial(agent_player, PolicyPlayer, Backwards))
    run(tmp_path / "walks", 3, make, only_successes=False)
    columns = open_reader(tmp_path / "walks").columns()
    assert columns.action.tolist() == [[-1.0]] * 12
    assert {row["player"] for row in open_reader(tmp_path / "walks").metadata.episodes} == {"policy"}


def test_the_expert_labels_what_the_policy_visits(tmp_path):
    make = functools.partial(station, functools.partial(agent_player, MixturePlayer, Backwards, Turns()))
    found, _ = run(tmp_path / "walks", 3, make, only_successes=False)
    columns = open_reader(tmp_path / "walks").columns()
    assert columns.state[:4, 0].tolist() == [0, -1, -2, -3]  # the policy's way
    assert columns.action.tolist() == [[1.0]] * 12  # the expert's word
    assert found.helped == 0


def test_the_expert_takes_its_turns_by_seed_and_burst():
    turns = Turns(share=0.5)
    seeds = np.arange(1000)
    ones, corridor = np.ones((1000, 1)), Corridor(1000)
    moment = Moment(corridor, corridor.reset(seed=seeds)[0], seeds, seeds, np.full(1000, 5))
    acts = turns.experts(ones, ones, moment, CORRIDOR.action)
    assert 0.45 < acts.mean() < 0.55
    same = replace(moment, steps=np.full(1000, 7))  # of the same burst of four
    assert (turns.experts(ones, ones, same, CORRIDOR.action) == acts).all()
    assert (acts == (counter_uniform((seeds << 32) + 1, 7007, 1)[:, 0] < 0.5)).all()


def test_the_expert_intervenes_where_the_policy_goes_astray(tmp_path):
    near = functools.partial(agent_player, MixturePlayer, CountingAgent, Turns(intervene=0.5))
    far = functools.partial(agent_player, MixturePlayer, Backwards, Turns(intervene=0.5))
    found, _ = run(tmp_path / "near", 4, functools.partial(station, near))
    assert found.helped == 0
    found, _ = run(tmp_path / "far", 4, functools.partial(station, far))
    assert (found.helped, found.frames, found.succeeded) == (10, 10, 4)  # 1 + 2 + 3 + 4 steps, all of them the expert's
    assert [row["expert_steps"] for row in open_reader(tmp_path / "far").metadata.episodes] == [1, 2, 3, 4]


def test_a_policy_that_gives_no_number_ends_it():
    player = agent_player(PolicyPlayer, functools.partial(CountingAgent, nan_at_goal="walk 2"))
    with closing(Corridor(ROWS)) as corridor, pytest.raises(errors.NumericError, match="step 0 of seed 1"):
        list(ExpertRun(corridor, [0, 1, 2], player))
