"""What a policy sees and does (``Spec``), and the protocols through which the parts of a run meet."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar, runtime_checkable

import numpy as np

if TYPE_CHECKING:  # vla_train.types brings torch, which what only reads data can do without
    from vla_train.types import Struct

Metrics = dict[str, Any]  # name -> float or 0-d tensor (read by the meter, never with .item() inside an update)
StateDict = dict[str, Any]  # tensors and JSON values, nested: what safetensors + JSON can hold

FEWEST_POINTS = 8  # of a point cloud: smaller tables of numbers are poses and the like
POINT_NUMBERS = (3, 16)  # least and most of a point: x, y, z, and colours, normals, intensity, ...


@dataclass(frozen=True)
class ImageSpec:
    """One camera. ``symbols`` are integer codes, embedded and never resized: ``symbols`` gives how many each channel has.

    Depth was recorded as bytes, or in units of which ``depth_range`` went to 0 and 255: a policy is then asked in those.
    ``points`` are a cloud: ``height`` points of ``channels`` numbers each, of which the first three are x, y and z. Its frames
    are float32 [points, 1, channels], all others uint8 [y, x, c]; in which order the points stand means nothing. ValueError for a
    cloud of another width, of fewer than ``FEWEST_POINTS``, or whose points have less or more numbers than ``POINT_NUMBERS``.
    """

    height: int
    width: int
    channels: int = 3
    kind: Literal["colour", "depth", "symbols", "points"] = "colour"
    symbols: tuple[int, ...] = ()
    depth_range: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        least, most = POINT_NUMBERS
        if self.kind == "points" and not (self.width == 1 and self.height >= FEWEST_POINTS and least <= self.channels <= most):
            raise ValueError(
                f"a point cloud has at least {FEWEST_POINTS} points (height), width 1 and {least} to {most} numbers a point "
                f"(channels), not {self.height}, {self.width} and {self.channels}"
            )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of a frame, [y, x, c]."""
        return self.height, self.width, self.channels

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of a frame's numbers."""
        return np.dtype(np.float32 if self.kind == "points" else np.uint8)

    @property
    def nbytes(self) -> int:
        """Of a frame."""
        return self.height * self.width * self.channels * self.dtype.itemsize


@dataclass(frozen=True)
class ActionSpec:
    """Continuous: ``size`` dimensions within [low, high], physical units. Discrete: ``size`` 1 and ``choices`` actions.

    ``relative_to``, if not empty, gives for each dimension the column of the state that it sets, or -1: a policy then predicts
    how far the action lies from the present state. Actions outside the policy are absolute all the same.
    """

    kind: Literal["continuous", "discrete"]
    size: int
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    choices: int = 0
    names: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    relative_to: tuple[int, ...] = ()


@dataclass(frozen=True)
class Spec:
    """The contract between data, environment and policy. It is saved with a checkpoint and checked when that is used."""

    images: Mapping[str, ImageSpec]
    state_size: int
    action: ActionSpec
    state_names: tuple[str, ...] = ()
    rate: float = 10.0  # control steps per second
    horizon: int = 100  # an episode's longest length in steps
    tasks: tuple[str, ...] = ()
    history: int = 1  # k: observations in the window
    chunk: int = 1  # h: actions predicted at once
    domains: tuple[str, ...] = ()  # datasets that are learned together, each normalized by its own statistics; (): one

    def with_window(self, history: int, chunk: int) -> "Spec":
        return replace(self, history=history, chunk=chunk)

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2)

    @classmethod
    def from_json(cls, text: str) -> "Spec":
        data = json.loads(text)

        def tuples(values: dict[str, Any]) -> dict[str, Any]:
            return {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}

        images = {name: ImageSpec(**tuples(image)) for name, image in data.pop("images").items()}
        return cls(images=images, action=ActionSpec(**tuples(data.pop("action"))), **tuples(data))

    def mismatches(self, other: "Spec") -> list[str]:
        """Where a policy made for ``self`` cannot serve ``other``, in words; empty if it can."""
        found = []
        for name, image in self.images.items():
            if name not in other.images:
                found.append(f"camera {name!r}: missing (there are {sorted(other.images) or 'none'})")
            elif (image.channels, image.kind) != (other.images[name].channels, other.images[name].kind):
                theirs = other.images[name]
                found.append(f"camera {name!r}: {image.channels} {image.kind} channels, not {theirs.channels} {theirs.kind}")
            elif image.kind == "points" and image.height != other.images[name].height:
                found.append(f"camera {name!r}: {image.height} points, not {other.images[name].height}")
        if self.state_size != other.state_size:
            found.append(f"state: {self.state_size} numbers, not {other.state_size}")
        for name in ("kind", "size", "choices"):
            mine, theirs_value = getattr(self.action, name), getattr(other.action, name)
            if mine != theirs_value:
                found.append(f"action {name}: {mine}, not {theirs_value}")
        return found


@dataclass(frozen=True)
class FeatureStatistics:
    """Statistics of one numeric feature over the training frames; every array is float64 [size]."""

    count: int
    mean: np.ndarray
    std: np.ndarray
    min: np.ndarray
    max: np.ndarray
    q01: np.ndarray
    q99: np.ndarray


