"""Small stand-ins whose behaviour can be worked out by hand: a corridor to walk along, and agents that walk."""

from types import SimpleNamespace

import numpy as np
import torch
from torch import nn

from vla_train.envs.contract import Goal
from vla_train.errors import WorldError
from vla_train.models.normalizer import Normalizer
from vla_train.models.policy import Policy
from vla_train.processor import Processor, train_tokenizer
from vla_train.spec import ActionSpec, ImageSpec, Spec

CORRIDOR = Spec(
    images={"top": ImageSpec(4, 4)},
    state_size=1,
    action=ActionSpec("continuous", 1, low=(-1.0,), high=(1.0,)),
    horizon=4,
    tasks=("near", "far"),
)


def walk(place):
    task = "near" if place <= 2 else "far"
    return Goal(f"walk {place}", str(place), task, named=f"door {place}", template="walk", data=place)


class Corridor:
    """Places 0, 1, 2, ...; the goal of seed s is place s % 5 + 1; an episode ends there or after 4 steps.
    Pictures show the place.

    ``broken_seed`` fails in its second step, ``broken_reset`` at its reset. The first object touched is the door of place 1.
    """

    def __init__(self, num_envs, broken_seed=None, broken_reset=None):
        self.num_envs = num_envs
        self.io_spec = CORRIDOR
        self.stage = "walking"
        self.not_applicable = {}
        self.broken_seed, self.broken_reset = broken_seed, broken_reset
        self.calls = 0
        self.seeds = np.zeros(num_envs, np.int64)
        self.place = np.zeros(num_envs)
        self.steps = np.zeros(num_envs, np.int64)
        self.ended = np.zeros(num_envs, bool)
        self.goals = [walk(1)] * num_envs

    def _observation(self):
        images = np.broadcast_to(self.place.astype(np.uint8)[:, None, None, None], (self.num_envs, 4, 4, 3))
        state = self.place.astype(np.float32)[:, None]
        return {"images": {"top": images}, "state": state, "instruction": [goal.instruction for goal in self.goals]}

    def reset(self, *, seed, options=None):
        mask = np.ones(self.num_envs, bool) if options is None else options["reset_mask"]
        if any(mask[row] and seed[row] == self.broken_reset for row in range(self.num_envs)):
            raise WorldError("the reset is broken")
        self.goals = [walk(seed[row] % 5 + 1) if mask[row] else goal for row, goal in enumerate(self.goals)]
        self.seeds[mask] = np.asarray(seed)[mask]
        self.place[mask], self.steps[mask], self.ended[mask] = 0, 0, False
        return self._observation(), {}

    def step(self, actions):
        assert actions.shape == (self.num_envs, 1)
        assert np.isfinite(actions).all()
        self.calls += 1
        live = ~self.ended
        self.steps += live
        if self.broken_seed in self.seeds[live & (self.steps >= 2)]:
            raise WorldError("a row is broken")
        self.place = self.place + live * np.clip(actions[:, 0], -1, 1)
        terminated = live & self.success
        truncated = live & (self.steps >= 4) & ~terminated
        self.ended |= terminated | truncated
        return self._observation(), terminated.astype(np.float64), terminated, truncated, {}

    @property
    def success(self):
        return np.array([abs(self.place[row] - goal.data) < 0.5 for row, goal in enumerate(self.goals)])

    @property
    def first_touched(self):
        return ["door 1" if place >= 1 else "" for place in self.place]

    def set_goals(self, rows, goals):
        for row, goal in zip(rows, goals, strict=True):
            self.goals[row] = goal
        return self._observation()

    def alternatives(self):
        return [[walk(place) for place in range(1, 4) if str(place) != goal.key] for goal in self.goals]

    def expert_action(self, goals=None):
        wanted = np.array([goal.data for goal in goals or self.goals])
        return np.sign(wanted - self.place)[:, None]

    def describe(self):
        return [f"at {place}" for place in self.place]

    def get_scenes(self):
        return [{"place": float(place)} for place in self.place]

    def set_scenes(self, rows, scenes):
        for row, scene in zip(rows, scenes, strict=True):
            self.place[row] = scene["place"]
        return self._observation()

    def sample_instructions(self, seeds):
        return [f"walk {seed % 5 + 1}" for seed in seeds]

    def close(self):
        pass


class CountingAgent:
    """Walks one place ahead at each step, counts the rows it was asked for and remembers the words it heard."""

    def __init__(self, chunk, size=1, nan_at_goal=None):
        self.chunk, self.size, self.nan_at_goal = chunk, size, nan_at_goal
        self.planned = self.observed = 0
        self.heard = set()

    def act(self, images, instruction, state, rows=None):
        assert len(state) == len(instruction) == len(images["top"])
        assert rows is None or len(rows) == len(state)
        self.planned += len(state)
        self.heard |= set(instruction)
        chunk = np.ones((len(state), self.chunk, self.size), np.float32)
        chunk[[words == self.nan_at_goal for words in instruction]] = np.nan
        return chunk

    def observe(self, images, instruction, state, rows=None):
        self.observed += len(rows)

    def reset(self, rows=None):
        pass


class WalkingPolicy(Policy):
    """A policy without learning: walks by 0.75 plus noise that it samples; keeps what it saw."""

    def __init__(self, spec, noise):
        encoder = SimpleNamespace(feature_size=1, vision_sees_language=True)
        super().__init__(encoder, None, Normalizer(spec.state_size, spec.action), spec)
        self.dropout = nn.Dropout(0.5)
        self.noise = noise
        self.seen, self.modes = [], []
        self.forward_act = None

    def act(self, observation, *, explore=False):
        self.seen.append(observation)
        self.modes.append(self.training)
        batch = len(observation.state)
        if self.forward_act is not None:
            return self.forward_act(batch)
        noise = self.noise * torch.randn(batch, self.spec.chunk, 1)
        return 0.75 + noise


def corridor_policy(history, chunk=2, noise=0.1):
    spec = CORRIDOR.with_window(history, chunk)
    tokenizer = train_tokenizer(["walk 1", "walk 2"], 300)
    return WalkingPolicy(spec, noise), Processor(spec, tokenizer, cameras=None, image_size=None, max_tokens=8)
