"""Which of a dataset's columns and cameras are used: chosen by name, with a helpful word where a name is none."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from vla_train.data import lerobot_layout as layout
from vla_train.errors import DataError

_DEFAULT = {"state": layout.STATE, "action": layout.ACTION}
_CAMERA_PREFIXES = (layout.IMAGE, layout.POINTS, "observation.", "video.")
NUMERIC = ("float", "int", "uint", "bool")  # as a dtype begins

Features = Mapping[str, layout.Feature]


@dataclass(frozen=True)
class Choice:
    """None leaves it to the data: every camera that has files, ``observation.state`` and ``action``. An empty one: nothing.

    ``relative`` are columns of the action that a policy predicts relative to the state. ``rename`` gives columns and cameras
    other names, by which everything else then knows them. ``instruction`` stands where the data have none. ``depth_range``:
    what is near and what is far in depth maps that are not bytes. ``exclude`` are numbers of episodes that are left out, ``only``
    of those that alone are used. Of single formats: ``mask`` names those of the episodes that are used, ``rate`` the steps per
    second where the data tell no time.
    """

    cameras: tuple[str, ...] | None = None
    state: tuple[str, ...] | None = None
    action: tuple[str, ...] | None = None
    relative: tuple[str, ...] = ()
    rename: Mapping[str, str] = field(default_factory=dict)
    instruction: str | None = None
    depth_range: tuple[float, float] | None = None
    exclude: tuple[int, ...] = ()
    only: tuple[int, ...] | None = None
    mask: str | None = None
    rate: float | None = None

    def left_out(self, count: int) -> frozenset[int]:
        """The numbers of those of ``count`` episodes that are not used. DataError for one that is to be used and is not there."""
        if outside := [episode for episode in self.only or () if not 0 <= episode < count]:
            raise DataError(f"the dataset has the episodes 0 to {count - 1}, so there is no episode {outside[0]}")
        others = frozenset() if self.only is None else frozenset(range(count)) - frozenset(self.only)
        return others | frozenset(self.exclude)


def renamed(features: Features, aliases: Mapping[str, str], rename: Mapping[str, str], folder: object) -> dict[str, str]:
    """The name of every feature here: the user's, the data's own other name, or as stored. A camera may be called by any of its
    names.

    DataError where there is no such feature, or two would have one name.
    """
    names = {name: aliases.get(name, name) for name in features}
    stored = {new: old for old, new in names.items()}
    cameras = camera_names({new: features[old] for new, old in stored.items()})
    for old, new in rename.items():
        feature = old if old in features else stored.get(cameras.get(old, old))
        if feature is None:
            near = difflib.get_close_matches(old, [*names.values(), *cameras], 1)
            hint = f" Did you mean {near[0]}?" if near else f" It has {', '.join(names.values())}"
            raise DataError(f"dataset.rename: the dataset at {folder} has no {old!r}.{hint}")
        names[feature] = new
    if twice := [new for new in names.values() if list(names.values()).count(new) > 1]:
        raise DataError(f"dataset.rename: two features of the dataset at {folder} would be called {twice[0]!r}")
    return names


def numeric_columns(features: Features) -> dict[str, int]:
    """The columns that can be chosen, with their sizes: vectors of numbers that are no bookkeeping and no reward."""
    return {
        name: feature["shape"][0]
        for name, feature in features.items()
        if feature["dtype"].startswith(NUMERIC)
        and len(feature["shape"]) == 1
        and name not in layout.INDEX_FEATURES
        and not name.startswith("next.")
    }


def chosen_columns(
    features: Features, choice: Choice, folder: object, defaults: Mapping[str, tuple[str, ...]] | None = None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The columns that make up the state, and those of the action; ``defaults`` are the format's own where none was chosen.

    DataError where a name is unknown, or where none was chosen and none stands to reason: what there is to choose is listed.
    """
    known, problems, found = numeric_columns(features), [], {}
    for kind, chosen in (("action", choice.action), ("state", choice.state)):
        others = {name: size for name, size in known.items() if kind == "action" or not name.startswith("action")}
        if chosen is not None:
            problems += [_unknown(name, kind, features, known) for name in chosen if name not in known]
            found[kind] = tuple(chosen)
        elif defaults and kind in defaults:
            found[kind] = defaults[kind]
        elif _DEFAULT[kind] in known or (kind == "state" and not others):
            found[kind] = (_DEFAULT[kind],) if _DEFAULT[kind] in known else ()
        else:
            none = " (or [] for none)" if kind == "state" else ""
            listed = grouped({name: size for name, size in others.items() if name.startswith(kind)} or others)
            problems.append(f"no column {_DEFAULT[kind]!r}: choose with dataset.{kind}=[...]{none} from\n{listed}")
    if problems:
        raise DataError(f"the dataset at {folder} has " + "\nand ".join(problems))
    return found["state"], found["action"]


def grouped(columns: Mapping[str, int]) -> str:
    """The columns and their sizes, one line for each first part of a name."""
    groups: dict[str, list[str]] = {}
    for name, size in columns.items():
        group = name.rpartition(".")[0]
        groups.setdefault(group, []).append(f"{name.removeprefix(group).removeprefix('.')} ({size})")
    lines = [f"  {group + '.*: ' if group else ''}{', '.join(names)}" for group, names in groups.items()]
    return "\n".join(lines) or "  (it has no columns of numbers)"


