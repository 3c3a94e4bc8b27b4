"""What is unusual about data without being wrong: for a person to look at."""

from collections import Counter

import numpy as np

from vla_train.data import lerobot_layout as layout
from vla_train.data.choice import labels
from vla_train.data_tools.contents import Contents, joined

SHORT, LONG = 0.2, 5.0  # times the median length
UNEVEN = 0.05  # of a step, by which a time may be off


def oddities(contents: Contents, numbers: dict[str, np.ndarray], *, told: bool = False) -> list[str]:
    """Sentences for a person; ``numbers`` are the columns. ``told``: what is wrong, not odd alone, has been told: numbers that
    are not finite, episodes without an instruction."""
    found = []
    if contents.unfinished:
        found.append("its writer has not finished it: what is there can be read, and gone on with")
    if contents.lacking:
        found.append(f"cameras declared without files: {joined(contents.lacking)}")
    if contents.unread:
        kinds = ", ".join(sorted(set(contents.unread.values())))
        found.append(
            f"{len(contents.unread)} columns are no numbers and are not read ({kinds}): {joined(list(contents.unread), 4)}"
        )
    found += [] if told else _not_finite(contents, numbers)
    found += _constant(contents, numbers) + _lengths(contents) + _times(contents)
    return found + ([] if told and contents.table.noted is None else _silent(contents)) + _texts(contents)


def _not_finite(contents: Contents, numbers: dict[str, np.ndarray]) -> list[str]:
    found = []
    for name, values in numbers.items():
        if (bad := ~np.isfinite(values)).any():
            which = [label for label, wrong in zip(labels(contents.table.features, name), bad.any(axis=0), strict=True) if wrong]
            rows = np.flatnonzero(bad.any(axis=1))
            episodes = np.unique(np.searchsorted(contents.table.starts, rows, side="right") - 1)
            found.append(f"NaN or infinite in {len(rows):,} frames: {joined(which)}; episodes {joined([*map(str, episodes)])}")
    return found


def _constant(contents: Contents, numbers: dict[str, np.ndarray]) -> list[str]:
    names = []
    for name, values in numbers.items():
        if (name.startswith("next.") and name != layout.REWARD) or len(values) < 2:
            continue
        same = (values == values[:1]).all(axis=0)
        if values.shape[1] > 1 and same.all():
            names.append(name)
        else:
            called = labels(contents.table.features, name)
            names += [f"{called[index]} ({values[0, index]:g})" for index in np.flatnonzero(same)]
    return [f"constant: {joined(names)}"] if names else []


def _lengths(contents: Contents) -> list[str]:
    lengths = contents.lengths
    median = float(np.median(lengths))
    found = []
    for word, odd in (("short", lengths < SHORT * median), ("long", lengths > LONG * median)):
        if odd.any():
            shown = joined([f"{episode} ({lengths[episode]} steps)" for episode in np.flatnonzero(odd)])
            found.append(f"very {word} episodes (the median has {median:g} steps): {shown}")
    return found


def _times(contents: Contents) -> list[str]:
    seconds, lengths = contents.seconds(), contents.lengths
    steps = np.arange(contents.num_frames) - np.repeat(contents.table.starts[:-1], lengths)
    off = np.abs(seconds - steps / contents.table.rate) * contents.table.rate
    odd = np.unique(np.searchsorted(contents.table.starts, np.flatnonzero(off > UNEVEN), side="right") - 1)
    if not len(odd):
        return []
    rate, most = contents.table.rate, off.max()
    return [f"times that are no multiples of 1/{rate:g} s (up to {most:.2g} steps off), in episodes {joined([*map(str, odd)])}"]


def _silent(contents: Contents) -> list[str]:
    found = contents.silent()
    return [f"episodes without an instruction: {joined([*map(str, found)])}"] if found else []


def _texts(contents: Contents) -> list[str]:
    texts = contents.table.instructions
    alike = Counter(" ".join(text.lower().split()).rstrip(".!") for text in set(texts))
    twins = [text for text, count in alike.items() if count > 1 and text]
    return [f"instructions that differ only in capitals, spaces or a full stop: {joined(twins, 3)}"] if twins else []
