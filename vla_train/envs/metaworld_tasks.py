"""Meta-World's tasks: what each is called, how it is asked for, and how hard it is held to be.

The instructions are the descriptions of the tasks in Yu et al. 2019, "Meta-World: A Benchmark and Evaluation for Multi-Task and
Meta Reinforcement Learning" (appendix A), word for word as policies are evaluated with them elsewhere, but for one: the paper
describes push and push-back in the same words, and a policy could only guess which is meant. The four groups of difficulty are
those of Seo et al. 2022, "Masked World Models for Visual Control".
"""

import difflib

from vla_train.errors import UsageError

GROUPS: dict[str, dict[str, str]] = {  # difficulty -> task, without its version -> instruction
    "easy": {
        "button-press": "Press a button",
        "button-press-topdown": "Press a button from the top",
        "button-press-topdown-wall": "Bypass a wall and press a button from the top",
        "button-press-wall": "Bypass a wall and press a button",
        "coffee-button": "Push a button on the coffee machine",
        "dial-turn": "Rotate a dial 180 degrees",
        "door-close": "Close a door with a revolving joint",
        "door-lock": "Lock the door by rotating the lock clockwise",
        "door-open": "Open a door with a revolving joint",
        "door-unlock": "Unlock the door by rotating the lock counter-clockwise",
        "drawer-close": "Push and close a drawer",
        "drawer-open": "Open a drawer",
        "faucet-close": "Rotate the faucet clockwise",
        "faucet-open": "Rotate the faucet counter-clockwise",
        "handle-press": "Press a handle down",
        "handle-press-side": "Press a handle down sideways",
        "handle-pull": "Pull a handle up",
        "handle-pull-side": "Pull a handle up sideways",
        "lever-pull": "Pull a lever down 90 degrees",
        "peg-unplug-side": "Unplug a peg sideways",
        "plate-slide": "Slide a plate into a cabinet",
        "plate-slide-back": "Get a plate from the cabinet",
        "plate-slide-back-side": "Get a plate from the cabinet sideways",
        "plate-slide-side": "Slide a plate into a cabinet sideways",
        "reach": "Reach a goal position",
        "reach-wall": "Bypass a wall and reach a goal",
        "window-close": "Push and close a window",
        "window-open": "Push and open a window",
    },
    "medium": {
        "basketball": "Dunk the basketball into the basket",
        "bin-picking": "Grasp the puck from one bin and place it into another bin",
        "box-close": "Grasp the cover and close the box with it",
        "coffee-pull": "Pull a mug from a coffee machine",
        "coffee-push": "Push a mug under a coffee machine",
        "hammer": "Hammer a screw on the wall",
        "peg-insert-side": "Insert a peg sideways",
        "push-wall": "Bypass a wall and push a puck to a goal",
        "soccer": "Kick a soccer into the goal",
        "sweep": "Sweep a puck off the table",
        "sweep-into": "Sweep a puck into a hole",
    },
    "hard": {
        "assembly": "Pick up a nut and place it onto a peg",
        "hand-insert": "Insert the gripper into a hole",
        "pick-out-of-hole": "Pick up a puck from a hole",
        "pick-place": "Pick and place a puck to a goal",
        "push": "Push the puck to a goal",
        "push-back": "Pull the puck back to a goal",  # ours; published: as push
    },
    "very hard": {
        "disassemble": "Pick a nut out of a peg",
        "pick-place-wall": "Pick a puck, bypass a wall and place the puck",
        "shelf-place": "Pick and place a puck onto a shelf",
        "stick-pull": "Grasp a stick and pull a box with the stick",
        "stick-push": "Grasp a stick and push a box using the stick",
    },
}
MT10 = (
    *("reach", "push", "pick-place", "door-open", "drawer-open", "drawer-close", "button-press-topdown", "peg-insert-side"),
    *("window-open", "window-close"),
)
VERSION = "-v3"
INSTRUCTIONS = {f"{task}{VERSION}": words for group in GROUPS.values() for task, words in group.items()}


def tasks_of(benchmark: str, task: str, wrong: type[UsageError] = UsageError) -> tuple[str, ...]:
    """The tasks of MT1 (the one named), MT10 or MT50, in alphabetical order but for MT10, which keeps the library's.

    Raises UsageError for a task (of this kind: ``wrong``) or a benchmark that there is not.
    """
    if benchmark == "MT1":
        if task not in INSTRUCTIONS:
            near = difflib.get_close_matches(task, INSTRUCTIONS, n=1, cutoff=0.0)[0]
            raise wrong(f"Meta-World has no task {task!r}; did you mean {near}? Its tasks: {', '.join(sorted(INSTRUCTIONS))}")
        return (task,)
    if benchmark not in ("MT10", "MT50"):
        raise UsageError(f"dataset.benchmark={benchmark}: Meta-World's benchmarks here are MT1, MT10 and MT50")
    return tuple(f"{name}{VERSION}" for name in MT10) if benchmark == "MT10" else tuple(sorted(INSTRUCTIONS))


def groups_of(tasks: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Difficulty -> those of ``tasks`` that belong to it; groups without any are left out."""
    found = {name: tuple(task for task in tasks if task.removesuffix(VERSION) in group) for name, group in GROUPS.items()}
    return {name: members for name, members in found.items() if members}
