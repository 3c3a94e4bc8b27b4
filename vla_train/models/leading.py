"""Any number of leading dimensions to one, and back."""

import math

from vla_train.types import Features, Observation


def flatten(observation: Observation) -> tuple[Observation, tuple[int, ...]]:
    """The observation with its leading dimensions *b as one, and what they were."""
    lead = tuple(observation.present.shape[:-1])
    if len(lead) == 1:
        return observation, lead
    size = math.prod(lead)
    return observation.map(lambda tensor: tensor.reshape(size, *tensor.shape[len(lead) :])), lead


def restore(features: Features, lead: tuple[int, ...]) -> Features:
    return features if len(lead) == 1 else features.map(lambda tensor: tensor.reshape(*lead, *tensor.shape[1:]))
