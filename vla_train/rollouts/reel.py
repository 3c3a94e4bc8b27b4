"""Which of the played episodes keep their pictures."""

import numpy as np

from vla_train.rollouts.episodes import Episode

MEMORY = 256 * 2**20  # bytes of pictures of episodes under way, at most
OTHERS = 4  # one place in so many is for an episode that did not fail


class Reel:
    """Keeps the frames of ``number`` episodes: the first ones, or with ``failures_first`` those that failed, and others in the
    places that are left and in a quarter of all; each kind from the first on.

    Which episode fails is known when it has ended. So with ``failures_first`` all that are under way are filmed, as far as
    ``MEMORY`` reaches for episodes of ``horizon`` steps, and at least one; those that begin beyond it are not.
    """

    def __init__(self, number: int, failures_first: bool, horizon: int) -> None:
        self._number = number
        self._failures_first = failures_first
        self._horizon = horizon
        self._running: set[int] = set()
        self._failed: list[Episode] = []
        self._others: list[Episode] = []

    def add(self, episode: Episode, frame: np.ndarray) -> None:
        """One more frame, uint8 [y, x, 3], of an episode under way."""
        if self._wanted(episode, frame.nbytes):
            episode.frames.append(frame.copy())

    def ended(self, episode: Episode) -> None:
        """Let go of frames that will not be shown."""
        self._running.discard(episode.index)
        if self._failures_first and episode.frames:
            kind = self._failed if episode.failed else self._others
            kind.append(episode)
            self._keep(kind, self._number)

    def close(self) -> None:
        """All episodes have ended: keep the frames of ``number`` of them."""
        others = min(len(self._others), max(self._number // OTHERS, self._number - len(self._failed)))
        self._keep(self._failed, self._number - others)
        self._keep(self._others, others)

    def _wanted(self, episode: Episode, size: int) -> bool:
        if not self._number or not self._failures_first:
            return episode.index < self._number
        if episode.length == 0 and len(self._running) < max(1, MEMORY // ((self._horizon + 1) * size)):
            self._running.add(episode.index)
        return episode.index in self._running

    @staticmethod
    def _keep(episodes: list[Episode], number: int) -> None:
        episodes.sort(key=lambda episode: episode.index)
        for episode in episodes[number:]:
            episode.frames.clear()
        del episodes[number:]
