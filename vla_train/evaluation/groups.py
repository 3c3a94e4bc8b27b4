"""Success by groups of tasks, where an environment has them (as Meta-World has degrees of difficulty), and the mean of these."""

from collections.abc import Mapping, Sequence

from vla_train.evaluation.figures import rate
from vla_train.spec import EpisodeResult


def group_figures(results: Sequence[EpisodeResult], groups: Mapping[str, Sequence[str]]) -> dict[str, float]:
    """``success/<group>`` of the plain episodes, with interval and count, and ``success_mean_of_groups``; {} without groups.

    Each group counts the same in the mean, whatever the number of its tasks. There is none where a group had no episode: that of
    the others is not what is published.
    """
    found: dict[str, float] = {}
    rates = []
    for name, tasks in groups.items():
        part = [result for result in results if result.condition == "plain" and result.task in tasks]
        if part:
            group = rate(part)
            rates.append(group["success"])
            found |= {f"{key}/{name}": value for key, value in group.items()}
    return found | ({"success_mean_of_groups": sum(rates) / len(rates)} if rates and len(rates) == len(groups) else {})
