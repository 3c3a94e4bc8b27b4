"""Instructions said otherwise: synonyms, words put in and left out. What carries meaning stays."""

import re
import zlib
from collections.abc import Sequence
from functools import lru_cache
from typing import TypeVar

import numpy as np

from vla_train.data.augmentation.batch import Batch
from vla_train.seeds import counter_uniform

_T = TypeVar("_T")
_DRAW = 3
VARIANTS = 32  # ways in which a text is changed: so many are made once and kept
# Any of a group may stand for any other. Longer phrases first: "put down" is not "put" and "down".
VERBS: tuple[tuple[str, ...], ...] = (  # where a clause begins: elsewhere "head", "lift" and "set" may be nouns
    ("put down", "set down", "lay down"),
    ("pick up", "grab", "lift"),
    ("go to", "move to", "navigate to", "head to"),
    ("put the", "place the", "set the", "lay the"),
    ("push the", "shove the"),
)
WORDS: tuple[tuple[str, ...], ...] = (
    ("next to", "beside"),
    ("red", "crimson", "scarlet"),
    ("blue", "azure"),
    ("green", "emerald"),
    ("yellow", "golden"),
    ("purple", "violet"),
    ("grey", "gray"),
)
SYNONYMS = (*VERBS, *WORDS)
FILLERS = ("please", "now", "just", "kindly", "carefully")
DROPPED = ("the", "a", "an", *FILLERS)
_GROUPS = {phrase: group for group in SYNONYMS for phrase in group}
_OPENING = r"(?:^|[,.;:!?] ?|\b(?:and|then|first|you|or|" + "|".join(FILLERS) + r") )"


def _any_of(groups: Sequence[Sequence[str]]) -> str:
    phrases = sorted((phrase for group in groups for phrase in group), key=len, reverse=True)
    return "(" + "|".join(map(re.escape, phrases)) + r")\b"


_PHRASES = re.compile(rf"({_OPENING}){_any_of(VERBS)}|\b{_any_of(WORDS)}")


class Language:
    """Replaces synonyms, puts a filler in, leaves an article or filler out: each with its probability per sample."""

    def __init__(self, *, synonyms: float, insertion: float, deletion: float):
        self._shares = np.array([synonyms, insertion, deletion])

    def __str__(self) -> str:
        kinds = zip(("synonyms", "words put in", "words left out"), self._shares, strict=True)
        return (
            "instructions are said otherwise (" + ", ".join(f"{kind} {100 * share:g} %" for kind, share in kinds if share) + ")"
        )

    def __call__(self, batch: Batch, key: np.ndarray) -> None:
        draws = counter_uniform(key, _DRAW, 4)
        wanted = draws[:, :3] < self._shares
        variant = (draws[:, 3] * VARIANTS).astype(np.int64)
        rows = np.flatnonzero(wanted.any(axis=1)).tolist()
        for texts in batch.texts:
            for row in rows:
                texts[row] = reworded(texts[row], *wanted[row].tolist(), int(variant[row]))


@lru_cache(maxsize=200_000)
def reworded(text: str, synonyms: bool, insertion: bool, deletion: bool, variant: int) -> str:
    """One of the ``VARIANTS`` of a text. A text that offers no choice, as '' does not, stays as it is."""
    seed = np.array([zlib.crc32(text.encode()) * VARIANTS + variant])
    draws = iter(counter_uniform(seed, _DRAW, 2 * len(text.split()) + 4)[0].tolist())
    if synonyms:
        text = _PHRASES.sub(lambda match: (match[1] or "") + _one_of(_GROUPS[match[2] or match[3]], next(draws)), text)
    words = text.split()
    if deletion and (places := [place for place, word in enumerate(words) if word in DROPPED]):
        del words[_one_of(places, next(draws))]
    if insertion and words:
        places = [0, len(words), *(place for place, word in enumerate(words) if word == "the")]
        words.insert(_one_of(places, next(draws)), _one_of(FILLERS, next(draws)))
    return " ".join(words)


def vocabulary() -> list[str]:
    """All that may come into instructions: for the tokenizer."""
    return [*_GROUPS, *FILLERS]


def _one_of(choices: Sequence[_T], draw: float) -> _T:
    return choices[int(draw * len(choices))]
