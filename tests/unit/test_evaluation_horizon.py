"""Error by horizon beside the predictors, worked out by hand on an episode of five frames."""

import csv
import io
import math

import numpy as np
import pytest
from rich.console import Console

from vla_train.evaluation.horizon import horizon_csv, horizon_section
from vla_train.evaluation.horizon_table import print_horizon, shown_steps
from vla_train.evaluation.predictors import COMMONEST, HOLD, LAST, MEAN, Recording, predictions
from vla_train.spec import ActionSpec

PLANE = ActionSpec("continuous", 2, names=("action.x.0", "action.grip.0"), units=("m", ""))
THREE = ActionSpec("continuous", 3, names=("action.x.0", "action.x.1", "action.grip.0"))
CHOICE = ActionSpec("discrete", 1, choices=4)

# Frames 0 to 3 are for training: x is 1 3 5 7 (mean 4, std sqrt 5), grip never changes. Frames 4 to 8 are the episode.
X = [1.0, 3.0, 5.0, 7.0, 0.0, 2.0, 4.0, 8.0, 8.0]
ACTION = np.array([[x, 1.0] for x in X], np.float32)
FIRST = np.array([True, False, False, False, True, False, False, False, False])
STATE = np.array([[x - 0.5, math.nan] for x in X], np.float32)
ROWS = np.array([5, 6, 7, 8])


def recording(**changes):
    values = {"action": ACTION, "first": FIRST, "training": np.arange(4), "reference": STATE}
    return Recording(**values | changes)


def chunks(rows, size):
    """Recorded chunks and what of them is valid: past the end of the episode its last action stands."""
    ahead = rows[:, None] + np.arange(size)
    valid = np.repeat((ahead < 9)[..., None], ACTION.shape[1], axis=2)
    return ACTION[np.minimum(ahead, 8)], valid


def section(rows=ROWS, spec=PLANE, episode=None, std=None, **predicted):
    recorded, valid = chunks(rows, 3)
    others, _ = predictions(recording(), rows, 3, spec)
    episode = np.zeros(len(rows), np.int64) if episode is None else episode
    std = recording().std if std is None else std
    return horizon_section(predicted | others, recorded, valid, episode, std=std, spec=spec, rate=10.0)


def test_each_predictor_says_the_same_for_the_whole_chunk():
    found, reasons = predictions(recording(), ROWS, 3, PLANE)
    assert list(found) == [MEAN, LAST, HOLD]
    assert found[MEAN][:, :, 0].tolist() == [[4.0] * 3] * 4
    assert found[LAST][:, 0, 0].tolist() == [0.0, 2.0, 4.0, 8.0]  # the action one frame before
    assert found[HOLD][:, 2, 0].tolist() == [1.5, 3.5, 7.5, 7.5]
    assert reasons == {HOLD: "no column of the state corresponds to action.grip.0"}


def test_error_by_step_in_hand_worked_numbers():
    found = section()
    assert found["frames"] == [4, 3, 2]  # frame 8 ends the episode: nothing after it counts
    x, physical = found["parts"]["action.x.0"]["predictors"], found["parts"]["action.x.0"]["unit"]
    assert physical == "m"
    # recorded at step 1: 2 4 8 8; at step 2: 4 8 8; at step 3: 8 8
    assert x[MEAN]["physical"] == pytest.approx([(2 + 0 + 4 + 4) / 4, (0 + 4 + 4) / 3, 4.0])
    assert x[LAST]["physical"] == pytest.approx([(2 + 2 + 4 + 0) / 4, (4 + 6 + 4) / 3, (8 + 6) / 2])
    assert x[HOLD]["physical"] == pytest.approx([0.5, (2.5 + 4.5 + 0.5) / 3, (6.5 + 4.5) / 2])
    assert x[LAST]["value"] == pytest.approx(np.array(x[LAST]["physical"]) / math.sqrt(5))
    assert x[LAST]["chunk"][0] == pytest.approx((8 + 14 + 14) / 9 / math.sqrt(5))
    assert np.isnan(x[LAST]["chunk"][1:]).all()  # one episode has no interval


