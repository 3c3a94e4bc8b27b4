"""Checkpoints: the weights that are evaluated, what they need to be used, and what training needs to go on. No pickle."""

from vla_train.checkpoint.loading import load_into, restoring
from vla_train.checkpoint.manifest import SCHEMA, TornCheckpointError
from vla_train.checkpoint.nested import load_nested, save_nested
from vla_train.checkpoint.random_state import random_state, set_random_state
from vla_train.checkpoint.store import Checkpoint, read, resolve, run_of, write

__all__ = [
    "SCHEMA",
    "Checkpoint",
    "TornCheckpointError",
    "load_into",
    "load_nested",
    "random_state",
    "read",
    "resolve",
    "restoring",
    "run_of",
    "save_nested",
    "set_random_state",
    "write",
]
