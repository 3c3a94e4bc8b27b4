"""Every picture of a dataset decoded: where one cannot be read, the others still are."""

from collections.abc import Iterator

import numpy as np

from vla_train import stopping
from vla_train.data.clouds import not_finite
from vla_train.data.depth import to_bytes
from vla_train.data.progress import progress
from vla_train.data_tools.contents import Contents, joined
from vla_train.errors import DataError
from vla_train.spec import ImageSpec

MOST = 20  # told of one camera
PART = 1024  # pictures
BLOCK = 64  # pictures between two looks at the clock
OWN_FILES = ("image_folder", "collector")  # formats whose pictures are a file each


def unreadable(contents: Contents) -> list[str]:
    """What is wrong with the pictures of every camera. Of an episode whose video is damaged only the first place is told."""
    found = []
    for name, image in contents.cameras.items():
        wrong = _of_camera(contents, name, image)
        found += wrong[:MOST] + ([f"{name!r}: {len(wrong) - MOST} more such places"] if len(wrong) > MOST else [])
    return found


def _of_camera(contents: Contents, name: str, image: ImageSpec) -> list[str]:
    table, ends = contents.table, contents.table.starts[1:]
    alone = table.features[name]["dtype"] == "image" and (contents.format in OWN_FILES or contents.format.startswith("LeRobot"))
    alone |= image.kind == "points"
    bad: list[int] = []  # clouds with numbers that are none
    try:
        torn = table.torn(name)
    except DataError as error:
        return [str(error)]
    found = {f"camera {name!r}, episode {episode}: {what}": None for episode, what in torn.items()}
    left = np.flatnonzero(~np.isin(np.repeat(np.arange(len(ends)), contents.lengths), list(torn)))
    # A picture that cannot be read costs a new beginning: of pictures that stand alone only within the part.
    parts = np.split(left, range(PART, len(left), PART)) if alone else [left]
    with progress(f"decoding {name}", len(left)) as advance:
        for part in parts:
            while len(part):
                done = 0
                try:
                    for done in _decoded(contents, name, image, part, bad):  # noqa: B007
                        advance(1)
                    if done < len(part):
                        found[f"{table.path}: {name!r} has fewer pictures than there are steps"] = None
                    break
                except DataError as error:
                    if str(error) in found:  # of the file as a whole
                        return list(found)
                    found[str(error)] = None
                    row = int(part[done])
                    part = part[part >= (row + 1 if alone else ends[np.searchsorted(ends, row, side="right")])]
    if bad:
        first = not_finite(name, next(table.pictures(name, image, np.array(bad[:1]))), bad[0], table)
        episodes = joined([str(episode) for episode in np.unique(np.searchsorted(table.starts, bad, side="right") - 1)])
        found[f"{name!r} is not finite in {len(bad)} frames, in episodes {episodes}; the first: {first}"] = None
    return list(found)


def _decoded(contents: Contents, name: str, image: ImageSpec, rows: np.ndarray, bad: list[int]) -> Iterator[int]:
    """How many have been decoded, after each one. Rows of clouds that are not finite are added to ``bad``."""
    for number, frame in enumerate(contents.table.pictures(name, image, rows if len(rows) < contents.num_frames else None)):
        if number % BLOCK == 0:
            stopping.check()
        if image.kind == "depth":
            to_bytes(frame, (0.0, 1.0), name, contents.table.path)  # whether it can be read, not what it shows
        if image.kind == "points" and not np.isfinite(frame).all():
            bad.append(int(rows[number]))
        yield number + 1
