"""Each format through the command line: train, evaluate what was held out. In this process, which has torch already."""

import json

import numpy as np
import pytest

from tests.cli.conftest import run_folder
from tests.formats import write_collector, write_image_folder, write_libero, write_tensors
from vla_train.build.objects import load_agent, load_policy
from vla_train.checkpoint import read
from vla_train.errors import UsageError

FEW = ["steps=3", "dataset.batch_size=4", "dataset.chunk=2", "model.layers=1", "every.save=3", "dataset.held_out=[1]"]
FORMATS = {
    "hdf5": (lambda folder: write_libero(folder / "demo.hdf5"), ["dataset.depth_range=[0.0,51.0]"]),
    "image_folder": (write_image_folder, []),
    "collector": (write_collector, []),
    "tensors": (write_tensors, ["dataset.rename={top: front}", "dataset.cameras=[front]"]),
}


@pytest.mark.parametrize("kind", FORMATS)
def test_train_and_evaluate(workplace, tmp_path, kind):
    pytest.importorskip("h5py")
    write, words = FORMATS[kind]
    path = write(tmp_path / "data")
    before = sorted(file for file in tmp_path.rglob("*"))
    run = run_folder(workplace.here("vla-train", f"dataset={kind}", f"dataset.path={path}", *FEW, *words))
    workplace.here("vla-eval", f"checkpoint={run}", "open_loop=[]")
    (report,) = (run / "evaluations").glob("*/report.json")
    assert json.loads(report.read_text())["metrics"]["held_out/frames"] == 2
    assert sorted(tmp_path.rglob("*")) == before, "nothing is written among recordings"


def test_damage_ends_with_exit_code_3(workplace, tmp_path):
    path = write_tensors(tmp_path) / "demos.safetensors"
    path.write_bytes(path.read_bytes()[:-40])
    printed = workplace.here("vla-train", "dataset=tensors", f"dataset.path={path}", *FEW, expect=3)
    assert "demos.safetensors is no readable safetensors file" in printed


MIX = "dataset.mix={{hand: {{format: collector, path: {hand}, state: [robot_state.arm], rename: {{image: top}}}}, {sim}}}"


def test_a_mix_has_the_units_of_each(workplace, tmp_path):
    """The second part's actions are those of the first times ten; the policy keeps both units."""
    hand, sim = write_collector(tmp_path / "hand"), write_collector(tmp_path / "sim")
    for path in sim.glob("*.json"):
        rows = [row | {"action": [10.0 * value for value in row["action"]]} for row in json.loads(path.read_text())]
        path.write_text(json.dumps(rows))
    part = f"sim: {{format: collector, path: {sim}, weight: 3, state: [robot_state.arm], rename: {{image: top}}}}"
    mix = MIX.format(hand=hand, sim=part)
    few = [word for word in FEW if "held_out" not in word]
    run = run_folder(
        workplace.here("vla-train", "dataset=mix", mix, "dataset.validation=0.5", "normalization.action=min_max", *few)
    )
    _, processor, policy = load_policy(read(run))
    assert processor.spec.domains == ("hand", "sim")
    scale = policy.normalizer.action_scale
    assert (tuple(scale.shape), np.allclose(scale[1], 10 * scale[0])) == ((2, 2), True)
    told = workplace.here("vla-eval", f"checkpoint={run}", "open_loop=[]").splitlines()
    places = [told.index(heading) for heading in ("hand", "sim", "all parts")]
    assert [told[place + 1].split()[:2] for place in places] == [["held-out", "loss"]] * 3
    (report,) = (run / "evaluations").glob("*/report.json")
    metrics = json.loads(report.read_text())["metrics"]
    assert metrics["hand/held_out/frames"] == metrics["sim/held_out/frames"] > 0
    workplace.here("vla-train", f"resume={run}", "steps=5")
    pictures, state = {"top": np.zeros((1, 8, 8, 3), np.uint8)}, np.zeros((1, 2), np.float32)
    acts = {name: load_agent(run, domain=name).act(pictures, ["go"], state) for name in ("hand", "sim")}
    assert np.abs(acts["sim"]).max() > 5 * np.abs(acts["hand"]).max()
    with pytest.raises(UsageError, match="knows no domain 'arm'; it was trained on hand, sim"):
        load_agent(run, domain="arm")


@pytest.mark.parametrize(
    ("mix", "said"),
    [
        ("{a: {format: hdf6, path: x}}", "dataset=hdf6: there is no such dataset. Did you mean hdf5?"),
        ("{a: {path: x}}", "dataset.mix.a: format is missing"),
        ("{a: {format: hdf5, path: x, mazk: y}}", "dataset.mix.a: mazk: dataset=hdf5 has no such key. Did you mean mask?"),
        ("{a: {format: hdf5, path: x, weight: 0}}", "dataset.mix.a: weight=0: must be float > 0"),
        ("{a: {format: hdf5, path: x, chunk: 4}}", "dataset.mix.a: chunk is one for all parts: set dataset.chunk"),
        ("{a: {format: hdf5, path: x, state: y}}", "dataset.mix.a: state=y: must be null or list of str"),
        ("{}", "dataset.mix is empty"),
        ("3", "dataset.mix=3: must be dict of dict"),
    ],
)
def test_what_is_wrong_with_a_mix_is_told_before_anything_is_opened(workplace, mix, said):
    assert said in workplace.here("vla-train", "dataset=mix", f"dataset.mix={mix}", "steps=1", expect=2)


def test_normalization_of_a_column_that_there_is_not(workplace, tmp_path):
    words = ["dataset=tensors", f"dataset.path={write_tensors(tmp_path)}", *FEW]
    printed = workplace.here("vla-train", *words, "normalization.columns={grip: none}", expect=2)
    assert "normalization.columns names 'grip', which the policy neither sees nor predicts; it has action, " in printed
    assert "must be null or dict of mean_std" in workplace.here("vla-train", *words, "normalization.columns={a: b}", expect=2)
