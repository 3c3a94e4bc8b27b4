"""Checking a composed config against its schema, before anything expensive is imported."""

from collections.abc import Mapping
from typing import Any

from vla_train.config import mix, rules, words
from vla_train.config.schema import Schema, elsewhere
from vla_train.config.targets import target_problem, targets_in

NOT_COMPARED: dict[str, Any] = {  # what a comparison of policies does not look at: vla-eval's keys, and what asks for nothing
    "conditions": ["plain"],
    "zero_shot": [],
    "robustness": [],
    "held_out_frames": 0,
    "open_loop": [],
    "dataset": None,
    "video_episodes": 0,
}
MOST_PROBLEMS = 5  # a message must stay readable
MUST_BE_GIVEN = {
    "output": "the folder of the dataset, a new one or one to add to: output=data/NAME",
    "dataset.path": "the folder of your recordings: dataset.path=FOLDER",
    "dataset.mix": "the datasets to blend: dataset.mix={real:{format:lerobot,path:FOLDER,weight:2},sim:{format:hdf5,path:FILE}}",
}


class Checker:
    """Collects what is wrong with a config, and returns it with numbers converted to the declared type."""

    def __init__(self, schema: Schema):
        self.schema = schema
        self.problems: list[str] = []

    def check(self, config: Mapping[str, Any]) -> dict[str, Any]:
        result = self._section(config, self.schema.shipped, "")
        if not self.problems:
            self.problems += combinations(self.schema.kind, result, self.schema.shipped)
        return result

    def message(self) -> str:
        """All problems, one a line; empty if there are none."""
        more = len(self.problems) - MOST_PROBLEMS
        return "\n".join(self.problems[:MOST_PROBLEMS] + ([f"... and {more} more"] if more > 0 else []))

    def _section(self, config: Mapping[str, Any], shipped: Mapping[str, Any], prefix: str) -> dict[str, Any]:
        unknown = [f"{prefix}{words.shown(key)}" for key in config if key not in shipped]
        self.problems += [self._unknown(key) if i < MOST_PROBLEMS else key for i, key in enumerate(unknown)]  # a hint takes time
        self.problems += [self._missing(f"{prefix}{key}") for key in shipped if key not in config]
        return {key: self._value(f"{prefix}{key}", config[key], shipped[key]) for key in shipped if key in config}

    def _value(self, key: str, value: Any, shipped: Any) -> Any:
        if key.endswith("._target_"):
            return self._target(key, value, shipped)
        if isinstance(shipped, Mapping) and shipped:
            if isinstance(value, Mapping):
                return self._section(value, shipped, f"{key}.")
            self.problems.append(f"{key}={words.shown(value)}: {key} is a section. Its keys: {', '.join(shipped)}.")
            return value
        return self._leaf(key, value, shipped)

    def _leaf(self, key: str, value: Any, shipped: Any) -> Any:
        rule = self.schema.rule(key, shipped)
        if value == "???":
            self.problems.append(f"{key}= is missing. Give {MUST_BE_GIVEN.get(key, _spoken(rule))}.")
            return value
        self._nested_targets(key, value, shipped)
        if rule == "any":
            return value
        try:
            return rules.convert(rules.parse(rule), value)
        except ValueError:
            known = rules.words(rule)
            hint = "".join(words.did_you_mean(words.shown(word), known) for word in _wrong_words(value, known)[:1])
            self.problems.append(
                f"{key}={words.shown(value)}: must be {_spoken(rule)}.{hint} As shipped: {words.shown(shipped)}."
            )
            return value

    def _target(self, key: str, value: Any, shipped: Any) -> Any:
        """The class is the choice's own: another one would not take its keys, and a saved config could name any class."""
        group = key.partition(".")[0]
        problem = None if value is None or value == shipped == "auto" else target_problem(value, group)
        if problem is None and value != shipped:
            place, theirs = self.schema.place(key), words.shown(shipped)
            problem = (
                f"{key}={words.shown(value)}: {place} has the class {theirs}. Choose another {group}, or put yours in a plug-in."
            )
        self.problems += [problem] if problem else []
        return value

    def _nested_targets(self, key: str, value: Any, shipped: Any) -> None:
        """A ``_target_`` deep inside a list or an open section must be one of those that the choice has there as shipped."""
        group, known = key.partition(".")[0], list(targets_in(shipped))
        for target in targets_in(value):
            allowed = group in self.schema.choices and target in known and target_problem(target, group) is None
            theirs = f" {self.schema.place(key)} has there {words.shown(known) if known else 'no class'}."
            self.problems += [] if allowed else [f"{key}: _target_={words.shown(target)} is not allowed here.{theirs}"]

    def _unknown(self, key: str) -> str:
        group = key.partition(".")[0]
        hint = elsewhere(key, group) if group in self.schema.choices else ""
        hint = hint or words.did_you_mean(key, words.keys(self.schema.shipped))
        return f"{key}: {self.schema.place(key)} has no such key.{hint}"

    def _missing(self, key: str) -> str:
        return f"{key}: this key was removed, but {self.schema.place(key)} needs it. Leave out ~{key}."


