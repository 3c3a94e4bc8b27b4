"""The rounds of ``source=dagger``: played in the run's environment by the policy as it is then, kept in the run folder."""

import hashlib
import shutil
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vla_train.build.augmenting import make_augmentation
from vla_train.build.datasets import open_dataset
from vla_train.build.objects import Config, environment_maker, make_limits
from vla_train.collection import ledger
from vla_train.collection.collect import Wish, collect
from vla_train.collection.crew import block_size, play_block
from vla_train.collection.expert import ExpertEpisode
from vla_train.collection.policy_player import MixturePlayer, Turns
from vla_train.collection.recording import World
from vla_train.data.augmentation.batch import Change
from vla_train.data.choice import Choice
from vla_train.data.dataset import DemonstrationDataset
from vla_train.data.mixture import common_spec
from vla_train.data.reader import open_reader
from vla_train.data.records import MIXTURE
from vla_train.envs.contract import Environment
from vla_train.errors import CheckpointError, DataError, UsageError
from vla_train.models.policy import Policy
from vla_train.optim import Average
from vla_train.rollouts import Agent
from vla_train.rollouts.chunks import chunk_executor, executed
from vla_train.sources.dagger import DaggerSource
from vla_train.spec import Spec, Stage

FOLDER = "dagger"  # in the run folder
ROWS = 32
BLOCK = 128
Say = Callable[[str], None]


def refuse_early(config: Config, stage: Stage) -> None:
    """Raise UsageError where source=dagger cannot play, before there are demonstrations or a run folder."""
    if not _is_dagger(config):
        return
    maker, every, steps = environment_maker(config, stage), config["source"]["every"], make_limits(config).steps
    if maker is None:
        raise UsageError("source=dagger plays in the run's environment, and there is none (environment=none): name one")
    if steps is not None and every >= steps:
        raise UsageError(f"source.every={every}: the run is over after steps={steps}, before its first round: lower source.every")
    with closing(maker(1)) as environment:
        if "expert" in environment.not_applicable:
            raise UsageError(f"source=dagger needs an expert: {environment.not_applicable['expert']}; set source=dataset")


def refuse_other_data(config: Config, stage: Stage, spec: Spec) -> None:
    """Raise DataError where the rounds of source=dagger would not fit demonstrations of ``spec``, before anything is learned."""
    if not _is_dagger(config):
        return
    maker = environment_maker(config, stage)
    assert maker is not None, "refused before"
    with closing(maker(1)) as environment:
        world = environment.io_spec
    seen = {camera: image for camera, image in world.images.items() if camera in spec.images}
    common_spec({"the demonstrations": spec, "rounds of source=dagger": replace(world, images=seen)})


def _is_dagger(config: Config) -> bool:
    return bool(config["source"]["_target_"] == f"{DaggerSource.__module__}.{DaggerSource.__qualname__}")


def with_rounds(
    sources: Callable[[Stage], Any],
    config: Config,
    average: Average,
    demonstrations: DemonstrationDataset | None,
    run: Path,
    say: Say,
) -> Callable[[Stage], Any]:
    """``sources``, of which those that grow by rounds are told how, by the policy that is evaluated; without demonstrations
    there are none."""
    if demonstrations is None:
        return sources
    policy = average.policy
    assert isinstance(policy, Policy), "what is trained is one"

    def made(stage: Stage) -> Any:
        source = sources(stage)
        if isinstance(source, DaggerSource):
            source.rounds = PlayedRounds(config, stage, policy, demonstrations, run / FOLDER, say)
        return source

    return made


class PlayedRounds:
    """See ``sources.dagger.Rounds``. A round that is there is played anew only if another policy played it."""

    def __init__(
        self, config: Config, stage: Stage, policy: Policy, demonstrations: DemonstrationDataset, folder: Path, say: Say = print
    ) -> None:
        maker = environment_maker(config, stage)
        assert maker is not None, "a run without an environment is refused before it begins"
        held_out = {"split": "train"} if "split" in config["environment"] else {}
        self._make: Callable[[], Environment] = lambda: maker(ROWS, **held_out)
        self._config, self._stage, self._folder = config, stage, folder
        self._policy, self._processor, self._say = policy, demonstrations.processor, say
        self._demonstrations, self._cameras = demonstrations.folder, tuple(demonstrations.spec.images)

    def play(self, number: int, episodes: int, share: float) -> DemonstrationDataset:
        with closing(self._make()) as environment:
            player = self._player(share)

            def play(blocks: Sequence[np.ndarray]) -> Generator[list[ExpertEpisode], None, None]:
                for seeds in blocks:
                    yield play_block(environment, player, seeds)

            world = World.of(environment)
            made = {"player": MIXTURE, "round": number, "expert": share, "policy": _digest(self._policy)}
            recipe = world.recipe({}) | made
            start = ledger.first_free(self._demonstrations) + (number - 1) * episodes
            block = block_size(BLOCK, world.spec, ROWS)
            wish = Wish(recipe, episodes, start, block=block, only_successes=False, note=lambda text: None, bar=False)
            folder = self._of(number)
            if not _is_of(folder, wish):
                shutil.rmtree(folder, ignore_errors=True)
            if not _is_whole(folder):
                self._say(f"round {number}: {collect(folder, wish, world, play).sentence()}")
        return self._open(number)

    def played(self, number: int) -> DemonstrationDataset:
        if not _is_whole(self._of(number)):
            raise CheckpointError(f"{self._of(number)}, round {number} of this run, is gone or torn: take an earlier checkpoint")
        return self._open(number)

    def augmentation(self, dataset: DemonstrationDataset) -> Change | None:
        return make_augmentation(self._config, dataset, [self._stage])  # type: ignore[no-any-return]

    def _player(self, share: float) -> MixturePlayer:
        settings, device = self._config["evaluation"], next(self._policy.parameters()).device
        execute = executed(settings["execute"], self._processor.spec.chunk)
        executor = chunk_executor(ROWS, execute, ensemble=settings["ensemble"])
        return MixturePlayer(Agent(self._policy, self._processor, device=device), executor, Turns(share))

    def _of(self, number: int) -> Path:
        return self._folder / f"round_{number:03d}"

    def _open(self, number: int) -> DemonstrationDataset:
        """A round as the demonstrations are seen, by the same cameras, none of it held out."""
        kept = self._config | {"dataset": self._config["dataset"] | {"validation": 0.0, "held_out": None}}
        cameras = Choice(cameras=self._cameras)
        return open_dataset(kept, open_reader(self._of(number), cameras), self._processor)


def _is_of(folder: Path, wish: Wish) -> bool:
    """Whether a folder has what is wished, or the beginning of it."""
    try:
        found = ledger.collections_in(folder)
    except (DataError, UsageError):
        return False
    return len(found) == 1 and (found[0].recipe, found[0].start) == (ledger.as_read(wish.recipe), wish.start)


def _is_whole(folder: Path) -> bool:
    try:
        found = ledger.collections_in(folder)
    except (DataError, UsageError):
        return False
    return bool(found) and found[0].played == found[0].episodes


def _digest(policy: Policy) -> str:
    """sha256 of the weights, by which a round is known to be this policy's."""
    total = hashlib.sha256()
    for name, tensor in sorted(policy.state_dict().items()):
        total.update(name.encode() + tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return total.hexdigest()
