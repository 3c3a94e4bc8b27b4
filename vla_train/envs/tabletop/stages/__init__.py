"""The stages, by name: each says which goals its scenes offer and which one a seed asks for."""

from vla_train.envs.tabletop.stages.base import Requests, Stage
from vla_train.envs.tabletop.stages.basic_navigation import BasicNavigation
from vla_train.envs.tabletop.stages.complex_tasks import ComplexTasks
from vla_train.envs.tabletop.stages.multi_step_reasoning import MultiStepReasoning
from vla_train.envs.tabletop.stages.simple_manipulation import SimpleManipulation

_ALL: tuple[Stage, ...] = (BasicNavigation(), SimpleManipulation(), ComplexTasks(), MultiStepReasoning())
STAGES: dict[str, Stage] = {stage.name: stage for stage in _ALL}

__all__ = ["STAGES", "Requests", "Stage"]
