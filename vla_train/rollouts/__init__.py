"""The only code that steps a policy in a world: ``Agent`` (policy and Processor) and ``play`` (episodes from seeds)."""

from vla_train.rollouts.agent import Agent, evaluating, own_randomness
from vla_train.rollouts.chunks import RecedingHorizon, TemporalEnsemble
from vla_train.rollouts.episodes import Episode
from vla_train.rollouts.play import Prepare, play

__all__ = ["Agent", "Episode", "Prepare", "RecedingHorizon", "TemporalEnsemble", "evaluating", "own_randomness", "play"]
