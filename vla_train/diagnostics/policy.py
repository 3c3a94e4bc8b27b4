"""What can be said of a policy and its demonstrations alone: by a training run, and later from the checkpoint."""

from vla_train.data.dataset import DemonstrationDataset
from vla_train.diagnostics.actions import judge_predicted, judge_recorded, names
from vla_train.diagnostics.finding import Verdict, joined
from vla_train.diagnostics.inputs import judge_inputs, judge_stagnation
from vla_train.diagnostics.probe import Probed
from vla_train.diagnostics.ranges import Range, Seen

OF_POLICY = ("inputs", "stagnation", "actions")
CHECKS = (*OF_POLICY, "ranges")


class Data:
    """The demonstrations' side: their statistics, and what the held-out ones have that the training ones have not."""

    def __init__(self, dataset: DemonstrationDataset) -> None:
        statistics = dataset.statistics()
        spec = dataset.spec
        self.world = Range(statistics["state"])  # fed with the states that the policy is shown there
        self._state_names, self._action = spec.state_names, spec.action
        validation = dataset.frames("validation")
        action = Range(statistics["action"])
        held_out = Range(statistics["state"])
        held_out.add(dataset.states[validation])
        verdicts = [judge_recorded(spec.action, statistics["action"])]
        verdicts.append(held_out.judge(held_out.take(), "held-out state", spec.state_names))
        if spec.action.kind == "continuous":
            action.add(dataset.actions[validation])
            verdicts.append(action.judge(action.take(), "held-out action", names(spec.action)))
        self.verdict = joined(verdicts)

    def judge_world(self, seen: Seen) -> Verdict:
        return self.world.judge(seen, "state in the world", self._state_names)

    def judge_policy(self, probed: Probed) -> Verdict:
        return joined([judge_inputs(probed), judge_stagnation(probed), judge_predicted(self._action, probed)])


def without_data(reason: str = "there are no demonstrations") -> Verdict:
    """Of all that needs demonstrations."""
    return Verdict(not_applicable=dict.fromkeys(CHECKS, reason))
