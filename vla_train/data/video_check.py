"""What can be told of videos without decoding them: whether files are there to their ends."""

from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np

from vla_train.data.videos import Clip

LATE = 0.75  # of a step: what is shown so long after the last one is of another


def torn(clips: Sequence[Clip], times: Sequence[np.ndarray]) -> dict[int, str]:
    """Episode -> what is wrong with its video. ``times`` are the seconds since each episode began of its frames, [t] each. One
    that is of an episode ``alone`` may not go on after it.

    Only indices of files are read, a few milliseconds each, so a video that was cut short is found before an hour of others is
    decoded; what is damaged within is found by decoding alone.
    """
    of_file: dict[Path, list[int]] = {}
    for episode, clip in enumerate(clips):
        of_file.setdefault(clip.path, []).append(episode)
    found: dict[int, str] = {}
    for path, episodes in of_file.items():
        try:
            cut, frames, last = _index(path)
        except (av.FFmpegError, OSError, UnicodeDecodeError, IndexError) as error:  # the last: no picture stream
            why = getattr(error, "strerror", None) or "it has no pictures"
            found |= dict.fromkeys(episodes, f"{path} cannot be opened ({why}): it is cut short, or no video")
            continue
        for episode in episodes:
            if len(times[episode]) and clips[episode].start + float(times[episode][-1]) >= cut:
                found[episode] = f"{path} is cut short: nothing is there from {cut:.2f} s on"
        first = episodes[0]
        if len(episodes) == 1 and first not in found and (other := _other_length(clips[first], times[first], frames, last)):
            found[first] = f"{path} {other}"
    return dict(sorted(found.items()))


def _other_length(clip: Clip, times: np.ndarray, frames: int, last: float) -> str | None:
    """How the only video in a file, of ``frames`` until the second ``last``, does not fit its episode. More frames alone are no
    fault: there may be a row for every third."""
    if not len(times) or not frames:
        return None
    if frames < len(times):
        return f"holds {frames} of its {len(times)} frames"
    end = clip.start + float(times[-1])
    step = float(np.median(np.diff(times))) if len(times) > 1 else last / max(1, frames - 1)
    if clip.alone and last > end + LATE * step:
        return f"goes on to {last:.2f} s, its episode to {end:.2f} s: it is another one's, or rows are missing"
    return None


def _index(path: Path) -> tuple[float, int, float]:
    """From which second on a file lacks what its index declares; how many frames that declares and, counted from the first, at
    which second the last: 0 where it does not reach the end of the video, as of a file in fragments only the first are known."""
    size = path.stat().st_size
    with av.open(str(path.absolute()), format="mp4") as container:
        stream = container.streams.video[0]
        entries = list(stream.index_entries)
        lost = [entry.timestamp for entry in entries if entry.pos + entry.size > size]
        cut = float(min(lost) * (stream.time_base or 1)) if lost else np.inf
        if len(entries) < 2 or not stream.duration:
            return cut, 0, 0.0
        reached = entries[-1].timestamp - entries[0].timestamp
        step = reached / (len(entries) - 1)
        if reached + 1.5 * step < stream.duration:
            return cut, 0, 0.0
        return cut, len(entries), float(reached * (stream.time_base or 1))
