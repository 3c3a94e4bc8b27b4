"""From a config to a finished run or report: what the two programs and ``vla_train.load`` call."""

from vla_train.build.evaluating import evaluate
from vla_train.build.objects import load_agent
from vla_train.build.training import train

__all__ = ["evaluate", "load_agent", "train"]
