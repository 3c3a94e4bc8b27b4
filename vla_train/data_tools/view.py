"""``vla-data view``: chosen episodes on one page that needs nothing else: pictures, instruction, curves."""

from collections.abc import Sequence
from html import escape
from itertools import product
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vla_train import stopping
from vla_train.data.choice import camera_names, corresponding_state, labels
from vla_train.data.depth import to_bytes
from vla_train.data_tools import cloud_picture
from vla_train.data_tools.contents import Contents, open_contents
from vla_train.data_tools.curves import Panel, draw
from vla_train.data_tools.odd import oddities
from vla_train.data_tools.printing import say, write_new
from vla_train.errors import DataError, UsageError
from vla_train.reporting.runs import printable
from vla_train.reporting.skeleton import data, document, items, picture, section
from vla_train.spec import ImageSpec

EPISODES, FRAMES, NUMBERS = 4, 8, 12  # shown where nothing else is asked for: episodes, pictures of each, curves
MOST_EPISODES, MOST_NUMBERS = 50, 60
WIDEST, SMALL = 320, 160  # pixels of a picture on the page; up to which it is shown pixel by pixel
LONGEST = 400  # letters of an instruction


def view(
    path: Path,
    episodes: Sequence[int] | None = None,
    *,
    output: Path | None = None,
    columns: Sequence[str] | None = None,
    cameras: Sequence[str] | None = None,
) -> None:
    """Write the page, ``<name>.html`` here or ``output``, which must not exist. ``columns``: those whose numbers are drawn (as a
    rule ``action``); ``cameras`` by name or feature; ``episodes`` as a rule the first four."""
    contents = open_contents(path)
    chosen = _episodes(contents, episodes)
    shown = _cameras(contents, cameras)
    drawn, left_out = _columns(contents, columns)
    target = _target(path, output)
    frames = _frames(contents, chosen, shown)
    numbers, seconds = contents.numbers(), contents.seconds()
    lengths = contents.lengths
    told = f"{contents.format}, {len(lengths):,} episodes, {contents.num_frames:,} frames, {contents.table.rate:g} steps/s"
    parts = [f"<h1>{escape(printable(path.resolve().name))}</h1>", f'<p class="quiet">{escape(told)}</p>']
    notes = oddities(contents, numbers) + ([f"not drawn: {left_out} more numbers (columns=...)"] if left_out else [])
    parts.append(section("Notes", items(escape(printable(note, 1000)) for note in notes)))
    for episode in chosen:
        rows = contents.rows(episode)
        panels = _panels(contents, drawn, {name: values[rows] for name, values in numbers.items()})
        parts.append(_episode(contents, episode, frames[episode], panels, seconds[rows]))
    write_new(target, document(printable(path.resolve().name), parts))
    say(f"page: {target} ({target.stat().st_size / 1e6:.1f} MB)")


def _episode(
    contents: Contents, episode: int, frames: dict[str, list[tuple[int, str]]], panels: list[Panel], at: np.ndarray
) -> str:
    row: dict[str, Any] = contents.table.episodes[episode]
    steps = len(at)
    facts = [f"{steps:,} steps", f"{steps / contents.table.rate:.1f} s"]
    facts += [f"{name} {printable(row[name])}" for name in ("outcome", "seed", "task", "player") if name in row]
    instruction = printable(contents.table.instructions[episode], LONGEST) or "(no instruction)"
    strips = []
    for camera, pictures in frames.items():
        shots = "\n".join(
            f'<figure><img alt="step {step}" src="{source}"><figcaption>step {step}, {at[step]:.1f} s</figcaption></figure>'
            for step, source in pictures
        )
        name = f"<h3>{escape(camera)}</h3>\n" if len(frames) > 1 else ""
        strips.append(f'{name}<div class="strip">\n{shots}\n</div>')
    marks = [float(at[step]) for step, _ in next(iter(frames.values()), [])]
    light, dark = (_drawn(panels, at, marks, dark) for dark in (False, True)) if panels else (b"", b"")
    curves = picture(light, dark, f"Recorded numbers of episode {episode}") if panels else ""
    content = f'<p class="told"><b>{escape(instruction)}</b></p>\n' + "\n".join(strips) + curves
    return section(f"Episode {episode}", content, " · ".join(facts))


def _drawn(panels: list[Panel], at: np.ndarray, marks: list[float], dark: bool) -> bytes:
    stopping.check()
    return draw(panels, at, marks, dark=dark)


