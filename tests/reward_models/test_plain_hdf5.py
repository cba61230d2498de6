import numpy as np
import pytest

from reward_models.errors import UserError
from reward_models.plain_hdf5 import has_entry, open_hdf5, read_arrays, subgroup, write_arrays

h5py = pytest.importorskip("h5py")


@pytest.fixture
def secret(tmp_path):
    """Another file of the machine, which no data set may show."""
    path = tmp_path / "secret.hdf5"
    with h5py.File(path, "w") as file:
        file["key"] = np.arange(5.0)
    (tmp_path / "raw.bin").write_bytes(np.arange(5.0).tobytes())
    return path


def _crafted(path, craft):
    with h5py.File(path, "w") as file:
        craft(file)
    return h5py.File(path, "r")


def test_trees_of_arrays_come_back_as_they_were(tmp_path):
    rng = np.random.default_rng(0)
    values = {
        "floats": rng.normal(size=(9, 2)).astype(np.float32),
        "part": {"flags": rng.random(9) > 0.5, "bytes": rng.integers(0, 256, (9, 3), np.uint8)},
    }
    with open_hdf5(tmp_path / "tree.hdf5", "w") as file:
        write_arrays(file, "values", values)
        assert file["values/floats"].compression == "gzip"
        assert file["values/floats"].maxshape == (None, 2)
    with open_hdf5(tmp_path / "tree.hdf5", "r") as file:
        found = read_arrays(file, "values")
    np.testing.assert_equal(found, values)
    assert found["part"]["flags"].dtype == bool
    assert found["floats"].dtype == np.float32


def test_an_external_link_is_refused(tmp_path, secret):
    def craft(file):
        file["values"] = h5py.ExternalLink(str(secret), "/key")

    with _crafted(tmp_path / "crafted.hdf5", craft) as file:
        # What h5py itself would hand over without a word:
        assert file["values"][1] == 1.0
        for read in (read_arrays, subgroup, has_entry):
            with pytest.raises(UserError, match=r"link to .*secret\.hdf5"):
                read(file, "values")


def test_a_soft_link_is_refused(tmp_path):
    def craft(file):
        file["there"] = np.arange(3)
        file["values"] = h5py.SoftLink("/there")

    with (
        _crafted(tmp_path / "crafted.hdf5", craft) as file,
        pytest.raises(UserError, match="link to /there"),
    ):
        read_arrays(file, "values")


def test_a_link_deep_inside_is_refused(tmp_path, secret):
    def craft(file):
        file.create_group("values/inner")["deep"] = h5py.ExternalLink(str(secret), "/key")

    with (
        _crafted(tmp_path / "crafted.hdf5", craft) as file,
        pytest.raises(UserError, match=r"/values/inner/deep is a link to"),
    ):
        read_arrays(file, "values")


def test_a_virtual_array_is_refused(tmp_path, secret):
    def craft(file):
        layout = h5py.VirtualLayout(shape=(5,), dtype="f8")
        layout[:] = h5py.VirtualSource(str(secret), "key", shape=(5,))
        file.create_virtual_dataset("values", layout)

    with _crafted(tmp_path / "crafted.hdf5", craft) as file:
        assert file["values"][2] == 2.0
        with pytest.raises(UserError, match="numbers from other files"):
            read_arrays(file, "values")


def test_an_array_stored_in_another_file_is_refused(tmp_path, secret):
    def craft(file):
        file.create_dataset("values", (5,), "f8", external=[(str(tmp_path / "raw.bin"), 0, 40)])

    with (
        _crafted(tmp_path / "crafted.hdf5", craft) as file,
        pytest.raises(UserError, match="numbers from other files"),
    ):
        read_arrays(file, "values")


@pytest.mark.parametrize(
    "values",
    [
        np.array(["text"], dtype=object),
        np.array([b"text"], dtype="S4"),
        np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
    ],
    ids=["objects", "bytes", "records"],
)
def test_what_is_not_numbers_is_refused(tmp_path, values):
    def craft(file):
        kind = h5py.string_dtype() if values.dtype == object else values.dtype
        file.create_dataset("values", data=values, dtype=kind)

    with (
        _crafted(tmp_path / "crafted.hdf5", craft) as file,
        pytest.raises(UserError, match="holds objects or text"),
    ):
        read_arrays(file, "values")


def test_an_array_without_its_bytes_is_refused_before_it_is_allocated(tmp_path):
    def craft(file):
        file.create_dataset("values", (1 << 40,), "f8", chunks=(1 << 16,))

    with (
        _crafted(tmp_path / "crafted.hdf5", craft) as file,
        pytest.raises(UserError, match="claims 8796093022208 bytes and holds 0"),
    ):
        read_arrays(file, "values")
    assert (tmp_path / "crafted.hdf5").stat().st_size < 100_000


def test_well_compressed_arrays_are_read(tmp_path):
    with open_hdf5(tmp_path / "zeros.hdf5", "w") as file:
        write_arrays(file, "values", np.zeros((4_000_000,), np.float32))
    assert (tmp_path / "zeros.hdf5").stat().st_size < 200_000
    with open_hdf5(tmp_path / "zeros.hdf5", "r") as file:
        assert read_arrays(file, "values").shape == (4_000_000,)


def test_groups_in_a_circle_are_refused(tmp_path):
    def craft(file):
        group = file.create_group("values")
        group["again"] = group

    with (
        _crafted(tmp_path / "crafted.hdf5", craft) as file,
        pytest.raises(UserError, match="deeper than 16"),
    ):
        read_arrays(file, "values")


def test_missing_entries_and_files_are_named(tmp_path):
    with _crafted(tmp_path / "empty.hdf5", lambda file: file.create_dataset("x", data=[1])) as file:
        assert not has_entry(file, "values")
        with pytest.raises(UserError, match="/values is missing"):
            read_arrays(file, "values")
        with pytest.raises(UserError, match="has no 'episode_0'"):
            subgroup(file, "episode_0")
        with pytest.raises(UserError, match="an array where a group must be"):
            subgroup(file, "x")
    (tmp_path / "text.hdf5").write_text("no HDF5")
    with pytest.raises(UserError, match="cannot be opened as an HDF5 file"):
        open_hdf5(tmp_path / "text.hdf5", "r")
