"""What a value may be, in a small language that an error message can quote.

A rule is a list of alternatives, ``null | int >= 1``. Each is a type (``bool int float str list dict``), numbers with bounds
(``float >= 0 < 1``), ``list of`` whatever follows (``list of 2`` or ``list of 1+`` say how many), ``dict of`` what
its values are, or a literal word (``auto | fp32 | bf16``). A float accepts an int. An int fits in 64 bits.

A key whose shipped value is a plain number, string, bool or list takes its type from that value. ``RULES`` adds ranges and
words, and says what a key may be whose shipped value is null, ???, a word such as auto, or an interpolation. A name is
``key``, ``group.key``, ``group/choice.key`` for one choice only, or ``vla-eval.key`` for a key of one program only. A plug-in
declares its own in ``<package>/configs/schema.yaml``.
"""

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from vla_train import conditions

TYPES: dict[str, tuple[type, ...]] = {
    "bool": (bool,),
    "int": (int,),
    "float": (float, int),
    "str": (str,),
    "path": (str,),  # not empty: what stands behind may have been a variable of the shell that is not set
    "list": (list,),
    "dict": (dict,),
    "null": (type(None),),
}
COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    ">": operator.gt,
    "<=": operator.le,
    "<": operator.lt,
}

CONDITIONS = "list of 1+ " + " | ".join(name for name in conditions.CONDITIONS if name != "blind")  # baseline= asks for that
NORMALIZATION = "mean_std | min_max | quantiles | none"
SHARE = "float >= 0 < 1"

