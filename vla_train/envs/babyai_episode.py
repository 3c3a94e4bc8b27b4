"""One BabyAI episode: the library's world, the goal it is judged by, and the bots that know what to do next."""

from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np

from vla_train.envs import babyai_missions as missions
from vla_train.envs.babyai_bot import Bot, NoPlanError
from vla_train.envs.contract import Goal
from vla_train.envs.vector import RowEpisode, library_call

LIBRARY = "BabyAI's library"
DONE = 6  # BabyAI's action 'done' changes nothing; the bot gives it when it has nothing left to do


def make_level(identifier: str) -> Any:
    """The library's environment of a registered level, without gymnasium's wrappers."""
    return gymnasium.make(identifier, disable_env_checker=True).unwrapped


@dataclass
class _Expert:
    """A bot with its own mission object. ``asked`` counts the steps after which it was asked last; ``answer`` is what it said."""

    bot: Bot
    instruction: Any
    asked: int = -1
    answer: int = DONE


class Episode(RowEpisode):
    """A row of the vector environment. ``codes`` is what the agent sees: uint8 [7, 7, 3], (type, colour, state), y before x."""

    def __init__(self, env: Any) -> None:
        super().__init__()
        self.env = env
        self.codes = np.zeros((env.agent_view_size, env.agent_view_size, 3), np.uint8)
        self.direction = 0  # of the library: east, south, west, north
        self._experts: dict[str, _Expert] = {}

    def reset(self, seed: int, goal: Goal | None = None) -> None:
        """Scene ``seed`` with its own goal or the one given."""
        with library_call(LIBRARY, f"the reset from seed {seed}"):
            observation, _ = self.env.reset(seed=seed)
            if self.env.carrying is not None:  # some levels hand the agent an object after they have drawn the view
                observation = self.env.gen_obs()
        self._see(observation)
        self.seed, self.actions, self.ended, self.success = seed, [], False, False
        self._experts = {}
        self.goal = missions.goal_of(self.env.instrs, self.env.mission)
        if goal is not None and goal.key != self.goal.key:
            self.set_goal(goal)

    def set_goal(self, goal: Goal) -> None:
        """Judge this fresh episode by another goal. The time limit becomes what the library gives to such a mission."""
        if self.actions:
            raise ValueError("a goal can be set only right after a reset")
        env = self.env
        env.instrs = missions.to_instruction(goal.data)
        env.instrs.reset_verifier(env)
        env.mission = goal.instruction
        if not env.fixed_max_steps:
            env.max_steps = env.num_navs_needed(env.instrs) * env.room_size**2 * env.num_rows * env.num_cols
        self._experts = {}
        self.goal = goal

    def step(self, action: int) -> tuple[float, bool, bool]:
        """Reward, terminated, truncated. An episode that has ended stays as it is."""
        if self.ended:
            return 0.0, False, False
        for expert in self._experts.values():
            self._ask(expert)  # a bot explores: it has to look at every state that the agent passes through
        with library_call(LIBRARY, f"action {action} in step {len(self.actions)} of seed {self.seed}"):
            observation, reward, terminated, truncated, _ = self.env.step(action)
        self._see(observation)
        self.actions.append(action)
        if action == self.env.actions.drop:
            for expert in self._experts.values():
                self.env.update_objs_poss(expert.instruction)
        self.success = bool(reward > 0)
        self.ended = bool(terminated or truncated)
        return float(reward), bool(terminated), bool(truncated and not terminated)

    def expert_action(self, goal: Goal | None = None) -> int:
        """What the bot would do next towards ``goal`` (default: the episode's own); ``DONE`` when it knows nothing to do."""
        goal = goal or self.goal
        if self.ended:
            return DONE
        if goal.key not in self._experts:
            self._summon(goal)
        return self._ask(self._experts[goal.key])

    @property
    def expert_failed(self) -> bool:
        """The bot of the episode's own goal has given up (or thinks it is done) although the episode goes on."""
        expert = self._experts.get(self.goal.key)
        return not self.ended and expert is not None and expert.asked >= 0 and expert.answer == DONE

    def _summon(self, goal: Goal) -> None:
        """Make a bot for ``goal``. In the middle of an episode it is led there from the start, as it must have seen it all."""
        past = self.actions
        if past:
            self.reset(self.seed, self.goal)
        own = self.env.instrs
        if goal.key != self.goal.key:
            self.env.instrs = missions.to_instruction(goal.data)
            self.env.instrs.reset_verifier(self.env)
        self._experts[goal.key] = _Expert(Bot(self.env), self.env.instrs)
        self.env.instrs = own
        self.replay(past)

    def _ask(self, expert: _Expert) -> int:
        steps = len(self.actions)
        if expert.asked < steps:
            given_up = expert.asked >= 0 and expert.answer == DONE
            try:
                expert.bot.look(self.codes)
                last = self.actions[-1] if self.actions else None
                expert.answer = DONE if given_up else expert.bot.replan(last)
            except NoPlanError:
                expert.answer = DONE
            expert.asked = steps
        return expert.answer

    def _see(self, observation: dict[str, Any]) -> None:
        self.codes = observation["image"].transpose(1, 0, 2)
        self.direction = int(observation["direction"])
