"""One Meta-World episode: the library's world of a task, put where the seed says, and the library's scripted expert."""

import copy
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import mujoco
import numpy as np
from metaworld.env_dict import ALL_V3_ENVIRONMENTS
from metaworld.policies import ENV_POLICY_MAP

from vla_train.envs.contract import Goal
from vla_train.envs.metaworld_draw import CORNER2, Painter
from vla_train.envs.metaworld_tasks import INSTRUCTIONS
from vla_train.envs.vector import RowEpisode, library_call
from vla_train.errors import WorldError
from vla_train.seeds import counter_uniform

LIBRARY = "Meta-World"
LONGEST = 500  # the library's own limit to an episode in steps
_DRAW = 9000  # number of the first draw of a scene

# The experts ask for larger steps than there are, which the library first warns of and then cuts.
warnings.filterwarnings("ignore", message=r"Constant\(s\) may be too high", module=r"metaworld\.policies")


class _Draws:
    """What takes the place of the library's random vector: a pure function of the seed and of how often it was asked."""

    def __init__(self, space: Any) -> None:
        self._low, self._high = space.low, space.high
        self.start(0)

    def start(self, seed: int) -> None:
        self._seed, self._count, self._held = seed, 0, False

    def hold(self) -> None:
        """From now on give the last vector again."""
        self._held = True

    def __call__(self) -> np.ndarray:
        if not self._held:  # a vector that the library rejects (object too near to its goal) is followed by another
            share = counter_uniform(np.array([self._seed]), _DRAW + self._count, len(self._low))[0]
            self._vector, self._count = self._low + share * (self._high - self._low), self._count + 1
        vector: np.ndarray = self._vector
        return vector


class World:
    """The library's simulation of one task. ``like`` is another world of the task, whose compiled model is copied."""

    def __init__(self, task: str, like: "World | None" = None) -> None:
        library: Any = ALL_V3_ENVIRONMENTS[task]
        if like is None:
            self.env = library()
        else:
            model = copy.copy(like.env.model)
            shared = {"_initialize_simulation": lambda _: (model, mujoco.MjData(model))}
            self.env = type(library.__name__, (library,), shared)()
        env = self.env
        env._partially_observable = False  # the expert reads the goal's place
        env.__dict__.pop("sawyer_observation_space", None)
        env._set_task_called = True
        env.model.cam_pos[env.model.camera("corner2").id] = CORNER2
        self._draws = env._get_state_rand_vec = _Draws(env._random_reset_space)
        self.task = task
        expert: Any = ENV_POLICY_MAP[task]
        self._expert = expert()

    def reset(self, seed: int) -> np.ndarray:
        """The library's observation of 39 numbers.

        As in the library's own reset, the scene is built twice: what a first pass finds in place is the last episode's.
        """
        env = self.env
        env.curr_path_length = 0
        self._draws.start(seed)
        for _ in range(2):
            mujoco.mj_resetData(env.model, env.data)
            observation = env.reset_model()
            self._draws.hold()
        mujoco.mj_forward(env.model, env.data)  # the marker of the goal is drawn where it is now
        env._prev_obs = observation[:18].copy()
        observation[18:36] = env._prev_obs
        return np.asarray(observation, np.float64)

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool]:
        """The library's observation, reward (0 to 10) and success."""
        observation, reward, _, _, info = self.env.step(action)
        return observation, float(reward), bool(info["success"])

    def expert_action(self, observation: np.ndarray) -> np.ndarray:
        """float32 [4] within [-1, 1]."""
        action: np.ndarray = np.clip(self._expert.get_action(observation), -1.0, 1.0).astype(np.float32)
        return action


class Worlds:
    """The worlds that no row plays in, by task, and each task's painter. Rows take a world at a reset and give it back later."""

    def __init__(self, paint: Callable[[Any], Painter] | None) -> None:
        self._paint = paint
        self._painters: dict[str, Painter] = {}
        self._first: dict[str, World] = {}
        self._free: dict[str, list[World]] = {}

    def take(self, task: str) -> World:
        if self._free.get(task):
            return self._free[task].pop()
        world = World(task, self._first.get(task))
        if task not in self._first:
            self._first[task] = world
            if self._paint is not None:
                self._painters[task] = self._paint(world.env.model)
        return world

    def give(self, world: World) -> None:
        self._free.setdefault(world.task, []).append(world)

    def draw(self, world: World) -> dict[str, np.ndarray]:
        """The pictures of a world, uint8 [y, x, 3] by camera; {} without cameras."""
        if self._paint is None:
            return {}
        return self._painters[world.task].draw(world.env.model, world.env.data)

    def close(self) -> None:
        for painter in self._painters.values():
            painter.close()


class Episode(RowEpisode):
    """A row of the vector environment. The seed decides the task, in turn, and the scene."""

    def __init__(self, worlds: Worlds, tasks: Sequence[str], horizon: int) -> None:
        super().__init__()
        self._worlds, self._tasks, self._horizon = worlds, tasks, horizon
        self._world: World | None = None
        self.seen = np.zeros(39)  # the library's observation
        self.images: dict[str, np.ndarray] = {}

    def reset(self, seed: int) -> None:
        task = task_of(seed, self._tasks)
        with library_call(LIBRARY, f"the reset of {task} from seed {seed}"):
            if self._world is not None and self._world.task != task:
                self._worlds.give(self._world)
                self._world = None
            self._world = self._world or self._worlds.take(task)
            self.seen = self._world.reset(seed)
            self.images = self.draw()
        self.goal = goal_of(task)
        self.seed, self.actions, self.ended, self.success = seed, [], False, False

    def set_goal(self, goal: Goal) -> None:
        if goal.key != self.goal.key:
            raise WorldError(f"Meta-World: {goal.key} cannot be asked for in a scene of {self.goal.key}")
        self.goal = goal

    def step(self, action: Any) -> tuple[float, bool, bool]:
        if self.ended or self._world is None:
            return 0.0, False, False
        taken = np.asarray(action, np.float32)
        with library_call(LIBRARY, f"step {len(self.actions)} of {self.goal.task} from seed {self.seed}"):
            self.seen, reward, self.success = self._world.step(taken)
            self.images = self.draw()
        self.actions.append(taken)
        truncated = not self.success and len(self.actions) >= self._horizon
        self.ended = self.success or truncated
        return reward, self.success, truncated

    def draw(self) -> dict[str, np.ndarray]:
        """The scene's pictures as it is now, uint8 [y, x, 3] by camera; {} without cameras or before the first reset."""
        return {} if self._world is None else self._worlds.draw(self._world)

    def expert_action(self, goal: Goal | None = None) -> np.ndarray:
        if self._world is None:
            return np.zeros(4, np.float32)
        return self._world.expert_action(self.seen)


def task_of(seed: int, tasks: Sequence[str]) -> str:
    """Tasks take turns, so that n times as many seeds in a row as there are tasks hold each of them n times."""
    return tasks[seed % len(tasks)]


def goal_of(task: str) -> Goal:
    words = INSTRUCTIONS[task]
    return Goal(instruction=words, key=task, task=task, named="", template=words)
