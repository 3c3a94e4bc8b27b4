"""The run's data: found or made, opened, and seen through a Processor.

A run has one dataset, or one for each stage of its curriculum, or the parts of a mix (``dataset=mix``); all are known by name.
"""

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vla_train import config as configuration
from vla_train.build.objects import Config, environment_maker, make
from vla_train.data.dataset import DemonstrationDataset
from vla_train.data.mixture import Mixture, common_spec, joined
from vla_train.data.records import Reader, RecordedData
from vla_train.envs import workers
from vla_train.errors import CheckpointError, UsageError
from vla_train.models.normalizer import Normalization
from vla_train.models.policy import Policy
from vla_train.processor import Processor
from vla_train.spec import Spec, Stage

CACHE = "cache_gb"
OF_THE_MIX = ("batch_size", "history", "chunk", CACHE)  # keys that the parts of a mix share


def part_of(config: Config, name: str) -> Config:
    """The config of a run on the part of a mix that is called so; a run without a mix as it is."""
    mix = config["dataset"].get("mix")
    if mix is None:
        return config
    part = mix.get(name) or next(iter(mix.values()))  # a mix of one is known without a name
    node = configuration.load_choice("dataset", part["format"])
    node |= {"validation": config["dataset"]["validation"]} | {key: part[key] for key in part if key in node}
    node |= {key: config["dataset"][key] for key in OF_THE_MIX if key in config["dataset"]}
    return config | {"dataset": node, "choices": config["choices"] | {"dataset": part["format"]}}


def make_data(config: Config) -> RecordedData:
    """The run's ``dataset``: what finds, makes and opens its demonstrations."""
    node = {key: value for key, value in config["dataset"].items() if key != CACHE}  # how it is loaded is no matter of the data
    return make(node, "dataset")  # type: ignore[no-any-return]


def open_demonstrations(config: Config, stage: Stage) -> Reader:
    """A stage's demonstrations, made by the environment's expert if they are to be made and are not there yet."""
    data = make_data(config)
    world = {key: value for key, value in config["environment"].items() if key != "_target_"}
    if "split" in world:
        world["split"] = "train"  # what is held out is never recorded, whatever the run is evaluated on
    maker = environment_maker(config | {"environment": config["environment"] | world}, stage)
    name = config["choices"]["dataset"] + ("" if stage.name == "none" else f"-{stage.name}")
    world = {key: value for key, value in world.items() if key not in workers.SETTINGS}
    if config["randomization"]["_target_"] is not None:
        world["randomization"] = config["randomization"]
    return data.open(data.ensure(maker, world, output=Path(config["output"]), name=name))


def open_stages(config: Config, stages: Sequence[Stage]) -> dict[str, Reader]:
    """The demonstrations of every stage, or of every part of a mix. A stage that does not exist is told before any are made."""
    if len(stages) > 1:
        if config["dataset"].get("path") is not None or config["dataset"].get("mix") is not None:
            raise UsageError(
                f"dataset.path names one dataset, but curriculum={config['choices']['curriculum']} trains {len(stages)} stages, "
                "each on its own demonstrations: leave out dataset.path, or choose a curriculum of one stage"
            )
        for maker in filter(None, (environment_maker(config, stage) for stage in stages)):
            maker(1).close()
    if mix := config["dataset"].get("mix"):
        return {name: open_demonstrations(part_of(config, name), stages[0]) for name in mix}
    return {stage.name: open_demonstrations(config, stage) for stage in stages}


def spec_of(config: Config, readers: Mapping[str, Reader]) -> Spec:
    """What a policy sees and does that learns from all of them; the parts of a mix are its domains."""
    return common_spec(
        {name: reader.metadata.spec for name, reader in readers.items()}, domains=bool(config["dataset"].get("mix"))
    )


def open_dataset(
    config: Config, reader: Reader, processor: Processor, name: str = "", *, whole: bool = True
) -> DemonstrationDataset:
    """The dataset with its frame cache: beside data that this program made, else under ``<output>/caches``, for nothing is
    written among the recordings of others.

    Raises CheckpointError for the part of a mix that a policy from elsewhere does not know.
    """
    domain = _domain(processor.spec.domains, name) if config["dataset"].get("mix") else 0
    config = part_of(config, name)
    keys, output = ("history", "chunk", "validation"), Path(config["output"])
    ours = reader.folder.is_dir() and output.resolve() in reader.folder.resolve().parents and os.access(reader.folder, os.W_OK)
    cache = None if ours else output / "caches" / reader.metadata.fingerprint[:12]
    chosen = {key: config["dataset"][key] for key in keys} | {"held_out": config["dataset"].get("held_out")}
    loading = {CACHE: config["dataset"].get(CACHE), "buffer": config.get("source", {}).get("shuffle")}
    return DemonstrationDataset(reader, processor, cache=cache, domain=domain, whole=whole, **chosen, **loading)


def _domain(domains: Sequence[str], name: str) -> int:
    if not domains or not name:  # a mix of one is known without a name
        return 0
    if name not in domains:
        raise CheckpointError(
            f"the policy was trained on {', '.join(domains)}, and knows no units for {name!r}: call the part of dataset.mix like "
            "the one that it resembles, or train anew"
        )
    return domains.index(name)


def open_datasets(config: Config, readers: Mapping[str, Reader], processor: Processor) -> DemonstrationDataset:
    """The datasets of all stages, or parts of a mix, as one."""
    return joined({name: open_dataset(config, reader, processor, name) for name, reader in readers.items()})


def fit_normalizer(policy: Policy, dataset: DemonstrationDataset, settings: Mapping[str, Any]) -> None:
    """Give the policy the units of its training data, each domain its own. Raises UsageError for a column that is none of its
    (``normalization.columns``), DataError where statistics are missing or not finite."""
    spec = policy.spec
    chosen = Normalization(settings["state"], settings["action"], settings["columns"] or {})
    columns = {feature: dataset.columns_of.get(feature, ()) for feature in ("state", "action")}
    numbers = spec.action.names if spec.action.kind == "continuous" else ()  # names of choices are none of numbers
    chosen.check([*spec.state_names, *numbers], [*columns["state"], *columns["action"]])
    modes = {
        "state": chosen.modes("state", spec.state_names, spec.state_size, columns["state"]),
        "action": chosen.modes("action", numbers, spec.action.size, columns["action"]),
    }
    if getattr(policy.head, "bounded", False):  # such a head reaches from -1 to 1 and no farther
        known = [*spec.action.low, *spec.action.high]
        plain = bool(known) and all(map(math.isfinite, known)) and not spec.action.relative_to
        modes["action"] = ["bounds" if plain else "min_max"] * spec.action.size
    parts = list(dataset.parts.values()) if spec.domains and isinstance(dataset, Mixture) else [dataset]
    for domain, part in enumerate(parts):
        policy.normalizer.fit(part.statistics(), domain, modes)
