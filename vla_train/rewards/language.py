"""How well the state of a scene fulfils its instruction, told from words alone."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from vla_train.envs.contract import Environment, Told
from vla_train.errors import UsageError
from vla_train.rewards.overlap import WordOverlap
from vla_train.rewards.sentence_encoder import sentence_encoder


@runtime_checkable
class Scorer(Protocol):
    """Compares sentences; in any unit, more is better. What it says of a pair may not depend on what it was asked before."""

    def __call__(self, instruction: str, sentences: tuple[str, ...]) -> np.ndarray:
        """float [v]: how well each sentence says that the instruction is fulfilled."""


SCORERS: dict[str, Callable[[str | None], Scorer]] = {
    "sentence_encoder": sentence_encoder,
    "overlap": lambda encoder: WordOverlap(),
}


@dataclass(frozen=True)
class Judge:
    """Which scorer is asked: a name in ``SCORERS``, and where the sentence encoder is (None: the installed package's)."""

    scorer: str
    encoder: str | None = None

    def make(self) -> Scorer:
        return SCORERS[self.scorer](self.encoder)


class LanguageScore:
    """A number in [0, 1] for each row: that of the fact which fits its instruction best.

    A scorer's numbers are put on the same scale for all instructions: 0 for the sentence of all that may be told which fits the
    instruction least, 1 for the one that fits it best. They are computed once for each instruction. Raises UsageError for an
    environment that tells no facts.
    """

    def __init__(self, environment: Environment, judge: Judge) -> None:
        if not isinstance(environment, Told):
            raise UsageError(
                "reward.language needs an environment that tells in words what its robot does, as environment=tabletop does and "
                "this one does not: choose reward=sparse, which counts reaching the goal, or reward=environment"
            )
        self._environment, self._tells = environment, environment
        self._scorer = judge.make()
        self._place: dict[str, int] = {}  # of each instruction in the table
        self._table = np.zeros((0, len(environment.fact_sentences)), np.float64)
        self._told: list[str] = []
        self._rows = np.zeros(0, np.int64)

    def __call__(self) -> np.ndarray:
        """float64 [n]: of the states as they are now."""
        self._listen([goal.instruction for goal in self._environment.goals])
        facts = self._tells.facts()
        fits = np.where(facts >= 0, self._table[self._rows[:, None], facts], 0.0)
        best: np.ndarray = fits.max(axis=1)
        return best

    def best_facts(self) -> list[str]:
        """The fact of each row that decides its score; "" where nothing is told."""
        self()
        facts = self._tells.facts()
        best = np.where(facts >= 0, self._table[self._rows[:, None], facts], -1.0).argmax(axis=1)
        chosen = facts[np.arange(len(facts)), best]
        return [self._tells.fact_sentences[fact] if fact >= 0 else "" for fact in chosen]

    def _listen(self, told: list[str]) -> None:
        """Note what each row was told, and judge the instructions that are new."""
        if told == self._told:
            return
        new = [instruction for instruction in dict.fromkeys(told) if instruction not in self._place]
        if new:
            self._place |= {instruction: len(self._table) + number for number, instruction in enumerate(new)}
            self._table = np.concatenate([self._table, [self._fits(instruction) for instruction in new]])
        self._told, self._rows = told, np.array([self._place[instruction] for instruction in told])

    def _fits(self, instruction: str) -> np.ndarray:
        """float64 [v] in [0, 1]; 0 where all sentences fit alike."""
        raw = np.asarray(self._scorer(instruction, self._tells.fact_sentences), np.float64)
        span: float = np.ptp(raw)
        return (raw - raw.min()) / span if span > 0 else np.zeros_like(raw)
