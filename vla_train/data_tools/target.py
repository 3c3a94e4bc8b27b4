"""What features are called when data of any format become a LeRobotDataset: as LeRobot's own policies look for them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from vla_train.data import choice as choosing
from vla_train.data import lerobot_layout as layout
from vla_train.data.lerobot_table import LeRobotTable
from vla_train.data.selection import Selection
from vla_train.data.table import Table
from vla_train.data.videos import Clip
from vla_train.data_tools.contents import Block, Contents
from vla_train.errors import UsageError

_KINDS = {"state": layout.STATE, "action": layout.ACTION}


@dataclass(frozen=True)
class Target:
    """``names``: of each column and camera its new name. ``together``: further columns, made of several old ones side by side,
    as float32. ``instruction`` stands where the data have none."""

    names: Mapping[str, str]
    together: Mapping[str, Sequence[str]] = field(default_factory=dict)
    instruction: str | None = None

    def numbers(self, found: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Columns [n, size] under their new names, and those that are made of them."""
        made = {new: np.concatenate([found[name] for name in parts], axis=1) for new, parts in self.together.items()}
        return {self.names[name]: values for name, values in found.items()} | {
            new: values.astype(np.float32) for new, values in made.items()
        }

    def block(self, pictures: Block) -> Block:
        return {self.names[name]: frames for name, frames in pictures.items()}

    def told(self, texts: Sequence[str]) -> list[str]:
        return [text if text.strip() else self.instruction or text for text in texts]

    def columns(self, features: Mapping[str, layout.Feature]) -> dict[str, layout.Feature]:
        """The features of ``together``."""
        named = {new: list(choosing.dimension_names(features, parts)) for new, parts in self.together.items()}
        return {new: {"dtype": "float32", "shape": [len(names)], "names": names} for new, names in named.items()}


def target_of(contents: Contents, rename: Mapping[str, str], instruction: str | None) -> Target:
    """The names that the user gives come first. A LeRobotDataset keeps its others; of other formats cameras become
    ``observation.images.<camera>`` (clouds ``observation.points.<camera>``), and the columns that are usually the
    state and the action ``observation.state`` and ``action``: one by its name, several as a column beside them.

    Raises DataError for a feature that there is not, UsageError for a name that two would have.
    """
    table, chosen = contents.table, {*contents.columns, *contents.cameras}
    foreign = not isinstance(whole(table), LeRobotTable)
    if rename and table.noted is not None:
        raise UsageError("rename: the names of this dataset stand in its Spec, by which it is read: leave rename out")
    names = choosing.renamed(table.features, table.aliases if foreign else {}, rename, table.path)
    given = {old for old, new in names.items() if new in rename.values()}
    for camera in contents.cameras:
        prefix = layout.feature_name("", contents.cameras[camera])
        if (foreign or camera in given) and not names[camera].startswith(prefix):
            names[camera] = prefix + names[camera].replace(".", "_")
    together: dict[str, Sequence[str]] = {}
    for kind, usual in _KINDS.items() if foreign else ():
        parts = [name for name in table.defaults.get(kind, ()) if name in contents.columns]
        if not parts or usual in names.values():
            continue
        if len(parts) == 1 and parts[0] not in given:
            names[parts[0]] = usual
        else:
            together[usual] = parts
    names = {old: new for old, new in names.items() if old in chosen}
    if twice := [new for new in names.values() if [*names.values(), *together].count(new) > 1]:
        raise UsageError(f"rename: two features would be called {twice[0]!r}: give one of them another name")
    return Target(names, together, instruction)


def whole(table: Table) -> Table:
    """The table that episodes were chosen from."""
    return table.whole if isinstance(table, Selection) else table


def clips_of(table: Table, name: str) -> list[Clip]:
    """Where a camera's videos lie, one for each episode that is there; empty if it has none."""
    source = whole(table)
    if not isinstance(source, LeRobotTable) or source.features[name]["dtype"] != "video":
        return []
    clips = source.clips(name) or []
    return [clip for clip, length in zip(clips, np.diff(table.starts), strict=True) if length] if clips else []
