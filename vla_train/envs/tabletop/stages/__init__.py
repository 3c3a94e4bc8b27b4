"""The stages, by name: each says which goals its scenes offer and which one a seed asks for."""

from vla_train.envs.tabletop.stages.base import Stage
from vla_train.envs.tabletop.stages.basic_navigation import BasicNavigation
from vla_train.envs.tabletop.stages.simple_manipulation import SimpleManipulation

_ALL: tuple[Stage, ...] = (BasicNavigation(), SimpleManipulation())
STAGES: dict[str, Stage] = {stage.name: stage for stage in _ALL}

__all__ = ["STAGES", "Stage"]
