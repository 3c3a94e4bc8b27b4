"""From played episodes to the figures of a report. docs/evaluation.md defines each."""

from collections.abc import Sequence

from vla_train.metrics import share, wilson_interval
from vla_train.spec import EpisodeResult

CONDITIONS = ("plain", "swapped", "foreign", "empty", "random", "chance")


def prefix_of(condition: str) -> str:
    """What stands before a metric's name: nothing for the plain condition."""
    return "" if condition == "plain" else f"{condition}/"


def figures(results: Sequence[EpisodeResult]) -> dict[str, float]:
    """Every figure that the episodes of one stage, or of several together, give. What has no episodes is left out."""
    found: dict[str, float] = {}
    for condition in CONDITIONS:
        part = [result for result in results if result.condition == condition]
        if part:
            found |= {prefix_of(condition) + name: value for name, value in _of_condition(part).items()}
    plain = [result for result in results if result.condition == "plain"]
    for task in sorted({result.task for result in plain if result.task}):
        rate = _rate([result for result in plain if result.task == task])
        found |= {f"{name}/{task}": value for name, value in rate.items()}
    return found | _first_touched(plain)


def _rate(results: Sequence[EpisodeResult]) -> dict[str, float]:
    successes = sum(result.outcome == "success" for result in results)
    low, high = wilson_interval(successes, len(results))
    rate = {"success": share(successes, len(results)), "success_low": low, "success_high": high}
    return rate | {"episodes": float(len(results))}


def _of_condition(results: Sequence[EpisodeResult]) -> dict[str, float]:
    whole = [result for result in results if result.outcome != "crash"]
    found = _rate(results) | {"crashes": float(len(results) - len(whole))}
    if whole:
        found["length"] = sum(result.length for result in whole) / len(whole)
        found["reward"] = sum(result.reward for result in whole) / len(whole)
    return found


def _first_touched(results: Sequence[EpisodeResult]) -> dict[str, float]:
    """How often the object first touched is the one named, among episodes that name one and touched something."""
    counted = [result for result in results if result.named and result.first_touched]
    if not counted:
        return {}
    hits = sum(result.first_touched == result.named for result in counted)
    low, high = wilson_interval(hits, len(counted))
    found = {"first_touched": share(hits, len(counted)), "first_touched_low": low, "first_touched_high": high}
    return found | {"first_touched_episodes": float(len(counted))}