def _unknown(name: str, kind: str, features: Features, known: Mapping[str, int]) -> str:
    if name in features and layout.is_cloud(name, features[name]):
        return f"{name!r} (dataset.{kind}) as a point cloud {features[name]['shape']}, which is read as a camera: dataset.cameras"
    if name in features:
        feature = features[name]
        what = f"{name!r} (dataset.{kind}) as {feature['dtype']} {feature['shape']}, which is no vector of numbers"
    else:
        what = f"no column {name!r} (dataset.{kind})"
    near = difflib.get_close_matches(name, known, 1)
    return f"{what}. Did you mean {near[0]}?" if near else f"{what}. These can be chosen:\n{grouped(known)}"


def dimension_names(features: Features, columns: Sequence[str]) -> tuple[str, ...]:
    """A name for each number of these columns together: the data's own where they are all different, else ``column.0``."""
    given = [name for column in columns for name in feature_names(features[column]) or _numbered(features, column)]
    if len(set(given)) == len(given):
        return tuple(given)
    return tuple(name for column in columns for name in _numbered(features, column))


def labels(features: Features, column: str) -> list[str]:
    """What a person is told that each number of a column is called: ``column``, ``column.0`` or ``column: name``."""
    if features[column]["shape"] == [1]:
        return [column]
    names = dimension_names(features, [column])
    return [name if name.startswith(column) else f"{column}: {name}" for name in names]


def _numbered(features: Features, column: str) -> list[str]:
    return [f"{column}.{index}" for index in range(features[column]["shape"][0])]


def feature_names(feature: layout.Feature) -> tuple[str, ...]:
    """The names of a feature's columns, where it has one for each; some recorders nest them as {"motors": [...]}."""
    names = feature.get("names")
    names = next(iter(names.values()), None) if isinstance(names, dict) else names
    fits = isinstance(names, list) and len(names) == feature["shape"][0]
    return tuple(str(name) for name in names) if fits and names else ()


def corresponding_state(features: Features, columns: Sequence[str]) -> list[tuple[str, int] | None]:
    """For each number of the action columns the state column, and the place in it, that tells the same of the robot.

    ``action.eef_position`` corresponds to ``state.eef_position`` or ``observation.state.eef_position``; two columns that name
    their numbers correspond where the names are equal, as with ``action`` and ``observation.state``.
    """
    known = numeric_columns(features)
    found: list[tuple[str, int] | None] = []
    for column in columns:
        rest = column.removeprefix(layout.ACTION) if column.startswith(layout.ACTION) else ""
        state = next((name for name in (f"state{rest}", f"{layout.STATE}{rest}") if name in known and name != column), None)
        names = feature_names(features[column])
        theirs = feature_names(features[state]) if state else ()
        for index in range(known[column]):
            if state and names and theirs:
                found.append((state, theirs.index(names[index])) if names[index] in theirs else None)
            else:
                found.append((state, index) if state and rest and known[state] == known[column] else None)
    return found


def relative_to(
    features: Features, relative: Sequence[str], state: Sequence[str], action: Sequence[str], folder: object
) -> tuple[int, ...]:
    """For each number of the action its place in the state, -1 where the column is not ``relative``; empty where none is.

    DataError for a column that is not predicted, or whose state does not exist or is not among the chosen ones.
    """
    if not relative:
        return ()
    if strange := [name for name in relative if name not in action]:
        raise DataError(f"dataset.relative names {strange[0]!r}, which is not predicted; dataset.action is {', '.join(action)}")
    sizes = numeric_columns(features)
    starts = {name: sum(sizes[before] for before in state[:index]) for index, name in enumerate(state)}
    names = [name for name in action for _ in range(sizes[name])]
    found = []
    for name, at in zip(names, corresponding_state(features, action), strict=True):
        if name in relative and at is None:
            raise DataError(f"the dataset at {folder} has no state that corresponds to {name!r}: take it out of dataset.relative")
        if name in relative and at is not None and at[0] not in starts:
            raise DataError(
                f"{name!r} is predicted relative to {at[0]!r}, which the policy is not told: add that to dataset.state"
            )
        found.append(starts[at[0]] + at[1] if name in relative and at is not None else -1)
    return tuple(found)


def camera_names(features: Features) -> dict[str, str]:
    """Camera -> feature. A camera is called by the last part of its feature's name, or by the whole where two would be alike.

    Dots become underscores, since networks are stored under these names.
    """
    pictures = [name for name, feature in features.items() if layout.is_camera(name, feature)]
    short = [_short(name) for name in pictures]
    whole = [name.replace(".", "_") for name in pictures]
    return dict(zip(short if len(set(short)) == len(short) else whole, pictures, strict=True))


def _short(name: str) -> str:
    prefix = next((prefix for prefix in _CAMERA_PREFIXES if name.startswith(prefix) and name != prefix), "")
    return name.removeprefix(prefix).replace(".", "_")


def chosen_cameras(features: Features, chosen: Sequence[str] | None, folder: object) -> dict[str, str]:
    """Camera -> feature of the chosen ones, which may be called by either. DataError for an unknown one."""
    names = camera_names(features)
    if chosen is None:
        return names
    by_feature = {feature: camera for camera, feature in names.items()}
    found = {}
    for name in chosen:
        camera = by_feature.get(name, name)
        if camera not in names:
            near = difflib.get_close_matches(name, [*names, *by_feature], 1, cutoff=0.4)
            hint = f" Did you mean {near[0]}?" if near else ""
            if name in features:
                feature = features[name]
                hint = f" {feature['dtype']} {feature['shape']} is neither pictures nor a point cloud ({layout.CLOUDS})."
            raise DataError(f"the dataset at {folder} has no camera {name!r}.{hint} It has {', '.join(names) or 'none'}")
        found[camera] = names[camera]
    return found
