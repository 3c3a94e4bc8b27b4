"""The conditions under which a policy is evaluated: their names, how tables call them, and how their metrics are named."""

TITLES = {  # in the order in which they are played; docs/evaluation.md says what each is
    "plain": "success",
    "swapped": "swapped instruction",
    "foreign": "foreign instruction",
    "empty": "empty instruction",
    "garbage": "garbage instruction",
    "paraphrase": "paraphrased instruction",
    "random": "random policy",
    "chance": "chance",
    "blind": "language-blind policy",
}
CONDITIONS = tuple(TITLES)
BASELINES = ("chance", "blind", "random")  # in the order in which they are shown: others than the policy play these
WORDED = tuple(name for name in CONDITIONS if name not in ("plain", *BASELINES))  # the policy is told something else


def metric_of(condition: str, figure: str = "success") -> str:
    """The name of a metric: ``success`` under the plain condition, ``swapped/success`` under another."""
    return figure if condition == "plain" else f"{condition}/{figure}"


def beside(success: str, figure: str) -> str:
    """The metric of the same episodes as a rate of success: ``episodes`` beside ``swapped/success`` is ``swapped/episodes``, and
    beside ``success/lift``, of one task, ``episodes/lift``. "" where ``success`` is the name of no such rate."""
    parts = success.split("/")
    return "/".join(figure if part == "success" else part for part in parts) if "success" in parts else ""
