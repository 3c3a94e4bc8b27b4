"""Rewards other than the world's own, made of terms that are weighted and logged each by itself."""

from vla_train.rewards.reward import Reward, Rewarded

__all__ = ["Reward", "Rewarded"]
