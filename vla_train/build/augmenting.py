"""What happens to training samples (``augmentation``), by what the run's data allow."""

import functools
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any

from vla_train.build.objects import Config, environment_maker, make, make_source
from vla_train.data.augmentation.language import vocabulary
from vla_train.data.dataset import DemonstrationDataset
from vla_train.envs.contract import Symmetric
from vla_train.spec import Stage
from vla_train.symmetry import Symmetry
from vla_train.types import Struct


def make_sources(
    config: Config, dataset: DemonstrationDataset, batch_type: type[Struct], stages: Sequence[Stage]
) -> Callable[[Stage], Any]:
    """Makes the source of any stage, with the run's augmentation; ``stages`` are all those of the run's curriculum."""
    augmentation = make_augmentation(config, dataset, stages)
    return functools.partial(make_source, config, dataset, batch_type, augmentation=augmentation)


def added_words(config: Config) -> list[str]:
    """What augmentation may bring into instructions that the data need not hold: the tokenizer learns it too."""
    node = config["augmentation"]
    return vocabulary() if node.get("synonyms") or node.get("insertion") else []


def make_augmentation(config: Config, dataset: DemonstrationDataset, stages: Sequence[Stage]) -> Any:
    """None: nothing. What may be moved and renamed, the environment of each stage declares, which is asked only where something
    is. UsageError for what the data do not allow."""
    node = config["augmentation"]
    if node["_target_"] is None:
        return None
    symmetries = functools.cache(lambda: {stage.name: _symmetry(config, stage) for stage in stages})
    known = {"spec": dataset.spec, "cameras": dataset.processor.image_specs, "scenes": dataset.scenes}
    return make(node, "augmentation", symmetries=symmetries, **known)


def _symmetry(config: Config, stage: Stage) -> Symmetry:
    if maker := environment_maker(config, stage):
        with closing(maker(1)) as environment:
            return environment.symmetry if isinstance(environment, Symmetric) else Symmetry()
    return Symmetry()
