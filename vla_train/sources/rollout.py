"""Batches of fresh experience: the present policy plays in the rows of a world, and each batch is learned from once."""

from collections.abc import Callable, Iterator

import numpy as np

from vla_train.envs.contract import Environment
from vla_train.processor import Processor
from vla_train.sources.player import Player
from vla_train.sources.steps import Steps
from vla_train.spec import StateDict
from vla_train.types import Observation, Rollout


class RolloutSource:
    """Endless ``Rollout`` batches of ``steps`` steps in ``num_envs`` rows; episodes go on from one batch to the next. The other
    arguments are those of ``Player``."""

    collects = True
    batch_type = Rollout

    def __init__(
        self,
        *,
        num_envs: int,
        steps: int,
        make_environment: Callable[[int], Environment],
        processor: Processor,
        explore: Callable[[Observation], np.ndarray],
        seed: int,
    ) -> None:
        self.player = Player(
            num_envs=num_envs, make_environment=make_environment, processor=processor, explore=explore, seed=seed
        )
        self._num_steps = steps
        self.env_steps = 0

    def __iter__(self) -> Iterator[Rollout]:
        return self

    def prepare(self) -> None:
        self.player.prepare()

    def __next__(self) -> Rollout:
        self.prepare()
        steps = Steps(self._num_steps, self.player.num_envs)
        while not steps.full:
            self.player.step(steps)
        self.env_steps += self._num_steps * self.player.num_envs
        return steps.batch(self.player.seen)

    def figures(self) -> dict[str, float]:
        return self.player.figures()

    def close(self) -> None:
        self.player.close()

    def state_dict(self) -> StateDict:
        return {**self.player.state_dict(), "env_steps": self.env_steps}

    def load_state_dict(self, state: StateDict) -> None:
        """Raises ``ValueError`` or ``LookupError`` for what no source of so many rows has given."""
        if type(state["env_steps"]) is not int or state["env_steps"] < 0:
            raise ValueError(f"source.env_steps is {state['env_steps']!r}")
        self.env_steps = state["env_steps"]
        self.player.load_state_dict(state)
