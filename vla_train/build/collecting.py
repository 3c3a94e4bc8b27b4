"""``collect``: episodes of an environment into a dataset, by whoever shall play them."""

import functools
import inspect
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vla_train import checkpoint, runtime
from vla_train import config as configuration
from vla_train.build.judged import check_fit, stages_of
from vla_train.build.objects import Config, environment_maker, load_agent
from vla_train.collection.behaviour import Behaviour
from vla_train.collection.collect import Collected, Wish
from vla_train.collection.collect import collect as add_episodes
from vla_train.collection.crew import block_size, play_blocks
from vla_train.collection.expert import ExpertEpisode
from vla_train.collection.person import PersonPlayer, refuse_unplayable
from vla_train.collection.player import Player
from vla_train.collection.policy_player import MixturePlayer, PolicyPlayer, Turns
from vla_train.collection.recording import World, writing
from vla_train.collection.terminal import Terminal
from vla_train.envs import workers
from vla_train.envs.contract import Environment
from vla_train.errors import UsageError
from vla_train.evaluation.success import check_execution
from vla_train.rollouts.chunks import chunk_executor, executed
from vla_train.spec import Stage

NO_RANDOMIZATION = {"_target_": None}
_POLICY = ("execute", "ensemble", "rows", "block")  # which rows are planned together may decide a last bit
OF_PLAYING = {  # keys that decide what is recorded
    "expert": ("noise", "lapses"),
    "person": (),
    "policy": _POLICY,
    "mixture": (*_POLICY, "expert", "intervene"),
}
RECIPE = 1  # of the way in which episodes are made: raise it when the same keys give other ones


@dataclass
class Station:
    """What a process plays with."""

    environment: Environment
    player: Player
    encodes: bool

    def close(self) -> None:
        self.environment.close()
        if isinstance(self.player, PersonPlayer):
            self.player.close()


def collect(config: Config) -> dict[str, float]:
    """Run ``vla-collect``. Returns how many episodes were played, succeeded and were recorded."""
    runtime.start(device=config["device"], threads=config["threads"])
    saved = None if config["checkpoint"] is None else checkpoint.read(Path(config["checkpoint"]), print)
    config = _settled(config, saved)
    world = _world(config)
    policy = None
    if saved is not None and config["player"] in ("policy", "mixture"):
        config, policy = _with_policy(config, saved, world), saved.digest
    make = functools.partial(make_station, config)

    def play(blocks: Sequence[np.ndarray]) -> Generator[list[ExpertEpisode], None, None]:
        return play_blocks(make, blocks, config["processes"])

    folder = Path(config["output"])
    with writing(folder):
        found = add_episodes(folder, _wish(config, world, policy), world, play)
    print(found.sentence(), flush=True)
    return _metrics(found)


def make_station(config: Config) -> Station:
    """Environment and player, as a process that may know nothing else makes them."""
    runtime.start(device=config["device"], threads=config["threads"])
    maker = environment_maker(config, Stage(config["stage"]))
    assert maker is not None, "collecting without an environment is refused before"
    here = {"processes": 0} if config["processes"] and "processes" in config["environment"] else {}
    environment = maker(config["rows"], **here)
    try:  # a terminal changes only when all else is there
        player = make_player(config)
    except BaseException:
        environment.close()
        raise
    return Station(environment, player, encodes=config["video"] is None)


def make_player(config: Config) -> Player:
    failures = config["keep"] == "all"
    if config["player"] == "expert":
        return Behaviour(noise=config["noise"], lapses=config["lapses"], failures=failures)
    if config["player"] == "person":
        return PersonPlayer(Terminal(), keeps_failures=failures)
    agent = load_agent(config["checkpoint"], config["device"])
    executor = chunk_executor(config["rows"], config["execute"], ensemble=config["ensemble"])
    if config["player"] == "policy":
        return PolicyPlayer(agent, executor, keeps_failures=failures)
    return MixturePlayer(agent, executor, Turns(config["expert"], config["intervene"]), keeps_failures=failures)