@dataclass(frozen=True)
class Stage:
    """One stage of a curriculum. An environment knows it by name; ``weights`` say, by the names of stages, on whose data it is
    trained and how often each is drawn: nothing means its own alone."""

    name: str
    index: int = 0
    weights: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class EpisodeResult:
    """One evaluated episode: a row of ``episodes.csv``."""

    condition: str  # plain, swapped, ...: conditions.CONDITIONS
    stage: str
    seed: int
    task: str
    instruction: str  # what the policy was told
    goal: str  # what it was judged by
    outcome: Literal["success", "failure", "crash", "ended"]  # ended: where success does not apply
    length: int
    reward: float
    first_touched: str = ""  # name of the object first touched, "" if none or not known
    named: str = ""  # name of the object that the instruction names first, "" if none
    aborted: bool | None = None  # in an environment with limits: whether they ended the episode; None: it has none
    limited: int | None = None  # steps there whose action was cut


@dataclass(frozen=True)
class Film:
    """An evaluated episode with its pictures: ``frames`` are uint8 [t, y, x, 3], the last one after the last step."""

    result: EpisodeResult
    frames: np.ndarray


@dataclass(frozen=True)
class Report:
    """What an evaluation found. ``metrics`` are flat names to numbers; what does not apply says why."""

    metrics: dict[str, float]
    episodes: list[EpisodeResult] = field(default_factory=list)
    not_applicable: dict[str, str] = field(default_factory=dict)
    histograms: dict[str, np.ndarray] = field(default_factory=dict)  # values of predicted and recorded actions, by dimension
    frames: Any = None  # uint8 [t, y, x, 3] of a few episodes, for the rollout picture
    films: list[Film] = field(default_factory=list)  # of a few episodes, each by itself, for the page
    sections: dict[str, Any] = field(default_factory=dict)  # JSON: further parts of report.json by name
    pictures: dict[str, bytes] = field(default_factory=dict)  # PNG files by name without ending

    def merged(self, other: "Report") -> "Report":
        return Report(
            sections={**self.sections, **other.sections},
            pictures={**self.pictures, **other.pictures},
            metrics={**self.metrics, **other.metrics},
            episodes=[*self.episodes, *other.episodes],
            not_applicable={**self.not_applicable, **other.not_applicable},
            histograms={**self.histograms, **other.histograms},
            frames=self.frames if self.frames is not None else other.frames,
            films=[*self.films, *other.films],
        )


B_co = TypeVar("B_co", bound="Struct", covariant=True)


@runtime_checkable
class Source(Protocol[B_co]):
    """Yields typed batches for ever, and can be stopped and resumed anywhere."""

    collects: bool  # whether it steps a world as long as it is asked for batches, so that env_steps can end a run
    env_steps: int  # taken in a world so far

    @property
    def batch_type(self) -> type[B_co]: ...
    def close(self) -> None: ...
    def prepare(self) -> None:
        """Make what must be there before the next batch and is no training: the time that it takes is not counted as that."""

    def __next__(self) -> B_co: ...
    def figures(self) -> dict[str, float]:
        """What is to be logged of the world it steps, since this was last asked; nothing where it steps none."""

    def state_dict(self) -> StateDict: ...
    def load_state_dict(self, state: StateDict) -> None: ...


@runtime_checkable
class Penalty(Protocol):
    """A term added once to an optimizer's loss, e.g. elastic weight consolidation."""

    def __call__(self) -> Any: ...


@runtime_checkable
class Continual(Protocol):
    """A strategy against forgetting. Fine-tuning does nothing."""

    def wrap(self, source: Any) -> Any: ...
    def penalty(self, parameters: Sequence[Any]) -> Penalty | None: ...
    def end_stage(self, policy: Any, source: Any) -> None: ...
    def state_dict(self) -> StateDict: ...
    def load_state_dict(self, state: StateDict) -> None: ...


@runtime_checkable
class Curriculum(Protocol):
    """Decides which stage is trained and when it is over. ``stage()`` is idempotent; None ends the run.

    Of its ``stages()`` the first ``reached()`` are evaluated. ``reads()`` names the metrics, without the stage that stands before
    them, that it needs of an evaluation. ``advance`` says in words why the stage was over; ``figures`` are logged; ``picture`` is
    a PNG of what was observed, None if there is nothing to see.
    """

    def stage(self) -> Stage | None: ...
    def stages(self) -> Sequence[Stage]: ...
    def reached(self) -> int: ...
    def reads(self) -> Sequence[str]: ...
    def observe(self, step: int, report: Report) -> None: ...
    def done(self, stage_step: int) -> bool: ...
    def advance(self, step: int, stage_step: int) -> str: ...
    def figures(self) -> dict[str, float]: ...
    def picture(self) -> bytes | None: ...
    def state_dict(self) -> StateDict: ...
    def load_state_dict(self, state: StateDict) -> None: ...


@runtime_checkable
class Watcher(Protocol):
    """Looks on while a run learns, and changes nothing of it. What ``logged`` and ``evaluated`` return is logged too."""

    def began(self, stage: str) -> None: ...
    def logged(self, step: int, row: Mapping[str, float]) -> dict[str, float]: ...
    def evaluated(self, step: int, agent: Any, metrics: Mapping[str, float]) -> dict[str, float]: ...
    def ended(self, step: int, agent: Any) -> None: ...
    def state_dict(self) -> StateDict: ...
    def load_state_dict(self, state: StateDict) -> None: ...


@runtime_checkable
class Acts(Protocol):
    """Whatever can be asked for actions: a trained Agent, a random one, an expert."""

    def act(self, images: dict[str, Any], instruction: Sequence[str], state: Any, rows: Any = None) -> Any: ...
    def observe(self, images: dict[str, Any], instruction: Sequence[str], state: Any, rows: Any = None) -> None: ...
    def reset(self, rows: Any = None) -> None: ...


@runtime_checkable
class Evaluator(Protocol):
    def __call__(self, agent: Any) -> Report: ...
