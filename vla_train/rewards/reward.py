"""A reward as its config describes it, and an environment that gives it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vla_train.envs.contract import Environment, Goal
from vla_train.envs.wrapper import Wrapper
from vla_train.rewards.language import Judge, LanguageScore
from vla_train.rewards.terms import Change, Completion, Penalty, Term, progress
from vla_train.types import RawObservation


class Reward:
    """A weighted sum of terms; a term without weight is neither computed nor logged. ``configs/reward`` explains the keys.

    Called with an environment, it gives that environment with this reward. Raises UsageError where a term does not apply there.
    """

    def __init__(
        self,
        *,
        completion: float,
        progress: float,
        action: float,
        discount: float,
        language: float = 0.0,
        scorer: str = "sentence_encoder",
        encoder: str | None = None,
    ) -> None:
        self.weights = {"completion": completion, "progress": progress, "action": action, "language": language}
        self._discount, self._judge = discount, Judge(scorer, encoder)

    def __call__(self, environment: Environment) -> "Rewarded":
        terms = {name: self._term(name, environment) for name, weight in self.weights.items() if weight}
        return Rewarded(environment, terms, self.weights)

    def _term(self, name: str, environment: Environment) -> Term:
        if name == "completion":
            return Completion(environment)
        if name == "progress":
            return progress(environment, self._discount)
        if name == "action":
            return Penalty(environment.io_spec.action)
        score = LanguageScore(environment, self._judge)
        return Change(score, environment.num_envs, discount=self._discount, ends_at_zero=False)


class Rewarded(Wrapper):
    """Rewards each step by terms instead of as ``inner`` does. ``info["reward_terms"]`` has each of them, weighted, [n]."""

    def __init__(self, inner: Environment, terms: Mapping[str, Term], weights: Mapping[str, float]) -> None:
        super().__init__(inner)
        self._terms, self._weights = terms, weights
        self._ended = np.ones(self.num_envs, bool)

    def reset(
        self, *, seed: Sequence[int] | np.ndarray, options: dict[str, Any] | None = None
    ) -> tuple[RawObservation, dict[str, Any]]:
        found = self.inner.reset(seed=seed, options=options)
        self._begin(np.ones(self.num_envs, bool) if options is None else np.asarray(options["reset_mask"], bool))
        return found

    def step(self, actions: np.ndarray) -> tuple[RawObservation, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        observation, _, terminated, truncated, info = self.inner.step(actions)
        live = ~self._ended
        terms = {name: self._weights[name] * live * term(actions, terminated) for name, term in self._terms.items()}
        self._ended |= terminated | truncated
        reward = np.sum(list(terms.values()), axis=0) if terms else np.zeros(self.num_envs)
        return observation, reward, terminated, truncated, info | {"reward_terms": terms}

    def set_goals(self, rows: Sequence[int], goals: Sequence[Goal]) -> RawObservation:
        found = self.inner.set_goals(rows, goals)
        self._begin(np.isin(np.arange(self.num_envs), rows))
        return found

    def set_scenes(self, rows: Sequence[int], scenes: Sequence[dict[str, Any]]) -> RawObservation:
        found = self.inner.set_scenes(rows, scenes)
        self._begin(np.isin(np.arange(self.num_envs), rows))
        self._ended[np.asarray(rows, np.int64)] = [bool(scene.get("ended")) for scene in scenes]
        return found

    def _begin(self, rows: np.ndarray) -> None:
        self._ended[rows] = False
        for term in self._terms.values():
            term.begin(rows)
