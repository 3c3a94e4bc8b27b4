"""What the pictures of n episodes look like, as arrays with a leading environment axis, drawn by ``Randomization.look``."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

GRID = 9  # the table's pattern has GRID x GRID values, 12.5 cm apart
LEVELS = 5  # sizes in which objects are drawn


@dataclass
class Look:
    """m object slots. Units and meaning are those of the axes of ``Randomization``."""

    shift_x: np.ndarray  # float64 [n]
    shift_y: np.ndarray
    zoom: np.ndarray
    rotation: np.ndarray
    brightness: np.ndarray
    contrast: np.ndarray
    temperature: np.ndarray
    noise: np.ndarray
    table_shade: np.ndarray
    table_warmth: np.ndarray
    texture: np.ndarray
    pattern: np.ndarray  # float64 [n, GRID, GRID] (x, y) in [-1, 1]
    shade: np.ndarray  # float64 [n, m]
    size: np.ndarray  # int64 [n, m], which of the sizes

    def assign(self, index: np.ndarray, other: "Look") -> None:
        """Put the rows of ``other`` at ``index``."""
        for field in fields(self):
            getattr(self, field.name)[index] = getattr(other, field.name)

    def to_json(self, row: int) -> dict[str, Any]:
        """What was drawn for a row, but for the pattern, which follows from the seed."""
        names = [field.name for field in fields(self) if field.name != "pattern"]
        return {name: np.round(getattr(self, name)[row], 6).tolist() for name in names}
