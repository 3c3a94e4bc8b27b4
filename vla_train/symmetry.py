"""What may be moved or renamed in demonstrations without changing what they mean, as an environment (or the owner of recordings)
declares it. Augmentation does only what is declared: nothing of this can be guessed from numbers and pictures."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

RGB = tuple[int, int, int]


@dataclass(frozen=True)
class Plane:
    """Pictures of a plane from above, x to the right and y up, and the numbers that lie in it.

    ``state`` and ``action`` say of each number how it moves with the pictures: "x", "y" are a place, "dx", "dy" a way, "yaw" an
    angle and "dyaw" a turn, both in radians, counter-clockwise and from the x axis; "" does not move. A direction with a sign
    ("+x", "-y", "+x-y", "+yaw") says that the number is 1 for that direction and 0 otherwise: mirrored, it changes place with
    another one. Of discrete actions ``action`` names the choices, each so or "".

    Attributes:
        cameras: those that show the plane. Others would have to be left out of a run whose pictures are moved.
        following: those of ``cameras`` that follow a place in whole pixels. Where these are even in number, none is in the
            middle: the place is seen in the one to the lower right of it, so moved pictures belong a pixel aside.
        centre: the place in the middle of the other cameras' pictures.
        period: radians after which a yaw looks and counts the same, and into whose middle half it is brought each way.
        limited: whether a joint stops the yaw there, so that what turns cannot be turned by a right angle besides.
        mirror_only: whether left and right may change sides, but up must stay up (a view that turns with its owner).
    """

    cameras: tuple[str, ...]
    state: tuple[str, ...]
    action: tuple[str, ...]
    centre: tuple[float, float] = (0.0, 0.0)
    period: float = 6.283185307179586
    limited: bool = False
    mirror_only: bool = False
    following: tuple[str, ...] = ()


@dataclass(frozen=True)
class Paint:
    """How colours can be told apart in pictures: each thing's by name, and those of everything else that pictures hold."""

    colours: Mapping[str, RGB]
    grounds: tuple[RGB, ...]
    shades: float = 1.0  # things are painted in their colour times at most this


@dataclass(frozen=True)
class Codes:
    """How colours and shapes are written in pictures of symbols: the channels [kind, colour], and each name's code there."""

    channels: tuple[int, int]
    shapes: Mapping[str, int]
    colours: Mapping[str, int]
    painted: tuple[int, ...] = ()  # further kinds of thing whose colours have these names


@dataclass(frozen=True)
class Names:
    """Words for colours and shapes that may change places, in words and pictures together. Every camera needs paint or codes.

    ``things`` gives the names of the things in an episode's recorded ``scene``; those of ``held_out`` ("red bottle") must not
    come about by renaming where they are kept for tests.
    """

    paint: Mapping[str, Paint] = field(default_factory=dict)
    codes: Mapping[str, Codes] = field(default_factory=dict)
    held_out: tuple[str, ...] = ()
    things: Callable[[str], Sequence[str]] | None = None


@dataclass(frozen=True)
class Symmetry:
    """None: not known, or none. ``unnamed`` tells a user why there are no names, and what to set so that there are."""

    plane: Plane | None = None
    names: Names | None = None
    unnamed: str = ""
