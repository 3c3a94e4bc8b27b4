"""n tabletop worlds as one ``gymnasium.vector.VectorEnv`` (see ``vla_train.envs.contract``)."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from vla_train.envs.contract import Goal
from vla_train.envs.tabletop import describe, facts, wording, world
from vla_train.envs.tabletop.actions import ACTIONS, discretise, to_motion
from vla_train.envs.tabletop.expert import expert_action
from vla_train.envs.tabletop.goal_data import to_arrays
from vla_train.envs.tabletop.goals import Goals
from vla_train.envs.tabletop.options import check_options
from vla_train.envs.tabletop.physics import advance
from vla_train.envs.tabletop.progress import Progress
from vla_train.envs.tabletop.randomization import ROBUSTNESS, Randomization, changed
from vla_train.envs.tabletop.render import CAMERAS, Renderer
from vla_train.envs.tabletop.render_random import RandomRenderer
from vla_train.envs.tabletop.scenes import sample_scenes
from vla_train.envs.tabletop.spaces import action_space, observation_space
from vla_train.envs.tabletop.stages import STAGES
from vla_train.envs.tabletop.state import STATE_NAMES, State
from vla_train.envs.tabletop.symmetry import tabletop_symmetry
from vla_train.errors import WorldError
from vla_train.spec import ImageSpec, Spec
from vla_train.types import RawObservation


class TabletopVectorEnv(VectorEnv[Any, Any, Any]):
    """Language-conditioned tasks on a table seen from above; ``docs/tabletop.md`` is its specification.

    Args: ``num_envs`` rows; ``stage`` a name of ``stages.STAGES``; ``image_size`` in pixels; ``cameras`` of "top" and "gripper"
    (none: nothing is drawn); ``split`` of "train", "templates", "pairs"; ``min_objects`` to ``max_objects`` objects (at most 8);
    ``actions`` "continuous" or "discrete"; ``shaping`` scale of the potential-based reward; ``randomization`` of what else may
    differ between episodes (None: nothing). Raises UsageError for wrong values.
    """

    version = 1  # raised when a seed's recorded frames would change
    metadata = {"autoreset_mode": AutoresetMode.DISABLED, "render_modes": ["rgb_array"], "render_fps": int(world.RATE)}  # noqa: RUF012
    render_mode = "rgb_array"
    not_applicable: dict[str, str] = {}  # noqa: RUF012
    robustness_axes = tuple(ROBUSTNESS)
    changed = staticmethod(changed)  # (axis, strength) -> the randomization with which robustness along the axis is measured

    def __init__(
        self,
        num_envs: int,
        stage: str = "basic_navigation",
        *,
        image_size: int = 64,
        cameras: Sequence[str] = ("top",),
        split: str = "train",
        min_objects: int = 4,
        max_objects: int = 6,
        actions: str = "continuous",
        shaping: float = 0.0,
        randomization: Randomization | None = None,
    ):
        check_options(num_envs, stage, image_size, cameras, split, min_objects, max_objects, actions, shaping)
        self.num_envs, self.stage, self.split, self.shaping = num_envs, stage, split, float(shaping)
        self._stage, self._objects = STAGES[stage], (min_objects, max_objects)
        self._furnished = self._stage.trays + self._stage.walls > 0
        self.fact_sentences = facts.sentences(self._furnished)
        self._randomization = randomization if randomization is not None and randomization.changes() else None
        slots = max_objects if self._randomization is None else self._randomization.slots(max_objects)
        self._state = State.empty(num_envs, slots, self._stage.trays, self._stage.walls)
        self._look = None if self._randomization is None else self._randomization.look(self._state.seed, slots)
        self._renderers = {name: self._renderer(name, image_size) for name in cameras}
        self._viewer: Renderer | None = None
        self.io_spec = Spec(
            images={name: ImageSpec(image_size, image_size) for name in cameras},
            state_size=len(STATE_NAMES),
            action=ACTIONS[actions],
            state_names=STATE_NAMES,
            rate=world.RATE,
            horizon=self._stage.horizon,
            tasks=self._stage.tasks,
        )
        self.single_observation_space = observation_space(self.io_spec)
        self.single_action_space = action_space(self.io_spec)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.symmetry = tabletop_symmetry(cameras, actions, plain=self._randomization is None)
        self._progress = Progress(num_envs, self._stage.steps, self._stage.kinds)
        self._words: list[Goal] = []
        self._ended = np.ones(num_envs, bool)
        self._success = np.zeros(num_envs, bool)
        self._potential = np.zeros(num_envs)

    def reset(
        self, *, seed: Sequence[int] | np.ndarray | int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[RawObservation, dict[str, Any]]:
        """Reset the rows of ``options["reset_mask"]`` (all without one) to the scenes of their seeds [n]."""
        seeds = self._seeds(seed)
        mask = np.ones(self.num_envs, bool) if not options else np.asarray(options.get("reset_mask", True), bool)
        mask = np.broadcast_to(mask, (self.num_envs,))
        if not mask.all() and not self._words:
            raise WorldError("tabletop: the first reset must reset every row")
        rows = np.flatnonzero(mask)
        scenes, goals, words = self._sample(seeds[rows])
        self._state.assign(rows, scenes)
        self._draw_looks(rows)
        self._words = self._words or [words[0]] * self.num_envs
        self._begin(rows, goals, words)
        return self._observation(), {}

    def _sample(self, seeds: np.ndarray, worded_as: str | None = None) -> tuple[State, Goals, list[Goal]]:
        """The scenes of seeds [n], and their goals as arrays and in words (of another split, if one is named)."""
        scenes = self._scenes(seeds)
        requests = self._stage.sample(scenes, objects_only=self.split == "pairs")
        return scenes, requests.goals, wording.word(scenes, self._stage, requests, worded_as or self.split)

    def _scenes(self, seeds: np.ndarray) -> State:
        furniture = self._stage.trays, self._stage.walls
        return sample_scenes(seeds, self.split, *self._objects, *furniture, self._randomization)

    def _draw_looks(self, rows: np.ndarray) -> None:
        """What the episodes of rows look like, from the seeds of their scenes."""
        if self._randomization is not None and self._look is not None:
            self._look.assign(rows, self._randomization.look(self._state.seed[rows], self._state.num_slots))
            for renderer in (*self._renderers.values(), *([self._viewer] if self._viewer else [])):
                renderer.prepare(rows)

    def _renderer(self, camera: str, size: int) -> Renderer:
        if self._randomization is None or self._look is None:
            return Renderer(CAMERAS[camera], size, self._furnished)
        renderer = RandomRenderer(CAMERAS[camera], size, self._furnished, self._randomization, self._look)
        renderer.prepare(np.arange(self.num_envs))
        return renderer

    def _seeds(self, seed: Sequence[int] | np.ndarray | int | None) -> np.ndarray:
        if seed is None:
            return self.np_random.integers(0, 2**31, self.num_envs)
        if isinstance(seed, int | np.integer):
            return int(seed) + np.arange(self.num_envs)
        seeds = np.asarray(seed, np.int64)
        if seeds.shape != (self.num_envs,):
            raise WorldError(f"tabletop: {seeds.shape} seeds for {self.num_envs} rows; give one for each row")
        return seeds

    def _begin(self, rows: np.ndarray, goals: Goals, words: Sequence[Goal]) -> None:
        """Set the goals of rows, and start to judge by them."""
        self._progress.begin(rows, goals)
        for row, goal in zip(rows, words, strict=True):
            self._words[row] = goal
        self._ended[rows], self._success[rows] = False, False
        self._potential[rows] = self._potentials()[rows] if self.shaping else 0.0

    def step(self, actions: np.ndarray) -> tuple[RawObservation, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """See the contract. Reward is 1 at success, and the shaping if there is one."""
        motion = to_motion(actions, self.io_spec.action, self.num_envs)
        if not self._words:
            raise WorldError("tabletop: reset before the first step")
        state, still = self._state, np.flatnonzero(self._ended)
        kept = state.rows(still) if len(still) else None
        advance(state, motion)
        state.steps += 1
        reached, failed = self._progress.judge(state, self._ended)
        terminated = reached | failed
        if kept is not None:
            state.assign(still, kept)
        truncated = (state.steps >= self.io_spec.horizon) & ~terminated & ~self._ended
        reward = self._rewards(reached, terminated)
        self._success |= reached
        self._ended |= terminated | truncated
        return self._observation(), reward, terminated, truncated, {}

    def _potentials(self) -> np.ndarray:
        """Minus the metres that remain, [n]."""
        return -self.remaining()

    def _rewards(self, reached: np.ndarray, terminated: np.ndarray) -> np.ndarray:
        """1 at success plus ``shaping`` times (discount x potential after - potential before); 0 is the potential of an end."""
        reward = reached.astype(np.float64)
        if self.shaping:
            after = np.where(terminated, 0.0, self._potentials())
            change = world.DISCOUNT * after - self._potential
            reward += self.shaping * np.where(self._ended, 0.0, change)
            self._potential = np.where(self._ended, self._potential, after)
        return reward

    def _observation(self) -> RawObservation:
        return {
            "images": {name: renderer.draw(self._state) for name, renderer in self._renderers.items()},
            "state": self._state.vector(),
            "instruction": [goal.instruction for goal in self._words],
        }

    def render(self) -> tuple[np.ndarray, ...]:
        """The picture from above of each row, 256 pixels wide."""
        self._viewer = self._viewer or self._renderer("top", 256)
        return tuple(self._viewer.draw(self._state))

    @property
    def success(self) -> np.ndarray:
        """bool [n]: the goal has been reached in this episode."""
        return self._success.copy()

    @property
    def goals(self) -> list[Goal]:
        """The goal that each row is judged by."""
        return list(self._words)

    def set_goals(self, rows: Sequence[int], goals: Sequence[Goal]) -> RawObservation:
        """Replace the goals of rows that were just reset."""
        arrays = to_arrays(self._state, rows, goals, self._stage.steps)
        self._begin(np.asarray(rows, np.int64), arrays, goals)
        return self._observation()

    def alternatives(self) -> list[list[Goal]]:
        """For each row other legal goals of the stage in its scene: all there are, or a sample of those in several steps."""
        return wording.alternatives(self._state, self._stage, self._words, self.split)

    def expert_action(self, goals: Sequence[Goal] | None = None) -> np.ndarray:
        """float32 [n, 4], or int64 [n, 1] in the discrete variant."""
        steps = self._stage.steps
        arrays = self._progress.goals if goals is None else to_arrays(self._state, range(self.num_envs), goals, steps)
        motion = expert_action(self._state, arrays, self._stage.kinds)
        if self.io_spec.action.kind == "discrete":
            return discretise(motion, self._state.opening)
        return motion.astype(np.float32)

    @property
    def first_touched(self) -> list[str]:
        """The first object of each row that the tip came to rest over, or met while closed; "" if none yet."""
        touched = self._state.touched
        return [describe.slot_names(self._state, row)[slot] if slot >= 0 else "" for row, slot in enumerate(touched)]

    def describe(self) -> list[str]:
        """The state in words."""
        return describe.describe(self._state)

    def facts(self) -> np.ndarray:
        """What the robot does and has changed: numbers of ``fact_sentences`` that are true, int64 [n, f], -1 for none."""
        return facts.facts(self._state)

    def remaining(self) -> np.ndarray:
        """Metres that remain to the goal, float64 [n]."""
        return self._progress.remaining(self._state)

    def get_scenes(self) -> list[dict[str, Any]]:
        """Each row's whole state with its goal, as JSON values."""
        return [
            describe.to_json(self._state, row)
            | {"goal": asdict(self._words[row]), "dwell": int(self._progress.dwell[row])}
            | ({"done": int(self._progress.done[row])} if self._stage.steps > 1 else {})
            | {"success": bool(self._success[row]), "ended": bool(self._ended[row])}
            | ({"randomization": self._look.to_json(row)} if self._look is not None else {})
            for row in range(self.num_envs)
        ]

    def set_scenes(self, rows: Sequence[int], scenes: Sequence[dict[str, Any]]) -> RawObservation:
        """Put rows into scenes made by ``get_scenes``; what they look like is drawn anew from the scenes' seeds."""
        for row, scene in zip(rows, scenes, strict=True):
            describe.from_json(self._state, row, scene)
        goals = [Goal(**scene["goal"]) for scene in scenes]
        self._words = self._words or [goals[0]] * self.num_envs
        index = np.asarray(rows, np.int64)
        self._draw_looks(index)
        self._begin(index, to_arrays(self._state, rows, goals, self._stage.steps), goals)
        self._progress.dwell[index] = [scene["dwell"] for scene in scenes]
        self._progress.done[index] = [scene.get("done", 0) for scene in scenes]
        self._potential[index] = self._potentials()[index] if self.shaping else 0.0
        self._success[index] = [scene["success"] for scene in scenes]
        self._ended[index] = [scene["ended"] for scene in scenes]
        return self._observation()

    def paraphrases(self, seeds: Sequence[int] | np.ndarray) -> list[str]:
        """The goals of these seeds in held-out templates; with ``split="templates"``, in those of training."""
        _, _, words = self._sample(np.asarray(seeds, np.int64), "train" if self.split == "templates" else "templates")
        return [goal.instruction for goal in words]

    def sample_instructions(self, seeds: Sequence[int] | np.ndarray) -> list[str]:
        """The instructions that these seeds would give; nothing is drawn."""
        _, _, words = self._sample(np.asarray(seeds, np.int64))
        return [goal.instruction for goal in words]
