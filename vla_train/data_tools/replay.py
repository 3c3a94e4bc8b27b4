"""``vla-data replay``: recorded actions again in the environment they came from, from the recorded seeds. Do they succeed?"""

import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vla_train import stopping
from vla_train.collection import ledger
from vla_train.collection.behaviour import Behaviour
from vla_train.data import lerobot_layout as layout
from vla_train.data.progress import progress
from vla_train.data.reader import open_reader
from vla_train.data.records import Columns, is_labelled
from vla_train.data_tools.printing import say, table
from vla_train.data_tools.world import world_of
from vla_train.envs.contract import Environment
from vla_train.errors import DataError

ROWS = 64  # episodes that are played side by side
ALIKE = 1e-5  # of the state's numbers, which are stored as float32
SHOWN = 20  # rows of the table


@dataclass(frozen=True)
class Replayed:
    """An episode that was played again. ``apart``: by how much the states differ most, and at which step."""

    episode: int
    seed: int
    recorded: str
    success: bool
    apart: tuple[float, int]


def replay(path: Path, episodes: Sequence[int] | None = None) -> int:
    """Print how many episodes succeed, and which come out otherwise than recorded. Returns 3 if one does.

    Each is played in the world that its own collection tells of. Where the recorded actions are an expert's clean ones and noise
    disturbed what was executed, the same noise does so again; what an expert says of another's way cannot be played.

    Raises:
        DataError: the data do not say where they came from, or it is nowhere to be found here.
    """
    known = ledger.collections_in(path) if (path / layout.INFO).is_file() else []
    if not known:
        raise DataError(
            f"{path} does not say from which environment it came, as data do that this program made: it cannot be replayed"
        )
    reader = open_reader(path)
    rows = reader.metadata.episodes
    chosen = _playable(path, rows, range(len(rows)) if episodes is None else episodes)
    recipes = _recipes(path, known, len(rows))
    parts: dict[str, list[int]] = {}
    for episode in chosen:
        parts.setdefault(json.dumps(recipes[episode], sort_keys=True), []).append(episode)
    columns, disturbed = reader.columns(), set()
    found: list[Replayed] = []
    with progress("replaying", len(chosen)) as advance:
        for part in parts.values():
            recipe = recipes[part[0]]
            maker, behaviour = world_of(recipe, path), _behaviour(recipe, path)
            disturbed |= {behaviour.disturbances}
            with closing(maker(min(ROWS, len(part)))) as world:
                if world.io_spec.mismatches(reader.metadata.spec) and reader.metadata.spec.action != world.io_spec.action:
                    raise DataError(f"{path} has other actions than its environment takes: {reader.metadata.spec.action}")
                for first in range(0, len(part), world.num_envs):
                    together = part[first : first + world.num_envs]
                    found += _play(world, behaviour, columns, together, rows)
                    advance(len(together))
    return _tell(path, found, sorted(disturbed - {""}))


def _playable(path: Path, rows: Sequence[Mapping[str, Any]], chosen: Sequence[int]) -> list[int]:
    """Those of the chosen episodes whose recorded actions are what was done. DataError where there is none, or no seed."""
    if outside := [episode for episode in chosen if episode >= len(rows)]:
        raise DataError(f"{path} has the episodes 0 to {len(rows) - 1}, so there is no episode {outside[0]}")
    if labelled := [episode for episode in chosen if is_labelled(rows[episode])]:
        why = "an expert's word on what another did (player=mixture): what was executed is not recorded"
        if len(labelled) == len(chosen):
            raise DataError(f"{path}: these episodes are {why}, so they cannot be replayed")
        say(f"left out: {len(labelled):,} episodes that are {why}")
    played = [episode for episode in chosen if not is_labelled(rows[episode])]
    if unknown := [episode for episode in played if type(rows[episode].get("seed")) is not int]:
        raise DataError(f"{path} has no seed for episode {unknown[0]}, so its scene cannot be made again")
    return played


