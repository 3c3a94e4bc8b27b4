"""What recordings say is to be done: an instruction for every frame, or one that the user gives where they say nothing."""

from collections.abc import Sequence
from pathlib import Path

from vla_train.errors import DataError


def told(texts: Sequence[str], instruction: str | None, path: Path, *, ours: bool = False) -> list[str]:
    """The texts, those without a word replaced by ``instruction``.

    DataError where there is no such word either, unless the data are ``ours``: an environment without language has none to give.
    """
    blank = [index for index, text in enumerate(texts) if not text.strip()]
    if blank and not ours and not (instruction or "").strip():
        raise DataError(
            f"the dataset at {path} has no instruction for {len(blank)} of its {len(texts)} episodes or texts (the first is "
            f"number {blank[0]}): say what is done there with dataset.instruction='...', or leave "
            "episodes out with dataset.exclude=[...]"
        )
    return [instruction if instruction and index in set(blank) else text for index, text in enumerate(texts)]
