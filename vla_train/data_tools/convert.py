"""``vla-data convert``: recorded data of any format as a LeRobotDataset v3.0. Numbers stay as they are, in type and value.

The dataset is made beside its place, under a hidden name, and gets its own name when it is whole and has been compared with what
it was made from. A conversion that was killed goes on with the first episode that was not committed.
"""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vla_train import stopping
from vla_train.data import lerobot_layout as layout
from vla_train.data import modality
from vla_train.data.episode_writer import EpisodeWriter, only_writer
from vla_train.data.lerobot_info import read_info
from vla_train.data.lerobot_meta import write_json
from vla_train.data.lerobot_table import LeRobotTable
from vla_train.data.progress import progress
from vla_train.data.records import place
from vla_train.data.video_files import CODECS, CopiedVideos
from vla_train.data.videos import TOLERANCE
from vla_train.data_tools.compare import compare
from vla_train.data_tools.contents import SAY_IT, Block, Contents, facts_of, joined, open_contents
from vla_train.data_tools.printing import say
from vla_train.data_tools.target import Target, clips_of, target_of, whole
from vla_train.errors import DataError, Interrupted, UsageError

COMMIT_FRAMES, COMMIT_BYTES = 5_000, 128_000_000  # of pixels: after either the end of an episode is a place to go on from
IMAGES = ("keep", "png", *CODECS)
MARK = ".converting"  # lies in a folder that a conversion made and may remove


@dataclass(frozen=True)
class Wish:
    """How data are to be converted. ``images``: keep (videos are copied, not encoded again; pictures become PNG), png, a codec.
    ``depth_range``: what is near and far in depth maps that are no bytes. ``episodes``: only these, which are numbered anew;
    ``instruction`` for those without words; ``rename``: other names for columns and cameras. ``verify``: read the result and
    compare it with the source."""

    images: str = "keep"
    depth_range: tuple[float, float] | None = None
    episodes: Sequence[int] | None = None
    instruction: str | None = None
    rename: Mapping[str, str] = field(default_factory=dict)
    verify: bool = True

    def recipe(self) -> dict[str, Any]:
        """What decides how the result looks, as info.json notes it."""
        limits = list(self.depth_range) if self.depth_range else None
        episodes = None if self.episodes is None else sorted(set(self.episodes))
        more = {"episodes": episodes, "instruction": self.instruction, "rename": dict(self.rename)}
        return {"images": self.images, "depth_range": limits} | {key: value for key, value in more.items() if value}


def convert(source: Path, target: Path, wish: Wish = Wish()) -> None:
    """Convert the data at ``source`` to the folder ``target``, which must not exist or be empty.

    Raises:
        DataError: ``target`` is not empty, or the source is damaged or does not say what is done in it; then nothing is left
            of the conversion.
        UsageError: a conversion of something else was begun there, the folder cannot be written, or lies within the source.
    """
    if wish.images not in IMAGES:
        raise UsageError(f"images={wish.images}: choose one of {', '.join(IMAGES)}")
    if source.is_dir() and target.resolve().is_relative_to(source.resolve()):
        raise UsageError(f"{target} lies within {source}, whose files are left as they are: name a folder elsewhere")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise DataError(f"{target} is not empty, and nothing is written over: name a new folder")
    contents = open_contents(source, wish.episodes)
    contents.table.check()
    numbers = contents.finite_numbers()
    contents.require_whole()
    called = target_of(contents, wish.rename, wish.instruction)
    if contents.table.noted is None and not (wish.instruction or "").strip() and (silent := contents.silent()):
        raise DataError(f"{source} has no instruction in episodes {joined([*map(str, silent)])}: {SAY_IT}")
    recipe = {"source": source.name, "format": contents.format, "fingerprint": contents.table.fingerprint()} | wish.recipe()
    partial = target.parent / f".{target.name}.partial"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with only_writer(target.parent / f".{target.name}.lock", target):
            begun = _begun(partial, recipe)
            try:
                _convert(contents, numbers, partial, wish, called, {"converted": recipe}, begun)
                if wish.verify:
                    compare(contents, open_contents(partial), called, wish.depth_range)
            except DataError:
                shutil.rmtree(partial, ignore_errors=True)
                raise
            (partial / MARK).unlink(missing_ok=True)
            if target.exists():
                target.rmdir()
            partial.rename(target)
    except Interrupted as stop:
        raise Interrupted(f"{stop}: what is made so far is kept; the same command goes on with it", stop.exit_code) from None
    except OSError as error:
        why = error.strerror or str(error)
        raise UsageError(
            f"{partial} cannot be written ({why}): free space or name another folder; begun again, it goes on"
        ) from error
    _tell(contents, target, called)


