"""From a config to a finished run or report: what the programs and ``vla_train.load`` call."""

from vla_train.build.collecting import collect
from vla_train.build.evaluating import evaluate
from vla_train.build.objects import load_agent
from vla_train.build.training import train

__all__ = ["collect", "evaluate", "load_agent", "train"]
