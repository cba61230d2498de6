import errno
import json
import pickle

import numpy as np
import pytest
import torch

from ctrl import checkpoint
from ctrl.checkpoint import (
    load_tree,
    newest_checkpoint,
    prune_checkpoints,
    refuse_pickles,
    save_tree,
)
from reward_models import UserError

TREE = {
    "tensor": torch.arange(6, dtype=torch.float32).reshape(2, 3),
    "array": np.array([[1, 2], [3, 4]], dtype=np.int64),
    "flags": np.array([True, False]),
    "bytes": np.frombuffer(b"text", dtype=np.uint8),
    "scalar": np.float64(2.5),
    "big": 2**127 + 1,
    "nan": float("nan"),
    "none": None,
    "nested": {"list": [1, (2.5, "x"), {"y": torch.zeros(0)}], "numbers": {0: "a", 1: "b"}},
}


def test_that_a_tree_survives_unchanged(tmp_path):
    save_tree(TREE, tmp_path / "step_1")
    read = load_tree(tmp_path / "step_1")
    assert torch.equal(read["tensor"], TREE["tensor"])
    assert np.array_equal(read["array"], TREE["array"])
    assert read["array"].dtype == np.int64
    assert read["flags"].dtype == bool
    assert bytes(read["bytes"]) == b"text"
    assert float(read["scalar"]) == 2.5
    assert read["big"] == 2**127 + 1
    assert read["nan"] != read["nan"]
    assert read["none"] is None
    assert read["nested"]["list"][1] == (2.5, "x")
    assert read["nested"]["numbers"] == {0: "a", 1: "b"}


def test_that_objects_are_never_written(tmp_path):
    with pytest.raises(TypeError, match="plain data only"):
        save_tree({"bad": object()}, tmp_path / "step_1")
    assert not (tmp_path / "step_1").exists()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("model.pkl", pickle.dumps([1])),
        ("model.pt", b"PK\x03\x04rest"),
        ("harmless.dat", pickle.dumps([1], protocol=4)),
        ("renamed.safetensors", b"PK\x03\x04rest"),
    ],
)
def test_that_a_file_that_needs_a_pickle_is_refused_with_the_reason(tmp_path, name, content):
    save_tree(TREE, tmp_path / "step_1")
    (tmp_path / "step_1" / name).write_bytes(content)
    with pytest.raises(UserError, match="a pickle can run any code"):
        load_tree(tmp_path / "step_1")
    with pytest.raises(UserError, match="a pickle can run any code"):
        refuse_pickles(tmp_path / "step_1" / name)


def test_that_a_full_disk_leaves_the_previous_checkpoint_valid(tmp_path, monkeypatch):
    save_tree({"value": 1}, tmp_path / "step_1")

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(UserError, match=r"No space left on device.*Earlier checkpoints"):
        save_tree({"value": 2}, tmp_path / "step_2")
    assert newest_checkpoint(tmp_path) == tmp_path / "step_1"
    assert load_tree(tmp_path / "step_1") == {"value": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["step_1"]


def test_that_a_half_written_checkpoint_is_not_found(tmp_path):
    save_tree({"value": 1}, tmp_path / "step_1")
    half = tmp_path / ".step_2.writing"
    half.mkdir()
    (half / "state.safetensors").write_bytes(b"half")
    assert newest_checkpoint(tmp_path) == tmp_path / "step_1"


@pytest.mark.parametrize("file", ["state.safetensors", "state.json"])
def test_that_damage_is_reported(tmp_path, file):
    save_tree(TREE, tmp_path / "step_1")
    path = tmp_path / "step_1" / file
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(UserError, match="damaged"):
        load_tree(tmp_path / "step_1")


def test_that_files_of_two_checkpoints_do_not_mix(tmp_path):
    save_tree({"a": torch.zeros(1)}, tmp_path / "step_1")
    save_tree({"b": torch.zeros(1)}, tmp_path / "step_2")
    (tmp_path / "step_2" / "state.json").replace(tmp_path / "step_1" / "state.json")
    with pytest.raises(UserError, match="do not belong together"):
        load_tree(tmp_path / "step_1")


def test_that_a_document_cannot_point_outside_its_folder(tmp_path):
    save_tree({"a": torch.zeros(1)}, tmp_path / "step_1")
    save_tree({"a": torch.ones(1)}, tmp_path / "secret")
    path = tmp_path / "step_1" / "state.json"
    document = json.loads(path.read_text())
    document["file"] = "../secret/state.safetensors"
    path.write_text(json.dumps(document))
    assert torch.equal(load_tree(tmp_path / "step_1")["a"], torch.zeros(1))


def test_that_old_checkpoints_are_removed_newest_kept(tmp_path):
    for step in range(5):
        save_tree({"value": step}, tmp_path / f"step_{step:012d}")
    prune_checkpoints(tmp_path, 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "step_000000000003",
        "step_000000000004",
    ]


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_that_a_header_that_begins_like_a_pickle_is_none(tmp_path, protocol):
    # The file begins with the length of its header: 0x0480 is written as 80 04.
    wanted = 0x80 + 256 * protocol
    for length in range(wanted - 240, wanted, 4):
        name = "n" * length
        save_tree({name: np.zeros(3)}, tmp_path / "step_1")
        head = (tmp_path / "step_1" / "state.safetensors").read_bytes()[:8]
        if int.from_bytes(head, "little") == wanted:
            break
    assert head[:2] == bytes([0x80, protocol])
    refuse_pickles(tmp_path / "step_1")
    assert list(load_tree(tmp_path / "step_1")) == [name]
