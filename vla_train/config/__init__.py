"""The config of a run: composed by Hydra, closed, typed, and free of surprises before torch is imported.

A validated config is nested plain dicts: the keys of ``configs/train.yaml``, a dict for each group, ``choices`` and
``plugins`` (see ``compose.validate``).
"""

from vla_train.config.compose import compose, validate
from vla_train.config.saved import dump, load_saved
from vla_train.config.schema import load_choice, plugins_used
from vla_train.config.targets import install_hint, resolve_target

__all__ = ["compose", "dump", "install_hint", "load_choice", "load_saved", "plugins_used", "resolve_target", "validate"]
