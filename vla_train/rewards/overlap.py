"""The simplest comparison of two sentences: the words that they share. Needs no weights; what better ones are measured by."""

import re
from collections import Counter
from functools import cache

import numpy as np


class WordOverlap:
    """The cosine between counts of words (Salton et al. 1975, "A vector space model for automatic indexing", unweighted)."""

    def __call__(self, instruction: str, sentences: tuple[str, ...]) -> np.ndarray:
        asked = words(instruction)
        return np.array([_cosine(asked, words(sentence)) for sentence in sentences])


@cache
def words(sentence: str) -> Counter[str]:
    return Counter(re.findall(r"\w+", sentence.lower()))


def _cosine(one: Counter[str], other: Counter[str]) -> float:
    shared = sum(count * other[word] for word, count in one.items())
    lengths = sum(count**2 for count in one.values()) * sum(count**2 for count in other.values())
    return float(shared / lengths**0.5) if lengths else 0.0
