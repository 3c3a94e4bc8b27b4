"""Checkpoints on a real disk: whole or not at all, and every damage told apart."""

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from vla_train import checkpoint
from vla_train.checkpoint import manifest
from vla_train.errors import CheckpointError

TEXTS = {"config.yaml": "seed: 0\n", "spec.json": "{}", "processor.json": "{}", "tokenizer.json": '{"ü": 1}'}


def save(run: Path, step: int, *, value: float = 0.0, keep: int = 3, best: bool = False) -> Path:
    policy = {"weight": torch.full((4, 3), value), "bias": torch.zeros(3, dtype=torch.bfloat16)}
    training = {"step": step, "raw": policy, "optimizer": {"state": {0: {"exp_avg": torch.ones(5)}}}}
    return checkpoint.write(run, step, policy=policy, texts=TEXTS, training=training, keep=keep, best=best)


def steps(run: Path) -> list[str]:
    return sorted(path.name for path in (run / "checkpoints").iterdir() if not path.is_symlink())


def rewrite_manifest(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the manifest and make its checksum right again, as someone with intent would."""
    path = folder / "manifest.json"
    content = json.loads(path.read_text())
    del content["checksum"]
    change(content)
    content["checksum"] = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    path.write_text(json.dumps(content))


def test_round_trip(tmp_path: Path) -> None:
    folder = save(tmp_path, 500, value=2.5)
    assert folder == tmp_path / "checkpoints" / "step_000500"
    saved = checkpoint.read(tmp_path)
    assert (saved.path, saved.step, saved.texts) == (folder, 500, TEXTS)
    assert torch.equal(saved.policy()["weight"], torch.full((4, 3), 2.5))
    assert saved.policy()["bias"].dtype == torch.bfloat16
    training = saved.training()
    assert torch.equal(training["optimizer"]["state"][0]["exp_avg"], torch.ones(5))
    assert torch.equal(training["raw"]["weight"], torch.full((4, 3), 2.5))


def test_golden_layout(tmp_path: Path) -> None:
    """Frozen: a reader of schema 1 relies on these names. A change that breaks it raises manifest.SCHEMA."""
    folder = save(tmp_path, 7)
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    listed = sorted([*TEXTS, "policy.safetensors", "training/state.json", "training/state.safetensors"])
    assert names == sorted([*listed, "manifest.json"])
    content = json.loads((folder / "manifest.json").read_text())
    assert list(content) == ["schema", "step", "files", "checksum"]
    assert (content["schema"], content["step"]) == (1, 7)
    assert sorted(content["files"]) == listed
    # sha256 of b"seed: 0\n", from the command sha256sum
    digest = "6a5a163cfb9d8459f178db8f04e1c14b22f30c274c8d68e806c982e03e48bbe3"
    assert content["files"]["config.yaml"] == {"sha256": digest, "size": 8}
    assert json.loads((folder / "training/state.json").read_text()) == {
        "tree": {
            "step": 7,
            "raw": {"weight": {"$tensor": "raw/weight"}, "bias": {"$tensor": "raw/bias"}},
            "optimizer": {"state": {"$dict": [[0, {"exp_avg": {"$tensor": "optimizer/state/0/exp_avg"}}]]}},
        },
        "aliases": {  # the raw weights are the policy's own tensors, so they are stored with it and not again
            "raw/weight": {"of": "policy.safetensors:weight", "shape": [4, 3], "stride": [3, 1], "offset": 0},
            "raw/bias": {"of": "policy.safetensors:bias", "shape": [3], "stride": [1], "offset": 0},
        },
    }


def test_tied_policy_weights(tmp_path: Path) -> None:
    weight = torch.rand(3, 4)
    policy = {"embedding": weight, "output": weight, "transposed": weight.T}
    checkpoint.write(tmp_path, 1, policy=policy, texts={}, training={}, keep=1)
    back = checkpoint.read(tmp_path).policy()
    assert all(torch.equal(back[name], tensor) for name, tensor in policy.items())
    assert (tmp_path / "checkpoints/last/policy.safetensors").stat().st_size < 600  # 48 bytes of weights and the header


def test_links_are_relative_and_the_folder_can_move(tmp_path: Path) -> None:
    save(tmp_path / "run", 1, best=True)
    save(tmp_path / "run", 2)
    assert os.readlink(tmp_path / "run/checkpoints/last") == "step_000002"
    assert os.readlink(tmp_path / "run/checkpoints/best") == "step_000001"
    (tmp_path / "run").rename(tmp_path / "moved")
    assert checkpoint.read(tmp_path / "moved").step == 2
    assert checkpoint.read(tmp_path / "moved/checkpoints/best").step == 1
    assert checkpoint.resolve(tmp_path / "moved/checkpoints/last") == tmp_path / "moved/checkpoints/step_000002"
    assert checkpoint.run_of(tmp_path / "moved/checkpoints/best") == tmp_path / "moved"


def test_the_newest_and_the_best_stay(tmp_path: Path) -> None:
    for step in (1, 2, 3, 4, 999_999, 1_000_000):
        save(tmp_path, step, keep=2, best=step == 2)
    assert steps(tmp_path) == ["step_000002", "step_1000000", "step_999999"]
    assert checkpoint.read(tmp_path).step == 1_000_000


def test_going_on_from_an_earlier_step_drops_the_later_course(tmp_path: Path) -> None:
    for step in (100, 200, 300):
        save(tmp_path, step)
    save(tmp_path, 150)  # a resume from 100 saves its first one
    assert steps(tmp_path) == ["step_000100", "step_000150"]
    assert checkpoint.read(tmp_path).step == 150


def test_saving_a_step_again_replaces_it(tmp_path: Path) -> None:
    save(tmp_path, 5, value=1.0)
    save(tmp_path, 5, value=2.0, best=True)
    assert steps(tmp_path) == ["step_000005"]
    assert float(checkpoint.read(tmp_path).policy()["weight"][0, 0]) == 2.0


def test_killed_while_replacing(tmp_path: Path) -> None:
    """Between the two renames the old one still stands, under another name; the next save puts it back or clears it up."""
    save(tmp_path, 5, value=1.0).rename(tmp_path / "checkpoints/step_000005.replaced")
    assert float(checkpoint.read(tmp_path).policy()["weight"][0, 0]) == 1.0
    save(tmp_path, 6)
    assert steps(tmp_path) == ["step_000005", "step_000006"]
    shutil.copytree(tmp_path / "checkpoints/step_000006", tmp_path / "checkpoints/step_000006.replaced")
    save(tmp_path, 7)
    assert steps(tmp_path) == ["step_000005", "step_000006", "step_000007"]


def test_leftovers_of_a_killed_save_are_cleared_up(tmp_path: Path) -> None:
    (tmp_path / "checkpoints/.temporary-0123/training").mkdir(parents=True)
    (tmp_path / "checkpoints/.temporary-last").symlink_to("step_000001")
    save(tmp_path, 1)
    assert sorted(os.listdir(tmp_path / "checkpoints")) == ["last", "step_000001"]


def damage_bit(folder: Path) -> None:
    path = folder / "policy.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def damage_manifest(folder: Path) -> None:
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace('"step": 2', '"step": 3'))


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "bit flipped": (damage_bit, r"policy.safetensors does not have the content"),
    "cut off": (lambda folder: os.truncate(folder / "training/state.safetensors", 20), "has 20 bytes instead of"),
    "file missing": (lambda folder: (folder / "tokenizer.json").unlink(), "tokenizer.json is missing"),
    "manifest missing": (lambda folder: (folder / "manifest.json").unlink(), "it has no manifest.json"),
    "manifest cut off": (lambda folder: os.truncate(folder / "manifest.json", 30), "manifest.json cannot be read"),
    "manifest empty": (lambda folder: os.truncate(folder / "manifest.json", 0), "manifest.json cannot be read"),
    "manifest altered": (damage_manifest, "manifest.json does not have the content"),
    "manifest a list": (lambda folder: (folder / "manifest.json").write_text("[1]"), "manifest.json cannot be read"),
    "manifest nested": (lambda folder: (folder / "manifest.json").write_text("[" * 100_000), "manifest.json cannot be read"),
    "emptied": (lambda folder: [path.unlink() for path in folder.rglob("*") if path.is_file()], "it has no manifest.json"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_torn_checkpoint(tmp_path: Path, name: str) -> None:
    damage, message = DAMAGES[name]
    save(tmp_path, 1)
    torn = save(tmp_path, 2)
    damage(torn)
    warnings: list[str] = []
    assert checkpoint.read(tmp_path, warnings.append).step == 1  # a run folder falls back, and says so once
    assert len(warnings) == 1
    assert "step_000002 is torn" in warnings[0]
    assert warnings[0].endswith("Going on from step_000001.")
    for outright in (torn, tmp_path / "checkpoints/last"):
        with pytest.raises(CheckpointError, match=message) as error:
            checkpoint.read(outright)
        assert error.value.exit_code == 4
    shutil.rmtree(tmp_path / "checkpoints/step_000001")
    with pytest.raises(CheckpointError, match=message):
        checkpoint.read(tmp_path)


def test_two_torn_ones_give_one_warning(tmp_path: Path) -> None:
    save(tmp_path, 1)
    damage_bit(save(tmp_path, 2))
    damage_bit(save(tmp_path, 3))
    told: list[str] = []
    assert (checkpoint.read(tmp_path, told.append).path.name, len(told)) == ("step_000001", 1)


def test_without_a_usable_last_link_the_newest_is_taken(tmp_path: Path) -> None:
    save(tmp_path, 1)
    save(tmp_path, 2)
    last = tmp_path / "checkpoints/last"
    for target in ("step_000009", "../../elsewhere", "/etc"):
        last.unlink()
        last.symlink_to(target)
        assert checkpoint.read(tmp_path).step == 2
    last.unlink()
    assert checkpoint.read(tmp_path).step == 2


def test_a_newer_schema_is_not_passed_over(tmp_path: Path) -> None:
    save(tmp_path, 1)
    rewrite_manifest(save(tmp_path, 2), lambda content: content.update(schema=2, seal="new"))
    with pytest.raises(CheckpointError, match=r"schema 2, and this vla-train reads up to 1\. Upgrade"):
        checkpoint.read(tmp_path)


def test_foreign_keys_are_refused(tmp_path: Path) -> None:
    folder = save(tmp_path, 1)
    rewrite_manifest(folder, lambda content: content.update(hook="os.system"))
    with pytest.raises(CheckpointError, match="keys that do not belong there: \\['hook'\\]"):
        checkpoint.read(folder)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "training/../../secret", "..", "", "a\\..\\b"])
def test_paths_that_leave_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    folder = save(tmp_path, 1)
    (folder.parent / "secret").write_text("")
    rewrite_manifest(folder, lambda content: content["files"].update({name: {"sha256": "", "size": 0}}))
    with pytest.raises(CheckpointError, match="leads out of its folder"):
        checkpoint.read(folder)


@pytest.mark.parametrize("name", ["config.yaml", "training", "manifest.json"])
def test_links_inside_a_checkpoint_are_refused(tmp_path: Path, name: str) -> None:
    folder = save(tmp_path, 1)
    (folder / name).rename(tmp_path / "outside")
    (folder / name).symlink_to(tmp_path / "outside")
    with pytest.raises(CheckpointError, match="leads out of its folder"):
        checkpoint.read(folder)


OWNER = b'{"a": {"of": "policy.safetensors:weight", "shape": %s, "stride": %s, "offset": %s}}'
HOSTILE_ALIASES = [
    *(b"[]", b"5", b"null", b'"text"', b'{"a": []}', b'{"a": "b"}', b'{"a": {"of": []}}'),
    OWNER % (b"[2]", b"[9]", b"11"),  # past the end
    OWNER % (b"[2]", b"[1]", b"-1"),  # before the beginning
    OWNER % (b"[-1, -1]", b"[1, 1]", b"0"),
    OWNER % (b"[1]", b"[%d]" % 2**80, b"%d" % 2**80),
    OWNER % (b'["x"]', b"[1]", b"0"),
    OWNER % (b"{}", b"null", b'"x"'),
    OWNER % (b"[[1]]", b"[1]", b"0"),
    OWNER % (b"[1e400]", b"[1]", b"0"),
]


@pytest.mark.parametrize("aliases", ["[]", "5", '{"a": []}', "[" * 100_000, '{"a": {"of": "weight"}}', "nonsense"])
def test_weights_with_a_hostile_alias_table(tmp_path: Path, aliases: str) -> None:
    folder = save(tmp_path, 1)
    save_file({"weight": torch.zeros(2)}, folder / "policy.safetensors", {"aliases": aliases})
    content = (folder / "policy.safetensors").read_bytes()
    entry = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
    rewrite_manifest(folder, lambda manifest: manifest["files"].update({"policy.safetensors": entry}))
    with pytest.raises(CheckpointError, match="Take another checkpoint"):
        checkpoint.read(folder).policy()


def test_a_missing_text_is_named(tmp_path: Path) -> None:
    saved = checkpoint.read(save(tmp_path, 1))
    assert saved.text("spec.json") == "{}"
    with pytest.raises(CheckpointError, match=r"step_000001 has no data\.json"):
        saved.text("data.json")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("policy.safetensors", b"\xff" * 64),  # a header of 2^64 bytes
        ("training/state.json", b"[" * 100_000),
        ("training/state.json", b'{"tree": {"$eval": "1"}, "aliases": {}}'),
        ("training/state.json", b'{"tree": 1}'),
        ("training/state.json", b'{"tree": {}, "aliases": {"a": {"of": "b"}}}'),
        *(("training/state.json", b'{"tree": {}, "aliases": %s}' % aliases) for aliases in HOSTILE_ALIASES),
        ("training/state.json", b'{"tree": 5, "aliases": {}}'),
        ("training/state.json", b'{"tree": {"$float": []}, "aliases": {}}'),
        ("training/state.json", b'{"tree": {"$array": "a"}, "aliases": {}}'),
        ("training/state.json", b'{"tree": %s1%s, "aliases": {}}' % (b'{"a": ' * 600, b"}" * 600)),
        ("training/state.json", b"[]"),
    ],
)
def test_content_that_was_never_ours(tmp_path: Path, name: str, content: bytes) -> None:
    """The manifest is right, the content is hostile: one message, nothing run."""
    folder = save(tmp_path, 1)
    (folder / name).write_bytes(content)
    entry = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
    rewrite_manifest(folder, lambda manifest: manifest["files"].update({name: entry}))
    with pytest.raises(CheckpointError, match="Take another checkpoint"):
        checkpoint.read(folder).training()


def test_no_checkpoint_there(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="there is no checkpoint or run folder"):
        checkpoint.read(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match=r"it has no manifest\.json"):
        checkpoint.read(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(CheckpointError, match="holds no checkpoint yet"):
        checkpoint.read(tmp_path)
    with pytest.raises(CheckpointError, match="init="):
        checkpoint.run_of(tmp_path)


@pytest.mark.parametrize("stage", ["save_file", "sync", "replace"])
def test_a_full_disk_leaves_what_stood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str) -> None:
    save(tmp_path, 1, value=1.0)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    def full(*arguments: object, **more: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    module = os if stage == "replace" else manifest
    with monkeypatch.context() as patch:
        patch.setattr(module, stage, full)
        with pytest.raises(CheckpointError, match=r"No space left on device.*step_000001, is intact.*resume="):
            save(tmp_path, 2)
    assert not list((tmp_path / "checkpoints").glob(".temporary-*[0-9a-f]/*"))
    assert all(path.read_bytes() == content for path, content in before.items())
    assert checkpoint.read(tmp_path).step == 1
    assert save(tmp_path, 3).name == "step_000003"  # with space again, all is well


def test_load_into_lists_the_first_mismatches(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2), nn.Linear(2, 2))
    tensors = {name: torch.ones_like(tensor) for name, tensor in module.state_dict().items()}
    checkpoint.load_into(module, tensors, "a")
    assert bool((module[0].weight == 1).all())

    wrong = {"0.weight": torch.zeros(5, 3), "0.bias": torch.zeros(4, dtype=torch.int64), "extra": torch.zeros(1)}
    with pytest.raises(CheckpointError) as error:
        checkpoint.load_into(module, wrong, "run/checkpoints/step_000001")
    lines = str(error.value).splitlines()
    assert lines[0] == "the weights in run/checkpoints/step_000001 are of another architecture than Sequential:"
    assert lines[1] == "  0.weight: float [4, 3] is wanted, and the checkpoint has float [5, 3]"
    assert lines[2] == "  0.bias: float [4] is wanted, and the checkpoint has int64 [4]"
    assert lines[3] == "  1.weight: float [2, 4] is wanted, and it is not in the checkpoint"
    assert lines[6] == "  and 2 more"
    assert bool((module[0].weight == 1).all())  # nothing was loaded


def test_arguments_are_checked(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="keep is 0"):
        save(tmp_path, 1, keep=0)
