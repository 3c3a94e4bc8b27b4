"""Who plays the episodes of a dataset: the expert alone, or beside it players from whose mistakes offline reinforcement learning
can tell good actions from bad ones.

Data of mixed quality: Fu et al. 2020, "D4RL: Datasets for Deep Data-Driven Reinforcement Learning".
"""

from dataclasses import dataclass

import numpy as np

from vla_train.collection.noise import BURST, perturb
from vla_train.collection.player import Moment, Move
from vla_train.errors import UsageError
from vla_train.seeds import counter_uniform
from vla_train.spec import ActionSpec

KINDS = ("expert", "mediocre", "random")
LAPSES = 0.65  # share of the steps (in bursts, where actions are continuous) in which a mediocre player acts at random
_KIND, _LAPSE, _ACTION = 7004, 7005, 7006  # numbers of draws, which no environment uses


@dataclass(frozen=True)
class Behaviour:
    """``mediocre`` and ``random`` are shares of the episodes, the rest are the expert's. ``noise`` disturbs the expert
    (``perturb``); in ``lapses`` of its bursts of 4 steps any action is executed instead of its own, which is recorded: noise
    never lets go of a thing, nor closes on nothing, and what was never seen a policy cannot mend.

    A random player takes any action at each step. A mediocre one keeps any action through ``LAPSES`` of its bursts and
    is an expert in the others. Raises UsageError for shares that are none.
    """

    noise: float = 0.0
    mediocre: float = 0.0
    random: float = 0.0
    lapses: float = 0.0
    failures: bool = False  # keep them although the expert alone plays

    def __post_init__(self) -> None:
        if min(self.mediocre, self.random) < 0 or self.mediocre + self.random > 1:
            raise UsageError(
                f"dataset.mediocre={self.mediocre:g} and dataset.random={self.random:g} are shares of the episodes: "
                "let both be 0 or more, and their sum at most 1"
            )
        if not 0 <= self.lapses < 1:
            raise UsageError(f"lapses={self.lapses:g} is a share of the expert's bursts: let it be 0 or more, and below 1")

    @property
    def mixed(self) -> bool:
        """Whether others than the expert play. Then what is executed is what is recorded, and failures are kept."""
        return self.mediocre + self.random > 0

    def kinds(self, seeds: np.ndarray) -> np.ndarray:
        """Who plays the episodes of seeds [n]: indices into ``KINDS``, int64 [n]."""
        draw = counter_uniform(seeds, _KIND, 1)[:, 0]
        return np.where(draw < self.random, 2, np.where(draw < self.random + self.mediocre, 1, 0))

    @property
    def disturbances(self) -> str:
        """What is done to an expert's recorded actions when they are executed, in words; empty where nothing is."""
        said = {"noise": self.noise, "lapses": self.lapses}
        return "" if self.mixed else " and ".join(f"{name} {value:g}" for name, value in said.items() if value)

    @property
    def keeps_failures(self) -> bool:
        return self.mixed or self.failures

    def begin(self, rows: np.ndarray | None) -> None:
        """Nothing to forget."""

    def ended(self, success: bool) -> None:
        """Nobody counts."""

    def names(self, seeds: np.ndarray) -> list[str]:
        return [KINDS[kind] for kind in self.kinds(seeds)]

    def move(self, moment: Moment) -> Move:
        """The expert's clean action is recorded, whatever is executed; where others play too, what is executed."""
        clean = moment.environment.expert_action()
        executed = self.execute(clean, moment.seeds, moment.steps, moment.environment.io_spec.action)
        return Move(executed, executed if self.mixed else clean)

    def execute(self, clean: np.ndarray, seeds: np.ndarray, steps: np.ndarray, spec: ActionSpec) -> np.ndarray:
        """The actions to execute [n, a] for the expert's clean ones: a pure function of each row's seed [n] and step [n]."""
        played = perturb(clean, seeds, steps, self.noise, spec)
        if not self.mixed and not self.lapses:
            return played
        kinds, key = self.kinds(seeds), (np.asarray(seeds, np.int64) << 32)
        burst = key + steps // (1 if spec.kind == "discrete" else BURST)
        often = np.array([self.lapses, LAPSES, 1.0])[kinds]
        lapse = counter_uniform(burst, _LAPSE, 1)[:, 0] < often
        chosen = _any_action(np.where(kinds == 2, key + steps, burst), spec)
        executed: np.ndarray = np.where(lapse[:, None], chosen, np.where(kinds[:, None] == 0, played, clean)).astype(clean.dtype)
        return executed


def _any_action(key: np.ndarray, spec: ActionSpec) -> np.ndarray:
    """Uniform actions [n, a]. Bounds that are missing are taken as -1 and 1."""
    uniform = counter_uniform(key, _ACTION, spec.size)
    if spec.kind == "discrete":
        chosen: np.ndarray = np.floor(uniform * spec.choices)
        return chosen
    low, high = np.array(spec.low or (-1.0,) * spec.size), np.array(spec.high or (1.0,) * spec.size)
    actions: np.ndarray = low + uniform * (high - low)
    return actions
