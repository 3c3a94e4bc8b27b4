"""Recordings in formats of others that lie, lack something or reach outside: each is refused with its file and episode."""

import json
import struct
import sys

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tests.formats import write_collector, write_image_folder, write_libero, write_tensors
from tests.recordings import write_v21
from tests.toy_dataset import write_toy
from vla_train.data.choice import Choice
from vla_train.data.reader import open_reader
from vla_train.errors import DataError, UsageError

h5py = pytest.importorskip("h5py")


def read_everything(path, kind=None):
    reader = open_reader(path, Choice(depth_range=(0.0, 1.0)), kind)
    reader.columns()
    list(reader.frames(list(reader.metadata.spec.images)))
    return reader


def hdf5(change):
    def make(folder):
        path = write_libero(folder / "demo.hdf5")
        with h5py.File(path, "a") as file:
            change(file)
        return path

    return make


def replace(name, value):
    def change(file):
        del file[name]
        file[name] = value

    return hdf5(change)


def elsewhere(file):
    """A dataset whose bytes lie in another file."""
    secret = file.filename + ".secret"
    with open(secret, "wb") as other:
        other.write(np.arange(6, dtype=np.float64).tobytes())
    del file["data/demo_0/actions"]
    file["data/demo_0"].create_dataset("actions", shape=(3, 2), dtype="f8", external=[(secret, 0, 48)])


def virtual(file):
    write_libero(_beside(file, "other.hdf5"))
    layout = h5py.VirtualLayout(shape=(3, 2), dtype="f8")
    layout[:] = h5py.VirtualSource("other.hdf5", "data/demo_0/actions", shape=(3, 2))
    del file["data/demo_0/actions"]
    file["data/demo_0"].create_virtual_dataset("actions", layout)


def _beside(file, name):
    from pathlib import Path

    return Path(file.filename).parent / name


def linked(name, link):
    def change(file):
        write_libero(_beside(file, "other.h5x"))
        del file[name]
        file[name] = link

    return hdf5(change)


def claim(file):
    """10^9 frames of which none was written."""
    del file["data/demo_0/actions"]
    file["data/demo_0"].create_dataset("actions", shape=(10**9, 2), dtype="f8", chunks=(1000, 2))
    file["data/demo_0"].attrs["num_samples"] = 10**9


def torn(folder):
    path = write_libero(folder / "demo.hdf5")
    path.write_bytes(path.read_bytes()[:3000])
    return path


def rows(change):
    def make(folder):
        write_image_folder(folder)
        content = json.loads((folder / "metadata.json").read_text())
        changed = change(content)
        (folder / "metadata.json").write_text(json.dumps(content if changed is None else changed))
        return folder

    return make


def demo(change, number=1):
    def make(folder):
        path = write_collector(folder) / f"demo_{number}.json"
        content = json.loads(path.read_text())
        changed = change(content)
        path.write_text(json.dumps(content if changed is None else changed))
        return folder

    return make


def link_out(folder):
    write_image_folder(folder / "data")
    (folder / "secret.jpg").write_bytes((folder / "data/images/0-0.jpg").read_bytes())
    (folder / "data/images/0-0.jpg").unlink()
    (folder / "data/images/0-0.jpg").symlink_to(folder / "secret.jpg")
    return folder / "data"


def tensors(**changes):
    def make(folder):
        path = write_tensors(folder) / "demos.safetensors"
        content = {name: value for name, value in {**load_file(path), **changes}.items() if value is not None}
        save_file(content, path)
        return folder

    return make


def header(folder):
    """A header that claims 10^9 frames over a file of a few bytes."""
    path = write_tensors(folder) / "demos.safetensors"
    text = json.dumps({"actions": {"dtype": "F32", "shape": [10**9, 2], "data_offsets": [0, 8 * 10**9]}}).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"\0" * 64)
    return folder


def language(texts):
    def make(folder):
        (write_tensors(folder) / "demos.json").write_text(json.dumps({"language": texts}))
        return folder

    return make


