"""BabyAI as an environment of ours: any level, the agent's partial view as pixels or as symbols, the mission as instruction.

BabyAI: Chevalier-Boisvert et al. 2019, "BabyAI: A Platform to Study the Sample Efficiency of Grounded Language Learning", in the
implementation of the package ``minigrid``. See docs/babyai.md for what is observed and how success is judged.
"""

import difflib
import json
import re
import string
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode

from vla_train.envs.contract import Goal
from vla_train.errors import UsageError, WorldError
from vla_train.spec import ActionSpec, Spec
from vla_train.types import RawObservation

if TYPE_CHECKING:
    from vla_train.envs.babyai_episode import Episode

ACTIONS = ("left", "right", "forward", "pickup", "drop", "toggle", "done")
HEADINGS = ("east", "south", "west", "north")  # in the order of the library's direction numbers


class BabyAIVectorEnv(gymnasium.vector.VectorEnv[Any, np.ndarray, np.ndarray]):
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
    metadata = {"autoreset_mode": AutoresetMode.DISABLED}  # noqa: RUF012  # as gymnasium declares it

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
        identifier = _identifier(level if stage == "none" else stage)
        from vla_train.envs import babyai_episode, babyai_missions, babyai_view

        self.num_envs, self.stage = num_envs, stage
        self.level = level if stage == "none" else stage
        self._identifier = identifier
        self.episodes: list[Episode] = [babyai_episode.Episode(babyai_episode.make_level(identifier)) for _ in range(num_envs)]
        first = self.episodes[0].env
        self._view = babyai_view.View(first.agent_view_size, tile_size if view == "rgb" else None)
        self.not_applicable = {"first_touched": "on its way a BabyAI agent faces and lifts things that its mission does not name"}
        self._many = babyai_missions.asks_for_many(first)
        if not self._many:
            self.not_applicable["alternatives"] = f"the scenes of {self.level} allow one mission only"
        self.io_spec = Spec(
            images={"view": self._view.spec},
            state_size=4,
            state_names=HEADINGS,
            action=ActionSpec("discrete", size=1, choices=len(ACTIONS), names=ACTIONS),
            rate=1.0,
            horizon=babyai_missions.longest_episode(babyai_episode.make_level(identifier)),
            tasks=babyai_missions.TASKS,
        )
        self._set_spaces()

    def reset(  # type: ignore[override]  # seeds are obligatory in the contract
        self, *, seed: Sequence[int] | np.ndarray, options: dict[str, Any] | None = None
    ) -> tuple[RawObservation, dict[str, Any]]:
        mask = (options or {}).get("reset_mask", np.ones(self.num_envs, bool))
        if len(seed) != self.num_envs or len(mask) != self.num_envs:
            raise WorldError(f"reset of {self.num_envs} rows was given {len(seed)} seeds and a mask of {len(mask)}")
        for row in np.flatnonzero(mask).tolist():
            self.episodes[row].reset(int(seed[row]))
        return self._observation(), self._info()

    def step(self, actions: np.ndarray) -> tuple[RawObservation, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        if any(episode.seed < 0 for episode in self.episodes):
            raise WorldError("BabyAI: reset every row before the first step")
        chosen = self._checked(actions)
        results = [episode.step(int(action)) for episode, action in zip(self.episodes, chosen, strict=True)]
        reward, terminated, truncated = (np.array(column) for column in zip(*results, strict=True))
        return self._observation(), reward.astype(np.float32), terminated, truncated, self._info()

    @property
    def success(self) -> np.ndarray:
        return np.array([episode.success for episode in self.episodes])

    @property
    def goals(self) -> list[Goal]:
        return [episode.goal for episode in self.episodes]

    def set_goals(self, rows: Sequence[int], goals: Sequence[Goal]) -> RawObservation:
        for row, goal in zip(rows, goals, strict=True):
            self.episodes[row].set_goal(goal)
        return self._observation()

    def alternatives(self) -> list[list[Goal]]:
        """See the contract; the rows must have just been reset, since descriptions by place hold at the start only."""
        from vla_train.envs import babyai_missions

        if not self._many:
            return [[] for _ in self.episodes]
        return [babyai_missions.alternatives(episode.env, episode.goal) for episode in self.episodes]

    def expert_action(self, goals: Sequence[Goal] | None = None) -> np.ndarray:
        """int64 [n, 1]. A row whose bot knows no way gets 'done', which does nothing; ``info["expert_failed"]`` tells of it."""
        wanted: Sequence[Goal | None] = goals if goals is not None else [None] * self.num_envs
        return np.array(
            [[episode.expert_action(goal)] for episode, goal in zip(self.episodes, wanted, strict=True)], dtype=np.int64
        )

    @property
    def first_touched(self) -> list[str]:
        return [""] * self.num_envs

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
        with babyai_episode.library_call("the reset for its mission"):
            return [str(env.reset(seed=int(seed))[0]["mission"]) for seed in seeds]

    def _set_spaces(self) -> None:
        spaces = gymnasium.spaces
        image = self.io_spec.images["view"]
        self.single_observation_space = spaces.Dict(
            images=spaces.Dict(view=spaces.Box(0, 255, (image.height, image.width, image.channels), np.uint8)),
            state=spaces.Box(0, 1, (4,), np.float32),
            instruction=spaces.Text(1000, charset=string.ascii_letters + " ,"),
        )
        self.single_action_space = spaces.MultiDiscrete([len(ACTIONS)])
        self.observation_space = gymnasium.vector.utils.batch_space(self.single_observation_space, self.num_envs)
        self.action_space = gymnasium.vector.utils.batch_space(self.single_action_space, self.num_envs)

    def _observation(self) -> RawObservation:
        image = self._view.show(np.array([episode.codes for episode in self.episodes], order="C"))
        state = np.eye(4, dtype=np.float32)[[episode.direction for episode in self.episodes]]
        return {"images": {"view": image}, "state": state, "instruction": [episode.goal.instruction for episode in self.episodes]}

    def _info(self) -> dict[str, Any]:
        return {"expert_failed": np.array([episode.expert_failed for episode in self.episodes])}

    def _checked(self, actions: np.ndarray) -> np.ndarray:
        actions = np.asarray(actions)
        if actions.shape != (self.num_envs, 1):
            raise WorldError(f"actions have the shape {list(actions.shape)}; {self.level} wants [{self.num_envs}, 1]")
        wrong = ~np.isin(actions[:, 0], np.arange(len(ACTIONS)))  # NaN, fractions and numbers out of range
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            step = len(self.episodes[row].actions)
            raise WorldError(
                f"action {actions[row, 0]} in row {row} (seed {self.episodes[row].seed}, step {step}): "
                f"{self.level} has the actions 0 to {len(ACTIONS) - 1} ({', '.join(ACTIONS)})"
            )
        return actions[:, 0].astype(np.int64)


def _identifier(level: str) -> str:
    """The registered name of a level, e.g. BabyAI-GoToLocal-v0."""
    try:
        from vla_train.envs import babyai_missions  # noqa: F401  # registers the levels and silences the library
    except ImportError as error:
        raise UsageError(f"BabyAI needs the package minigrid ({error}): pip install 'vla-train[babyai]'") from error
    levels = {match[1]: match[0] for name in gymnasium.registry if (match := re.fullmatch(r"BabyAI-(.+)-v\d+", name))}
    if level not in levels:
        by_lower = {name.lower(): name for name in levels}
        near = difflib.get_close_matches(level.lower(), by_lower, n=1, cutoff=0.0)
        raise UsageError(
            f"BabyAI has no level {level!r}; did you mean {by_lower[near[0]]}? Its levels: {', '.join(sorted(levels))}"
        )
    return levels[level]