def _wrong_words(value: Any, known: list[str]) -> list[Any]:
    return [word for word in (value if isinstance(value, list) else [value]) if word not in known]


def _spoken(rule: str) -> str:
    return rule.replace("path", "a path (one that is not empty)").replace(" | ", " or ")


def combinations(kind: str, config: Mapping[str, Any], shipped: Mapping[str, Any]) -> list[str]:
    """What each value allows but the values together do not, as far as it can be known without building anything.

    ``shipped``: the values of keys that nobody set.
    """
    if kind == "policy":
        return []
    found = []
    if config["sweep"]["resume"] is not None:
        found.append("sweep.resume goes on with a sweep: give it with -m and the words of the sweep. A run goes on with resume=.")
    if kind == "eval":
        return found + _of_evaluation(config, shipped)
    if kind == "collect":
        return found + _of_collecting(config)
    lengths = [config["steps"], config["env_steps"], config["minutes"], config["paradigm"].get("steps")]
    if all(length is None for length in lengths):
        found.append("The run has no length: give steps, env_steps or minutes.")
    found += mix.problems(config["dataset"])
    found += _of_reinforcement(config)
    if (pair := _integers(config["environment"], "min_objects", "max_objects")) and pair[0] > pair[1]:
        found.append(f"environment.min_objects={pair[0]} is above max_objects={pair[1]}.")
    if (pair := _integers(config["model"], "width", "num_heads")) and pair[0] % pair[1]:
        found.append(f"model.width={pair[0]} must be a multiple of model.num_heads={pair[1]}.")
    micro_batches, batch_size = config["optimizer"].get("micro_batches"), config["dataset"].get("batch_size")
    if (pair := _integers({"parts": micro_batches, "rows": batch_size}, "parts", "rows")) and pair[0] > pair[1]:
        found.append(f"optimizer.micro_batches={pair[0]} is above dataset.batch_size={pair[1]}: no part may be empty.")
    found += _of_curriculum(config["curriculum"], config["every"]["evaluate"])
    if (pair := _integers(config["dataset"], "start", "episodes")) and sum(pair) > (most := _training_seeds()):
        found.append(
            f"dataset.start={pair[0]} and dataset.episodes={pair[1]} reach beyond the {most} training seeds, into those of "
            "evaluation. Lower dataset.start."
        )
    return found


def _of_reinforcement(config: Mapping[str, Any]) -> list[str]:
    """What a paradigm that learns by trying does not agree on with its source and the run; a plug-in's keys may be anything."""
    paradigm, source, found = config["paradigm"], config["source"], []
    for key, what in (("reference", "holds a policy near the one that it began with"), ("freeze_encoder", "keeps what is known")):
        if paradigm.get(key) and config["init"] is None:
            found.append(f"paradigm.{key} {what}, and a fresh policy knows nothing: give a checkpoint to start from with init=.")
    if config["environment"].get("shaping") and config["reward"].get("_target_") is not None:
        found.append("reward= takes the place of the environment's own: leave out environment.shaping, and set reward.progress.")
    sizes = _integers({**source, "parts": paradigm.get("minibatches")}, "batch_size", "parts")
    if sizes and sizes[0] % sizes[1]:
        found.append(
            f"source.batch_size={sizes[0]} must be a multiple of paradigm.minibatches={sizes[1]}, into which it is split."
        )
    sizes = _integers({**source, "parts": paradigm.get("minibatches")}, "num_envs", "steps", "parts")
    if "batch_size" not in source and sizes and sizes[0] * sizes[1] < 2 * sizes[2]:
        found.append(
            f"paradigm.minibatches={sizes[2]} of source.num_envs={sizes[0]} times source.steps={sizes[1]} have less than two "
            "steps each: lower paradigm.minibatches."
        )
    return found