def _tell(contents: Contents, target: Path, called: Target) -> None:
    left_out = [*contents.unread, *contents.lacking]
    end = f"; left out: {joined(left_out)}" if left_out else ""
    say(f"{target}: {len(contents.episodes):,} episodes, {contents.num_frames:,} frames{end}")
    if new := {old: new for old, new in called.names.items() if old != new} | {
        " + ".join(parts): new for new, parts in called.together.items()
    }:
        say("names: " + ", ".join(f"{old} -> {name}" for old, name in new.items()))
    if not isinstance(whole(contents.table), LeRobotTable):
        say(f"to train: vla-train dataset=lerobot dataset.path={target}")


def _begun(partial: Path, recipe: dict[str, Any]) -> int:
    """How many episodes an earlier conversion of the same has made. What cannot be gone on with is removed if it is ours."""
    if not (partial / layout.INFO).is_file():
        if (partial / MARK).is_file():  # killed before its first episode was committed
            shutil.rmtree(partial)
        if partial.exists() and (not partial.is_dir() or any(partial.iterdir())):
            raise UsageError(f"{partial} is there and of no conversion, which would be made in it: remove or rename it")
        partial.mkdir(exist_ok=True)
        (partial / MARK).touch()
        return 0
    info = read_info(partial)
    if info.get(layout.OURS, {}).get("converted") != recipe:
        raise UsageError(f"a conversion of other data, or with other settings, was begun there and not ended: remove {partial}")
    episodes = int(info["total_episodes"])
    say(f"going on after {episodes:,} episodes that an earlier conversion made")
    return episodes


def _convert(
    contents: Contents,
    numbers: Mapping[str, np.ndarray],
    folder: Path,
    wish: Wish,
    called: Target,
    extra: dict[str, Any],
    begun: int,
) -> None:
    features = _features(contents, wish, called, numbers)
    made = called.numbers(numbers)
    head = {
        "fps": layout.whole_or_fraction(contents.table.rate),
        "robot_type": _robot(contents),
        layout.OURS: _ours(contents) | extra,
    }
    writer = EpisodeWriter(
        folder,
        features,
        head,
        append=True,
        commit_every=0,
        codec=wish.images if wish.images in CODECS else "h264",
        videos=(copies := _copies(contents, folder, wish, called, begun)),
    )
    if any(features[called.names[name]]["dtype"] == "video" for name in contents.cameras if called.names[name] not in copies):
        _require_even_steps(contents)
    if "timestamp" in contents.table.features:
        made |= contents.table.numbers(["timestamp"])
    text, since = contents.table.text(), 0
    size = sum(image.nbytes for image in contents.cameras.values())
    with progress("converting", contents.num_frames) as advance:
        pictures = contents.pictures(wish.depth_range, stopping.check)
        for number, (episode, blocks) in enumerate(zip(contents.episodes, pictures, strict=True)):
            rows = contents.rows(episode)
            counted = _counted(map(called.block, blocks), advance, int(contents.lengths[episode]))
            if number < begun:
                for _ in counted:
                    """They are there already; videos are read from the front."""
                continue
            told = called.told([contents.table.texts[index] for index in text[rows]])
            facts = facts_of(contents.table.episodes[episode])
            writer.add({name: values[rows] for name, values in made.items()}, counted, told, facts)
            since += len(told)
            if since >= COMMIT_FRAMES or since * size >= COMMIT_BYTES:
                writer.commit()
                since = 0
            stopping.check()
    writer.finish()
    _copy_names(contents, called, folder)


def _copies(contents: Contents, folder: Path, wish: Wish, called: Target, begun: int) -> dict[str, CopiedVideos]:
    """By new name the cameras whose videos are copied as they are."""
    if wish.images != "keep":
        return {}
    seconds = (contents.lengths[contents.episodes] / contents.table.rate).tolist()
    clips = {called.names[name]: found for name in contents.cameras if (found := clips_of(contents.table, name))}
    return {name: CopiedVideos(folder, name, found, seconds, begun) for name, found in clips.items()}


