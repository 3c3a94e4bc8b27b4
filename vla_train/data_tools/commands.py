"""The words of ``vla-data``: which command, on what, with which settings."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from vla_train.config.words import did_you_mean
from vla_train.errors import UsageError

MOST_DIGITS = 6  # of an episode's number: a list of them is made

Settings = dict[str, str]
# Command -> (how many paths it takes, its settings)
COMMANDS: dict[str, tuple[int, tuple[str, ...]]] = {
    "inspect": (1, ("episodes",)),
    "validate": (1, ("fix", "pictures")),
    "convert": (2, ("images", "episodes", "instruction", "rename", "depth_range", "verify")),
    "stats": (1, ("output", "columns")),
    "view": (1, ("episodes", "output", "columns", "cameras")),
    "replay": (1, ("episodes",)),
}


def run(words: Sequence[str]) -> int:
    """Do what the words of a command line say. UsageError for words that mean nothing."""
    name, *rest = words
    if name not in COMMANDS:
        raise UsageError(f"vla-data has no command {name!r}.{did_you_mean(name, COMMANDS)} It has {', '.join(COMMANDS)}")
    count, keys = COMMANDS[name]
    if wrong := [word for word in rest if word.startswith("-") and word.lstrip("-").partition("=")[0] not in (*keys, "debug")]:
        raise UsageError(
            f"vla-data {name} has no option {wrong[0]}.{did_you_mean(wrong[0].lstrip('-'), keys)} It has {', '.join(keys)}"
        )
    rest = [word.lstrip("-") for word in rest]
    rest = [f"{word}=true" if word in keys and not Path(word).exists() else word for word in rest]  # --fix
    settings = dict(word.split("=", 1) for word in rest if "=" in word and not Path(word).exists())
    paths = [Path(word) for word in rest if word.split("=")[0] not in settings]
    for key in settings:
        if key not in (*keys, "debug"):
            raise UsageError(f"vla-data {name} has no setting {key!r}.{did_you_mean(key, keys)} It has {', '.join(keys)}")
    if len(paths) != count:
        usage = "FOLDER" if count == 1 else "FROM TO"
        raise UsageError(
            f"vla-data {name} takes {usage}, but was given {len(paths)} paths: vla-data {name} {usage} [key=value ...]"
        )
    settings.pop("debug", None)
    return int(_WORK[name](*paths, settings) or 0)


def _inspect(path: Path, settings: Settings) -> None:
    from vla_train.data_tools.overview import inspect

    if (episodes := settings.get("episodes", "all")) != "all":
        raise UsageError(f"episodes={episodes}: vla-data inspect takes episodes=all; vla-data view shows chosen ones")
    inspect(path, every="episodes" in settings)


def _stats(path: Path, settings: Settings) -> None:
    from vla_train.data_tools.overview import statistics

    columns = _names(settings["columns"]) if "columns" in settings else None
    statistics(path, Path(settings["output"]) if "output" in settings else None, columns)


def _validate(path: Path, settings: Settings) -> int:
    from vla_train.data_tools.validate import validate

    return int(validate(path, fix=_yes(settings, "fix", False), pictures=_yes(settings, "pictures", True)))


def _convert(source: Path, target: Path, settings: Settings) -> None:
    from vla_train.data_tools.convert import Wish, convert

    wish = Wish(
        images=settings.get("images", "keep"),
        depth_range=_numbers(settings["depth_range"]) if "depth_range" in settings else None,
        episodes=_episodes(settings),
        instruction=settings.get("instruction"),
        rename=_pairs(settings, "rename"),
        verify=_yes(settings, "verify", True),
    )
    convert(source, target, wish)


def _view(path: Path, settings: Settings) -> None:
    from vla_train.data_tools.view import view

    chosen = {key: _names(settings[key]) if key in settings else None for key in ("columns", "cameras")}
    view(path, _episodes(settings), output=Path(settings["output"]) if "output" in settings else None, **chosen)


def _replay(path: Path, settings: Settings) -> int:
    from vla_train.data_tools.replay import replay

    return int(replay(path, _episodes(settings)))


_WORK: dict[str, Callable[..., Any]] = {
    "inspect": _inspect,
    "stats": _stats,
    "validate": _validate,
    "convert": _convert,
    "view": _view,
    "replay": _replay,
}


def _names(text: str) -> list[str]:
    """``[a,b]`` or ``a,b``."""
    return [name.strip() for name in text.strip("[]").split(",") if name.strip()]


def _pairs(settings: Settings, key: str) -> dict[str, str]:
    """``{a: b, c: d}`` or ``a:b,c:d``."""
    pairs = [part.partition(":") for part in _names(settings.get(key, "").strip().removeprefix("{").removesuffix("}"))]
    if wrong := [old for old, colon, new in pairs if not (colon and old.strip() and new.strip())]:
        raise UsageError(f"{key}={settings[key]}: {wrong[0]!r} is no pair of names; say as in {key}={{cam_high: top}}")
    return {old.strip(): new.strip() for old, _, new in pairs}


def _episodes(settings: Settings) -> list[int] | None:
    """``0,5`` or ``0-5``; None where nothing or ``all`` was said."""
    text = settings.get("episodes", "all")
    if text == "all":
        return None
    chosen: list[int] = []
    for part in _names(text):
        first, dash, last = part.partition("-")
        if not _is_number(first) or (dash and not _is_number(last)) or int(last or first) < int(first):
            chosen = []
            break
        chosen += range(int(first), int(last or first) + 1)
    if not chosen:
        raise UsageError(f"episodes={text}: name episodes by number, as in episodes=0,5 or episodes=0-5")
    return chosen


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= MOST_DIGITS


def _numbers(text: str) -> tuple[float, float]:
    try:
        near, far = (float(part) for part in _names(text))
    except ValueError:
        near = far = 0.0
    if not near < far:
        raise UsageError(f"depth_range={text}: give what is near and what is far, as in depth_range=[0.0,2.0]")
    return near, far


def _yes(settings: Settings, key: str, default: bool) -> bool:
    text = settings.get(key, str(default)).lower()
    if text not in ("true", "false"):
        raise UsageError(f"{key}={text}: say true or false")
    return text == "true"