def _of_evaluation(config: Mapping[str, Any], shipped: Mapping[str, Any]) -> list[str]:
    found = []
    if (config["checkpoint"] is None) == (config["compare"] is None):
        given = "checkpoint= and compare= exclude each other" if config["compare"] else "checkpoint= is missing"
        found.append(
            f"{given}. Give a run folder or a checkpoint: checkpoint=outputs/RUN, or several: compare=[outputs/A,outputs/B]."
        )
    if config["compare"] and config["baseline"] is not None:
        found.append("compare and baseline exclude each other: name the baseline among those to compare.")
    more = [name for name, nothing in NOT_COMPARED.items() if config[name] not in (shipped[name], nothing)]
    if config["compare"] and more:
        found.append(f"compare plays the plain episodes alone: leave out {', '.join(more)}, or the suite= that sets it.")
    if config["zero_shot"] and config["split"] is not None:
        found.append("zero_shot and split exclude each other: zero_shot compares with what was trained.")
    if config["zero_shot"] and "plain" not in config["conditions"]:
        found.append("zero_shot compares with the plain condition: add plain to conditions.")
    return found


def _of_collecting(config: Mapping[str, Any]) -> list[str]:
    found, player = [], config["player"]
    if config["checkpoint"] is None and player in ("policy", "mixture"):
        found.append(f"player={player} needs a policy: give a run folder or a checkpoint, as in checkpoint=outputs/RUN.")
    elif config["checkpoint"] is None and config.get("environment") is None:
        found.append(
            "environment= is missing. Name where episodes are played, as in environment=tabletop, or give a checkpoint=."
        )
    if player != "mixture" and (config["expert"] or config["intervene"] is not None):
        found.append("expert and intervene say when the expert acts instead of the policy: set player=mixture.")
    if config["expert"] and config["intervene"] is not None:
        found.append("expert and intervene exclude each other: the expert acts by chance, or where the policy goes astray.")
    if player == "person" and config["processes"]:
        found.append("player=person plays in this process: leave out processes.")
    disturbing = [key for key in ("noise", "lapses") if config[key]]
    if disturbing and (player not in ("auto", "expert") or (player == "auto" and config["checkpoint"] is not None)):
        found.append(f"{disturbing[0]} disturbs the expert alone: set player=expert, or leave {disturbing[0]} out.")
    return found


def _of_curriculum(curriculum: Mapping[str, Any], every: int) -> list[str]:
    """What the values of a curriculum do not agree on; a plug-in's own keys may be anything."""
    stages, found = curriculum.get("stages"), []
    if not isinstance(stages, list):
        return []
    if twice := [stage for stage in dict.fromkeys(stages) if stages.count(stage) > 1]:
        found.append(f"curriculum.stages has {words.shown(twice[0])} twice: each stage stands once.")
    by_loss = curriculum.get("mastery") == "loss"
    for key in ("weights", *(["loss"] if by_loss else [])):
        values = curriculum.get(key)
        if isinstance(values, list) and len(values) != len(stages):
            found.append(f"curriculum.{key} has {len(values)} numbers for {len(stages)} stages: give one for each.")
    if isinstance(weights := curriculum.get("weights"), list) and not any(weights):
        found.append("curriculum.weights are all 0: at least one stage must be drawn.")
    if (pair := _integers(curriculum, "min_steps", "max_steps")) and pair[0] > pair[1]:
        found.append(f"curriculum.min_steps={pair[0]} is above max_steps={pair[1]}.")
    if "mastery" in curriculum and len(stages) > 1 and not every and curriculum.get("max_steps") is None:
        found.append("every.evaluate=0: without evaluations no stage is ever mastered. Set it, or curriculum.max_steps.")
    return found


def _integers(section: Mapping[str, Any], *keys: str) -> list[int] | None:
    """The values of these keys; None where one is missing or no number (a plug-in's may be anything)."""
    values = [section.get(key) for key in keys]
    return values if all(type(value) is int for value in values) else None  # type: ignore[return-value]


def _training_seeds() -> int:
    from vla_train.seeds import RANGES  # brings NumPy, which --help does without

    return len(RANGES["train"])
