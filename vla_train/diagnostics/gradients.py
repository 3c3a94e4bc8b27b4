"""Gradient flow by layer group: where gradients vanish, explode, or never come."""

from collections import deque
from collections.abc import Mapping
from itertools import groupby
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vla_train.diagnostics.finding import Finding, Verdict
from vla_train.optim import Optimizer

WINDOW = 10  # logged updates that are looked at together; one alone is noise
KEPT = 200  # logged gradient norms whose median is the ordinary one
FAINT = 1e-5  # vanishing: gradient norm over weight norm is this share of what the median group has; healthy ones reach 1e-3
BURST = 100.0  # exploding: this many times the ordinary norm, and more than the norm of all weights

Flow = dict[str, tuple[float, float]]  # layer group -> norms of its gradient and of its weights


def layer_groups(names: list[str]) -> list[str]:
    """The layer group of each parameter: below every top-level module, the first level at which its parameters' names part,
    with the number that follows. ["encoder.net.stem.weight", "encoder.net.layers.0.a.bias", "head.bias"] are in the groups
    ["encoder.net.stem", "encoder.net.layers.0", "head"].
    """
    paths = [name.split(".")[:-1] or [name] for name in names]
    depth = {}
    for top, members in groupby(sorted(paths), key=lambda path: path[0]):
        levels = list(zip(*members, strict=False))  # as deep as the shallowest
        depth[top] = next((level for level, words in enumerate(levels) if len(set(words)) > 1), len(levels)) + 1
    groups = []
    for path in paths:
        end = depth[path[0]]
        end += len(path) > end and path[end].isdigit()
        groups.append(".".join(path[:end]))
    return groups


class GradientFlow:
    """Reads the norms that optimizers kept of their last step, and remembers those of the last ``WINDOW`` readings."""

    def __init__(self, paradigm: nn.Module, optimizers: Mapping[str, Optimizer]) -> None:
        names = {id(parameter): name.removeprefix("policy.") for name, parameter in paradigm.named_parameters()}
        self._optimizers = list(optimizers.values())
        self._groups = [layer_groups([names.get(id(p), "other") for p in optimizer.parameters]) for optimizer in self._optimizers]
        self._flows: deque[Flow] = deque(maxlen=WINDOW)
        self._norms: deque[float] = deque(maxlen=KEPT)
        self._peak = {"norm": 0.0, "weights": 0.0, "step": 0.0}

    def read(self, step: int, row: Mapping[str, float]) -> dict[str, float]:
        """Take the last step's norms and the row's mean gradient norm. Returns the norm of each group, to be logged."""
        flow: Flow = {}
        for optimizer, groups in zip(self._optimizers, self._groups, strict=True):
            if optimizer.gradient_norms is not None:
                flow |= _flow(optimizer.gradient_norms, optimizer.parameters, groups)
        norm = max((value for name, value in row.items() if name.endswith("gradient_norm")), default=None)
        if not flow or norm is None:
            return {}
        self._flows.append(flow)
        self._norms.append(norm)
        if norm > self._peak["norm"]:
            weights = float(np.linalg.norm([weight for _, weight in flow.values()]))
            self._peak = {"norm": norm, "weights": weights, "step": float(step)}
        return {f"gradient/{group}": gradient for group, (gradient, _) in flow.items()}

    def judge(self) -> Verdict:
        if len(self._flows) < WINDOW:
            few = f"{len(self._flows)} logged updates: it takes {WINDOW} to tell a pattern from noise (every.log)"
            return Verdict(not_applicable={"gradients": few})
        verdict = judge_flow(list(self._flows))
        verdict.findings.extend(judge_peak(list(self._norms), **self._peak))
        return verdict

    def state_dict(self) -> dict[str, Any]:
        return {"flows": list(self._flows), "norms": list(self._norms), "peak": self._peak}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._flows = deque(state["flows"], maxlen=WINDOW)
        self._norms = deque(state["norms"], maxlen=KEPT)
        self._peak = state["peak"]


def _flow(gradients: Tensor, parameters: list[nn.Parameter], groups: list[str]) -> Flow:
    """Of an optimizer's parameters: one wait for the device."""
    with torch.no_grad():
        weights = torch.stack(torch._foreach_norm(list[Tensor](parameters)))
    squares = torch.stack([gradients, weights]).double().square().cpu().numpy()
    return {
        group: (float(gradient), float(weight))
        for group in dict.fromkeys(groups)
        for gradient, weight in [np.sqrt(squares[:, [other == group for other in groups]].sum(axis=1))]
    }


def judge_flow(flows: list[Flow]) -> Verdict:
    """Groups without any gradient in all of the readings, and groups whose gradient is faint beside their weights.

    Adam's steps do not depend on a gradient's size, but one a hundred thousand times fainter than its neighbours' has lost what
    it was to say: it is rounding, and Adam's epsilon.
    """
    groups = list(flows[-1])
    norms = np.array([[flow[group][0] for group in groups] for flow in flows])
    weights = np.array([[flow[group][1] for group in groups] for flow in flows])
    dead = norms.max(axis=0) == 0
    ratio = np.median(norms / np.maximum(weights, 1e-12), axis=0)
    alive = ratio[~dead]
    share = ratio / max(float(np.median(alive)), 1e-300) if len(alive) else np.ones(len(groups))
    faint = (ratio > 0) & (share < FAINT)  # a median of 0 is on its way to be dead, or comes and goes
    findings = []
    if dead.any():
        message = (
            f"no gradient reached {_named(groups, dead)} in the last {len(flows)} logged updates: dead or saturated activations "
            "(start anew with a lower optimizer.lr), or a part that the loss does not use"
        )
        findings.append(Finding("dead_layers", "warning", _named(groups, dead), 0.0, 0.0, message))
    if faint.any():
        least = float(share[faint].min())
        message = (
            f"gradients nearly vanish in {_named(groups, faint)} ({least:.0e} of the other layers' share of the weights): "
            "look for saturated activations and missing residual connections or normalization, or take fewer layers"
        )
        findings.append(Finding("vanishing_gradient", "warning", _named(groups, faint), least, FAINT, message))
    return Verdict(findings, {"gradient/least_share": float(share[~dead].min())} if len(alive) else {})


def judge_peak(norms: list[float], norm: float, weights: float, step: float) -> list[Finding]:
    """Whether the largest logged norm was an explosion, beside the median of ``norms`` and the weights at that time."""
    ordinary = float(np.median(norms))
    if norm <= max(BURST * ordinary, weights):
        return []
    message = (
        f"the gradient norm reached {norm:.3g} near update {step:.0f}, {norm / max(ordinary, 1e-300):.0f} times the ordinary "
        f"{ordinary:.2g}: lower optimizer.lr (by 3 to 10), lengthen optimizer.warmup, or look for extreme values in the data"
    )
    return [Finding("exploding_gradient", "warning", "", norm, max(BURST * ordinary, weights), message)]


def _named(groups: list[str], chosen: np.ndarray) -> str:
    return ", ".join(group for group, is_chosen in zip(groups, chosen, strict=True) if is_chosen)