def _require_even_steps(contents: Contents) -> None:
    """A video that is encoded has a picture at each step of an even rate, where the timestamps must find it."""
    seconds = contents.seconds()
    steps = np.arange(contents.num_frames) - np.repeat(contents.table.starts[:-1], contents.lengths)
    apart = np.abs(seconds - steps / contents.table.rate)
    if (wrong := np.flatnonzero(apart > TOLERANCE + np.spacing(np.abs(seconds.astype(np.float32))))).size:
        raise DataError(
            f"{contents.table.path}: {place(int(wrong[0]), contents.table.starts)} is at {seconds[wrong[0]]:.4f} s, not at "
            f"{steps[wrong[0]] / contents.table.rate:.4f} s as {contents.table.rate:g} steps/s say, and video has even steps: "
            "use images=png, or images=keep"
        )


def _copy_names(contents: Contents, called: Target, folder: Path) -> None:
    """The names of parts (the GR00T flavour), without those of columns that were left out."""
    path = contents.table.path / modality.FILE
    if not isinstance(whole(contents.table), LeRobotTable) or not path.is_file():
        return
    content = json.loads(path.read_text(encoding="utf-8"))
    kept: dict[str, dict[str, Any]] = {}
    for kind in {"state", "action", "video"} & set(content):  # "annotation" could name texts by numbers that are others now
        named = {name: (entry, entry.get("original_key")) for name, entry in content[kind].items()}
        kept[kind] = {name: entry for name, (entry, column) in named.items() if column is None}
        for name, (entry, column) in named.items():
            if column in called.names:
                kept[kind][name] = entry | {"original_key": called.names[column]}
    write_json(folder / modality.FILE, kept)


def _counted(blocks: Iterator[Block], advance: Any, length: int) -> Iterator[Block]:
    done = 0
    for block in blocks:
        yield block
        count = len(next(iter(block.values()))) if block else 0
        advance(count)
        done += count
    advance(length - done)  # without cameras


def _features(contents: Contents, wish: Wish, called: Target, numbers: Mapping[str, np.ndarray]) -> dict[str, layout.Feature]:
    """The features of the new dataset, under its names; ``numbers`` are the columns under the old ones."""
    table, found, images = contents.table, {}, wish.images
    for name, image in contents.cameras.items():
        picture, new = layout.camera_feature(image), called.names[name]
        if image.kind == "points":
            dtype = next(table.pictures(name, image)).dtype.name
            found[new] = picture | {"dtype": dtype, "names": table.features[name].get("names")}
        elif images == "keep" and table.features[name]["dtype"] == "video":
            found[new] = picture | {"dtype": "video", "info": table.features[name].get("info") or {}}
        elif images in CODECS and image.kind == "colour" and image.channels == 3:
            found[new] = layout.video_feature(picture, table.rate, images)
        else:
            found[new] = picture | ({"info": _of_depth(contents, name, wish.depth_range)} if image.kind == "depth" else {})
    for name in contents.columns:
        feature = table.features[name]
        if (dtype := numbers[name].dtype.name) not in layout.NUMBERS:
            raise DataError(f"{name} of {table.path} holds {dtype}, for which parquet has no column: store it as float64")
        found[called.names[name]] = {"dtype": dtype, "shape": feature["shape"], "names": feature.get("names")}
    return found | called.columns(table.features) | layout.INDEX_FEATURES


def _of_depth(contents: Contents, name: str, limits: tuple[float, float] | None) -> dict[str, Any]:
    """What a depth camera says of itself; for maps that are no bytes also what becomes 0 and what 255."""
    image = contents.cameras[name]
    made_here = next(contents.table.pictures(name, image)).dtype != np.uint8
    known = limits if made_here else image.depth_range
    return {"is_depth_map": True} | ({layout.DEPTH_RANGE: list(known)} if known else {})


def _ours(contents: Contents) -> dict[str, Any]:
    """What our own writer noted of how the data came to be, if it was ours that wrote them."""
    if contents.table.noted is None:
        return {}
    noted = read_info(contents.table.path)[layout.OURS]
    kept = {key: value for key, value in noted.items() if key not in (layout.UNFINISHED, "converted")}
    kept["spec"] = json.loads(contents.table.noted.to_json())
    try:
        json.dumps(kept, allow_nan=False)
    except ValueError:
        where = contents.table.path / layout.INFO
        raise DataError(f"{where} has a number under {layout.OURS!r} that is none (NaN or infinite): mend it") from None
    return kept


def _robot(contents: Contents) -> str:
    is_lerobot = (contents.table.path / layout.INFO).is_file()
    return str((read_info(contents.table.path).get("robot_type") if is_lerobot else None) or "unknown")
