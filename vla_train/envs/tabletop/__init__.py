"""The embedded simulator: language-conditioned tasks on a table, batched, with nothing to download."""

from vla_train.envs.tabletop.single_env import TabletopEnv
from vla_train.envs.tabletop.vector_env import TabletopVectorEnv

__all__ = ["TabletopEnv", "TabletopVectorEnv"]
