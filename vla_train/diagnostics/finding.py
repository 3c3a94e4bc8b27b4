"""What a check says: findings, figures, and why it could not look."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Finding:
    """Something worth a person's attention: a warning is said on the console, a note stands in the report only."""

    kind: str  # a word of docs/diagnostics.md
    severity: Literal["warning", "note"]
    where: str  # layer group, input, action dimension or "" for the run as a whole
    figure: float
    threshold: float
    message: str  # one line: what was seen, and what to try


@dataclass(frozen=True)
class Verdict:
    """What a check found. ``not_applicable`` says by name what it could not look at, and why."""

    findings: list[Finding] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)
    not_applicable: dict[str, str] = field(default_factory=dict)


def joined(verdicts: Iterable[Verdict]) -> Verdict:
    """All of them as one."""
    whole = Verdict()
    for verdict in verdicts:
        whole.findings.extend(verdict.findings)
        whole.figures.update(verdict.figures)
        whole.not_applicable.update(verdict.not_applicable)
    return whole


def section(verdict: Verdict) -> dict[str, Any]:
    """The part ``diagnostics`` of a report.json."""
    return {**asdict(verdict), "findings": [asdict(finding) for finding in verdict.findings]}
