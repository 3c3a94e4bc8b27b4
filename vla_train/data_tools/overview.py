"""``vla-data inspect`` and ``stats``: what is in a dataset, in tables."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vla_train.data.choice import labels
from vla_train.data.encoded import SAMPLED_FRAMES
from vla_train.data.statistics import QUANTILES
from vla_train.data_tools.contents import Contents, open_contents
from vla_train.data_tools.odd import oddities
from vla_train.data_tools.printing import figure, say, table, write_new

MOST_EPISODES, MOST_TASKS = 20, 30  # rows of a table


def inspect(path: Path, every: bool = False) -> None:
    """Print episodes, tasks, cameras, columns with their ranges, and what is odd. ``every``: all episodes, however many."""
    contents = open_contents(path)
    numbers = contents.numbers()
    lengths, rate = contents.lengths, contents.table.rate
    say(
        f"{path}: {contents.format}, {len(lengths):,} episodes, {contents.num_frames:,} frames, {rate:g} steps/s, "
        + (f"{seconds / 60:.1f} minutes" if (seconds := contents.num_frames / rate) >= 60 else f"{seconds:.1f} seconds")
    )
    for note in contents.table.notes:
        say(note)
    _episodes(contents, every)
    _tasks(contents)
    _cameras(contents)
    rows = [_range(contents, name, values) for name, values in numbers.items()]
    if rows:
        table(("column", "dtype", "size", "min", "max", "mean", "std, smallest", "std, largest"), rows, left=2)
    found = oddities(contents, numbers)
    say("odd:" if found else "nothing odd")
    for line in found:
        say(f"  {line}")


def statistics(path: Path, output: Path | None = None, columns: Sequence[str] | None = None) -> None:
    """Print the statistics of every number, or of these columns, or write them as JSON, as meta/stats.json has them."""
    contents = open_contents(path).of(columns)
    found = contents.statistics() | ({} if columns is not None else contents.cloud_statistics())
    if output is not None:
        written = {name: {key: value.tolist() for key, value in each.items()} for name, each in found.items()}
        write_new(output, json.dumps(written, indent=2) + "\n")
        say(f"statistics of {len(found)} columns, {contents.num_frames:,} frames: {output}")
        return
    keys = ("min", *list(QUANTILES)[:3], "mean", *list(QUANTILES)[3:], "max", "std")
    rows = []
    for name, each in found.items():
        is_cloud = name not in contents.columns
        names = [f"{name}.{index}" for index in range(len(each["mean"]))] if is_cloud else labels(contents.table.features, name)
        for index, label in enumerate(names):
            rows.append([label, *(figure(float(each[key][index])) for key in keys)])
    clouds = set(found) - set(contents.columns)
    sampled = f"; of point clouds {SAMPLED_FRAMES} an episode, quantiles are the means of theirs" if clouds else ""
    say(f"{path}: {contents.num_frames:,} frames{sampled}")
    table(("number", *keys), rows)


def _episodes(contents: Contents, every: bool) -> None:
    lengths, shown = contents.lengths, len(contents.lengths) if every else MOST_EPISODES
    facts = [
        name for name in ("outcome", "seed", "task", "player", "mask") if any(name in row for row in contents.table.episodes)
    ]
    rows = []
    for episode, length in enumerate(lengths[:shown]):
        row: dict[str, Any] = contents.table.episodes[episode]
        told = [str(row.get(name, "")) for name in facts]
        rows.append(
            [str(episode), contents.table.instructions[episode], *told, f"{length}", f"{length / contents.table.rate:.1f}"]
        )
    table(("episode", "instruction", *facts, "steps", "seconds"), rows, left=2 + len(facts))
    if len(lengths) > shown:
        say(f"... and {len(lengths) - shown:,} more (episodes=all)")
    quarter = np.quantile(lengths, [0, 0.25, 0.5, 0.75, 1])
    say(
        "steps an episode: "
        + ", ".join(f"{word} {value:g}" for word, value in zip(("least", "25 %", "median", "75 %", "most"), quarter, strict=True))
    )


def _tasks(contents: Contents) -> None:
    texts = contents.table.instructions
    frames: Counter[str] = Counter()
    for text, length in zip(texts, contents.lengths, strict=True):
        frames[text] += int(length)
    episodes = Counter(texts)
    if len(episodes) == len(texts):
        say(f"each episode has an instruction of its own ({len(texts)})")
        return
    rows = [[text, f"{count:,}", f"{frames[text]:,}"] for text, count in episodes.most_common(MOST_TASKS)]
    table(("instruction", "episodes", "frames"), rows)
    if len(episodes) > MOST_TASKS:
        say(f"... and {len(episodes) - MOST_TASKS:,} more instructions")


def _cameras(contents: Contents) -> None:
    rows = []
    for name, image in contents.cameras.items():
        feature = contents.table.features[name]
        codec = (feature.get("info") or {}).get("video.codec", "")
        stored = str({"video": f"video {codec}".strip(), "image": "pictures"}.get(feature["dtype"], feature["dtype"]))
        size = f"{image.height} points" if image.kind == "points" else f"{image.width} x {image.height}"
        rows.append([name, stored, image.kind, size, str(image.channels)])
    rows += [[name, "declared, no files", "", "", ""] for name in contents.lacking]
    if rows:
        table(("camera", "stored as", "kind", "pixels", "channels"), rows, left=3)
    else:
        say("no cameras")


def _range(contents: Contents, name: str, values: np.ndarray) -> list[str]:
    feature, numbers = contents.table.features[name], values.astype(np.float64)
    good = np.where(np.isfinite(numbers), numbers, np.nan)
    if not np.isfinite(numbers).any():
        return [name, feature["dtype"], str(values.shape[1]), *["none finite"] * 5]
    spread = np.nanstd(good, axis=0)
    summary = (np.nanmin(good), np.nanmax(good), np.nanmean(good), spread.min(), spread.max())
    return [name, feature["dtype"], str(values.shape[1]), *map(figure, map(float, summary))]
