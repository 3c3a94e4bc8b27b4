"""The checks of the constructor's arguments."""

from collections.abc import Collection, Sequence
from difflib import get_close_matches

from vla_train.envs.tabletop.actions import ACTIONS
from vla_train.envs.tabletop.render import CAMERAS
from vla_train.envs.tabletop.splits import IS_HELD_OUT, SPLITS
from vla_train.envs.tabletop.stages import STAGES
from vla_train.envs.tabletop.world import MAX_OBJECTS
from vla_train.errors import StageError, UsageError

assert (~IS_HELD_OUT).sum() >= MAX_OBJECTS


def check_options(
    num_envs: int,
    stage: str,
    image_size: int,
    cameras: Sequence[str],
    split: str,
    min_objects: int,
    max_objects: int,
    actions: str,
    shaping: float,
) -> None:
    """Raise UsageError with the first thing that is wrong."""
    if stage == "none":  # what curriculum=none, the default of recorded data, asks for
        raise StageError(f"tabletop plays one of its stages, and none is chosen: curriculum={' or '.join(STAGES)}")
    _choice("stage", stage, STAGES)
    _choice("split", split, SPLITS)
    _choice("actions", actions, ACTIONS)
    for camera in cameras:
        _choice("camera", camera, CAMERAS)
    if num_envs < 1:
        raise UsageError(f"tabletop: num_envs={num_envs}; it must be at least 1")
    if image_size < 16:
        raise UsageError(f"tabletop: image_size={image_size}; objects cannot be told apart below 16 pixels")
    if not 1 <= min_objects <= max_objects <= MAX_OBJECTS:
        raise UsageError(
            f"tabletop: min_objects={min_objects}, max_objects={max_objects}; "
            f"it takes 1 <= min_objects <= max_objects <= {MAX_OBJECTS}: more do not fit on the table"
        )
    if not 0 <= shaping < float("inf"):
        raise UsageError(f"tabletop: shaping={shaping}; it must be a finite number of at least 0 (0 turns it off)")


def _choice(what: str, value: str, known: Collection[str]) -> None:
    if value not in known:
        near = get_close_matches(str(value), list(known), n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        kind = StageError if what == "stage" else UsageError
        raise kind(f"tabletop: unknown {what} {value!r}.{hint} There are: {', '.join(known)}")