def test_what_never_varies_counts_in_its_own_unit_only():
    found = section()["parts"]
    assert found["all"]["predictors"][LAST]["value"] == found["action.x.0"]["predictors"][LAST]["value"]
    assert np.isnan(found["action.grip.0"]["predictors"][LAST]["value"]).all()
    assert found["action.grip.0"]["predictors"][LAST]["physical"] == [0.0, 0.0, 0.0]


def test_dimensions_of_a_column_are_taken_together():
    recorded, valid = np.zeros((2, 1, 3)), np.ones((2, 1, 3), bool)
    predicted = {"policy": np.broadcast_to([2.0, 4.0, 9.0], (2, 1, 3))}
    found = horizon_section(predicted, recorded, valid, np.array([0, 1]), std=np.array([1.0, 2.0, 3.0]), spec=THREE, rate=10.0)
    value = {part: row["predictors"]["policy"]["value"][0] for part, row in found["parts"].items()}
    assert value["action.x"] == (2 / 1 + 4 / 2) / 2
    assert value["action.grip"] == 3.0
    assert value["all"] == pytest.approx((2 + 2 + 3) / 3)
    assert found["columns"] == ["action.x", "action.grip"]
    assert found["parts"]["all"]["predictors"]["policy"]["chunk"] == pytest.approx([7 / 3] * 3)  # two equal episodes: no spread


def test_choices_agree_or_not():
    action = np.array([[0], [2], [2], [1], [1], [3]])
    first = np.array([True, False, False, True, False, False])
    told = recording(action=action, first=first, training=np.arange(3), reference=None)
    rows = np.array([4, 5])
    found, reasons = predictions(told, rows, 1, CHOICE)
    assert found[COMMONEST][:, 0, 0].tolist() == [2, 2]
    assert reasons == {HOLD: "a choice is not a state that could be held"}
    ones = np.ones((2, 1, 1), bool)
    table = horizon_section(found, action[rows][:, None], ones, np.zeros(2, int), std=np.ones(1), spec=CHOICE, rate=5.0)
    assert table["measure"] == "agreement"
    assert table["parts"]["all"]["predictors"][LAST]["value"] == [0.5]  # 1 after 1, then 3 after 1
    assert table["parts"]["all"]["predictors"][COMMONEST]["value"] == [0.0]
    assert list(table["parts"]) == ["all"]


@pytest.mark.parametrize("reference", [None, np.full_like(STATE, np.nan)], ids=["unknown", "none"])
def test_without_a_corresponding_state_nothing_is_held(reference):
    found, reasons = predictions(recording(reference=reference), ROWS, 3, PLANE)
    assert HOLD not in found
    assert "no column" in reasons[HOLD]


def test_the_first_frame_of_an_episode_has_no_last_action():
    with pytest.raises(ValueError, match="first frame"):
        predictions(recording(), np.array([4]), 3, PLANE)


def test_the_csv_has_a_row_for_every_part_predictor_and_step():
    rows = list(csv.DictReader(io.StringIO(horizon_csv(section()))))
    assert len(rows) == 3 * 3 * 3
    last = next(row for row in rows if (row["part"], row["predictor"], row["step"]) == ("action.x.0", LAST, "3"))
    assert last == {
        **{"part": "action.x.0", "predictor": LAST, "step": "3", "seconds": "0.2", "value": f"{7 / math.sqrt(5):.6g}"},
        **{"low": "", "high": "", "physical": "7", "unit": "m", "frames": "2"},
    }


def test_the_table_shows_a_few_steps_and_says_why_something_is_missing():
    assert shown_steps(16) == [1, 2, 4, 8, 16]
    assert shown_steps(6) == [1, 2, 4, 6]
    assert shown_steps(1) == [1]
    file = io.StringIO()
    print_horizon(section() | {"not_applicable": {HOLD: "why not"}}, Console(file=file))
    lines = file.getvalue().splitlines()
    assert "standard deviations of the training actions" in lines[1]
    assert lines[3].split() == ["part", "predictor", "1", "2", "3", "mean", "of", "3"]
    assert lines[4].split()[:3] == ["all", "mean", "action"]
    assert lines[-1] == "hold state: not applicable, why not"
    print_horizon(section() | {"not_applicable": {}}, Console(file=file, force_terminal=True, width=100))