RULES: dict[str, str] = {
    # the run
    "seed": "int >= 0",
    "steps": "null | int >= 1",
    "env_steps": "null | int >= 1",
    "minutes": "null | float > 0",
    "name": "null | str",
    "resume": "null | path",
    "init": "null | path",
    "sweep.resume": "null | path",
    "every.log": "int >= 0",
    "every.evaluate": "int >= 0",
    "every.save": "int >= 0",
    "checkpoint.keep": "int >= 1",
    "normalization.state": NORMALIZATION,
    "normalization.action": NORMALIZATION,
    "normalization.columns": f"null | dict of {NORMALIZATION}",
    "evaluation.episodes": "int >= 1",
    "evaluation.num_envs": "int >= 1",
    "evaluation.conditions": CONDITIONS,
    "evaluation.execute": "null | int >= 1",
    "evaluation.held_out_frames": "int >= 0",
    "evaluation.best": "auto | str",
    "evaluation.mode": "auto | max | min",
    "evaluation.patience": "int >= 0",
    "evaluation.video_episodes": "int >= 0",
    # vla-eval
    "checkpoint": "null | path",
    "compare": "null | list of 2+ str",
    "baseline": "null | path",
    "zero_shot": "list of str",
    "robustness": "list of float > 0 <= 1",
    "episodes": "int >= 1",
    "num_envs": "int >= 1",
    "seeds": "test | validation",
    "split": "null | str",
    "stage": "null | str",
    "conditions": CONDITIONS,
    "execute": "null | int >= 1",
    "ensemble": "null | bool",
    "held_out_frames": "int >= 0",
    "video_episodes": "int >= 0",
    "open_loop": "null | list of int >= 0",
    "vla-eval.output": "null | path",
    "vla-eval.dataset": "null | path",
    # vla-collect
    "vla-collect.output": "path",
    "vla-collect.processes": "int >= 0",
    "start": "null | int >= 0",
    "player": "auto | expert | policy | mixture | person",
    "expert": "float >= 0 <= 1",
    "intervene": "null | float >= 0",
    "noise": "float >= 0",
    "lapses": SHARE,
    "keep": "auto | all | successes",
    "video": "null | h264 | av1",
    "rows": "int >= 1",
    "block": "int >= 1",
    "device": "str",
    "threads": "auto | int >= 1",
    # groups
    "runtime.device": "str",
    "runtime.threads": "auto | int >= 1",
    "runtime.precision": "auto | fp32 | bf16",
    "tracker.console": "auto | live | plain | none",
    "optimizer.lr": "float > 0",
    "optimizer.weight_decay": "float >= 0",
    "optimizer.betas": f"list of 2 {SHARE}",
    "optimizer.warmup": SHARE,
    "optimizer.eps": "float > 0",
    "optimizer.schedule": "cosine | linear | constant",
    "optimizer.final": "float >= 0 <= 1",
    "optimizer.clip": "float >= 0",
    "optimizer.micro_batches": "int >= 1",
    "optimizer.ema": SHARE,
    "paradigm.steps": "null | int >= 1",
    "paradigm.chunk": "null | int >= 1",
    **{
        f"paradigm.{name}": "float >= 0" for name in ("value_clip", "value_weight", "entropy_weight", "reference", "conservative")
    },
    **{f"paradigm.{name}": "int >= 1" for name in ("epochs", "minibatches", "critic_hidden", "target_every", "samples")},
    **{f"paradigm.{name}": "float > 0" for name in ("clip", "huber", "temperature")},
    "paradigm.target_entropy": "null | float",
    **{f"paradigm.{name}": "float > 0 <= 1" for name in ("tau", "exploration")},
    **{f"paradigm.{name}": "float >= 0 <= 1" for name in ("gamma", "gae_lambda", "epsilon", "epsilon_final")},
    "paradigm.target_kl": "null | float > 0",
    "paradigm.value_network": "separate | shared",
    "paradigm.baseline": "none | mean | value",
    "paradigm.value_warmup": "int >= 0",
    **{f"reward.{name}": "float" for name in ("completion", "progress", "language")},
    "reward.action": "float >= 0",
    **{f"safety.{name}": "null | dict of list of 2 float" for name in ("action", "state")},
    **{f"safety.{name}": "float >= 0" for name in ("penalty", "effort")},
    "reward.discount": "float >= 0 <= 1",
    "reward.scorer": "sentence_encoder | overlap",
    "reward.encoder": "null | path",
    **{f"source.{name}": "int >= 1" for name in ("num_envs", "steps", "rounds", "every", "episodes")},
    **{f"source.{name}": "int >= 1" for name in ("batch_size", "capacity", "n_step")},
    "source.learning_starts": "int >= 0",
    "source.discount": "float >= 0 <= 1",
    "source.prefetch": "int >= 0",
    "source.workers": "int >= 1",
    "source.shuffle": "null | int >= 1",
    "source.rare": SHARE,
    "source.expert": "float >= 0 <= 1",
    "curriculum.stages": "list of 1+ str",
    "curriculum.mastery": "success | loss",
    "curriculum.success": "float > 0 <= 1",
    "curriculum.loss": "list of 1+ float > 0",
    "curriculum.patience": "int >= 1",
    "curriculum.min_steps": "int >= 0",
    "curriculum.max_steps": "null | int >= 1",
    "curriculum.rehearsal": SHARE,
    "curriculum.weights": "null | list of 1+ float >= 0",
    "dataset.episodes": "int >= 1",
    "dataset.noise": "float >= 0",
    "dataset.lapses": SHARE,
    "dataset.mediocre": "float >= 0 <= 1",
    "dataset.random": "float >= 0 <= 1",
    "dataset.start": "int >= 0",
    "dataset.path": "null | path",
    "dataset/lerobot.path": "path",
    **{f"dataset/{name}.path": "path" for name in ("hdf5", "image_folder", "collector", "tensors")},
    "dataset.rename": "null | dict of str",
    "dataset.instruction": "null | str",
    "dataset.depth_range": "null | list of 2 float",
    "dataset/mix.mix": "dict of dict",
    "dataset.mask": "null | str",
    "dataset.rate": "float > 0",
    "dataset.cameras": "null | list of str",
    "dataset.state": "null | list of str",
    "dataset.action": "null | list of 1+ str",
    "dataset.relative": "list of str",
    "dataset.held_out": "null | list of 1+ int >= 0",
    "dataset.exclude": "list of int >= 0",
    "dataset.batch_size": "int >= 1",
    "dataset.cache_gb": "null | float >= 0",
    "dataset.history": "int >= 1",
    "dataset.chunk": "int >= 1",
    "dataset.validation": SHARE,
    "dataset.view": "rgb | symbolic",
    "environment/tabletop.image_size": "int >= 8",
    "environment/tabletop.cameras": "list of top | gripper",
    "environment/tabletop.split": "train | templates | pairs",
    "environment/tabletop.min_objects": "int >= 1",
    "environment/tabletop.max_objects": "int >= 1",
    "environment/tabletop.actions": "continuous | discrete",
    "environment/tabletop.shaping": "float >= 0",
    "augmentation.flips": "auto | list of horizontal | vertical",
    "augmentation.rotation": "auto | bool",
    "augmentation.plane": "null | dict",
    "augmentation.colours": "none | legal | all",
    "augmentation.shapes": "auto | bool",
    **{f"augmentation.{name}": "float >= 0 <= 1" for name in ("move", "rename", "synonyms", "insertion", "deletion", "images")},
    **{f"augmentation.{name}": "float >= 0 <= 1" for name in ("brightness", "contrast", "shift", "crop", "cutout")},
    "augmentation.hue": "float >= 0 <= 360",
    "augmentation.saturation": "float >= 0 <= 255",
    "augmentation.clahe": "float >= 0 <= 20",
    "augmentation.noise": "float >= 0 <= 100",
    "augmentation.blur": "float >= 0 <= 20",
    "augmentation.turn": "float >= 0 <= 45",
    "randomization.strength": "float >= 0 <= 1",
    "randomization.camera_shift": "list of 2 float >= -0.2 <= 0.2",
    "randomization.camera_zoom": "list of 2 float >= 0.5 <= 2",
    "randomization.camera_rotation": "list of 2 float >= -45 <= 45",
    "randomization.brightness": "list of 2 float >= 0.1 <= 2",
    "randomization.contrast": "list of 2 float >= 0.1 <= 2",
    "randomization.temperature": "list of 2 float >= -0.5 <= 0.5",
    "randomization.noise": "list of 2 float >= 0 <= 100",
    "randomization.table_shade": "list of 2 float >= 0.1 <= 1.3",
    "randomization.table_warmth": "list of 2 float >= -0.5 <= 0.5",
    "randomization.texture": "list of 2 float >= 0 <= 0.9",
    "randomization.object_shade": "list of 2 float >= 0.3 <= 1.2",
    "randomization.object_size": "list of 2 float >= 0.6 <= 1.5",
    "randomization.distractors": "list of 2 float >= 0 <= 7",
    "randomization.start_shift": "list of 2 float >= -0.5 <= 0.5",
    "randomization.start_turn": "list of 2 float >= -90 <= 90",
    "randomization.start_opening": "list of 2 float >= 0.5 <= 1",
    "dataset/metaworld.benchmark": "MT1 | MT10 | MT50",
    "dataset/metaworld.task": "str",
    "dataset/metaworld.per_task": "int >= 1",
    "dataset/metaworld.episodes": "null | int >= 1",
    "environment/metaworld.benchmark": "MT1 | MT10 | MT50",
    "environment/metaworld.task": "str",
    "environment/metaworld.image_size": "int >= 16",
    "environment/metaworld.cameras": "list of corner | corner2 | corner3 | corner4 | topview | behindGripper | gripperPOV",
    "environment/metaworld.crop": "list of 3 float >= 0 <= 1",
    "environment/metaworld.rendering": "fast | full",
    "environment/metaworld.horizon": "int >= 1 <= 500",
    "dataset/gym.env_id": "str",
    "dataset/gym.observation": "state | pixels",
    "environment/gym.env_id": "str",
    "environment/gym.observation": "state | pixels",
    "environment/gym.image_size": "int >= 8",
    "environment/gym.success_return": "auto | null | float",
    "environment/gym.horizon": "null | int >= 1",
    "environment.processes": "int >= 0",
    "environment.timeout": "float > 0",
    "environment/babyai.level": "str",
    "environment/babyai.view": "rgb | symbolic",
    "environment/babyai.tile_size": "int >= 1",
    "model.stem": "film_conv | patch",
    "model.width": "int >= 1",
    "model.layers": "int >= 1",
    "model.activation": "tanh | relu",
    "model.blocks": "int >= 1",
    "model.fusion": "null | int >= 1",
    "model.queries": "int >= 1",
    "model.words": "int >= 0",
    "model.num_heads": "int >= 1",
    "model.patch": "int >= 1",
    "model.dropout": SHARE,
    "model.image_size": "null | auto | int >= 8",
    "model.cameras": "null | list of str",
    "model.max_tokens": "int >= 1",
    "model.language": "instruction | none",
    "model.vocabulary": "int >= 300",  # the byte fallback alone takes 256
    "head.loss": "l1 | l2",
    "head.hidden": "int >= 0",
    "head.begin": "null | float > 0",
    "head.min_std": "float > 0",
    "head.std": "features | constant",
}