def _frames(contents: Contents, episodes: Sequence[int], cameras: dict[str, str]) -> dict[int, dict[str, list[tuple[int, str]]]]:
    """Of each episode, by camera, some steps and their pictures as addresses."""
    found: dict[int, dict[str, list[tuple[int, str]]]] = {episode: {name: [] for name in cameras} for episode in episodes}
    if not cameras:
        return found
    near, far = 0.0, 1.0  # of depth maps in metres that are no bytes
    for episode, (camera, name) in product(episodes, cameras.items()):
        steps = np.unique(np.linspace(0, contents.lengths[episode] - 1, FRAMES).round().astype(np.int64))
        image = contents.cameras[name]
        box: tuple[np.ndarray, float] | None = None  # of a cloud: that of the episode's first, so that what moves is seen to
        for step, frame in zip(steps, contents.table.pictures(name, image, contents.rows(episode).start + steps), strict=True):
            stopping.check()
            shown = to_bytes(frame, (near, far), name, contents.table.path) if image.kind == "depth" else frame
            if image.kind == "points":
                box = box or cloud_picture.limits(frame)
                shown = cloud_picture.drawn(frame, *box)
            found[episode][camera].append((int(step), _shot(shown, image)))
    return found


def _shot(frame: np.ndarray, image: ImageSpec) -> str:
    """A picture as an address: small ones as they are, large ones made smaller."""
    if image.kind == "symbols" and image.symbols:
        frame = (frame * (255 // np.maximum(np.array(image.symbols) - 1, 1))).astype(np.uint8)
    height, width, channels = frame.shape
    if width > WIDEST:
        size = (WIDEST, max(1, round(height * WIDEST / width)))
        frame = cv2.resize(frame, size, interpolation=cv2.INTER_AREA).reshape(size[1], size[0], channels)
    plain = frame[..., :3] if channels >= 3 else frame[..., :1]
    swapped = cv2.cvtColor(np.ascontiguousarray(plain), cv2.COLOR_RGB2BGR) if plain.shape[2] == 3 else np.ascontiguousarray(plain)
    kind, options = (".jpg", [cv2.IMWRITE_JPEG_QUALITY, 88]) if image.width > SMALL else (".png", [])
    _, content = cv2.imencode(kind, swapped, options)
    return data("image/jpeg" if kind == ".jpg" else "image/png", content.tobytes())


def _panels(contents: Contents, drawn: Sequence[tuple[str, int]], numbers: dict[str, np.ndarray]) -> list[Panel]:
    """A curve for each number, beside it the state that tells the same as an action."""
    features = contents.table.features
    panels = []
    for column, index in drawn:
        label = labels(features, column)[index]
        state = corresponding_state(features, [column])[index] if column.startswith("action") else None
        known = state is not None and state[0] in numbers
        beside = numbers[state[0]][:, state[1]] if state is not None and known else None
        panels.append(Panel(label, numbers[column][:, index], beside, state[0] if state is not None and known else ""))
    return panels


def _columns(contents: Contents, chosen: Sequence[str] | None) -> tuple[list[tuple[str, int]], int]:
    """The numbers to draw, and how many are left out."""
    contents.of(chosen)
    actions = [name for name in contents.columns if name == "action"] or [n for n in contents.columns if n.startswith("action")]
    names = chosen if chosen is not None else actions or [name for name in contents.columns if not name.startswith("next.")]
    every = [(name, index) for name in names for index in range(contents.columns[name])]
    most = NUMBERS if chosen is None else MOST_NUMBERS
    return every[:most], len(every[most:])


def _cameras(contents: Contents, chosen: Sequence[str] | None) -> dict[str, str]:
    """What a camera is called -> its feature."""
    named = {camera: name for camera, name in camera_names(contents.table.features).items() if name in contents.cameras}
    if chosen is None:
        return named
    by_feature = {name: camera for camera, name in named.items()}
    if unknown := [name for name in chosen if name not in named and name not in by_feature]:
        raise DataError(f"{contents.table.path} has no pictures of {unknown[0]!r}; it has {', '.join(named) or 'no cameras'}")
    return {by_feature.get(name, name): named[by_feature.get(name, name)] for name in chosen}


def _episodes(contents: Contents, chosen: Sequence[int] | None) -> list[int]:
    count = len(contents.lengths)
    if chosen is None:
        return list(range(min(EPISODES, count)))
    if outside := [episode for episode in chosen if episode >= count]:
        raise DataError(f"{contents.table.path} has the episodes 0 to {count - 1}, so there is no episode {outside[0]}")
    if len(chosen) > MOST_EPISODES:
        raise UsageError(f"{len(chosen)} episodes on one page are too many: name at most {MOST_EPISODES}")
    return list(dict.fromkeys(chosen))


def _target(path: Path, output: Path | None) -> Path:
    if output is not None:
        return output
    name = path.resolve().stem if path.is_file() else path.resolve().name
    free = (Path(f"{name}.html" if number == 1 else f"{name}-{number}.html") for number in range(1, 10_000))
    return next(target for target in free if not target.exists())
