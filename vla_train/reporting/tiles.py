"""Filmed episodes as a grid of tiles: the video, the instruction, and in words how it ended."""

from collections.abc import Sequence
from html import escape

import numpy as np

from vla_train.reporting.runs import printable
from vla_train.reporting.skeleton import data
from vla_train.spec import EpisodeResult, Film
from vla_train.tracking.video import encode_mp4

LARGEST = 8 * 2**20  # bytes of videos that a page carries; as text they are a third more
HOLD = 1.0  # seconds for which the last picture stays
OUTCOMES = {"failure": "✗ failed", "crash": "✗ crashed", "success": "✓ success", "ended": "ended"}  # in the order of the tiles
FAILED = ("failure", "crash")
LONGEST = 300  # letters of an instruction


def tiles(films: Sequence[Film], episodes: Sequence[EpisodeResult], fps: float) -> tuple[str, str]:
    """The grid as HTML, and what it shows of how many plain ``episodes``, in words. Failures come first."""
    order = list(OUTCOMES)
    shown: list[tuple[Film, bytes]] = []
    size = 0
    for film in sorted(films, key=lambda film: order.index(film.result.outcome)):
        video = encode_mp4(_held(film.frames, fps), fps)
        if size + len(video) <= LARGEST:
            shown.append((film, video))
            size += len(video)
    stages = len({result.stage for result in episodes}) > 1
    grid = "\n".join(_tile(film.result, video, stages) for film, video in shown)
    left_out = f" {len(films) - len(shown)} more would make this page too large." if len(shown) < len(films) else ""
    return (f'<div class="tiles">\n{grid}\n</div>' if grid else ""), _count([film for film, _ in shown], episodes) + left_out


def _count(shown: Sequence[Film], episodes: Sequence[EpisodeResult]) -> str:
    played = [result for result in episodes if result.condition == "plain"]
    failed = sum(film.result.outcome in FAILED for film in shown)
    all_failed = sum(result.outcome in FAILED for result in played)
    rest = "episodes" if any(result.outcome == "ended" for result in played) else "successes"
    return (
        f"{len(shown)} of {len(played):,} episodes, failures first: {failed} of {all_failed:,} that failed, "
        f"{len(shown) - failed} of {len(played) - all_failed:,} {rest}."
    )


def _tile(result: EpisodeResult, video: bytes, stages: bool) -> str:
    kind = "bad" if result.outcome in FAILED else "good" if result.outcome == "success" else "none"
    told = escape(printable(result.instruction, LONGEST)) if result.instruction else "(no instruction)"
    steps = f"{result.length:,} step{'s' * (result.length != 1)}"
    return (
        f'<figure class="tile {kind}">\n'
        f'<p><b class="badge">{OUTCOMES[result.outcome]}</b> {steps}</p>\n<p class="told">{told}</p>\n'
        f'<video controls autoplay loop muted playsinline src="{data("video/mp4", video)}"></video>\n'
        f"<figcaption>{escape(' · '.join(_facts(result, stages)))}</figcaption>\n</figure>"
    )


def _facts(result: EpisodeResult, stages: bool) -> list[str]:
    facts = []
    if result.named or result.first_touched:
        facts.append(f"touched first: {printable(result.first_touched) or 'nothing'}")
    if result.named and result.named != result.first_touched:
        facts.append(f"named: {printable(result.named)}")
    if result.goal != result.instruction:
        facts.append(f"judged by: {printable(result.goal, LONGEST)}")
    if result.outcome == "ended":
        facts.append(f"return {result.reward:.4g}")
    facts += [printable(result.task)] if result.task else []
    return [*facts, *([printable(result.stage)] if stages else []), f"seed {result.seed}"]


def _held(frames: np.ndarray, fps: float) -> np.ndarray:
    """The film with its last picture standing for a while, so that an end is seen before it begins again."""
    return np.concatenate([frames, np.repeat(frames[-1:], max(1, round(HOLD * fps)), axis=0)])
