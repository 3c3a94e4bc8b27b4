"""The only place where a gradient step happens, and the schedules and averages that go with it."""

from vla_train.optim.average import Average
from vla_train.optim.optimizer import Optimizer
from vla_train.optim.schedule import Progress, rate_share
from vla_train.optim.traced import LossOf, TracedCall, traceable

__all__ = ["Average", "LossOf", "Optimizer", "Progress", "TracedCall", "rate_share", "traceable"]
