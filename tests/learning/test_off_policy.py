"""What is learned from a replay buffer, in worlds so small that the answer is known."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.scripted import SCRIPTED, Scripted
from tests.unit.test_paradigms_dqn import make_dqn
from tests.unit.test_paradigms_sac import make_sac
from vla_train.models.feature_mlp import FeatureMLPEncoder
from vla_train.models.heads.action_values import ActionValuesHead
from vla_train.models.heads.squashed_gaussian import SquashedGaussianHead
from vla_train.models.normalizer import Normalizer
from vla_train.models.policy import Policy
from vla_train.processor import Processor, train_tokenizer
from vla_train.rollouts import evaluating
from vla_train.sources.replay import ReplaySource
from vla_train.spec import ActionSpec

pytestmark = pytest.mark.filterwarnings("ignore:the replay buffer holds")
DISCOUNT = 0.8


class Corridor(Scripted):
    """Four steps ahead (action 1) lead to the reward; the other action leads back to the start. Twelve steps are an episode."""

    def reset(self, *, seed, options=None):
        mask = np.ones(self.num_envs, bool) if options is None else options["reset_mask"]
        self.place = np.where(mask, 0, getattr(self, "place", 0))
        super().reset(seed=seed, options=options)
        return self._observation(), {}

    def _observation(self):
        state = np.stack([self.place, np.zeros(self.num_envs)], axis=1).astype(np.float32)
        return {"images": {}, "state": state, "instruction": [""] * self.num_envs}

    def step(self, actions):
        self.place = np.where(actions[:, 0] == 1, self.place + 1, 0)
        self.steps += 1
        there = self.place == 4
        return self._observation(), there.astype(np.float64), there, self.steps >= 12, {}


class Match(Scripted):
    """Shows a number x; the nearer the one action comes to 1.5 x, the better. A step is an episode."""

    def __init__(self, num_envs):
        super().__init__(num_envs)
        self.io_spec = CONTINUOUS

    def _observation(self):
        x = (self.seeds * 0.37) % 2.0 - 1.0
        return {"images": {}, "state": np.stack([x, x * 0], 1).astype(np.float32), "instruction": [""] * self.num_envs}

    def step(self, actions):
        error = actions[:, 0] - 1.5 * self._observation()["state"][:, 0]
        return self._observation(), -(error**2), np.ones(self.num_envs, bool), np.zeros(self.num_envs, bool), {}


CONTINUOUS = replace(SCRIPTED, action=ActionSpec("continuous", 1, (-2.0,), (2.0,)))


def encoder(spec):
    return FeatureMLPEncoder(spec, {}, 300, 8, width=32, layers=1, activation="relu", words=0)


def policy_of(spec, head):
    torch.manual_seed(0)
    return Policy(encoder(spec), head(32, spec.action, 1, hidden=32), Normalizer(2, spec.action), spec)


def train(paradigm, world, spec, folder, updates):
    def explore(observation):
        with evaluating(paradigm.policy):
            return paradigm.explore(observation).numpy()

    processor = Processor(spec, train_tokenizer([""], 300), cameras=None, image_size=None, max_tokens=2)
    settings = {"num_envs": 8, "steps": 1, "batch_size": 64, "capacity": 20_000, "learning_starts": 200, "n_step": 1}
    source = ReplaySource(
        **settings,
        discount=DISCOUNT,
        make_environment=world,
        processor=processor,
        explore=explore,
        seed=0,
        folder=folder,
        keep=1,
    )
    for _ in range(updates):
        paradigm.update(next(source))


def test_q_learning_finds_the_values_of_a_corridor(tmp_path):
    """From four places the reward is 3, 2, 1 and 0 steps after the next: 0.512, 0.64, 0.8 and 1."""
    policy = policy_of(SCRIPTED, ActionValuesHead)
    dqn = make_dqn(policy, lr=3e-3, double=True, target_every=20, epsilon=0.3, epsilon_final=0.3)
    train(dqn, Corridor, SCRIPTED, tmp_path, 600)
    state = torch.tensor([[float(place), 0.0] for place in range(4)])
    values = policy.head(policy.encoder.layers(state))[:, 0, 0]
    assert values.argmax(-1).tolist() == [1, 1, 1, 1]
    assert values[:, 1].tolist() == pytest.approx([DISCOUNT**3, DISCOUNT**2, DISCOUNT, 1.0], abs=0.08)
    assert values[:, 0].tolist() == pytest.approx([DISCOUNT**4] * 4, abs=0.08), "back to the start"


def test_soft_actor_critic_finds_the_action_that_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr("tests.unit.test_paradigms_sac.make_encoder", lambda: encoder(CONTINUOUS))
    policy = policy_of(CONTINUOUS, SquashedGaussianHead)
    sac = make_sac(policy, lr=3e-3, critic_hidden=32)
    train(sac, Match, CONTINUOUS, tmp_path, 800)
    x = torch.linspace(-1.0, 1.0, 9)
    chosen = policy.head.act(policy.encoder.layers(torch.stack([x, 0 * x], 1)))[:, 0, 0] * 2.0
    assert (chosen - 1.5 * x).abs().max() < 0.35
    assert 0.0 < float(sac.temperature) < 0.5
