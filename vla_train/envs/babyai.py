"""BabyAI as an environment of ours: any level, the agent's partial view as pixels or as symbols, the mission as instruction.

BabyAI: Chevalier-Boisvert et al. 2019, "BabyAI: A Platform to Study the Sample Efficiency of Grounded Language Learning", in the
implementation of the package ``minigrid``. See docs/babyai.md for what is observed and how success is judged.
"""

import difflib
import json
import re
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import gymnasium
import numpy as np

from vla_train.envs.contract import Goal
from vla_train.envs.vector import RowsVectorEnv, library_call
from vla_train.errors import StageError, UsageError, WorldError
from vla_train.spec import ActionSpec, Spec
from vla_train.types import RawObservation

ACTIONS = ("left", "right", "forward", "pickup", "drop", "toggle", "done")
HEADINGS = ("east", "south", "west", "north")  # in the order of the library's direction numbers


class BabyAIVectorEnv(RowsVectorEnv[Any]):
    """``num_envs`` copies of a BabyAI level. See ``envs/contract.py`` for the methods.

    Args:
        stage: "none", or the name of a level, which then replaces ``level`` (a curriculum over levels).
        level: a level without 'BabyAI-' and '-v0', e.g. GoToLocal.
        view: "rgb" draws the agent's 7 x 7 tiles, uint8 [7 tile_size, 7 tile_size, 3]; "symbolic" gives their codes
            (object type, colour, state), uint8 [7, 7, 3]. The agent stands in the middle of the lowest row and looks up.
        tile_size: pixels of a tile's edge.

    Raises:
        UsageError: the package ``minigrid`` is missing, or there is no such level or view.
    """

    version: ClassVar[int] = 1  # of what is recorded: raise it when the frames, rewards or scenes of a seed change

    def __init__(
        self,
        num_envs: int,
        stage: str = "none",
        level: str = "GoToRedBallGrey",
        view: Literal["rgb", "symbolic"] = "rgb",
        tile_size: int = 8,
    ) -> None:
        if view not in ("rgb", "symbolic"):
            raise UsageError(f"dataset.view={view}: BabyAI has the views rgb and symbolic")
        if not 3 <= tile_size <= 64:
            raise UsageError(f"environment.tile_size={tile_size}: a tile has 3 to 64 pixels")
        identifier = _identifier(level) if stage == "none" else _identifier(stage, StageError)
        from vla_train.envs import babyai_episode, babyai_missions, babyai_symmetry, babyai_view

        self.level = level if stage == "none" else stage
        self._identifier = identifier
        episodes = [babyai_episode.Episode(babyai_episode.make_level(identifier)) for _ in range(num_envs)]
        first = episodes[0].env
        self._view = babyai_view.View(first.agent_view_size, tile_size if view == "rgb" else None)
        self.symmetry = babyai_symmetry.babyai_symmetry(first, symbolic=view == "symbolic")
        not_applicable = {"first_touched": "on its way a BabyAI agent faces and lifts things that its mission does not name"}
        self._many = babyai_missions.asks_for_many(first)
        if not self._many:
            not_applicable["alternatives"] = f"the scenes of {self.level} allow one mission only"
        io_spec = Spec(
            images={"view": self._view.spec},
            state_size=4,
            state_names=HEADINGS,
            action=ActionSpec("discrete", size=1, choices=len(ACTIONS), names=ACTIONS),
            rate=1.0,
            horizon=babyai_missions.longest_episode(babyai_episode.make_level(identifier)),
            tasks=babyai_missions.TASKS,
        )
        self._begin(self.level, stage, episodes, io_spec, not_applicable)

    def alternatives(self) -> list[list[Goal]]:
        """See the contract; the rows must have just been reset, since descriptions by place hold at the start only."""
        from vla_train.envs import babyai_missions

        if not self._many:
            return [[] for _ in self.episodes]
        return [babyai_missions.alternatives(episode.env, episode.goal) for episode in self.episodes]

    def describe(self) -> list[str]:
        """The whole scene as the agent would say it: "facing east, carrying nothing; a red ball 3 ahead and 1 left, ..."."""
        from vla_train.envs import babyai_view

        return [f"facing {HEADINGS[episode.direction]}, {babyai_view.describe(episode.env)}" for episode in self.episodes]

    def get_scenes(self) -> list[dict[str, Any]]:
        """Level, seed, goal and the actions so far: the library's worlds are set up again by replaying them."""
        return [
            {
                "level": self.level,
                "seed": episode.seed,
                "instruction": episode.goal.instruction,
                "mission": json.loads(json.dumps(episode.goal.data)),
                "actions": list(episode.actions),
            }
            for episode in self.episodes
        ]

    def set_scenes(self, rows: Sequence[int], scenes: Sequence[dict[str, Any]]) -> RawObservation:
        from vla_train.envs import babyai_missions

        for row, scene in zip(rows, scenes, strict=True):
            if scene["level"] != self.level:
                raise WorldError(f"a scene of the level {scene['level']} cannot be set up in {self.level}")
            episode = self.episodes[row]
            episode.reset(int(scene["seed"]))
            mission = babyai_missions.from_json(scene["mission"])
            if mission != episode.goal.data:
                instruction = babyai_missions.to_instruction(mission)
                instruction.reset_verifier(episode.env)
                episode.set_goal(babyai_missions.goal_of(instruction, scene["instruction"]))
            episode.replay(scene["actions"])
        return self._observation()

    def sample_instructions(self, seeds: Sequence[int] | np.ndarray) -> list[str]:
        from vla_train.envs import babyai_episode

        env = babyai_episode.make_level(self._identifier)
        with library_call("BabyAI's library", "the reset for its mission"):
            return [str(env.reset(seed=int(seed))[0]["mission"]) for seed in seeds]

    def _observation(self) -> RawObservation:
        image = self._view.show(np.array([episode.codes for episode in self.episodes], order="C"))
        state = np.eye(4, dtype=np.float32)[[episode.direction for episode in self.episodes]]
        return {"images": {"view": image}, "state": state, "instruction": [episode.goal.instruction for episode in self.episodes]}


def _identifier(level: str, wrong: type[UsageError] = UsageError) -> str:
    """The registered name of a level, e.g. BabyAI-GoToLocal-v0."""
    try:
        from vla_train.envs import babyai_missions  # noqa: F401  # registers the levels and silences the library
    except ImportError as error:
        raise UsageError(f"BabyAI needs the package minigrid ({error}): pip install 'vla-train[babyai]'") from error
    levels = {match[1]: match[0] for name in gymnasium.registry if (match := re.fullmatch(r"BabyAI-(.+)-v\d+", name))}
    if level not in levels:
        by_lower = {name.lower(): name for name in levels}
        near = difflib.get_close_matches(level.lower(), by_lower, n=1, cutoff=0.0)
        out = " (a stage is a level here: leave it out for environment.level)" if wrong is StageError else ""
        raise wrong(
            f"BabyAI has no level {level!r}{out}; did you mean {by_lower[near[0]]}? Its levels: {', '.join(sorted(levels))}"
        )
    return levels[level]
