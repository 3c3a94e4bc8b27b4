"""Stage 1: go to an object, or to one of five regions."""

import numpy as np

from vla_train.envs.tabletop.draws import Draw
from vla_train.envs.tabletop.goals import REGION_NAMES, Kind
from vla_train.envs.tabletop.stages.base import Requests
from vla_train.envs.tabletop.state import State
from vla_train.seeds import counter_integers, counter_uniform

REGION_SHARE = 0.4  # of the episodes: regions have about half of the legal goals


class BasicNavigation:
    """Reached when the tip has kept still within the success radius for ``DWELL`` steps; passing over does not count."""

    name = "basic_navigation"
    horizon = 60
    tasks: tuple[str, ...] = ("go to object", "go to region")
    kinds: tuple[Kind, ...] = (Kind.GO_OBJECT, Kind.GO_REGION)

    steps, trays, walls = 1, 0, 0

    def sample(self, state: State, objects_only: bool) -> Requests:
        region = (counter_uniform(state.seed, Draw.TASK, 1)[:, 0] < REGION_SHARE) & (not objects_only)
        kind = np.where(region, Kind.GO_REGION, Kind.GO_OBJECT)
        place = np.where(region, counter_integers(state.seed, Draw.PLACE, 1, len(REGION_NAMES))[:, 0], 0)
        none = np.zeros_like(place)
        return Requests.plain(kind, none, place, none, task=region)

    def legal(self, state: State) -> tuple[Requests, np.ndarray]:
        slots, regions, n = state.num_slots, len(REGION_NAMES), len(state.seed)
        kind = np.repeat([Kind.GO_OBJECT, Kind.GO_REGION], [slots, regions])
        slot = np.r_[np.arange(slots), np.zeros(regions, np.int64)]
        place = np.r_[np.zeros(slots, np.int64), np.arange(regions)]
        legal = np.ones((n, slots + regions), bool)
        legal[:, :slots] = state.present
        task = kind == Kind.GO_REGION
        columns = (np.broadcast_to(column, legal.shape) for column in (kind, slot, place, np.zeros_like(slot), task))
        return Requests.plain(*columns), legal
