"""Shares of episodes as bars with their intervals: a table in which one column is a plot. Names are escaped here."""

import math
from collections.abc import Sequence
from html import escape

from vla_train.reporting.measured import Rate
from vla_train.reporting.runs import printable

LONGEST_NOTE = 300  # letters


def bars(rates: Sequence[Rate], chance: float = math.nan) -> str:
    """A row for each rate; a thin line stands at ``chance``. "" without rates."""
    rows = "\n".join(_row(rate, chance) for rate in rates)
    return f'<table class="bars">\n<tbody>\n{rows}\n</tbody>\n</table>' if rates else ""


def cards(rates: Sequence[Rate]) -> str:
    """The figures to be seen first."""
    shown = "\n".join(
        f'<div class="card"><b>{percent(rate.value)}</b><span>{escape(printable(rate.name))}</span>'
        f'<span class="quiet">{escape(interval(rate))}</span></div>'
        for rate in rates
    )
    return f'<div class="cards">\n{shown}\n</div>' if rates else ""


def percent(value: float) -> str:
    return "-" if math.isnan(value) else f"{100 * value:.1f} %"


def interval(rate: Rate) -> str:
    """``98.0 to 99.7``, or "" without one."""
    return "" if math.isnan(rate.low) or math.isnan(rate.high) else f"{100 * rate.low:.1f} to {100 * rate.high:.1f}"


def _row(rate: Rate, chance: float) -> str:
    note = f'<span class="quiet">{escape(printable(rate.note, LONGEST_NOTE))}</span>' if rate.note else ""
    kind = ' class="part"' if rate.indent else ""
    name = f'<th scope="row"{kind}>{escape(printable(rate.name))}{note}</th>'
    if math.isnan(rate.value):
        return f"<tr>{name}<td></td><td></td><td></td></tr>"
    count = "" if math.isnan(rate.episodes) else f"{rate.episodes:,.0f} episodes"
    return (
        f'<tr>{name}<td class="plot">{_bar(rate, chance)}</td><td class="number">{percent(rate.value)}</td>'
        f'<td class="quiet">{escape(interval(rate))}<span>{count}</span></td></tr>'
    )


def _bar(rate: Rate, chance: float) -> str:
    fill = f'<i class="fill" style="width:{_place(rate.value)}"></i>'
    line = "" if math.isnan(chance) else f'<i class="chance" style="left:{_place(chance)}"></i>'
    if math.isnan(rate.low) or math.isnan(rate.high):
        return f'<div class="bar">{fill}{line}</div>'
    whisker = f'<i class="whisker" style="left:{_place(rate.low)};width:{_place(rate.high - rate.low)}"></i>'
    return f'<div class="bar">{fill}{line}{whisker}</div>'


def _place(share: float) -> str:
    return f"{100 * min(max(share, 0.0), 1.0):.2f}%"
