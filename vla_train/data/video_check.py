"""What can be told of videos without decoding them: whether files are there to their ends."""

from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np

from vla_train.data.videos import Clip


def torn(clips: Sequence[Clip], times: Sequence[np.ndarray]) -> dict[int, str]:
    """Episode -> what is wrong with its video. ``times`` are the seconds since each episode began of its frames, [t] each.

    Only indices of files are read, a few milliseconds each, so a video that was cut short is found before an hour of others is
    decoded; what is damaged within is found by decoding alone.
    """
    of_file: dict[Path, list[int]] = {}
    for episode, clip in enumerate(clips):
        of_file.setdefault(clip.path, []).append(episode)
    found: dict[int, str] = {}
    for path, episodes in of_file.items():
        alone = len(times[episodes[0]]) if len(episodes) == 1 else 0
        try:
            cut, frames = _index(path)
        except (av.FFmpegError, OSError, UnicodeDecodeError, IndexError) as error:  # the last: no picture stream
            why = getattr(error, "strerror", None) or "it has no pictures"
            found |= dict.fromkeys(episodes, f"{path} cannot be opened ({why}): it is cut short, or no video")
            continue
        for episode in episodes:
            if len(times[episode]) and clips[episode].start + float(times[episode][-1]) >= cut:
                found[episode] = f"{path} is cut short: nothing is there from {cut:.2f} s on"
        if episodes[0] not in found and 0 < frames < alone:
            found[episodes[0]] = f"{path} holds {frames} of its {alone} frames"
    return dict(sorted(found.items()))


def _index(path: Path) -> tuple[float, int]:
    """From which second on a file lacks what its index declares, and how many frames that declares: 0 where it does not reach
    the end of the video, as of a file in fragments only the first ones are known."""
    size = path.stat().st_size
    with av.open(str(path.absolute()), format="mp4") as container:
        stream = container.streams.video[0]
        entries = list(stream.index_entries)
        lost = [entry.timestamp for entry in entries if entry.pos + entry.size > size]
        cut = float(min(lost) * (stream.time_base or 1)) if lost else np.inf
        if len(entries) < 2 or not stream.duration:
            return cut, 0
        reached = entries[-1].timestamp - entries[0].timestamp
        step = reached / (len(entries) - 1)
        return cut, len(entries) if reached + 1.5 * step >= stream.duration else 0