def _settled(config: Config, saved: checkpoint.Checkpoint | None) -> Config:
    """The config with what ``null`` and ``auto`` stand for."""
    trained = None
    if saved is not None:
        trained = configuration.load_saved(saved.text("config.yaml"), where=str(saved.path / "config.yaml"))
    player = config["player"]
    if player == "auto":
        player = "expert" if saved is None else "policy"
    keep = config["keep"]
    if keep == "auto":
        keep = "successes" if player in ("expert", "person") else "all"
    choices = dict(config["choices"])
    environment, randomization = config["environment"], config["randomization"]
    if trained is not None and environment is not None and environment["_target_"] != trained["environment"]["_target_"]:
        trained = None  # in another world nothing of the run's holds
    if trained is not None and randomization is None:
        randomization = trained["randomization"]
    if environment is None and trained is not None:
        environment, choices["environment"] = trained["environment"], trained["choices"]["environment"]
        if environment["_target_"] is None:
            raise UsageError(f"checkpoint={config['checkpoint']}: its run has no environment, so name one with environment=")
        environment = environment | ({"split": "train"} if "split" in environment else {})
    assert environment is not None, "the config was checked"
    if environment["_target_"] is None:
        raise UsageError("environment=none: episodes are played in an environment, so name one")
    if environment.get("split", "train") != "train":
        raise UsageError(f"environment.split={environment['split']}: what is held out is never recorded: leave it out")
    settled = {"player": player, "keep": keep, "environment": environment, "choices": choices}
    settled["randomization"] = randomization or NO_RANDOMIZATION
    settled["stage"] = config["stage"] or _first_stage(trained, environment)
    if player == "person":
        settled |= {"rows": 1, "block": 1}
    return config | settled


def _first_stage(trained: Config | None, environment: Config) -> str:
    if trained is not None:
        stages = stages_of(trained, None)
        if len(stages) > 1:
            raise UsageError(f"the run has several stages: name one with stage= ({', '.join(stage.name for stage in stages)})")
        return stages[0].name
    target = configuration.resolve_target(environment["_target_"], "environment")
    return str(inspect.signature(target).parameters["stage"].default)


def _world(config: Config) -> World:
    """What the environment is; UsageError where it has not what collecting needs of it."""
    maker = environment_maker(config, Stage(config["stage"]))
    assert maker is not None, "an environment was asked for before"
    with closing(maker(1)) as environment:
        world = World.of(environment)
    lacking, name = world.not_applicable, config["choices"]["environment"]
    if config["player"] == "person":
        refuse_unplayable(world.spec.action)
    if config["player"] in ("expert", "mixture") and "expert" in lacking:
        raise UsageError(f"player={config['player']}: environment={name} has no expert ({lacking['expert']}): take player=policy")
    if config["keep"] == "successes" and "success" in lacking:
        raise UsageError(f"environment={name} cannot tell a success ({lacking['success']}): set keep=all")
    return world


def _with_policy(config: Config, saved: checkpoint.Checkpoint, world: World) -> Config:
    """The checkpoint by its own path, for ``last`` may move on meanwhile, and how its chunks are executed."""
    trained = configuration.load_saved(saved.text("config.yaml"), where=str(saved.path / "config.yaml"))
    processor = load_agent(saved.path).processor
    check_fit(saved, processor.spec, world.spec, config["choices"]["environment"])
    chosen = {name: trained["evaluation"][name] if config[name] is None else config[name] for name in ("execute", "ensemble")}
    check_execution(processor.spec, chosen["execute"], chosen["ensemble"])
    chosen["execute"] = executed(chosen["execute"], processor.spec.chunk)
    return config | chosen | {"checkpoint": str(saved.path.resolve())}


def _wish(config: Config, world: World, policy: str | None) -> Wish:
    """What is to be collected; ``policy`` is the digest of the one that plays, by whatever path it is known."""
    settings = {key: value for key, value in config["environment"].items() if key not in ("_target_", *workers.SETTINGS)}
    if config["randomization"]["_target_"] is not None:
        settings["randomization"] = config["randomization"]
    recipe = {"recipe": RECIPE, **world.recipe(settings)}
    made = recipe | {key: config[key] for key in ("player", "keep", *OF_PLAYING[config["player"]])}
    if policy is not None:
        made["policy"] = policy
    return Wish(
        recipe=made,
        episodes=config["episodes"],
        start=config["start"],
        block=block_size(config["block"], world.spec, config["rows"]),
        only_successes=config["keep"] == "successes",
        video=config["video"],
        bar=config["player"] != "person",
    )


def _metrics(found: Collected) -> dict[str, float]:
    counts = {"played": found.played, "recorded": found.kept, "frames": found.frames, "seconds": found.seconds}
    return {name: float(count) for name, count in counts.items()} | {"success": found.succeeded / max(found.played, 1)}
