"""Chunks that are not where they should be, in files that HDF5 has written and that are then damaged by hand."""

import struct

import h5py
import numpy as np
import pytest

from ptychoproduct import ContractError, import_product_to_npz, open_product, repack_product, validate_product
from ptychoproduct.errors import SourceError
from ptychoproduct.hdf5.chunk_grid import not_stored
from ptychoproduct.hdf5.folder_links import Hdf5Source

FRAMES = "raw_data/diffraction"


def _write(path, libver="earliest", **options):
    with h5py.File(path, "w", libver=libver) as file:
        data = np.arange(20 * 6 * 5, dtype="u2").reshape(20, 6, 5)
        file.create_dataset("data", data=data, chunks=(4, 6, 3), **options)
    return path


def _problem(path, **options):
    with h5py.File(path) as file:
        return not_stored(file["data"].id, **options)


def _change_key(path, old, new):
    """Change where a chunk says it begins, in the B-tree of version 1."""
    data = path.read_bytes()
    before, after = (struct.pack("<4Q", *origin, 0) for origin in (old, new))
    assert data.count(before) >= 1
    path.write_bytes(data.replace(before, after, 1))


@pytest.mark.parametrize("libver", ["earliest", "v108", "v110", "latest"])
@pytest.mark.parametrize("options", [{}, {"compression": 1}, {"maxshape": (None, 6, 5)}, {"maxshape": (None,) * 3}])
def test_whole_datasets_have_no_problem(tmp_path, libver, options):
    assert _problem(_write(tmp_path / "data.h5", (libver, "latest"), **options)) == ""


def test_datasets_of_other_layouts_have_no_problem(tmp_path):
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["contiguous"], file["scalar"], file["none"] = np.arange(9), 3, np.empty((0, 3))
        file["nothing"] = h5py.Empty("i4")
        file.create_dataset("empty chunked", (0, 4), "i4", maxshape=(None, 4))
        file.create_dataset("never written", (7,), "i4")
        assert [name for name in file if not_stored(file[name].id)] == ["never written"]
        assert not any(not_stored(file[name].id, allow_gaps=True) for name in file)


def test_what_was_never_written_is_named(tmp_path):
    with h5py.File(tmp_path / "data.h5", "w") as file:
        data = file.create_dataset("data", (20, 6, 5), "u2", chunks=(4, 6, 3), compression=1)
        data[:8] = data[16:] = 1
        data[8:12, :, :3] = 1
    assert _problem(tmp_path / "data.h5") == "damaged: rows 8 to 11: chunk (8, 0, 3) is not stored, and 2 more"
    assert _problem(tmp_path / "data.h5", most_chunks=1).startswith("damaged: rows 8 to 11")
    assert _problem(tmp_path / "data.h5", allow_gaps=True) == ""


@pytest.mark.parametrize(
    ("origin", "problem"),
    [
        ((8, 6 << 17, 3), "chunk (8, 786432, 3) lies outside the dataset"),
        ((8, 1, 3), "Error iterating over dataset chunks (bad coordinate offset)"),
        ((12, 0, 3), "chunk (12, 0, 3) is stored twice"),
    ],
)
def test_an_origin_that_changed_is_found(tmp_path, origin, problem):
    path = _write(tmp_path / "data.h5", compression=1)
    _change_key(path, (8, 0, 3), origin)
    with h5py.File(path) as file:  # HDF5 itself says nothing
        try:
            assert not file["data"][8:12, :, 3:].any()
        except OSError:
            assert origin == (8, 1, 3)
    assert _problem(path) == f"damaged: {problem}"
    assert _problem(path, allow_gaps=True) == f"damaged: {problem}"
    with Hdf5Source(path) as source, pytest.raises(SourceError, match=r"damaged: |cannot be read"):
        source.find("data")


@pytest.mark.parametrize(
    ("place", "problem"), [("another", "over another"), (2**63, "outside the file"), (2**40, "outside the file")]
)
def test_an_address_that_changed_is_found(tmp_path, place, problem):
    path = _write(tmp_path / "data.h5")
    with h5py.File(path) as file:
        first, second = (file["data"].id.get_chunk_info(number).byte_offset for number in (3, 4))
    address = first if place == "another" else place
    data = path.read_bytes()
    path.write_bytes(data.replace(struct.pack("<Q", second), struct.pack("<Q", address), 1))
    assert problem in _problem(path)


@pytest.mark.parametrize("values", ["text", "texts", "list"])
def test_a_length_that_no_file_has_is_found_before_memory_is_taken(tmp_path, values):
    path = tmp_path / "data.h5"
    with h5py.File(path, "w") as file:
        kind = h5py.vlen_dtype("i4") if values == "list" else h5py.string_dtype()
        file.create_dataset("data", () if values == "text" else (2,), kind)[...] = (
            [1, 2] if values == "list" else "text"
        )
        offset = file["data"].id.get_offset()
    assert _problem(path) == ""
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(struct.pack("<I", 2**32 - 9))
    assert _problem(path) == "damaged: it cannot have 4294967287 elements in a text or list"


def test_a_product_of_which_a_chunk_is_lost_is_refused_by_all(tmp_path, save_scan, centered_meta):
    from ptychoproduct import ExportOptions, export_product_from_npz

    path = tmp_path / "product.h5"
    options = ExportOptions(chunk_frames=2, compression="none")
    export_product_from_npz(save_scan(), path, centered_meta, options=options)
    with h5py.File(path) as file:
        height = file[FRAMES].shape[1]
        assert file[FRAMES].chunks[0] == 2
    _change_key(path, (4, 0, 0), (4, height * 8, 0))
    lost = rf"/{FRAMES}: damaged: chunk \(4, {height * 8}, 0\) lies outside the dataset"
    with pytest.raises(ContractError, match=lost):
        open_product(path)
    with pytest.raises(ContractError, match=lost):
        import_product_to_npz(path, tmp_path / "again.npz")
    with pytest.raises(ContractError, match=lost):
        repack_product(path, tmp_path / "again.h5")
    assert sorted(item.name for item in tmp_path.iterdir() if "again" in item.name) == []
    assert [problem.where for problem in validate_product(path).problems] == [f"/{FRAMES}"]
