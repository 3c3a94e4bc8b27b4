"""What learns in a run, and from what: put together from scratch, from a checkpoint (``init``), or as it was (``resume``)."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from vla_train import checkpoint
from vla_train import config as configuration
from vla_train.build import rounds, worlds
from vla_train.build.augmenting import added_words, augmentation_for, make_sources, refuse_early
from vla_train.build.datasets import fit_normalizer, open_datasets, open_stages, part_of, spec_of
from vla_train.build.objects import Config, choose_head, make_policy, make_processor, with_chunk
from vla_train.build.starting import started
from vla_train.data.dataset import DemonstrationDataset
from vla_train.data.mixture import Mixture
from vla_train.data.records import Reader
from vla_train.data.split import split_episodes
from vla_train.errors import CheckpointError
from vla_train.models.policy import Policy
from vla_train.paradigms.base import Paradigm
from vla_train.processor import Processor
from vla_train.spec import Spec, Stage
from vla_train.tracking.console import Console


@dataclass(frozen=True)
class Learner:
    """What learns, and from what."""

    config: Config  # with what ``auto`` became
    processor: Processor
    policy: Policy
    fingerprint: str  # of the data, or of the world
    dataset: DemonstrationDataset | None = None
    augmentation: Any = None
    world: worlds.Worlds | None = None  # of a run without a dataset

    def until(self, stage: str) -> Spec:
        """What is learned up to this stage."""
        if self.world is not None:
            return self.world.until(stage)
        assert self.dataset is not None, "a run has a dataset or a world"
        return self.dataset.until(stage).spec


def make_learner(
    config: Config,
    stages: Sequence[Stage],
    saved: checkpoint.Checkpoint | None,
    console: Console,
    overrides: Sequence[str] = (),
) -> Learner:
    """Data and policy: fresh, or of a checkpoint (``resume``, ``init``), whose processor and normalizer are never refitted.

    Tokenizer, statistics and Spec are those of all stages, whichever comes first. Of ``overrides``, the words of
    the command line, those that could have no effect beside ``init`` are refused.
    """
    start = checkpoint.read(Path(config["init"])) if saved is None and config["init"] else saved
    world = worlds.open_worlds(config, stages) if worlds.collects(config) else None
    if start is None and world is None:
        refuse_early(config, stages)
    rounds.refuse_early(config, stages[0])
    readers = {} if world is not None else open_stages(config, stages)
    spec = spec_of(config, readers) if world is None else world.spec
    rounds.refuse_other_data(config, stages[0], spec)
    if start is None:
        config = with_chunk(choose_head(config, spec.action))
        window = spec.with_window(config["dataset"]["history"], config["dataset"]["chunk"])
        heard = _training_instructions(config, readers) if world is None else world.instructions
        processor = make_processor(config, window, heard)
        policy = make_policy(config, processor)
    else:
        config, processor, policy, changed = started(config, start, spec, () if saved is not None else overrides)
    for note in processor.notes():
        console.message(note)
    if start is not None and saved is None:
        but = f", but for {', '.join(changed)}" if changed else ""
        console.message(f"init: weights, model, head, processor, normalizer, history and chunk are those of {start.path}{but}")
    if world is not None:
        if saved is not None:
            _check_unchanged(config, saved, world.fingerprint, f"environment={config['choices']['environment']}")
        return Learner(config, processor, policy, world.fingerprint, world=world)
    augmentation = augmentation_for(config, stages, processor, spec, readers)
    if augmentation is not None:
        console.message(f"augmentation={config['choices']['augmentation']}: {augmentation}")
    dataset = open_datasets(config, readers, processor)
    if start is None:
        fit_normalizer(policy, dataset, config["normalization"])
    if saved is not None:
        _check_unchanged(config, saved, dataset.fingerprint, f"the dataset at {dataset.folder}")
    return Learner(config, processor, policy, dataset.fingerprint, dataset, augmentation)


def _training_instructions(config: Config, readers: Mapping[str, Reader]) -> Iterator[str]:
    """Those of the episodes that are not held out: of the others the tokenizer must not know either."""
    for name, reader in readers.items():
        metadata, chosen = reader.metadata, part_of(config, name)["dataset"]
        held_out = chosen.get("held_out")
        episodes = split_episodes(metadata.num_episodes, chosen["validation"], 0, held_out, metadata.excluded)
        yield from (metadata.instructions[episode] for episode in episodes["train"])
    yield from added_words(config)


def _check_unchanged(config: Config, saved: checkpoint.Checkpoint, fingerprint: str, what: str) -> None:
    then = json.loads(saved.text("data.json"))["fingerprint"]
    if then != fingerprint and not config["force_dataset"]:
        raise CheckpointError(
            f"{what} has changed since {saved.path} was saved (fingerprint {fingerprint[:12]}, then {then[:12]}): bring the old "
            "one back, or go on with force_dataset=true"
        )


def sources_of(learner: Learner, paradigm: Paradigm[Any], device: torch.device, run: Path) -> Callable[[Stage], Any]:
    """Makes the source of any stage, for a run in this folder."""
    if learner.dataset is None:
        return worlds.played(learner.config, learner.processor, paradigm, device, run)
    return make_sources(learner.config, learner.dataset, paradigm.batch_type, learner.augmentation)


def texts_of(learner: Learner) -> dict[str, str]:
    """The text files of each checkpoint."""
    parts = learner.dataset.parts if isinstance(learner.dataset, Mixture) else {"": learner.dataset}
    known = {
        name: {"fingerprint": part.fingerprint, "folder": str(part.folder.resolve())}
        for name, part in parts.items()
        if part is not None
    }
    data: dict[str, Any] = {"fingerprint": learner.fingerprint, "parts": known}
    return {
        "config.yaml": configuration.dump(learner.config),
        "spec.json": learner.processor.spec.to_json(),
        "data.json": json.dumps(data),
        **learner.processor.texts(),
    }