@dataclass(frozen=True)
class Alternative:
    """One way to satisfy a rule: a type with bounds, a list or a dict of something, or a literal word."""

    name: str
    bounds: tuple[tuple[str, float], ...] = ()
    items: tuple["Alternative", ...] = ()
    count: tuple[float, float] = (0.0, math.inf)  # of a list: the fewest and the most items

    def accepts(self, value: Any) -> bool:
        if self.name == "dict" and self.items:
            fits = isinstance(value, dict) and all(type(key) in (str, int) for key in value)  # a position, say
            return fits and all(any(item.accepts(entry) for item in self.items) for entry in value.values())
        if self.items:
            fits = isinstance(value, list) and self.count[0] <= len(value) <= self.count[1]
            return fits and all(any(item.accepts(entry) for item in self.items) for entry in value)
        if self.name not in TYPES:
            return bool(value == self.name)
        if not isinstance(value, TYPES[self.name]) or (isinstance(value, bool) and self.name != "bool"):
            return False
        if not isinstance(value, float | int):
            return not self.bounds and (self.name != "path" or value != "")
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            return False
        return math.isfinite(value) and all(COMPARISONS[sign](value, bound) for sign, bound in self.bounds)

    def convert(self, value: Any) -> Any:
        if self.name == "dict" and self.items:
            return {str(key): convert(self.items, entry) for key, entry in value.items()}
        if self.items:
            return [convert(self.items, entry) for entry in value]
        return float(value) if self.name == "float" else value


