"""A product and a patterns file of different conversions are found."""

import os
import shutil

import h5py
import numpy as np
import pytest

from ptychoproduct import (
    DiffractionFile,
    ExportOptions,
    ProductWarning,
    export_product_from_npz,
    inspect_product,
    repack_product,
    standard_layout,
    validate_product,
)

PROBLEM = "product.h5 and diffraction.h5 are not from one conversion"


@pytest.fixture
def convert(save_scan, centered_meta, tmp_path):
    """A function that converts a scan with its patterns into a folder, and gives both paths."""

    def run(folder="out", options=None, meta=centered_meta, **changes):
        product, patterns = standard_layout(tmp_path / folder)
        export_product_from_npz(
            save_scan(**changes), product, meta, diffraction=DiffractionFile(patterns), options=options
        )
        return product, patterns

    return run


pytestmark = pytest.mark.filterwarnings("ignore:.*detector pixel size")


def id_of(path):
    with h5py.File(path) as file:
        return file.attrs.get("conversion_id")


def problems(product, **options):
    report = validate_product(product, **options)
    return [(problem.severity, problem.where, problem.message) for problem in report.problems]


def test_both_files_say_which_conversion_made_them(convert):
    product, patterns = convert()
    assert id_of(product) == id_of(patterns)
    assert problems(product) == []
    assert inspect_product(product).mixed_pair is None


def test_the_same_conversion_gives_the_same_bytes(convert):
    first = [path.read_bytes() for path in convert("first")]
    assert [path.read_bytes() for path in convert("second")] == first


def brighter(scan):
    frames = scan["diff3d"].copy()
    frames[7, 3, 5] = np.sqrt(np.rint(frames[7, 3, 5] ** 2) + 1)
    return {"diff3d": frames}


@pytest.mark.parametrize(
    "change",
    [
        brighter,
        lambda scan: {"xcoords": scan["xcoords"] + 0.5},
        lambda scan: {"probeGuess": scan["probeGuess"] * 2},
        lambda scan: {"objectGuess": scan["objectGuess"] * 2},
        lambda scan: {"scan_index": scan["scan_index"] + 1},
        lambda _: {"bad_pixels": np.eye(16, dtype=bool)},
    ],
    ids=["one photon more", "positions", "probe", "object", "indexes", "bad pixels"],
)
def test_conversions_of_different_scans_are_told_apart(convert, make_scan, change):
    first, _ = convert("first")
    second, patterns = convert("second", **change(make_scan()))
    assert id_of(first) != id_of(second) == id_of(patterns)


@pytest.mark.parametrize("replaced", ["product.h5", "diffraction.h5"])
def test_validate_inspect_and_the_next_run_tell_of_a_mixed_pair(convert, make_scan, replaced):
    product, patterns = convert()
    other, _ = convert("other", **brighter(make_scan()))
    shutil.copy(other.with_name(replaced), product.with_name(replaced))
    ((severity, where, message),) = problems(product)
    assert (severity, where) == ("error", "/@conversion_id")
    assert PROBLEM in message
    assert PROBLEM in inspect_product(product).mixed_pair
    with pytest.warns(ProductWarning, match="are not from one conversion; both are replaced"):
        convert()
    assert id_of(product) == id_of(patterns)
    assert problems(product) == []


def test_patterns_that_do_not_say_it_are_a_warning(convert):
    product, patterns = convert()
    with h5py.File(patterns, "r+") as file:
        del file.attrs["conversion_id"]
    ((severity, _, message),) = problems(product)
    assert severity == "warning"
    assert PROBLEM in message


def test_patterns_that_cannot_be_read_are_an_error(convert):
    product, patterns = convert()
    patterns.write_bytes(patterns.read_bytes()[:3000])
    ((severity, _, message),) = problems(product)
    assert (severity, "diffraction.h5 is damaged" in message) == ("error", True)
    assert "diffraction.h5 is damaged" in inspect_product(product).mixed_pair


def test_files_that_both_do_not_say_it_may_belong_together(convert):
    for path in (paths := convert()):
        with h5py.File(path, "r+") as file:
            del file.attrs["conversion_id"]
            file.attrs.pop("metadata_sha256", None)  # as the contract asks of those who change a product
    assert problems(paths[0]) == []


def test_other_names_are_compared_where_they_are_given(convert, tmp_path):
    product, patterns = convert()
    renamed = product.rename(tmp_path / "scan.h5")
    assert problems(renamed) == []
    assert problems(renamed, patterns=patterns) == []
    with h5py.File(patterns, "r+") as file:
        file.attrs["conversion_id"] = "0" * 32
    assert [row[0] for row in problems(renamed, patterns=patterns)] == ["error"]


def test_a_repacked_product_still_belongs_to_its_patterns(convert, tmp_path):
    product, _ = convert()
    repack_product(product, tmp_path / "again.h5", options=ExportOptions(compression="none"))
    assert id_of(tmp_path / "again.h5") == id_of(product)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_a_pipe_beside_the_product_is_not_opened(convert):
    product, patterns = convert()
    patterns.unlink()
    os.mkfifo(patterns)
    assert problems(product) == []
