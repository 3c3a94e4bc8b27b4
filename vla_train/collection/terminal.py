"""Pictures and keys in a terminal: two pixels in each letter, in colour; keys are read as they are pressed."""

import os
import select
import shutil
import sys
from contextlib import ExitStack
from typing import Any

import numpy as np

from vla_train import stopping
from vla_train.errors import Interrupted, UsageError

PATIENCE = 0.2  # seconds between two looks whether a stop was asked for
HOME, REST = "\x1b[H", "\x1b[K"  # to the corner; clear what is left of a line
BELOW = "\x1b[J"
ARROW = 3  # bytes of an arrow key


class Terminal:
    """A ``person.Screen``. UsageError where there is no terminal, or none whose keys can be read one by one."""

    def __init__(self, keys: int | None = None, out: Any = None) -> None:
        self._keys = sys.stdin.fileno() if keys is None else keys
        self._out = sys.stdout if out is None else out  # a text file
        self._restore, self._typed = ExitStack(), b""
        if not os.isatty(self._keys):
            raise UsageError("player=person reads keys, and the standard input is no terminal: start it in one")
        try:
            import termios
            import tty
        except ImportError as error:
            raise UsageError("player=person needs a terminal of Linux or macOS") from error
        before: list[Any] = termios.tcgetattr(self._keys)
        self._restore.callback(termios.tcsetattr, self._keys, termios.TCSADRAIN, before)
        tty.setcbreak(self._keys)
        self._out.write("\x1b[2J")

    def show(self, picture: np.ndarray | None, lines: list[str]) -> None:
        """See ``Screen``. The picture is thinned out until it fits."""
        rows = [] if picture is None else blocks(_fitting(picture, len(lines)))
        self._out.write(HOME + "".join(f"{line}{REST}\n" for line in [*rows, *lines]) + BELOW)
        self._out.flush()

    def key(self) -> str:
        while not self._typed:
            stopping.check()
            if select.select([self._keys], [], [], PATIENCE)[0]:
                self._typed = os.read(self._keys, 64)
                if not self._typed:
                    raise Interrupted("the terminal was closed", 130)
        length = ARROW if self._typed.startswith(b"\x1b[") else 1
        key, self._typed = self._typed[:length], self._typed[length:]
        return key.decode(errors="replace")

    def close(self) -> None:
        """Let the terminal be as it was."""
        self._restore.close()


def blocks(picture: np.ndarray) -> list[str]:
    """A picture uint8 [y, x, 3] as lines of upper half blocks: the letter's colour above, its background below."""
    padded = np.concatenate([picture, np.zeros_like(picture[:1])]) if len(picture) % 2 else picture
    lines = []
    for above, below in zip(padded[::2], padded[1::2], strict=True):
        cells = [
            "\x1b[38;2;{};{};{};48;2;{};{};{}m▀".format(*upper, *lower)
            for upper, lower in zip(above.tolist(), below.tolist(), strict=True)
        ]
        lines.append("".join(cells) + "\x1b[0m")
    return lines


def _fitting(picture: np.ndarray, lines: int) -> np.ndarray:
    columns, rows = shutil.get_terminal_size()
    step = max(1, -(-picture.shape[1] // columns), -(-picture.shape[0] // max(2, 2 * (rows - lines - 1))))
    thinned: np.ndarray = picture[::step, ::step]
    return thinned
