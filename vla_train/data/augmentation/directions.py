"""Words for directions, moved with a picture: mirrored, "left" becomes "right"; turned, "left" becomes "back"."""

import re
from functools import lru_cache

Direction = tuple[int, int]  # x to the right, y up in the picture

LEFT, RIGHT, UP, DOWN = (-1, 0), (1, 0), (0, 1), (0, -1)
# Words that stand for a direction each, in families within which each direction has its word.
_PUSHES = {LEFT: "left", RIGHT: "right", UP: "forward", DOWN: "back"}
_SIDES = {LEFT: "left side", RIGHT: "right side", UP: "far side", DOWN: "near side"}
_CORNERS = {(x, y): f"{'top' if y > 0 else 'bottom'} {'left' if x < 0 else 'right'}" for x in (-1, 1) for y in (-1, 1)}
_EDGES = {LEFT: "left edge", RIGHT: "right edge", UP: "top edge", DOWN: "bottom edge"}
_FAMILIES = (_CORNERS, _SIDES, _EDGES, _PUSHES)
# Words that have an opposite, and no word for what lies across: they can be mirrored, and turned by half a turn.
_PAIRS = (
    ({LEFT: "left of", RIGHT: "right of"}),
    ({UP: "in front of", DOWN: "behind"}),
    ({UP: "above", DOWN: "below"}),
    ({UP: "top", DOWN: "bottom"}),
    ({UP: "upper", DOWN: "lower"}),
    ({LEFT: "leftmost", RIGHT: "rightmost"}),
    ({LEFT: "leftwards", RIGHT: "rightwards"}),
)
_TURNS = {"clockwise": "counter-clockwise", "counter-clockwise": "clockwise"}
_WORDS = {word: (direction, family) for family in (*_PAIRS, *_FAMILIES) for direction, word in family.items()}
_PATTERN = re.compile(r"\b(" + "|".join(sorted(map(re.escape, (*_WORDS, *_TURNS)), key=len, reverse=True)) + r")\b")


def moved(direction: Direction, mirrored: int, quarters: int) -> Direction:
    """A direction after a picture was mirrored (left and right change sides), if ``mirrored``, then turned counter-clockwise."""
    x, y = (-direction[0], direction[1]) if mirrored else direction
    for _ in range(quarters):
        x, y = -y, x
    return x, y


@lru_cache(maxsize=200_000)
def moved_words(text: str, mirrored: int, quarters: int) -> str | None:
    """An instruction for the moved picture; None where the language has no word for a direction in it."""
    words = []
    end = 0
    for match in _PATTERN.finditer(text):
        word = _moved_word(match[0], mirrored, quarters)
        if word is None:
            return None
        words += [text[end : match.start()], word]
        end = match.end()
    return "".join([*words, text[end:]])


def _moved_word(word: str, mirrored: int, quarters: int) -> str | None:
    if word in _TURNS:
        return _TURNS[word] if mirrored else word
    direction, family = _WORDS[word]
    return family.get(moved(direction, mirrored, quarters))
