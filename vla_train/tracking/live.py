"""The live view: one panel at the foot of the terminal, redrawn twice a second by a thread of rich."""

from collections.abc import Mapping, Sequence

from rich import live
from rich.columns import Columns
from rich.console import Console, Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from vla_train.tracking import words
from vla_train.tracking.console import Pace


class Live:
    """Progress, pace, the latest training row, the last evaluation. What is printed meanwhile appears above it."""

    def __init__(self, pace: Pace, console: Console | None = None):
        self._pace = pace
        self._training: list[words.Shown] = []
        self._evaluation: list[words.Shown] = []
        self._evaluated = 0
        self._work: tuple[str, int, int] | None = None
        self._live = live.Live(console=console or Console(highlight=False), refresh_per_second=2, get_renderable=self._render)
        self._live.start()

    def row(self, pace: Pace, metrics: Mapping[str, float]) -> None:
        self._pace = pace
        self._training = words.training(metrics) or self._training
        if evaluation := words.evaluation(metrics):
            self._evaluation, self._evaluated = evaluation, pace.step

    def progress(self, label: str, done: int, total: int) -> None:
        self._work = (label, done, total) if done < total else None

    def message(self, text: str) -> None:
        self._live.console.print(Text(text), soft_wrap=True)  # a path that is broken in two cannot be copied

    def close(self) -> None:
        self._work = None
        self._live.stop()

    def _render(self) -> RenderableType:
        lines = [self._progress()]
        if self._training:
            lines.append(_cells(self._training))
        if self._evaluation:
            lines += [Text(f"evaluation at {self._evaluated}", style="bold"), _cells(self._evaluation)]
        if self._work is not None:
            lines.append(_bar(*self._work))
        return Group(*lines)

    def _progress(self) -> RenderableType:
        pace = self._pace
        grid = Table.grid(padding=(0, 2), expand=True)
        for ratio in (None, 1, None, None):
            grid.add_column(ratio=ratio, no_wrap=True)
        steps = f"{pace.step:,}/{pace.total:,}" if pace.total else f"step {pace.step:,}"
        left = f"{words.duration(pace.left)} left" if pace.left is not None else ""
        share = f"{100 * pace.share:.0f} %" if pace.share is not None else ""
        bar = ProgressBar(total=1.0, completed=pace.share, complete_style="cyan") if pace.share is not None else Text()
        grid.add_row(Text(steps, style="bold"), bar, share, f"{words.duration(pace.elapsed)}  {left}")
        return grid


def _cells(shown: Sequence[words.Shown]) -> RenderableType:
    """Names and values in columns, as many side by side as fit."""
    cells = [Text.assemble((item.name, "dim"), " ", (item.value, "cyan")) for item in shown]
    return Columns(cells, padding=(0, 3))


def _bar(label: str, done: int, total: int) -> RenderableType:
    grid = Table.grid(padding=(0, 2), expand=True)
    grid.add_column(no_wrap=True)
    grid.add_column(ratio=1)
    grid.add_column(no_wrap=True)
    grid.add_row(label, ProgressBar(total=total, completed=done, complete_style="cyan"), f"{done:,}/{total:,}")
    return grid
