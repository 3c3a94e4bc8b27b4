"""What goes wrong in a run, said in one line with what to try. docs/diagnostics.md has the criteria."""

from vla_train.diagnostics.checkpoint import FromCheckpoint, lines
from vla_train.diagnostics.finding import Finding
from vla_train.diagnostics.ranges import WatchedAgent
from vla_train.diagnostics.watch import Diagnostics, NoDiagnostics

__all__ = ["Diagnostics", "Finding", "FromCheckpoint", "NoDiagnostics", "WatchedAgent", "lines"]
