"""What happens to training samples (``augmentation``), by what the run's data allow."""

import functools
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import Any

from vla_train.build.objects import Config, environment_maker, make, make_processor, make_source
from vla_train.data.augmentation.language import vocabulary
from vla_train.data.dataset import DemonstrationDataset
from vla_train.data.records import Reader, scene_of
from vla_train.envs.contract import Symmetric
from vla_train.processor import Processor
from vla_train.spec import Spec, Stage
from vla_train.symmetry import Symmetry
from vla_train.types import Struct


def make_sources(
    config: Config, dataset: DemonstrationDataset, batch_type: type[Struct], augmentation: Any
) -> Callable[[Stage], Any]:
    """Makes the source of any stage, with the run's augmentation."""
    return functools.partial(make_source, config, dataset, batch_type, augmentation=augmentation)


def added_words(config: Config) -> list[str]:
    """What augmentation may bring into instructions that the data need not hold: the tokenizer learns it too."""
    node = config["augmentation"]
    return vocabulary() if node.get("synonyms") or node.get("insertion") else []


def refuse_early(config: Config, stages: Sequence[Stage]) -> None:
    """Raise UsageError for an augmentation that demonstrations of the run's environment do not allow, before any are made."""
    dataset = config["dataset"]
    if dataset.get("path") is not None or dataset.get("mix") is not None or not _is_on(config):
        return
    if maker := environment_maker(config, stages[0]):
        with closing(maker(1)) as environment:
            spec = environment.io_spec
        _made(config, stages, spec, make_processor(config, spec, []), None)


def augmentation_for(
    config: Config, stages: Sequence[Stage], processor: Processor, spec: Spec, readers: Mapping[str, Reader]
) -> Any:
    """None: nothing. For what the readers have, before a frame of theirs is decoded; ``stages`` are all those of the run's
    curriculum. What may be moved and renamed, the environment of each stage declares, which is asked only where something is.
    UsageError for what the data do not allow."""
    scenes = [scene_of(episode) for reader in readers.values() for episode in reader.metadata.episodes]
    return _made(config, stages, spec, processor, scenes)


def make_augmentation(config: Config, dataset: DemonstrationDataset, stages: Sequence[Stage]) -> Any:
    """The same, for a dataset that is open."""
    return _made(config, stages, dataset.spec, dataset.processor, dataset.scenes)


def _is_on(config: Config) -> bool:
    return config["augmentation"]["_target_"] is not None


def _made(config: Config, stages: Sequence[Stage], spec: Spec, processor: Processor, scenes: Sequence[str] | None) -> Any:
    if not _is_on(config):
        return None
    symmetries = functools.cache(lambda: {stage.name: _symmetry(config, stage) for stage in stages})
    known = {"spec": spec, "cameras": processor.image_specs, "scenes": scenes}
    return make(config["augmentation"], "augmentation", symmetries=symmetries, **known)


def _symmetry(config: Config, stage: Stage) -> Symmetry:
    if maker := environment_maker(config, stage):
        with closing(maker(1)) as environment:
            return environment.symmetry if isinstance(environment, Symmetric) else Symmetry()
    return Symmetry()
