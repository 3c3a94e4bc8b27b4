"""Loading what a checkpoint holds into what may not be what it came from, or where it was altered."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from vla_train.errors import CheckpointError

_LISTED = 5
_NOT_OURS = (
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    RuntimeError,
    OverflowError,
)  # of taking a state that was altered


@contextmanager
def restoring(where: Path | str) -> Iterator[None]:
    """Around what takes a training state: what it raises for one that was never saved so is a ``CheckpointError``.

    ``where`` names the checkpoint in the message.
    """
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except _NOT_OURS as error:
        what = f"it has no {error}" if isinstance(error, KeyError) else str(error) or type(error).__name__
        raise CheckpointError(
            f"the training state in {where} is not one that this run saved: {what}. "
            f"Take another checkpoint, or begin a new run with its weights: init={where}"
        ) from error


def load_into(module: nn.Module, tensors: Mapping[str, Tensor], where: Path | str) -> None:
    """Copy tensors into a module's parameters and buffers, all of them or none.

    ``where`` names the checkpoint in the message. Raises ``CheckpointError`` that lists the first mismatches by name with both
    shapes; the module is unchanged then.
    """
    expected = {name: value for name, value in module.state_dict().items() if isinstance(value, Tensor)}
    if mismatches := _mismatches(expected, tensors):
        listed = "\n  ".join(mismatches[:_LISTED])
        more = f"\n  and {len(mismatches) - _LISTED} more" if len(mismatches) > _LISTED else ""
        raise CheckpointError(
            f"the weights in {where} are of another architecture than {type(module).__name__}:\n  {listed}{more}\n"
            "Use the model and head that the checkpoint's config.yaml names, or another checkpoint."
        )
    module.load_state_dict(dict(tensors))


def _mismatches(expected: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> list[str]:
    found = []
    for name, tensor in expected.items():
        if name not in given:
            found.append(f"{name}: {_describe(tensor)} is wanted, and it is not in the checkpoint")
        elif _describe(tensor) != _describe(given[name]):
            found.append(f"{name}: {_describe(tensor)} is wanted, and the checkpoint has {_describe(given[name])}")
    extra = [f"{name}: not wanted, and the checkpoint has {_describe(given[name])}" for name in given if name not in expected]
    return found + extra


def _describe(tensor: Tensor) -> str:
    """Kind and shape. Floating types are one kind: a policy saved as bfloat16 may be loaded as float32."""
    kind = "float" if tensor.is_floating_point() else str(tensor.dtype).removeprefix("torch.")
    return f"{kind} {list(tensor.shape)}"
