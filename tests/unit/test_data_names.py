"""No name of a column or a camera leads out of the folder of the data, of the frame cache or of a conversion, in any format."""

import json
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file, save_file

from tests.formats import write_collector, write_image_folder, write_libero, write_tensors
from tests.recordings import write_v21
from tests.toy_dataset import toy_processor, write_toy
from vla_train.data.cache import open_cache
from vla_train.data.choice import Choice
from vla_train.data.reader import open_reader
from vla_train.data_tools.contents import open_contents
from vla_train.errors import DataError

NAMES = ["../../evil", "/tmp/evil", "..\\evil", "a\0b", "a\nb", "..", ".", "a" * 300]
HDF5_NAMES = ["..\\evil", "a\nb", ".."]  # a slash is a level of its groups, and NUL ends a name


def tensors(folder, name):
    path = write_tensors(folder) / "demos.safetensors"
    content = load_file(path)
    save_file({f"image.{name}": content.pop("image.top"), **content}, path)
    return folder


def modality(folder, name):
    write_v21(folder)
    names = {"video": {name: {"original_key": "observation.images.top"}}}
    (folder / "meta/modality.json").write_text(json.dumps(names))
    return folder


def part(folder, name):
    write_v21(folder)
    names = {"action": {name: {"original_key": "action.arm", "start": 0, "end": 1}}}
    (folder / "meta/modality.json").write_text(json.dumps(names))
    return folder


def lerobot(folder, name):
    write_toy(folder)
    info = json.loads((folder / "meta/info.json").read_text())
    info["features"][name] = info["features"]["observation.state"]
    (folder / "meta/info.json").write_text(json.dumps(info))
    for file in folder.glob("data/*/*.parquet"):
        table = pq.read_table(file)
        pq.write_table(table.append_column(name, table["observation.state"]), file)
    return folder


def hdf5(folder, name):
    h5py = pytest.importorskip("h5py")
    path = write_libero(folder / "demo.hdf5")
    with h5py.File(path, "a") as file:
        for demo in file["data"].values():
            demo["obs"].move("agentview_rgb", name)
    return path


def collector(folder, name):
    write_collector(folder)
    for file in folder.glob("demo_*.json"):
        rows = json.loads(file.read_text())
        for row in rows:
            row["image_path"] = {name: row["image_path"], "top": row["image_path"]}
        file.write_text(json.dumps(rows))
    return folder


def image_folder(folder, name):
    write_image_folder(folder)
    rows = json.loads((folder / "metadata.json").read_text())
    (folder / "metadata.json").write_text(json.dumps([row | {name: [1.0, 2.0]} for row in rows]))
    return folder


CASES = [(write, name) for write in (tensors, modality, lerobot, collector) for name in NAMES]
CASES += [(part, "../../evil"), (part, "a\nb"), *[(hdf5, name) for name in HDF5_NAMES]]


@pytest.mark.parametrize(("write", "name"), CASES)
def test_a_name_that_leads_out_is_refused(tmp_path, write, name):
    path = write(tmp_path / "data", name)
    for opened in (lambda: open_reader(path, Choice(state=(), depth_range=(0.0, 1.0))), lambda: open_contents(path)):
        with pytest.raises(DataError, match=r"evil|'a|'\.\.?'") as raised:
            opened()
        assert len(str(raised.value).splitlines()) == 1


def test_what_else_a_row_of_a_picture_folder_has_is_no_name(tmp_path):
    assert "../../evil" not in open_contents(image_folder(tmp_path / "data", "../../evil")).table.features


def test_another_name_that_leads_out_is_refused(tmp_path):
    folder = write_toy(tmp_path / "data")
    with pytest.raises(DataError, match=r"'\.\./top'"):
        open_reader(folder, Choice(rename={"top": "../top"}))


def test_names_in_other_scripts_are_fine(tmp_path):
    folder = tensors(tmp_path / "data", "caméra 左..")
    reader = open_reader(folder)
    assert list(reader.metadata.spec.images) == ["caméra 左__"]


def test_the_frame_cache_writes_nothing_elsewhere(tmp_path):
    """Also for a reader that lets such a name pass."""
    folder = write_toy(tmp_path / "toy")
    reader, name = open_reader(folder), str(tmp_path / "evil")
    images = reader.metadata.spec.images
    reader.metadata = replace(reader.metadata, spec=replace(reader.metadata.spec, images={name: images["top"]}))
    reader.frames = lambda cameras: iter([{name: np.zeros((5, 4, 4, 3), np.uint8)}])
    processor = toy_processor(folder)
    processor.image_specs = {name: processor.image_specs["top"]}
    with pytest.raises(DataError, match="evil'"):
        open_cache(tmp_path / "cache", reader, processor)
    assert not (tmp_path / "evil.npy").exists()
