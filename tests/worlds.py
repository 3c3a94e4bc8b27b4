"""What this machine lacks for Meta-World, for tests that need it."""

import functools
import importlib.util

import pytest

from vla_train.errors import UsageError


@functools.cache
def _missing(draws: bool) -> str:
    if importlib.util.find_spec("metaworld") is None:
        return "the extra 'metaworld' is not installed"
    from vla_train.envs.metaworld import MetaWorldVectorEnv

    try:
        environment = MetaWorldVectorEnv(1, image_size=16, cameras=["corner2"] if draws else [])
        environment.reset(seed=[0])
    except UsageError as error:
        return str(error)
    return ""


def need_metaworld(draws: bool = True) -> None:
    """Skip the test where Meta-World (or, if it ``draws``, OpenGL) is missing, and say so."""
    if reason := _missing(draws):
        pytest.skip(reason)
