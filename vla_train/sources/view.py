"""What the rows of a world show, as a policy sees it: through the Processor, with each row's window of the last k frames."""

import numpy as np

from vla_train.processor import Processor
from vla_train.rollouts.window import Window
from vla_train.spec import StateDict
from vla_train.types import Observation, RawObservation


class View:
    """Of ``num_envs`` rows. Words are tokenized again only when they change."""

    def __init__(self, processor: Processor, num_envs: int) -> None:
        self._processor, self._rows = processor, np.arange(num_envs)
        self._window = Window(processor.spec.history)
        self._told: list[str] = []
        self._tokens, self._mask = processor.tokenize([])

    def reset(self, mask: np.ndarray) -> None:
        """These rows begin a new episode."""
        self._window.reset(self._rows[mask])

    def see(self, raw: RawObservation, mask: np.ndarray | None = None) -> Observation:
        """Take in what these rows show now (None: all), and give the observation [n] of all."""
        rows = self._rows if mask is None else self._rows[mask]
        images, state = raw["images"], raw["state"]
        if mask is not None:
            images, state = {name: image[rows] for name, image in images.items()}, state[rows]
        self._window.push(rows, self._processor.resize(images), state)
        self._listen(list(raw["instruction"]))
        return self.observation()

    def observation(self) -> Observation:
        """What was seen last, [n]."""
        images, state, present = self._window.read(self._rows)
        return self._processor.observation(images, self._tokens, self._mask, state, present)

    def differs(self, raw: RawObservation) -> np.ndarray:
        """bool [n]: the rows that show something else than what was seen last."""
        images, state, _ = self._window.read(self._rows)
        found: np.ndarray = (np.asarray(raw["state"], np.float32) != state[:, -1]).any(axis=1)
        found |= np.array([new != old for new, old in zip(raw["instruction"], self._told, strict=True)])
        for name, image in self._processor.resize(raw["images"]).items():
            found |= (image != images[name][:, -1]).reshape(len(found), -1).any(axis=1)
        return found

    def _listen(self, told: list[str]) -> None:
        if told != self._told:
            self._told = told
            self._tokens, self._mask = self._processor.tokenize(told)

    def state_dict(self) -> StateDict:
        return {"window": self._window.state_dict(), "told": list(self._told)}

    def load_state_dict(self, state: StateDict) -> None:
        """Raises ``ValueError`` for the state of other rows."""
        if len(state["told"]) != len(self._rows):
            raise ValueError(f"{len(state['told'])} instructions for {len(self._rows)} rows")
        self._window.load_state_dict(state["window"])
        self._listen(list(state["told"]))
