"""The rollout picture: several episodes side by side, each under its instruction, framed by its outcome at the end."""

import math
from collections.abc import Sequence

import cv2
import numpy as np

from vla_train.rollouts import Episode

TILE = 192  # pixels of an episode's picture; smaller pictures are enlarged by whole pixels
LINE, BORDER, FONT_SCALE = 14, 4, 0.38
COLUMNS = 4
HOLD = 8  # frames for which the last picture stays
BACKGROUND, INK = (24, 24, 24), (235, 235, 235)
COLOURS = {"success": (60, 190, 90), "failure": (215, 70, 60), "crash": (230, 170, 40), "ended": (130, 150, 200)}


def montage(episodes: Sequence[Episode]) -> np.ndarray | None:
    """uint8 [t, y, x, 3] with even sides, as video formats need them; None if no episode has frames."""
    shown = [episode for episode in episodes if episode.frames]
    if not shown:
        return None
    lines = max(len(_wrapped(episode.instruction)) for episode in shown) + 1
    columns = min(COLUMNS, len(shown))
    rows = math.ceil(len(shown) / columns)
    side = _enlarged(shown[0].frames[0]).shape
    height, width = side[0] + 2 * BORDER + lines * LINE, side[1] + 2 * BORDER
    length = max(len(episode.frames) for episode in shown) + HOLD
    film = np.full((length, rows * height + rows * height % 2, columns * width + columns * width % 2, 3), BACKGROUND, np.uint8)
    for place, episode in enumerate(shown):
        y, x = place // columns * height, place % columns * width
        for time in range(length):
            film[time, y : y + height, x : x + width] = _tile(episode, time, height, width)
    return film


def _tile(episode: Episode, time: int, height: int, width: int) -> np.ndarray:
    """One episode at one time; its border and last line tell the outcome once it is over."""
    over = time >= len(episode.frames) - 1
    picture = _enlarged(episode.frames[min(time, len(episode.frames) - 1)])
    colour = COLOURS[episode.outcome] if over else BACKGROUND
    tile = np.full((height, width, 3), BACKGROUND, np.uint8)
    tile[: picture.shape[0] + 2 * BORDER, :] = colour
    tile[BORDER : BORDER + picture.shape[0], BORDER : BORDER + picture.shape[1]] = picture
    status = f"{episode.outcome}, {episode.length} steps" if over else f"step {time}"
    top = picture.shape[0] + 2 * BORDER
    for number, line in enumerate([*_wrapped(episode.instruction), status]):
        ink = colour if over and line == status else INK
        place = (BORDER, top + (number + 1) * LINE - 4)
        cv2.putText(tile, line, place, cv2.FONT_HERSHEY_SIMPLEX, FONT_SCALE, ink, 1, cv2.LINE_AA)
    return tile


def _wrapped(text: str) -> list[str]:
    """The instruction in lines that fit under a picture; at most three."""
    lines = [""]
    for word in (text or "(no instruction)").split():
        longer = f"{lines[-1]} {word}".strip()
        if cv2.getTextSize(longer, cv2.FONT_HERSHEY_SIMPLEX, FONT_SCALE, 1)[0][0] <= TILE or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines if len(lines) <= 3 else [*lines[:2], lines[2] + " ..."]


def _enlarged(frame: np.ndarray) -> np.ndarray:
    """uint8 [y, x, 3], each pixel repeated so that the picture is about a tile wide."""
    factor = max(1, round(TILE / frame.shape[1]))
    return frame.repeat(factor, axis=0).repeat(factor, axis=1)
