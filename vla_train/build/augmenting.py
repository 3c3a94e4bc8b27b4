"""What happens to training samples (``augmentation``), by what the run's data allow."""

import functools
from collections.abc import Callable
from contextlib import closing
from typing import Any

from vla_train.build.objects import Config, environment_maker, make, make_source
from vla_train.data.augmentation.language import vocabulary
from vla_train.data.dataset import DemonstrationDataset
from vla_train.envs.contract import Symmetric
from vla_train.spec import Stage
from vla_train.symmetry import Symmetry
from vla_train.types import Struct


def make_sources(config: Config, dataset: DemonstrationDataset, batch_type: type[Struct], stage: Stage) -> Callable[[Stage], Any]:
    """Makes the source of any stage, with the run's augmentation; ``stage`` is one whose environment can be asked."""
    augmentation = make_augmentation(config, dataset, stage)
    return functools.partial(make_source, config, dataset, batch_type, augmentation=augmentation)


def added_words(config: Config) -> list[str]:
    """What augmentation may bring into instructions that the data need not hold: the tokenizer learns it too."""
    node = config["augmentation"]
    return vocabulary() if node.get("synonyms") or node.get("insertion") else []


def make_augmentation(config: Config, dataset: DemonstrationDataset, stage: Stage) -> Any:
    """None: nothing. What may be moved and renamed, the environment declares. UsageError for what the data do not allow."""
    node = config["augmentation"]
    if node["_target_"] is None:
        return None
    symmetry = Symmetry()
    if maker := environment_maker(config, stage):
        with closing(maker(1)) as environment:
            symmetry = environment.symmetry if isinstance(environment, Symmetric) else symmetry
    known = {"spec": dataset.spec, "cameras": dataset.processor.image_specs, "scenes": dataset.scenes}
    return make(node, "augmentation", symmetry=symmetry, **known)
