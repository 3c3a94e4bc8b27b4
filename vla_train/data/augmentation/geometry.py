"""Pictures mirrored and turned by right angles, and with them the state, the action and the words.

All samples of one move (``moves.MOVES``) are moved together, without a loop over samples.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np

from vla_train.data.augmentation.batch import Batch
from vla_train.data.augmentation.directions import moved, moved_words
from vla_train.data.augmentation.moves import COORDINATES, FLIPS, MOVES, closed, moved_tag
from vla_train.data.augmentation.planes import problems
from vla_train.errors import UsageError
from vla_train.seeds import counter_integers, counter_uniform
from vla_train.spec import ImageSpec, Spec
from vla_train.symmetry import Plane

_DRAW = 1  # the number of this change's random numbers


class Geometry:
    """Moves each sample by one of the moves that ``flips`` ("horizontal", "vertical") and ``rotation`` make up, staying as it is
    among them, all equally likely of those that its words and its action allow; with ``probability``, else leaves it alone.

    Raises:
        UsageError: the plane is not known, does not allow such moves, or does not fit the Spec and its pictures.
    """

    def __init__(
        self,
        plane: Plane,
        spec: Spec,
        cameras: Mapping[str, ImageSpec],
        *,
        flips: Sequence[str],
        rotation: bool,
        probability: float = 1.0,
    ):
        self._plane, self._spec, self._probability = plane, spec, probability
        self._moves = closed({FLIPS[flip] for flip in flips} | ({1} if rotation else set()))
        if found := problems(plane, spec, cameras, self._moves):
            raise UsageError("\n".join(f"augmentation: {problem}" for problem in found))
        self._discrete = spec.action.kind == "discrete"
        self._state = _Numbers(plane.state, plane)
        self._action = _Numbers(plane.action, plane)
        turning = [place for place, tag in enumerate(plane.action) if tag.endswith("yaw")]
        self._turning = turning if plane.limited else []
        self._aside = {name: _aside(spec.images[name], cameras[name]) for name in plane.following if name in cameras}
        self._turns = np.array([tag.endswith("yaw") for tag in plane.action])

    def __str__(self) -> str:
        share = f"{100 * self._probability:g} % of the samples"
        return f"pictures, numbers and words are mirrored or turned together ({len(self._moves)} of 8 moves; {share})"

    def __call__(self, batch: Batch, key: np.ndarray) -> None:
        move = self._drawn(batch, key)
        # All of a pixel's channels as one value: moving it is one copy, not three.
        pictures = {name: images.view(f"V{images.shape[-1]}")[..., 0] for name, images in batch.images.items()}
        for number in np.unique(move[move > 0]).tolist():
            rows = np.flatnonzero(move == number)
            mirrored, quarters = MOVES[number]
            for name, pixels in pictures.items():
                pixels[rows] = moved_pictures(pixels[rows], mirrored, quarters, self._aside.get(name, 0))
            for texts in batch.texts:
                for row in rows.tolist():
                    texts[row] = moved_words(texts[row], mirrored, quarters) or texts[row]
        batch.state[:] = self._state.moved(batch.state, move)
        batch.action[:] = self._action.chosen(batch.action, move) if self._discrete else self._action.moved(batch.action, move)

    def _drawn(self, batch: Batch, key: np.ndarray) -> np.ndarray:
        """int64 [b]: each sample's move."""
        allowed = np.zeros((len(key), len(MOVES)), bool)
        allowed[:, self._moves] = True
        for texts in batch.texts:
            allowed &= np.array([_worded(text) for text in texts])
        allowed[self._turn_now(batch), 1::2] = False
        number = counter_integers(key, _DRAW, 1, allowed.sum(axis=1)[:, None])
        move = (allowed.cumsum(axis=1) > number).argmax(axis=1)
        return np.where(counter_uniform(key, _DRAW, 2)[:, 1] < self._probability, move, 0)

    def _turn_now(self, batch: Batch) -> np.ndarray:
        """bool [b]: the samples that turn a joint that has limits."""
        if not self._plane.limited:
            return np.zeros(len(batch.state), bool)
        turns = self._turns[batch.action[..., 0]] if self._discrete else batch.action[..., self._turning] != 0
        return np.asarray(turns.reshape(len(batch.state), -1).any(axis=1))


@lru_cache(maxsize=200_000)
def _worded(text: str) -> tuple[bool, ...]:
    """For each move whether the instruction can be moved."""
    return tuple(moved_words(text, *move) is not None for move in MOVES)