@cache
def parse(rule: str) -> tuple[Alternative, ...]:
    """A rule's alternatives. ``list of`` and ``dict of`` take all that follows them."""
    if rule.startswith("list of "):
        return (_list(rule.removeprefix("list of ")),)
    if rule.startswith("dict of "):
        return (Alternative("dict", items=parse(rule.removeprefix("dict of "))),)
    first, _, rest = rule.partition(" | ")
    name, *bounds = first.split()
    pairs = tuple((sign, float(bound)) for sign, bound in zip(bounds[::2], bounds[1::2], strict=True))
    return (Alternative(name, bounds=pairs), *(parse(rest) if rest else ()))


def _list(rule: str) -> Alternative:
    """``2 int``: exactly two; ``1+ int``: at least one; ``int``: any number of them."""
    size, _, rest = rule.partition(" ")
    least = size.removesuffix("+")
    if not least.isdecimal():
        return Alternative("list", items=parse(rule))
    return Alternative("list", items=parse(rest), count=(float(least), math.inf if size.endswith("+") else float(least)))


def convert(alternatives: tuple[Alternative, ...], value: Any) -> Any:
    """The value as the first fitting alternative wants it. Raises ``ValueError`` if none fits."""
    for alternative in alternatives:
        if alternative.accepts(value):
            return alternative.convert(value)
    raise ValueError(f"{value!r} fits none of the alternatives")


def words(rule: str) -> list[str]:
    """The literal words of a rule, those of a list's items included."""
    found = []
    for alternative in parse(rule):
        found += [item.name for item in alternative.items or (alternative,) if item.name not in TYPES]
    return found


def from_default(value: Any) -> str:
    """The rule that a shipped value stands for, where ``RULES`` has none; ``any`` where it tells no type."""
    if isinstance(value, list):
        kinds = {from_default(entry) for entry in value}
        if kinds == {"int", "float"}:
            kinds = {"float"}
        return f"list of {kinds.pop()}" if len(kinds) == 1 else "list"
    if value is None or (isinstance(value, str) and ("${" in value or value == "???")):
        return "any"
    return next(name for name in ("bool", "int", "float", "str", "dict") if isinstance(value, TYPES[name]))
