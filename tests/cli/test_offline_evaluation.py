"""vla-eval on recordings without an environment: tables first, then the pictures' paths."""

import csv
import json

from tests.recordings import write_v21

RECORDED = ["dataset=lerobot", "dataset.action=[action.arm,action.grip]", "dataset.state=[state.arm]"]
SMALL = ["dataset.relative=[action.arm]", "dataset.held_out=[1,2]", "dataset.batch_size=8", "dataset.chunk=4", "steps=2"]


def test_what_a_recorded_run_is_told(workplace, tmp_path):
    folder = write_v21(tmp_path / "recordings")
    run = workplace.train(*RECORDED, f"dataset.path={folder}", *SMALL)
    output = tmp_path / "report"
    words = ["open_loop=[2,0]", "robustness=[1.0]", "threads=1"]
    printed = workplace.run("vla-eval", f"checkpoint={run}", f"output={output}", *words)
    lines = printed.splitlines()
    assert [line.split(":")[0] for line in lines[-5:]] == ["report", "horizon", "open_loop_2", "open_loop_0", "page"]
    for needs_world in ("success", "robustness"):
        assert any(line.startswith(needs_world) and line.endswith("the run has no environment") for line in lines)
    header = next(index for index, line in enumerate(lines) if line.startswith("part "))
    assert lines[header].split() == ["part", "predictor", "1", "2", "4", "mean", "of", "4", "95", "%", "over", "episodes"]
    assert lines[header + 1].split()[:2] == ["all", "policy"]
    assert "hold state: not applicable, no column of the state corresponds to action.grip.0" in lines
    assert all((output / f"open_loop_{episode}.png").read_bytes().startswith(b"\x89PNG") for episode in (0, 2))
    assert not (output / "episodes.csv").exists()

    horizon = json.loads((output / "report.json").read_text())["horizon"]
    assert (horizon["episodes"], horizon["frames"][0]) == (2, 3 + 5)  # 4 and 6 frames, without the first of each
    rows = list(csv.DictReader((output / "horizon.csv").open()))
    held = {
        row["step"]: float(row["physical"]) for row in rows if (row["part"], row["predictor"]) == ("action.arm.0", "hold state")
    }
    # arm.0 grows by 1 a step, and the state is one behind the first action: 1, 2, 3, 4.
    assert held == {"1": 1.0, "2": 2.0, "3": 3.0, "4": 4.0}

    wrong = workplace.run("vla-eval", f"checkpoint={run}", f"output={output}", "open_loop=[9]", "threads=1", expect=2)
    assert "open_loop=[9]: the data has the episodes 0 to 2" in wrong
    assert "Traceback" not in wrong
