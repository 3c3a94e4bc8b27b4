"""Mistakes and accidents that a user is told about in one message. The class decides the exit code of the program."""

from typing import Any


class VlaTrainError(Exception):
    """One message for a person: what happened, where, and how to mend it."""

    exit_code = 1


class UsageError(VlaTrainError):
    """A wrong config or command line, a missing extra, an absent device, a folder that cannot be written."""

    exit_code = 2


class StageError(UsageError):
    """A stage that an environment does not have; which key asks for it is for others to say."""


class DataError(VlaTrainError):
    """Demonstrations that are missing, empty, inconsistent or not finite."""

    exit_code = 3


class CheckpointError(VlaTrainError):
    """A checkpoint that is torn, altered, too new, or does not fit what it is loaded into."""

    exit_code = 4


class NumericError(VlaTrainError):
    """A loss or gradient that is NaN or infinite."""

    exit_code = 5


class WorldError(VlaTrainError):
    """An environment that fails, or is driven with something it cannot take. ``rows``: which of them it may be, if known."""

    exit_code = 6

    def __init__(self, message: str, rows: list[int] | None = None):
        super().__init__(message)
        self.rows = rows


class Notice(UserWarning):
    """Something that the user should know of, and that stops nothing. The programs print it as ``note: ...``."""


class Interrupted(VlaTrainError):  # noqa: N818 - a request, not an error
    """The run was asked to stop. ``exit_code`` is 75 after SIGTERM and 130 after Ctrl-C."""

    def __init__(self, message: str, exit_code: int):
        super().__init__(message)
        self.exit_code = exit_code

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.exit_code)


def nearest(error: VlaTrainError) -> VlaTrainError:
    """The error as the class of this module that it is a kind of: any process knows that one, and can be sent it."""
    if isinstance(error, WorldError):
        return WorldError(str(error), error.rows)
    if isinstance(error, Interrupted):
        return Interrupted(str(error), error.exit_code)
    kind: type[VlaTrainError] = next(kind for kind in type(error).__mro__ if kind.__module__ == __name__)
    return kind(str(error))
