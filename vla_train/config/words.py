"""Finding the word that was meant."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

MOST_LETTERS, MOST_ITEMS = 100, 20  # of a value that a message quotes


def nearest(word: str, options: Iterable[str]) -> str | None:
    """The option most like ``word``, or None. Dotted keys also match by their last part, so ``lr`` finds ``optimizer.lr``."""
    known = list(options)
    leaf = word.rpartition(".")[2]
    same_leaf = [option for option in known if option.rpartition(".")[2] == leaf]
    if same_leaf:
        return difflib.get_close_matches(word, same_leaf, n=1, cutoff=0.0)[0]
    if close := difflib.get_close_matches(word, known, n=1, cutoff=0.6):
        return close[0]
    leaves = {option.rpartition(".")[2]: option for option in reversed(known)}
    close = difflib.get_close_matches(leaf, list(leaves), n=1, cutoff=0.7)
    return leaves[close[0]] if close else None


def did_you_mean(word: str, options: Iterable[str]) -> str:
    """``" Did you mean x?"`` or nothing, to be appended to a sentence."""
    found = nearest(word, options)
    return f" Did you mean {found}?" if found else ""


def shown(value: Any) -> str:
    """A value as the command line writes it, short enough for a message."""
    if isinstance(value, list):
        inside = ", ".join(map(shown, value[:MOST_ITEMS])) + (", ..." if len(value) > MOST_ITEMS else "")
        return f"[{inside}]"
    try:
        text = "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    except ValueError:  # Python refuses to write integers of thousands of digits
        return "a number of thousands of digits"
    return text if len(text) <= MOST_LETTERS else f"{text[:MOST_LETTERS]}..."


def keys(config: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Every dotted key of a nested config, groups and sections included."""
    found = []
    for key, value in config.items():
        found.append(f"{prefix}{key}")
        if isinstance(value, Mapping):
            found += keys(value, f"{prefix}{key}.")
    return [key for key in found if not key.rpartition(".")[2].startswith("_")]
