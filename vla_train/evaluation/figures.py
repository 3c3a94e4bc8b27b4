"""From played episodes to the figures of a report. docs/evaluation.md defines each."""

from collections.abc import Container, Sequence

from vla_train.conditions import CONDITIONS, metric_of
from vla_train.evaluation.paired import paired
from vla_train.metrics import share, wilson_interval
from vla_train.spec import EpisodeResult

# Of these a better policy has more success. One that does nothing has least of what is done without the right words, and loses
# nothing by other ones; random and chance are the same for every policy.
_JUDGING = ("plain", "swapped", "paraphrase")
_RATE = ("success", "success_low", "success_high")
_GAP = ("paraphrase/gap", "paraphrase/gap_low", "paraphrase/gap_high")
TOUCHED = ("first_touched", "named_touched_first")  # of the episodes that touched something; of all that name an object


def metric_names(
    conditions: Sequence[str],
    tasks: Sequence[str],
    *,
    has_environment: bool,
    has_held_out: bool,
    discrete: bool,
    not_applicable: Container[str] = (),
) -> list[str]:
    """The metrics of an evaluation in one stage by which a policy can be called better or worse than another.

    Counts of episodes and frames, and times, are not among them, nor what a policy that does nothing is best at. Args: the
    ``tasks`` of the Spec; whether actions are ``discrete``; ``not_applicable``, what the environment says that it lacks.
    """
    names = []
    if has_environment:
        lacking = {"plain": "", "swapped": "alternatives", "paraphrase": "paraphrases"}
        played = [name for name in _JUDGING if name in conditions and lacking[name] not in not_applicable]
        rates = () if "success" in not_applicable else _RATE
        names += [metric_of(condition, name) for condition in played for name in (*rates, "crashes", "length", "reward")]
        if "plain" in played:
            names += [f"{name}/{task}" for name in rates for task in tasks]
            touched = () if "first_touched" in not_applicable else TOUCHED
            names += [name + end for name in touched for end in ("", "_low", "_high")]
    if has_held_out:
        compared = ("agreement",) if discrete else ("alignment", "cosine")
        names += [f"held_out/{name}" for name in ("loss", "action_accuracy", *compared)]
    return names


def figures(results: Sequence[EpisodeResult]) -> dict[str, float]:
    """Every figure that the episodes of one stage, or of several together, give. What has no episodes is left out.

    Episodes that have "ended" belong to an environment in which there is no success: it is left out.
    """
    found: dict[str, float] = {}
    for condition in CONDITIONS:
        part = [result for result in results if result.condition == condition]
        if part:
            found |= {metric_of(condition, name): value for name, value in _of_condition(part).items()}
    plain = [result for result in results if result.condition == "plain"]
    for task in sorted({result.task for result in plain if result.task}):
        found |= {f"{name}/{task}": value for name, value in rate([result for result in plain if result.task == task]).items()}
    return found | _first_touched(plain) | _paraphrase_gap(results)


def rate(results: Sequence[EpisodeResult]) -> dict[str, float]:
    """The share of successes with its Wilson interval, where success applies, and the number of episodes."""
    if any(result.outcome == "ended" for result in results):
        return {"episodes": float(len(results))}
    successes = sum(result.outcome == "success" for result in results)
    low, high = wilson_interval(successes, len(results))
    found = dict(zip(_RATE, (share(successes, len(results)), low, high), strict=True))
    return found | {"episodes": float(len(results))}


def _of_condition(results: Sequence[EpisodeResult]) -> dict[str, float]:
    whole = [result for result in results if result.outcome != "crash"]
    found = rate(results) | {"crashes": float(len(results) - len(whole))}
    if whole:
        found["length"] = sum(result.length for result in whole) / len(whole)
        found["reward"] = sum(result.reward for result in whole) / len(whole)
    guarded = [result for result in results if result.aborted is not None]
    if guarded:
        found["aborted"] = float(sum(bool(result.aborted) for result in guarded))
        found["limited"] = float(sum(result.limited or 0 for result in guarded))
    return found


def _paraphrase_gap(results: Sequence[EpisodeResult]) -> dict[str, float]:
    """How much success the other wording costs, over the episodes that were played in both."""
    if any(result.outcome == "ended" for result in results):
        return {}
    pairs = paired(*([result for result in results if result.condition == name] for name in ("plain", "paraphrase")))
    return dict(zip(_GAP, (pairs.difference, *pairs.interval()), strict=True)) if pairs.total else {}


def _first_touched(results: Sequence[EpisodeResult]) -> dict[str, float]:
    """How often the object first touched is the one named: among episodes that name one and touched something, and among all that
    name one. Nothing where none touched something: the environment may not tell."""
    named = [result for result in results if result.named]
    touched = [result for result in named if result.first_touched]
    hits = sum(result.first_touched == result.named for result in touched)
    found: dict[str, float] = {}
    for name, counted in zip(TOUCHED, (touched, named), strict=True) if touched else ():
        low, high = wilson_interval(hits, len(counted))
        found |= {name: share(hits, len(counted)), f"{name}_low": low, f"{name}_high": high}
        found[f"{name}_episodes"] = float(len(counted))
    return found
