"""BabyAI's own bot with the same answers, made to give up where it would go round in circles, and made faster.

Chevalier-Boisvert et al. 2019, "BabyAI: A Platform to Study the Sample Efficiency of Grounded Language Learning"; in the library
``minigrid.utils.baby_ai_bot``. A test compares the two action by action.
"""

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from minigrid.utils import baby_ai_bot

SEARCHES = 200  # for one action; a bot that needs more replans for ever without acting (seen in GoToImpUnlock)

# What the library's bot raises in scenes that it cannot handle: its assertions, its "a box was opened", and plain accidents.
STUMBLES = (baby_ai_bot.DisappearedBoxError, AssertionError, LookupError, AttributeError, TypeError)
Cell = tuple[int, int]
_BabyAIBot: Any = baby_ai_bot.BabyAIBot  # the library has no type hints


class NoPlanError(Exception):
    """The bot does not know how to go on."""


class Bot(_BabyAIBot):  # type: ignore[misc]
    """``look`` at each state, then ``replan``: the action towards the mission that ``env.instrs`` was when the bot was made."""

    def look(self, codes: np.ndarray) -> None:
        """What the agent sees now, uint8 [y, x, 3], as the library encodes it."""
        self.seen = np.argwhere(codes[..., 0] != 0)  # 0 is 'unseen'
        self.size = len(codes)

    def replan(self, action_taken: int | None = None) -> int:
        """The next action, after ``action_taken`` was executed. Raises NoPlanError."""
        self.last_search = self.bfs_counter + SEARCHES
        try:
            return int(super().replan(action_taken))
        except STUMBLES as error:
            raise NoPlanError(str(error)) from error

    def _process_obs(self) -> None:
        """Mark the cells in sight as known. The library works out the view a second time for this."""
        env = self.mission.unwrapped
        ahead, side = self.size - 1 - self.seen[:, :1], self.seen[:, 1:] - self.size // 2
        cells = np.asarray(env.agent_pos) + ahead * env.dir_vec + side * env.right_vec
        cells = cells[((cells >= 0) & (cells < self.vis_mask.shape)).all(axis=1)]
        self.vis_mask[cells[:, 0], cells[:, 1]] = True

    def _breadth_first_search(
        self, initial_states: Iterable[tuple[Any, ...]], accept_fn: Callable[[Cell, Any], bool], ignore_blockers: bool
    ) -> tuple[list[Cell] | None, Cell | None, dict[Cell, Cell | None]]:
        """The library's search in its order; the queue is a deque, and cells that were visited do not enter it again."""
        if self.bfs_counter >= self.last_search:
            raise NoPlanError("the bot replans for ever")
        self.bfs_counter += 1
        grid, width = self.mission.unwrapped.grid.grid, self.mission.unwrapped.grid.width
        queue: deque[tuple[int, int, int, int, Cell | None]] = deque((*map(int, state), None) for state in initial_states)  # type: ignore[misc]
        previous: dict[Cell, Cell | None] = {}
        while queue:
            i, j, di, dj, origin = queue.popleft()
            if (i, j) in previous:
                continue
            cell = grid[j * width + i]
            previous[i, j] = origin
            if accept_fn((i, j), cell):
                return _path(previous, (i, j)), (i, j), previous
            if not self.vis_mask[i, j] or _blocks(cell, ignore_blockers):
                continue
            for k, m in ((di, dj), (dj, di), (-dj, -di), (-di, -dj)):  # straight on comes first
                if (i + k, j + m) not in previous:
                    queue.append((i + k, j + m, k, m, (i, j)))
        return None, None, previous


def _blocks(cell: Any, ignore_blockers: bool) -> bool:
    if cell is None or cell.type == "wall":
        return cell is not None
    return not cell.is_open if cell.type == "door" else not ignore_blockers


def _path(previous: dict[Cell, Cell | None], end: Cell) -> list[Cell]:
    path: list[Cell] = []
    cell: Cell | None = end
    while cell:
        path.append(cell)
        cell = previous[cell]
    return path