def moved_pictures(pictures: np.ndarray, mirrored: int, quarters: int, aside: int = 0) -> np.ndarray:
    """Pictures [..., y, x], mirrored and turned; then so many pixels to the right where right became left, and down where that
    became up. What comes in at the edge was never seen: it repeats what is beside it."""
    turned = np.rot90(pictures[..., ::-1] if mirrored else pictures, quarters, axes=(-2, -1))
    if not aside:
        return turned
    right, down = moved((1, 0), mirrored, quarters), moved((0, -1), mirrored, quarters)
    columns = np.arange(turned.shape[-1]) - aside * (right[0] + down[0] < 0)
    rows = np.arange(turned.shape[-2]) - aside * (right[1] + down[1] > 0)
    return np.asarray(turned[..., rows.clip(0)[:, None], columns.clip(0)])


def _aside(recorded: ImageSpec, shown: ImageSpec) -> int:
    """How many pixels a recorded one is in pictures of the size shown; 0 where one of them is the middle."""
    return 0 if recorded.width % 2 else round(shown.width / recorded.width)


class _Numbers:
    """The state's or the action's numbers, or a discrete action's choices, under the eight moves: tables [move, number]."""

    def __init__(self, tags: Sequence[str], plane: Plane):
        size = len(tags)
        self._source = np.tile(np.arange(size), (len(MOVES), 1))  # the old number that a new one is
        self._sign = np.ones((len(MOVES), size), np.float32)
        self._shift = np.zeros((len(MOVES), size), np.float32)
        self._angles = [place for place, tag in enumerate(tags) if tag == "yaw"]
        self._period = plane.period
        for move, (mirrored, quarters) in enumerate(MOVES):
            for place, tag in enumerate(tags):
                self._enter(move, mirrored, quarters, place, tag, tags, plane)

    def _enter(self, move: int, mirrored: int, quarters: int, place: int, tag: str, tags: Sequence[str], plane: Plane) -> None:
        if tag.startswith(("+", "-")):
            self._source[move, _partner(tags, place, moved_tag(tag, mirrored, quarters))] = place
        elif tag in COORDINATES:
            axis = COORDINATES[tag]
            direction = moved(((1, 0), (0, 1))[axis], mirrored, quarters)
            new, sign = _partner(tags, place, tag[:-1] + ("x" if direction[0] else "y")), sum(direction)
            self._source[move, new], self._sign[move, new] = place, sign
            if tag in ("x", "y"):
                to = 0 if direction[0] else 1
                self._shift[move, new] = plane.centre[to] - sign * plane.centre[axis]
        elif tag in ("yaw", "dyaw"):
            self._sign[move, place] = -1 if mirrored else 1
            self._shift[move, place] = (np.pi * mirrored + np.pi / 2 * quarters) % plane.period if tag == "yaw" else 0.0

    def moved(self, values: np.ndarray, move: np.ndarray) -> np.ndarray:
        """float32 [b, k, numbers] of samples that are moved by move [b]."""
        source = np.broadcast_to(self._source[move][:, None], values.shape)
        result: np.ndarray = np.take_along_axis(values, source, axis=-1) * self._sign[move][:, None] + self._shift[move][:, None]
        if self._angles:
            turned = np.flatnonzero(move)
            angles = result[turned][..., self._angles]
            half = self._period / 2
            wrapped = angles - np.float32(self._period) * np.floor((angles + half) / self._period).astype(np.float32)
            # What lies within the limits stays where it is: an end of the range is not carried over to the other.
            inside = np.abs(angles) <= half
            result[turned[:, None], :, self._angles] = np.where(inside, angles, wrapped).swapaxes(1, 2)
        return result

    def chosen(self, choices: np.ndarray, move: np.ndarray) -> np.ndarray:
        """int64 [b, h, 1]: the choices that are the moved ones."""
        becomes = np.argsort(self._source, axis=1)  # a permutation's inverse
        return np.take_along_axis(becomes[move], choices[..., 0], axis=1)[..., None]


def _partner(tags: Sequence[str], place: int, tag: str) -> int:
    """Where the tag stands that the one at ``place`` becomes: the second x becomes the second y. Itself, if there is none."""
    places = [number for number, other in enumerate(tags) if other == tag]
    earlier = tags[:place].count(tags[place])
    return places[earlier] if earlier < len(places) else place
