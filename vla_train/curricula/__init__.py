"""Curricula: which stage is trained, on whose demonstrations, and when the next one begins."""

from vla_train.curricula.fixed import Mixed, SingleStage
from vla_train.curricula.progressive import Progressive

__all__ = ["Mixed", "Progressive", "SingleStage"]
