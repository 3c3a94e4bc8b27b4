"""Words for directions, moved with a picture: mirrored, "left" becomes "right"; turned, "left" becomes "back".

What may be a direction and is not known for certain ("north", "put it back", "away from you", another language) keeps a whole
instruction from being moved.
"""

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
_TURNS = {"clockwise": "counter-clockwise"} | dict.fromkeys(
    [f"{other}{dash}clockwise" for other in ("counter", "anti") for dash in ("-", " ", "")], "clockwise"
)
_STILL = ("on top of", "on the top of")
_WORDS = {word: (direction, family) for family in (*_PAIRS, *_FAMILIES) for direction, word in family.items()}
_KNOWN = sorted(map(re.escape, (*_WORDS, *_TURNS, *_STILL)), key=len, reverse=True)
_PATTERN = re.compile(r"(?<![\w-])(" + "|".join(_KNOWN) + r")(?![\w-])")
_LIKE_A_DIRECTION = re.compile(
    r"\b(left|right|front|rear|back|forward|top|bottom|upper|lower|up|down|north|south|east|west)"
    r"(most|wards?|s|side|hand|east|west|ern)*\b"
    r"|\b(near|far)[ -](end|edge|corner)|clockwise|o'clock|sideways|diagonal|lateral|vertical|horizontal|\bc?cw\b"
    # by where somebody stands who is not in the picture; from one thing to another ("nearest to the box") is no direction
    r"|\b(from|to|towards?|at|facing|near|beside|by)"
    r" (you|me|us|yourself|(the |your )?(viewer|camera|robot|base|operator|person|user))\b"
    r"|\b(far|farther|further|farthest|furthest|away)\b(?! (away )?from\b)|\b(near|close)(er|est)?\b(?! (to|the|an?|by)\b)"
    r"|\b(ahead|straight|onwards?|inwards?|outwards?|axis|direction|rows?|columns?)\b"
)
# English is the language whose directions are known. Of others those that are written with its letters have these words.
_FOREIGN = re.compile(
    r"[^\x00-\x7f]|\b(izquierda|derecha|arriba|abajo|adelante|atras|gauche|droite|haut|bas|devant|derriere|links|rechts|oben|unten"
    r"|vorne|hinten|vorn|sinistra|destra|sopra|sotto|avanti|indietro|esquerda|direita|acima|abaixo|frente)\b"
)
# "pick the red cup up": up and down from the table, not in the picture.
_RAISED = re.compile(
    r"\b(pick|take|lift|put|set|lay)((?: (?!and\b|then\b|go\b|move\b|push\b|slide\b)[\w-]+){0,8}?) (?:up|down)\b"
)
_SOMETHING_ELSE = re.compile(
    # to where it was
    r"\b(put|place|set|lay|bring|give|take|get|go|come|move|return)\b"
    r"((?!push|shove|slide|pull|nudge|drag)[^,.;])* back\b|"
    r"\bback (to|in|into|on|onto|at|of|from|inside|where)\b|\b(left|right) (hand|arm|gripper)\b|\ball right\b|"
    r"\bright (now|away|here|there|next|beside|in|on|onto|into|above|below|behind|under|over|at|up|through|angles?)\b|"
    r"\bright (after|before)\b(?! you)|\bleft (on|in|over|behind|out|alone|there|here)\b|"
    r"\b(is|are|was|were|be|been|has|have) left\b|\bto lower\b|\blower (the|it|your|its|them|down|a)\b"
)


def moved(direction: Direction, mirrored: int, quarters: int) -> Direction:
    """A direction after a picture was mirrored (left and right change sides), if ``mirrored``, then turned counter-clockwise."""
    x, y = (-direction[0], direction[1]) if mirrored else direction
    for _ in range(quarters):
        x, y = -y, x
    return x, y


@lru_cache(maxsize=200_000)
def moved_words(text: str, mirrored: int, quarters: int) -> str | None:
    """An instruction for the moved picture; None where the language has no word for a direction in it, or it is not certain what
    is one."""
    if not (mirrored or quarters):
        return text
    if not _certain(text):
        return None
    words = []
    end = 0
    for match in _PATTERN.finditer(text):
        word = _moved_word(match[0], mirrored, quarters)
        if word is None:
            return None
        words += [text[end : match.start()], word]
        end = match.end()
    return "".join([*words, text[end:]])


def _certain(text: str) -> bool:
    """Whether all that may be a direction is a known word for one."""
    level = _RAISED.sub(r"\1\2", text)
    others = _PATTERN.sub("", level)
    return not (_SOMETHING_ELSE.search(level) or _LIKE_A_DIRECTION.search(others) or _FOREIGN.search(others))


def _moved_word(word: str, mirrored: int, quarters: int) -> str | None:
    if word in _STILL:
        return word
    if word in _TURNS:
        return _TURNS[word] if mirrored else word
    direction, family = _WORDS[word]
    return family.get(moved(direction, mirrored, quarters))
