"""The conditions under which one stage is played, and why one of them may not apply."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import numpy as np

from vla_train.envs.contract import NO_PARAPHRASES, Environment, Goal, Rewords
from vla_train.evaluation.baselines import Expert, RandomAgent
from vla_train.evaluation.scenes import Scene, chance_goals, foreign_instructions, garbage, survey, swapped_goals
from vla_train.rollouts import Episode, Prepare, play
from vla_train.rollouts.chunks import executed
from vla_train.spec import Acts, EpisodeResult
from vla_train.types import RawObservation

Progress = Callable[[str, int, int], None]  # called with what is being done, how much of it is done, and of how much


class NotGiven(str):
    """The reason why a figure is lacking where the user could give what it needs: ``not given: <what, and how>``."""


NO_BASELINE = NotGiven("not given: baseline=<a checkpoint that was trained with model.language=none>")
SILENT = "the environment gives no instructions"


@dataclass(frozen=True)
class Baseline:
    """A trained policy to compare with, and how its chunks are executed (as in ``play``; None: half of each)."""

    agent: Any
    execute: int | None = None
    ensemble: bool = False


@dataclass
class Setting:
    """What a condition plays: which seeds, by whom, told what, judged by what. The other arguments are those of ``play``."""

    agent: Acts
    seeds: Sequence[int]
    execute: int
    ensemble: bool = False
    instructions: list[str] | None = None
    prepare: Prepare | None = None


@dataclass
class Played:
    """The episodes of one condition, how many were left out of it, or the reason why it does not apply."""

    results: list[EpisodeResult] = field(default_factory=list)
    excluded: int = 0
    reason: str = ""
    episodes: list[Episode] = field(default_factory=list)


class StageTest:
    """The evaluation episodes of one stage. Scenes are looked up, and the baselines played, once; they depend on seeds alone."""

    def __init__(
        self,
        environment: Environment,
        seeds: np.ndarray,
        *,
        execute: int | None,
        ensemble: bool,
        progress: Progress | None = None,
        baseline: Baseline | None = None,
    ) -> None:
        self.environment = environment
        self.name = environment.stage
        self._seeds = [int(seed) for seed in seeds]
        self._execute = execute
        self._ensemble = ensemble
        self._progress = progress
        self._baseline = baseline
        self._baselines: dict[str, Played] = {}

    @cached_property
    def scenes(self) -> list[Scene]:
        return survey(self.environment, self._seeds)

    def play(self, condition: str, agent: Any, record: int = 0, failures_first: bool = False) -> Played:
        """Play a condition, or say why it does not apply. ``record`` and ``failures_first`` say which episodes are filmed."""
        if condition in self._baselines:
            return self._baselines[condition]
        setting = self._settings[condition](agent)
        if isinstance(setting, str):
            return Played(reason=setting)
        episodes = play(
            setting.agent,
            self.environment,
            setting.seeds,
            execute=setting.execute,
            ensemble=setting.ensemble,
            instructions=setting.instructions,
            prepare=setting.prepare,
            record=record,
            failures_first=failures_first,
            progress=None if self._progress is None else partial(self._progress, self._label(condition)),
        )
        results = [_result(condition, self.name, episode) for episode in episodes]
        played = Played(results, excluded=len(self._seeds) - len(results), episodes=episodes)
        if condition in ("random", "chance"):
            self._baselines[condition] = played
        return played

    def _label(self, condition: str) -> str:
        stage = "" if self.name == "none" else f"{self.name}, "
        return f"evaluating {stage}{condition}"

    @property
    def _settings(self) -> dict[str, Callable[[Any], Setting | str]]:
        return {
            "plain": self._setting,
            "swapped": self._swapped,
            "foreign": self._foreign,
            "empty": self._empty,
            "garbage": self._garbage,
            "paraphrase": self._paraphrase,
            "random": self._random,
            "chance": self._chance,
            "blind": self._blind,
        }

    def _setting(self, agent: Any, seeds: Sequence[int] | None = None, **changes: Any) -> Setting:
        execute = executed(self._execute, getattr(agent, "chunk", 1))
        return Setting(agent, self._seeds if seeds is None else seeds, execute, self._ensemble, **changes)

    @cached_property
    def swapped_goals(self) -> dict[int, Goal]:
        return swapped_goals(self.scenes)

    def _swapped(self, agent: Any) -> Setting | str:
        goals = self.swapped_goals
        if not goals:
            return self._one_goal()

        def swap(rows: list[int], seeds: list[int]) -> RawObservation:
            return self.environment.set_goals(rows, [goals[seed] for seed in seeds])

        return self._setting(agent, list(goals), prepare=swap)

    def _foreign(self, agent: Any) -> Setting | str:
        told = foreign_instructions(self.scenes)
        if not told:
            return "all evaluation episodes ask for the same"
        return self._setting(agent, list(told), instructions=list(told.values()))

    def _empty(self, agent: Any) -> Setting | str:
        if not any(scene.goal.instruction for scene in self.scenes):
            return SILENT
        return self._setting(agent, instructions=[""] * len(self._seeds))

    def _garbage(self, agent: Any) -> Setting | str:
        if not any(scene.goal.instruction for scene in self.scenes):
            return SILENT
        return self._setting(agent, instructions=[garbage(seed) for seed in self._seeds])

    def _paraphrase(self, agent: Any) -> Setting | str:
        if not isinstance(self.environment, Rewords):
            return NO_PARAPHRASES
        return self._setting(agent, instructions=self.environment.paraphrases(self._seeds))

    def _random(self, agent: Any) -> Setting | str:
        random = RandomAgent(self.environment)
        return Setting(random, self._seeds, execute=random.horizon, prepare=random.begin)

    def _chance(self, agent: Any) -> Setting | str:
        if "expert" in self.environment.not_applicable:
            return self.environment.not_applicable["expert"]
        if not any(scene.alternatives for scene in self.scenes):
            return self._one_goal()
        expert = Expert(self.environment, chance_goals(self.scenes))
        return Setting(expert, self._seeds, execute=1, prepare=expert.begin)

    def _blind(self, agent: Any) -> Setting | str:
        if self._baseline is None:
            return NO_BASELINE
        execute = executed(self._baseline.execute, self._baseline.agent.chunk)
        return Setting(self._baseline.agent, self._seeds, execute, self._baseline.ensemble)

    def _one_goal(self) -> str:
        return self.environment.not_applicable.get("alternatives", "no evaluated scene has another legal goal")


def _result(condition: str, stage: str, episode: Episode) -> EpisodeResult:
    goal: Goal = episode.goal
    return EpisodeResult(
        condition=condition,
        stage=stage,
        seed=episode.seed,
        task=goal.task,
        instruction=episode.instruction,
        goal=goal.instruction,
        outcome=episode.outcome,
        length=episode.length,
        reward=episode.reward,
        first_touched=episode.first_touched,
        named=goal.named,
        aborted=episode.aborted,
        limited=episode.limited,
    )
