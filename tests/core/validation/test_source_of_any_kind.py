"""A product is compared with the scan it was made from, whatever kind of file that is."""

import h5py
import numpy as np
import pytest

from ptychoproduct import (
    ExportMeta,
    OptionError,
    ProductWarning,
    ScanFiles,
    SourceError,
    export_product_from_files,
    validate_product,
)

UNITS_M = {"m": 1.0, "mm": 1e-3, "um": 1e-6, "nm": 1e-9}
META = ExportMeta(object_pixel_width_m=5e-8, object_pixel_height_m=5e-8)


@pytest.fixture
def save(make_scan, tmp_path):
    """A function that saves a scan as one kind of file, positions in a unit, and returns where it is."""

    def save(kind, unit="px"):
        scan = make_scan()
        scale = 1 if unit == "px" else 5e-8 / UNITS_M[unit]
        x, y = scan["xcoords"] * scale, scan["ycoords"] * scale
        path = tmp_path / f"scan.{kind}"
        if kind == "npz":
            np.savez(path, **scan | {"xcoords": x, "ycoords": y})
            return ScanFiles(path, positions_in=unit)
        if kind == "npy":
            np.save(path, scan["diff3d"])
            np.save(tmp_path / "probe.npy", scan["probeGuess"])
            np.save(tmp_path / "positions.npy", np.stack([x, y], axis=1))
            return ScanFiles(
                path, positions=tmp_path / "positions.npy", positions_in=unit, probe=tmp_path / "probe.npy"
            )
        with h5py.File(path, "w") as file:
            file["entry/data/data"] = scan["diff3d"]
            file["xcoords"], file["ycoords"], file["probeGuess"] = x, y, scan["probeGuess"]
        return ScanFiles(path, positions_in=unit)

    return save


@pytest.mark.filterwarnings("ignore::ptychoproduct.ProductWarning")
@pytest.mark.parametrize("kind", ["npz", "npy", "h5"])
@pytest.mark.parametrize("unit", ["px", "m", "um"])
def test_a_product_has_what_its_source_has_and_what_is_changed_is_named(save, tmp_path, kind, unit):
    files, product = save(kind, unit), tmp_path / "product.h5"
    export_product_from_files(files, product, META)
    assert not errors(validate_product(product, source=files))
    with h5py.File(product, "a") as file:
        file["raw_data/diffraction"][5, 2, 3] += 1
        file["raw_data/ycoords"][3] += 1
        file["probe_position_y_m"][3] = file["raw_data/ycoords"][3] * 5e-8
        for name in ("raw_data/ycoords", "probe_position_y_m"):
            del file[name].attrs["content_sha256"]
        del file.attrs["metadata_sha256"]
    where = {problem.where for problem in errors(validate_product(product, source=files))}
    assert where == {"/raw_data/diffraction", "/probe_position_y_m"}


def errors(report):
    return [problem for problem in report.problems if problem.severity == "error"]


@pytest.mark.filterwarnings("ignore::ptychoproduct.ProductWarning")
def test_a_path_is_enough_and_a_unit_need_not_be_given_again(save, tmp_path):
    files, product = save("h5", "um"), tmp_path / "product.h5"
    export_product_from_files(files, product, META)
    assert not errors(validate_product(product, source=files.path))


@pytest.mark.filterwarnings("ignore::ptychoproduct.ProductWarning")
def test_another_unit_than_that_of_the_conversion_is_a_difference(save, tmp_path):
    files, product = save("npz", "um"), tmp_path / "product.h5"
    export_product_from_files(files, product, META)
    problems = errors(validate_product(product, source=ScanFiles(files.path, positions_in="px")))
    assert {problem.where for problem in problems} == {"/probe_position_x_m", "/probe_position_y_m"}


def test_a_source_needs_no_probe(save, tmp_path, run_command):
    files, product = save("npy"), tmp_path / "product.h5"
    with pytest.warns(ProductWarning):
        export_product_from_files(files, product, META)
    words = ("ptychoproduct", "validate", product, "--source", files.path)
    done = run_command(*words, "--positions", files.positions, "--positions-in", "px")
    assert (done.returncode, "valid: " in done.stdout) == (0, True)
    done = run_command("ptychoproduct", "validate", product, "--positions", files.positions)
    assert (done.returncode, "--source" in done.stderr) == (1, True)


@pytest.mark.filterwarnings("ignore::ptychoproduct.ProductWarning")
def test_a_source_without_frames_differs_from_a_product_with_some(save, make_scan, tmp_path):
    files, product = save("npz"), tmp_path / "product.h5"
    export_product_from_files(files, product, META)
    scan = make_scan()
    del scan["diff3d"]
    np.savez(files.path, **scan)
    (problem,) = errors(validate_product(product, source=files))
    assert problem.where == "/raw_data/diffraction"
    assert "cannot be compared" in problem.message


def test_a_source_is_given_once(tmp_path):
    with pytest.raises(OptionError, match="give only one of the two"):
        validate_product(tmp_path / "p.h5", source=tmp_path / "a.npz", source_npz=tmp_path / "a.npz")


@pytest.mark.filterwarnings("ignore::ptychoproduct.ProductWarning")
@pytest.mark.parametrize("kind", ["npz", "npy", "h5"])
def test_a_damaged_source_is_a_source_error(save, tmp_path, kind):
    files, product = save(kind), tmp_path / "product.h5"
    export_product_from_files(files, product, META)
    with files.path.open("r+b") as file:
        file.truncate(file.seek(0, 2) // 2)
    with pytest.raises(SourceError, match=f"scan.{kind}"):
        validate_product(product, source=files)
