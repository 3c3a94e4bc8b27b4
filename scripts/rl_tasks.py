"""The settings of ``benchmark_rl.py``, ours and Stable-Baselines3's side by side.

They are those that its zoo tuned for its own algorithms, but for what only one of the two has (clip ranges that shrink, noise
that depends on the state).
"""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Task:
    env_id: str
    algorithm: str  # the class of Stable-Baselines3
    steps: int
    num_envs: int
    ours: tuple[str, ...]
    theirs: dict[str, Any]
    normalize: bool = False  # theirs: observations and rewards, as ours with paradigm.normalize_states, normalize_rewards


TASKS = {
    "cartpole_ppo": Task(
        env_id="CartPole-v1",
        algorithm="PPO",
        steps=100_000,
        num_envs=8,
        ours=(
            *("experiment=cartpole_ppo", "source.num_envs=8", "source.steps=32", "paradigm.minibatches=1", "paradigm.epochs=20"),
            *("paradigm.gamma=0.98", "paradigm.gae_lambda=0.8", "paradigm.entropy_weight=0", "optimizer.lr=1e-3"),
        ),
        theirs={
            **{"n_steps": 32, "batch_size": 256, "n_epochs": 20, "gamma": 0.98, "gae_lambda": 0.8, "ent_coef": 0.0},
            **{"learning_rate": 1e-3, "schedule": "linear", "clip_range": 0.2},
            **{"policy_kwargs": {"net_arch": [64, 64]}, "activation": "tanh"},
        },
    ),
    "acrobot_ppo": Task(
        env_id="Acrobot-v1",
        algorithm="PPO",
        steps=200_000,
        num_envs=16,
        ours=(
            *("experiment=cartpole_ppo", "name=acrobot_ppo", "dataset.env_id=Acrobot-v1", "source.num_envs=16"),
            *("source.steps=256", "paradigm.minibatches=64", "paradigm.epochs=4", "paradigm.gamma=0.99"),
            *("paradigm.gae_lambda=0.94", "paradigm.entropy_weight=0", "optimizer.lr=3e-4", "optimizer.schedule=constant"),
            *("paradigm.normalize_states=true", "paradigm.normalize_rewards=true"),
        ),
        theirs={
            **{"n_steps": 256, "batch_size": 64, "n_epochs": 4, "gamma": 0.99, "gae_lambda": 0.94, "ent_coef": 0.0},
            **{"learning_rate": 3e-4, "clip_range": 0.2, "policy_kwargs": {"net_arch": [64, 64]}, "activation": "tanh"},
        },
        normalize=True,
    ),
    "cartpole_dqn": Task(
        env_id="CartPole-v1",
        algorithm="DQN",
        steps=50_000,
        num_envs=1,
        ours=("experiment=cartpole_dqn", "model.layers=2", "head.hidden=0"),
        theirs={
            **{"buffer_size": 100_000, "batch_size": 64, "learning_starts": 1000, "train_freq": 256, "gradient_steps": 128},
            **{"gamma": 0.99, "target_update_interval": 10, "exploration_fraction": 0.16, "exploration_final_eps": 0.04},
            **{"learning_rate": 2.3e-3, "policy_kwargs": {"net_arch": [256, 256]}, "activation": "relu"},
        },
    ),
    "pendulum_sac": Task(
        env_id="Pendulum-v1",
        algorithm="SAC",
        steps=20_000,
        num_envs=1,
        ours=("experiment=pendulum_sac",),
        theirs={
            **{"learning_rate": 1e-3, "buffer_size": 25_000, "batch_size": 256, "learning_starts": 100, "train_freq": 1},
            **{"gradient_steps": 1, "gamma": 0.99, "tau": 0.005, "policy_kwargs": {"net_arch": [256, 256]}, "activation": "relu"},
        },
    ),
    "mountaincar_sac": Task(
        env_id="MountainCarContinuous-v0",
        algorithm="SAC",
        steps=50_000,
        num_envs=1,
        ours=(
            *("experiment=pendulum_sac", "name=mountaincar_sac", "dataset.env_id=MountainCarContinuous-v0", "source.steps=32"),
            *("source.batch_size=16384", "paradigm.minibatches=32", "source.capacity=50000", "source.discount=0.9999"),
            *("paradigm.tau=0.01", "paradigm.temperature=0.1", "paradigm.learn_temperature=false", "optimizer.lr=3e-4"),
            *("model.width=64", "head.hidden=64", "paradigm.critic_hidden=64"),
        ),
        theirs={
            **{"learning_rate": 3e-4, "buffer_size": 50_000, "batch_size": 512, "learning_starts": 100, "train_freq": 32},
            **{"gradient_steps": 32, "gamma": 0.9999, "tau": 0.01, "ent_coef": 0.1},
            **{"policy_kwargs": {"net_arch": [64, 64]}, "activation": "relu"},
        },
    ),
}
