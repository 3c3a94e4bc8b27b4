"""Stage 1: go to an object, or to one of five regions."""

import numpy as np

from vla_train.envs.tabletop.draws import Draw
from vla_train.envs.tabletop.goals import REGION_NAMES, Goals, Kind
from vla_train.envs.tabletop.state import State
from vla_train.seeds import counter_integers, counter_uniform

REGION_SHARE = 0.4  # of the episodes: regions have about half of the legal goals


class BasicNavigation:
    """Reached when the tip has kept still within the success radius for ``DWELL`` steps; passing over does not count."""

    name = "basic_navigation"
    horizon = 60
    tasks: tuple[str, ...] = ("go to object", "go to region")
    kinds: tuple[Kind, ...] = (Kind.GO_OBJECT, Kind.GO_REGION)

    def sample(self, state: State, objects_only: bool) -> tuple[Goals, np.ndarray]:
        goals = Goals.empty(len(state.seed))
        region = (counter_uniform(state.seed, Draw.TASK, 1)[:, 0] < REGION_SHARE) & (not objects_only)
        goals.kind[:] = np.where(region, Kind.GO_REGION, Kind.GO_OBJECT)
        goals.place[:] = np.where(region, counter_integers(state.seed, Draw.PLACE, 1, len(REGION_NAMES))[:, 0], 0)
        return goals, region.astype(np.int64)

    def legal(self, state: State) -> tuple[Goals, np.ndarray, np.ndarray]:
        slots, regions = state.num_slots, len(REGION_NAMES)
        kind = np.repeat([Kind.GO_OBJECT, Kind.GO_REGION], [slots, regions])
        none = np.zeros(regions, np.int64)
        goals = Goals(kind, np.r_[np.arange(slots), none], np.r_[np.zeros(slots, np.int64), np.arange(regions)])
        legal = np.ones((len(state.seed), slots + regions), bool)
        legal[:, :slots] = state.present
        return goals, np.repeat([0, 1], [slots, regions]), legal