def _recipes(path: Path, known: Sequence[ledger.Collection], episodes: int) -> list[Mapping[str, Any]]:
    """How each episode was made: collections stand in the order of their episodes."""
    kept = sum(one.kept for one in known)
    if kept >= episodes and all(one.recipe == known[0].recipe for one in known):
        return [known[0].recipe] * episodes
    if kept < episodes:
        raise DataError(
            f"{path} has {episodes} episodes, and its collections made {kept} of them: nothing tells where the others were "
            "played, so it cannot be replayed"
        )
    if kept != episodes:
        raise DataError(
            f"{path} has {episodes} episodes, and its {len(known)} collections, which were made in different ways, had {kept}: "
            "nothing tells of which each is, so it cannot be replayed; replay the dataset that it was taken from"
        )
    return [one.recipe for one in known for _ in range(one.kept)]


def _play(
    world: Environment, behaviour: Behaviour, columns: Columns, episodes: Sequence[int], rows: Sequence[Mapping[str, Any]]
) -> list[Replayed]:
    """Some episodes at once, one a row."""
    held = np.resize(np.array(episodes), world.num_envs)  # rows that are left over play the first ones again
    seeds = np.array([rows[episode]["seed"] for episode in held], np.int64)
    starts, lengths = columns.starts[held], np.diff(columns.starts)[held]
    seen, _ = world.reset(seed=seeds)
    success = np.zeros(world.num_envs, bool)
    worst, where = np.zeros(world.num_envs), np.zeros(world.num_envs, int)
    for step in range(int(lengths.max())):
        stopping.check()
        running = step < lengths
        at = starts + np.minimum(step, lengths - 1)
        apart = np.abs(seen["state"] - columns.state[at]).max(axis=1, initial=0.0) * running
        where, worst = np.where(apart > worst, step, where), np.maximum(apart, worst)
        executed = columns.action[at]
        if not behaviour.mixed:  # else what was executed is what is recorded
            executed = behaviour.execute(executed, seeds, np.full(len(seeds), step), world.io_spec.action)
        seen, *_ = world.step(executed)
        success = np.where(step == lengths - 1, world.success, success)
    return [
        Replayed(
            episode,
            int(seeds[row]),
            str(rows[episode].get("outcome", "")),
            bool(success[row]),
            (float(worst[row]), int(where[row])),
        )
        for row, episode in enumerate(episodes)
    ]


def _tell(path: Path, found: Sequence[Replayed], disturbed: Sequence[str]) -> int:
    other = [one for one in found if one.recorded and one.success != (one.recorded == "success")]
    astray = [one for one in found if one.apart[0] > ALIKE]
    odd = [one for one in found if one in other or one in astray]
    if odd:
        lines = [
            [
                str(one.episode),
                str(one.seed),
                one.recorded,
                "success" if one.success else "failure",
                f"{one.apart[0]:.2g}",
                str(one.apart[1]),
            ]
            for one in odd[:SHOWN]
        ]
        table(("episode", "seed", "recorded", "replayed", "state apart by", "at step"), lines, left=4)
    noise = f" (with the {', or '.join(disturbed)} of when they were made)" if disturbed else ""
    succeeded, recorded = (sum(flags) for flags in zip(*((one.success, one.recorded == "success") for one in found), strict=True))
    say(f"{path}: {succeeded:,} of {len(found):,} replayed episodes succeed, {recorded:,} did when they were recorded{noise}")
    say(f"states: equal in {len(found) - len(astray):,}, apart by more than {ALIKE:g} in {len(astray):,}")
    if other:
        say(f"wrong: {len(other):,} come out otherwise than recorded")
    return DataError.exit_code if other else 0


def _behaviour(recipe: Mapping[str, Any], path: Path) -> Behaviour:
    """Who played, and with which noise. DataError where the recipe says something that is no share."""
    values = {name: recipe.get(name, 0.0) for name in ("noise", "mediocre", "random", "lapses")}
    if any(isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 10 for value in values.values()):
        raise DataError(f"{path}: the recipe in {layout.INFO} has {values}, which are no shares and noise")
    noise, mediocre, random, lapses = map(float, values.values())
    return Behaviour(noise, mediocre, random, lapses)
