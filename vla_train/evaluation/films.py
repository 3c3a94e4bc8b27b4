"""The episodes of which there are pictures, in the order in which a report shows them."""

import numpy as np

from vla_train.evaluation.conditions import Played
from vla_train.rollouts import Episode
from vla_train.spec import Film


def filmed(played: Played, failures_first: bool) -> tuple[list[Episode], list[Film]]:
    """The filmed episodes of a condition, by themselves and as films: those that failed before the others, or as they were
    played."""
    pairs = [(episode, result) for episode, result in zip(played.episodes, played.results, strict=True) if episode.frames]
    if failures_first:
        pairs.sort(key=lambda pair: not pair[0].failed)
    return [episode for episode, _ in pairs], [Film(result, np.stack(episode.frames)) for episode, result in pairs]
