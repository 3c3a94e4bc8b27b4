"""A run that begins with the policy of a checkpoint (``init``): what stays as it was, and what may be said anew."""

from collections.abc import Sequence
from typing import Any

from vla_train import checkpoint
from vla_train import config as configuration
from vla_train.build.objects import Config, load_policy, make_policy
from vla_train.errors import CheckpointError, UsageError
from vla_train.models.policy import Policy
from vla_train.processor import Processor
from vla_train.spec import Spec

# What another value would change in the policy without changing its weights. Of a head that is whatever its weights still fit.
CHANGEABLE = {"model": ("dropout",)}
FIRST = {"head": ("begin",)}  # and what says only how fresh weights begin


def started(
    config: Config, start: checkpoint.Checkpoint, spec: Spec, overrides: Sequence[str]
) -> tuple[Config, Processor, Policy, list[str]]:
    """Config, processor and policy of a checkpoint, for data of ``spec``; and what the command line's ``overrides`` change in it.

    Raises CheckpointError where they do not fit, UsageError for an override that could have no effect.
    """
    theirs, processor, policy = load_policy(start)
    needed = config["paradigm"].get("chunk") or processor.spec.chunk
    if processor.spec.chunk != needed:
        raise CheckpointError(
            f"{start.path} predicts {processor.spec.chunk} actions at once, but paradigm={config['choices']['paradigm']} decides "
            f"{needed} at a time: train it with dataset.chunk={needed}, and begin with that one"
        )
    if wrong := processor.spec.mismatches(spec):
        raise CheckpointError(f"{start.path} was made for other data or another environment:\n  " + "\n  ".join(wrong))
    window = {"history": processor.spec.history, "chunk": processor.spec.chunk}
    words = [override.lstrip("+~").partition("=")[0].partition("@")[0] for override in overrides]
    _refuse_fixed(config, words, window, start)
    changes = {group: _changes(group, config, theirs, words, start) for group in ("model", "head")}
    nodes = {group: theirs[group] | changes[group] for group in changes}
    said = [f"{group}.{key}={value}" for group, part in changes.items() for key, value in part.items()]
    if said:
        policy = _changed(nodes, processor, start, said)
    choices = config["choices"] | theirs["choices"]
    kept = {"dataset": config["dataset"] | window, "choices": choices, "plugins": configuration.plugins_used(choices)}
    return config | nodes | kept, processor, policy.train(), said


def _refuse_fixed(config: Config, words: Sequence[str], window: Config, start: checkpoint.Checkpoint) -> None:
    for key, value in window.items():
        if f"dataset.{key}" in words and config["dataset"][key] != value:
            raise UsageError(
                f"dataset.{key}={config['dataset'][key]}: the policy that init= begins with has dataset.{key}={value}, and keeps "
                f"it: leave it out, or begin without init= ({start.path})"
            )
    if fitted := next((word for word in words if word.partition(".")[0] == "normalization"), None):
        raise UsageError(
            f"{fitted}: a policy under init= keeps its own units: leave it out, or begin without init= ({start.path})"
        )


def _changes(group: str, config: Config, theirs: Config, words: Sequence[str], start: checkpoint.Checkpoint) -> dict[str, Any]:
    """The keys of the group that the command line names and that the checkpoint has otherwise. Raises UsageError for those that
    would mean another policy."""
    mine, known = config["choices"][group], theirs["choices"][group]
    if group in words and mine not in ("auto", known):
        raise UsageError(
            f"{group}={mine}: the policy that init= begins with has {group}={known}, and keeps it: leave out {group}=, or begin "
            f"without init= ({start.path})"
        )
    keys = dict.fromkeys(word.split(".")[1] for word in words if word.startswith(f"{group}."))
    changes = {key: config[group][key] for key in keys if config[group][key] != theirs[group].get(key)}
    changeable = CHANGEABLE.get(group, tuple(theirs[group]))
    for key, value in changes.items():
        if key not in theirs[group] or key not in changeable or key in FIRST.get(group, ()):
            there = f"with {group}.{key}={theirs[group][key]}" if key in theirs[group] else f"by {group}={known} without {key}"
            raise UsageError(
                f"{group}.{key}={value}: the policy that init= begins with was made {there}, which cannot be changed any more: "
                f"leave it out, or begin without init= ({start.path})"
            )
    return changes


def _changed(nodes: Config, processor: Processor, start: checkpoint.Checkpoint, said: Sequence[str]) -> Policy:
    """The policy with these changes. Raises UsageError where they ask for other weights."""
    policy = make_policy(nodes, processor)
    try:
        checkpoint.load_into(policy, start.policy(), str(start.path))
    except CheckpointError as error:
        raise UsageError(
            f"{', '.join(said)}: the weights of the policy that init= begins with do not fit that: leave it out, or begin "
            f"without init= ({start.path})"
        ) from error
    return policy