NAN = np.array([[0.0, 0.0], [0.0, np.nan], [0.0, 0.0]])
DAMAGES = {
    # hdf5
    "no number": (
        replace("data/demo_0/actions", NAN),
        r"action\.1 is nan at step 1 of episode 0 of .*demo.hdf5.*data/demo_0\)",
    ),
    "other actions": (replace("data/demo_1/actions", np.zeros((2, 3))), r"data/demo_1/actions is \[2, 3\], where \[2, 2\]"),
    "a declared length": (
        hdf5(lambda file: file["data/demo_1"].attrs.update(num_samples=9)),
        r"data/demo_1 says num_samples 9, but holds 2 actions",
    ),
    "a declared total": (hdf5(lambda file: file["data"].attrs.update(total=9)), "says total 9, but its demonstrations hold 5"),
    "a missing column": (hdf5(lambda file: file.__delitem__("data/demo_1/obs/ee_pos")), r"data/demo_1/obs/ee_pos is missing"),
    "a short column": (replace("data/demo_1/obs/ee_pos", np.zeros((1, 2))), r"data/demo_1/obs/ee_pos is \[1, 2\]"),
    "no actions": (hdf5(lambda file: file.__delitem__("data/demo_1/actions")), "data/demo_1/actions is missing"),
    "no data": (hdf5(lambda file: file.__delitem__("data")), "data is missing; check dataset.path"),
    "no demonstration": (hdf5(lambda file: [file.__delitem__("data"), file.create_group("data")]), "has no episode with a frame"),
    "words without a word": (hdf5(lambda file: file["data"].attrs.update(problem_info="{}")), "no instruction for 2 of its 2"),
    "words that are no JSON": (hdf5(lambda file: file["data"].attrs.update(problem_info="[")), "problem_info of .* is not JSON"),
    "pictures of another size": (
        replace("data/demo_1/obs/agentview_rgb", np.zeros((2, 4, 8, 3), np.uint8)),
        r"data/demo_1/obs/agentview_rgb is \[2, 4, 8, 3\], where \[2, 8, 8, 3\]",
    ),
    "bytes of another file": (hdf5(elsewhere), "data/demo_0/actions takes its content from another file|data/demo_0 takes its"),
    "a view of another file": (hdf5(virtual), "takes its content from another file"),
    "a link to another file": (
        linked("data/demo_1/actions", h5py.ExternalLink("other.h5x", "data/demo_1/actions")),
        "demo_1/actions is a link to another file",
    ),
    "a demonstration in another file": (
        linked("data/demo_1", h5py.ExternalLink("other.h5x", "data/demo_1")),
        "demo_1 is a link to another file",
    ),
    "links without end": (
        hdf5(
            lambda file: [
                file.__delitem__("data/demo_1/actions"),
                file["data/demo_1"].__setitem__("actions", h5py.SoftLink("actions")),
            ]
        ),
        "links without end",
    ),
    "an absurd header": (hdf5(claim), "says that it holds .1000000000, 2. numbers, but only 0 bytes of it were written"),
    "a torn file": (torn, "demo.hdf5 .*(torn|cannot be read)"),
    # a folder of pictures
    "an empty list": (rows(lambda content: []), "is empty: metadata.json has no rows"),
    "no list": (rows(lambda content: {}), "must be a list with an object for each frame.* but is an empty object"),
    "no instruction": (rows(lambda content: content[1].update(instruction=" ")), "no instruction for 1 of its 2"),
    "no such key": (rows(lambda content: content[1].pop("action") and None), "metadata.json, row 1 has no 'action'"),
    "one action more": (
        rows(lambda content: content[2]["action"].append(1)),
        "row 2: action has 3 numbers, where 2 stand before",
    ),
    "not a number": (
        rows(lambda content: content[2].update(action=[float("nan"), 0])),
        r"action\.0 is nan at step 1 of episode 0",
    ),
    "an action in words": (
        rows(lambda content: content[2].update(action="left")),
        "row 2: action is neither a number nor a list",
    ),
    "an endless number": (
        rows(lambda content: content[2].update(action=[10**400, 0])),
        r"action\.0 is inf at step 1 of episode 0",
    ),
    "time that goes back": (
        rows(lambda content: content[2].update(timestamp=-1)),
        "timestamps of sequence 0 go back after step 0",
    ),
    "no time": (rows(lambda content: content[2].update(timestamp="soon")), "row 2: timestamp is 'soon', no time"),
    "a path to elsewhere": (rows(lambda content: content[2].update(image_id="../../secret")), "which is no path inside"),
    "a picture that is not there": (rows(lambda content: content[2].update(image_id="nowhere")), "row 2 names the picture"),
    "a picture of a long way": (rows(lambda content: content[2].update(image_id="a/" * 3000)), "no path inside of"),
    "a picture of a long name": (rows(lambda content: content[2].update(image_id="a" * 252)), "no path inside of"),
    "half a letter": (rows(lambda content: content[2].update(instruction="\ud800")), "json cannot be read .*surrogates not"),
    "a link to elsewhere": (link_out, "0-0.jpg is a link to .*secret.jpg, outside of the dataset"),
    # a collector's folder
    "an empty demonstration": (demo(lambda content: []), "demo_1.json is empty"),
    "a state that lacks a part": (
        demo(lambda content: content[1]["robot_state"].pop("arm") and None),
        "demo_1.json, step 1: robot_state.arm",
    ),
    "another size of state": (
        demo(lambda content: content[1]["robot_state"]["arm"].append(0)),
        "demo_1.json, step 1: robot_state.arm has 3 numbers",
    ),
    "time that runs back": (demo(lambda content: content.reverse()), "timestamps of demo_1.json go back after step 0"),
    "another set of cameras": (demo(lambda content: content[1].update(image_path={"side": "x"})), r"has pictures of \['side'\]"),
    "a picture from the root": (demo(lambda content: content[1].update(image_path="/etc/passwd")), "no path inside"),
    # tensors
    "interleaved": (tensors(episode_indices=np.array([0, 1, 0, 1, 1])), "frames of episode 0 .* do not stand together"),
    "no actions at all": (tensors(actions=None), "has no tensor 'actions'"),
    "a row too many": (tensors(state=np.zeros((6, 2), np.float32)), r"state is \[6, 2\], where 5 frames are expected"),
    "a header of 10^9 frames": (header, "is no readable safetensors file"),
    "words for no one": (language(["a", "b", "c"]), "one for each of 2 episodes or 5 frames"),
    "half of a letter": (language(["a", "\ud800"]), "demos.json cannot be read .*surrogates not allowed"),
    "an empty word": (language(["a", ""]), "no instruction for 1 of its 2"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_named(tmp_path, name):
    make, message = DAMAGES[name]
    path = make(tmp_path)
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    with pytest.raises(DataError, match=message) as raised:
        read_everything(path)
    assert raised.value.exit_code == 3
    assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == before, "nothing is written"


@pytest.mark.parametrize("write", [hdf5(lambda file: None), write_image_folder, write_collector, write_tensors])
def test_the_damages_are_what_is_noticed(tmp_path, write):
    read_everything(write(tmp_path / "data"))


def test_a_link_within_the_file_is_followed(tmp_path):
    def change(file):
        file["shared"] = file["data/demo_1/actions"][()]
        del file["data/demo_1/actions"]
        file["data/demo_1/actions"] = h5py.SoftLink("/shared")

    assert read_everything(hdf5(change)(tmp_path)).columns().action[3:].tolist() == [[10, 0], [11, -1]]


@pytest.mark.parametrize("kind", ["lerobot", "hdf5", "image_folder", "collector", "tensors"])
@pytest.mark.parametrize("there", [True, False])
def test_a_wrong_folder_is_told(tmp_path, kind, there):
    folder = tmp_path / "data"
    if there:
        folder.mkdir()
    with pytest.raises(DataError, match=f"no (HDF5 )?dataset at {folder}"):
        open_reader(folder, kind=kind)


@pytest.mark.parametrize("part", ["meta/info.json", "data", "videos/chunk-000"])
def test_links_out_of_a_lerobot_dataset(tmp_path, part):
    folder = write_v21(tmp_path / "data")
    (folder / part).rename(tmp_path / "outside")
    (folder / part).symlink_to(tmp_path / "outside")
    with pytest.raises(DataError, match=f"{part} is a link to .*outside, outside of the dataset"):
        open_reader(folder, kind="lerobot")


def test_a_link_that_leads_to_itself_is_told(tmp_path):
    folder = write_v21(tmp_path / "data")
    (folder / "data/loop").symlink_to("loop")
    with pytest.raises(DataError, match=r"loop is a link to .*loop"):
        open_reader(folder, kind="lerobot")


def test_a_link_to_a_whole_dataset_and_links_within_are_fine(tmp_path):
    folder = write_toy(tmp_path / "data")
    (folder / "meta/info.json").rename(folder / "real.json")
    (folder / "meta/info.json").symlink_to("../real.json")
    (tmp_path / "link").symlink_to(folder)
    assert open_reader(tmp_path / "link").metadata.num_frames == 5


def test_a_dataset_that_declares_ever_so_many_frames(tmp_path):
    write_v21(tmp_path)
    info = json.loads((tmp_path / "meta/info.json").read_text())
    (tmp_path / "meta/info.json").write_text(json.dumps(info | {"total_frames": 10**9}))
    with pytest.raises(DataError, match=r"info.json says 1000000000 frames, the data files hold 15"):
        open_reader(tmp_path)


@pytest.mark.parametrize("text", ["", "  "])
def test_a_lerobot_episode_without_words(tmp_path, text):
    write_v21(tmp_path)
    for name, key in {"tasks": "task", "episodes": "tasks"}.items():
        path = tmp_path / f"meta/{name}.jsonl"
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        lines[1][key] = text if name == "tasks" else [text]
        path.write_text("\n".join(map(json.dumps, lines)))
    chosen = {"cameras": (), "state": (), "action": ("action.arm",)}
    with pytest.raises(DataError, match=r"no instruction for 1 of its 3 episodes or texts .the first is number 1."):
        open_reader(tmp_path, Choice(**chosen))
    reader = open_reader(tmp_path, Choice(**chosen, instruction="do it"))
    assert reader.metadata.instructions == ["push the cup", "do it", "open the box"]
    assert reader.columns().texts == ["push the cup", "do it", "open the box"]


def test_without_h5py_the_extra_is_named(tmp_path, monkeypatch):
    path = write_libero(tmp_path / "demo.hdf5")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(UsageError, match=r"pip install 'vla-train\[hdf5\]'") as raised:
        open_reader(path)
    assert raised.value.exit_code == 2


def test_more_frames_than_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr("vla_train.data.table_reader.MOST_FRAMES", 4)
    with pytest.raises(DataError, match="it declares 5 frames, and at most 4 are read"):
        open_reader(write_tensors(tmp_path))
