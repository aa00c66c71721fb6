"""In what two products differ."""

import shutil

import h5py
import numpy as np
import pytest

from ptychoproduct import Difference, ExportOptions, compare_products, export_product_from_npz, repack_product


@pytest.fixture
def pair(save_scan, tmp_path, centered_meta):
    """Two products that are the same."""
    export_product_from_npz(save_scan(), tmp_path / "a.h5", centered_meta, options=ExportOptions("zstd:1"))
    shutil.copy(tmp_path / "a.h5", tmp_path / "b.h5")
    return tmp_path / "a.h5", tmp_path / "b.h5"


def test_a_copy_has_no_difference(pair):
    assert compare_products(*pair) == []


def test_another_codec_is_the_only_difference_of_a_repacked_product(pair):
    repack_product(*pair, options=ExportOptions("lz4"))
    (found,) = [found for found in compare_products(*pair) if "chunk" in found.first]
    assert (found.where, found.content) == ("/raw_data/diffraction", "")
    assert (", zstd:1, " in found.first, ", lz4, " in found.second) == (True, True)


def test_an_attribute_that_differs_is_shown_with_both_values(pair):
    with h5py.File(pair[1], "r+") as file:
        file.attrs["exposure_time_s"] = 0.5
    assert Difference("/@exposure_time_s", "0.0 s", "0.5 s") in compare_products(*pair)


def test_elements_that_differ_are_counted(pair):
    with h5py.File(pair[1], "r+") as file:
        del file["raw_data/diffraction"].attrs["row_crc32"]
        frames = file["raw_data/diffraction"][:]
        frames[3, 4, 5:7] += 2.5
        file["raw_data/diffraction"][:] = frames
    (found,) = compare_products(*pair)
    assert (found.where, found.content) == ("/raw_data/diffraction", "2 of 3,072 elements differ, by 2.5 at most")


def test_elements_of_a_long_attribute_are_compared_to_the_end(pair):
    for path, last in zip(pair, (1, 2), strict=True):
        with h5py.File(path, "r+") as file:
            file.attrs["many"] = np.array([0] * 20 + [last])
    (found,) = compare_products(*pair)
    assert (found.where, found.content) == ("/@many", "other elements behind these")


def test_what_only_one_has_is_named(pair):
    with h5py.File(pair[1], "r+") as file:
        file["raw_data/more"] = [1.0]
        del file["raw_data/scan_index"]
    found = {found.where: (bool(found.first), bool(found.second)) for found in compare_products(*pair)}
    assert found["/raw_data/more"] == (False, True)
    assert found["/raw_data/scan_index"] == (True, False)


def test_nan_is_equal_to_nan(pair):
    for path in pair:
        with h5py.File(path, "r+") as file:
            file["raw_data/values"] = [1.0, np.nan]
    assert compare_products(*pair) == []
