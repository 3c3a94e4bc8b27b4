"""vla-train: a training lab for vision-language-action policies.

Importing the package costs nothing; ``vla_train.load`` (a policy ready to act, from a checkpoint) is resolved on first use.
"""

from typing import Any

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name == "load":
        from vla_train.build import load_agent

        return load_agent
    raise AttributeError(f"module 'vla_train' has no attribute {name!r}")
