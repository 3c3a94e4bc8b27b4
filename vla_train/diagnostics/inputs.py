"""Dead inputs and stagnation, from what a ``Probe`` measured."""

from vla_train.diagnostics.finding import Finding, Verdict
from vla_train.diagnostics.probe import Probed

DEAD = 0.01  # of what all inputs together bring: an input whose exchange costs less is not looked at
FAINT, NOISE = 0.05, 2.0  # also one that costs less than this share and less than so many of its standard errors
SIGNIFICANT = 3.0  # standard errors by which the inputs must help before anything is said about one of them
GAIN = 0.05  # of the blind loss: a policy that gains less has not left the level of predicting without looking


def judge_inputs(probed: Probed) -> Verdict:
    """Whether each input can matter, and whether the loss cares about it; the latter only where looking at all brings a gain."""
    name = next((name for name in ("held_out", "training") if name in probed), None)
    if name is None:
        return Verdict(not_applicable={"inputs": "there are fewer than two demonstrated frames to exchange inputs between"})
    judged, words, verdict = probed[name], name.replace("_", "-"), Verdict()
    for place, measured in judged["inputs"].items():
        if measured is None and not _constant(place, judged, verdict):
            verdict.not_applicable[f"inputs/{place}"] = f"it never varies over the {words} frames"
        elif measured is not None and not learned(judged):
            reason = f"on {words} frames the policy does no better than with the inputs of other frames: none matters yet"
            verdict.not_applicable[f"inputs/{place}"] = reason
        elif measured is not None and measured["gain"] <= 0:
            verdict.not_applicable[f"inputs/{place}"] = f"it varies over too few {words} frames"
        elif measured is not None:
            # Pictures may show all that the state says, as a view from the robot's own eyes does.
            unneeded = place == "state" and any(other for name, other in judged["inputs"].items() if name.startswith("camera"))
            _looked_at(place, words, measured, verdict, unneeded)
    return verdict


def _looked_at(place: str, words: str, measured: Probed, verdict: Verdict, unneeded: bool) -> None:
    share, noise = measured["cost"] / measured["gain"], measured["error"] / measured["gain"]
    verdict.figures[f"inputs/{place}"] = share
    if share < DEAD or (share < FAINT and share < NOISE * noise):
        message = (
            f"the policy does not look at the {place}: with that of other frames its {words} loss rises by only "
            f"{100 * share:.1f} % of what all inputs bring. Check that it reaches the model and is right in the data"
        )
        verdict.findings.append(Finding("dead_input", "note" if unneeded else "warning", place, share, DEAD, message))


def _constant(place: str, judged: Probed, verdict: Verdict) -> bool:
    """What never varies is no fault of the policy, unless it should: the picture of a camera, and texts that were different."""
    if place == "instruction" and judged["told"] > 1:
        message = f"{judged['told']} different instructions are cut before they differ: raise model.max_tokens"
    elif place.startswith("camera"):
        message = f"{place} shows the same picture in every frame: it is covered, or was not recorded"
    else:
        return False
    verdict.findings.append(Finding("dead_input", "warning", place, 0.0, DEAD, message))
    return True


def judge_stagnation(probed: Probed) -> Verdict:
    """Whether the policy, half of its run done, still does no better on its training frames than without looking at them: the
    level of predicting a mean. A loss that no longer falls because it is low is no stagnation."""
    if "training" not in probed:
        return Verdict(not_applicable={"stagnation": "there are fewer than two training frames"})
    judged = probed["training"]
    gain = (judged["blind"] - judged["loss"]) / max(abs(judged["blind"]), 1e-12)
    if learned(judged):
        return Verdict(figures={"stagnation/gain": gain})
    message = (
        f"nothing was learned: the loss on training frames is {judged['loss']:.3g}, and {judged['blind']:.3g} with the inputs of "
        "other frames. Try another optimizer.lr (3 times higher, 3 times lower), or check that inputs and actions belong together"
    )
    return Verdict([Finding("stagnation", "warning", "", gain, GAIN, message)], {"stagnation/gain": gain})


def learned(judged: Probed) -> bool:
    """Whether looking at the inputs helps, beyond noise and by more than a trace."""
    gain = judged["blind"] - judged["loss"]
    return bool(gain > SIGNIFICANT * judged["error"] and gain > GAIN * abs(judged["blind"]))
