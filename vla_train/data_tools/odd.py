"""What is unusual about data without being wrong: for a person to look at."""

from collections import Counter

import numpy as np

from vla_train.data_tools.contents import Contents, joined

SHORT, LONG = 0.2, 5.0  # times the median length
UNEVEN = 0.05  # of a step, by which a time may be off


def oddities(contents: Contents, numbers: dict[str, np.ndarray]) -> list[str]:
    """Sentences for a person; ``numbers`` are the columns."""
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
    return found + _constant(numbers) + _lengths(contents) + _times(contents) + _texts(contents)


def _constant(numbers: dict[str, np.ndarray]) -> list[str]:
    names = []
    for name, values in numbers.items():
        if name.startswith("next.") or len(values) < 2:
            continue
        same = (values == values[:1]).all(axis=0)
        whole = values.shape[1] == 1 or same.all()
        names += [f"{name} ({values[0, 0]:g})" if values.shape[1] == 1 else name] if whole and same.all() else []
        names += [] if whole else [f"{name}[{index}] ({values[0, index]:g})" for index in np.flatnonzero(same)]
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


def _texts(contents: Contents) -> list[str]:
    texts = contents.table.instructions
    empty = [str(episode) for episode, text in enumerate(texts) if not text.strip()]
    found = [f"episodes without an instruction: {joined(empty)}"] if empty else []
    alike = Counter(" ".join(text.lower().split()).rstrip(".!") for text in set(texts))
    twins = [text for text, count in alike.items() if count > 1 and text]
    return found + ([f"instructions that differ only in capitals, spaces or a full stop: {joined(twins, 3)}"] if twins else [])
