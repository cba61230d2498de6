import importlib.util
import subprocess
import sys

import pytest

from envs.errors import MissingMeshesError
from envs.rocket_league import meshes


def test_that_meshes_are_found_in_the_installed_package():
    assert len(list((meshes.find_meshes() / "soccar").glob("*.cmf"))) == 16


def test_that_a_named_folder_is_looked_at_first(tmp_path, monkeypatch):
    (tmp_path / "soccar").mkdir()
    (tmp_path / "soccar" / "mesh_0.cmf").write_bytes(b"")
    monkeypatch.setenv("RS_COLLISION_MESHES", str(tmp_path))
    assert meshes.find_meshes() == tmp_path


def test_that_missing_meshes_are_explained(tmp_path, monkeypatch):
    monkeypatch.setenv("RS_COLLISION_MESHES", str(tmp_path / "named"))
    monkeypatch.chdir(tmp_path)
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "rlgym" else find(name)
    )
    with pytest.raises(MissingMeshesError) as caught:
        meshes.find_meshes()
    message = str(caught.value)
    assert str(tmp_path / "named" / "soccar") in message
    assert str(tmp_path / "collision_meshes" / "soccar") in message
    assert 'pip install "ctrl[rocket-league]"' in message


def test_that_rlgym_is_not_imported():
    program = (
        "import sys, envs\n"
        "env = envs.make('RocketLeague1v1-v0'); env.reset(seed=0); env.step(0)\n"
        "print([name for name in sys.modules if name.split('.')[0] in ('rlgym', 'torch')])"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert result.stdout == "[]\n"
