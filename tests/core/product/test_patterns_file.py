"""The file of patterns beside a product: one pass over the source, both files or neither."""

import h5py
import numpy as np
import pytest

from ptychoproduct import (
    DiffractionFile,
    ExportMeta,
    ExportOptions,
    OptionError,
    OutputError,
    ProductWarning,
    Reconstruction,
    ScanFiles,
    SourceError,
    export_product_from_files,
    export_product_from_npz,
    export_product_from_rawdata,
    import_product_to_rawdata,
    open_product,
    standard_layout,
)

N, SIDE = 12, 16


@pytest.fixture
def meta(centered_meta):
    return ExportMeta(**vars(centered_meta) | {"detector_pixel_width_m": 7.5e-5, "detector_pixel_height_m": 5.5e-5})


@pytest.fixture
def export(save_scan, meta, tmp_path):
    """A function that exports a small scan with its patterns, and gives these: datasets and attributes."""

    def run(file=None, include_raw=True, options=None, results=None, meta=meta, **changes):
        product, diffraction = standard_layout(tmp_path / "out")
        file = file or DiffractionFile(diffraction)
        summary = export_product_from_npz(
            save_scan(**changes),
            product,
            meta,
            include_raw,
            reconstruction=results,
            diffraction=file,
            options=options,
        )
        return summary.diffraction, read(diffraction)

    return run


def read(path):
    with h5py.File(path) as file:
        return {name: file[name][()] for name in file} | dict(file["patterns"].attrs)


def counts_of(scan):
    return np.rint(np.square(scan["diff3d"].astype(np.float64))).astype(np.uint16)


@pytest.mark.parametrize("order", ["NHW", "HNW", "HWN"])
@pytest.mark.parametrize("compress", [False, True])
def test_patterns_are_counts_whatever_the_order_of_the_axes(make_scan, export, order, compress):
    scan = make_scan()
    stored = np.ascontiguousarray(scan["diff3d"].transpose(["NHW".index(axis) for axis in order]))
    summary, found = export(diff3d=stored, compress=compress)
    np.testing.assert_array_equal(found["patterns"], counts_of(scan), strict=True)
    np.testing.assert_array_equal(found["indexes"], np.arange(N))
    assert not found["bad_pixels"].any()
    assert found["bad_pixels"].dtype == bool
    assert (found["detector_pixel_width_m"], found["detector_pixel_height_m"]) == (7.5e-5, 5.5e-5)
    assert (summary.dtype, summary.frames_are, summary.exact, summary.bad_pixels) == ("uint16", "amplitude", True, 0)
    assert set(found) == {
        *("patterns", "indexes", "bad_pixels", "detector_pixel_width_m", "detector_pixel_height_m"),
    }


def test_the_product_is_what_it_is_without_the_patterns(export, meta, save_scan, tmp_path):
    export()
    export_product_from_npz(save_scan(), tmp_path / "alone.h5", meta)
    with h5py.File(tmp_path / "out/product.h5") as beside, h5py.File(tmp_path / "alone.h5") as alone:
        attributes, expected = dict(beside.attrs), dict(alone.attrs)
        assert len(attributes.pop("conversion_id")) == 32
        assert attributes.pop("metadata_sha256") != expected.pop("metadata_sha256")
        assert attributes == expected
        names = []
        alone.visit(names.append)
        for name in names:
            if isinstance(alone[name], h5py.Dataset):
                np.testing.assert_array_equal(beside[name], alone[name])


@pytest.mark.parametrize("shape", [None, (5, 16, 16), (4, 8, 7)])
def test_chunks_of_any_shape_do(make_scan, export, shape):
    _, found = export(options=ExportOptions(chunk_shape=shape, threads=3))
    np.testing.assert_array_equal(found["patterns"], counts_of(make_scan()))


def test_frames_stored_as_counts_have_patterns_too(make_scan, export, tmp_path):
    _, found = export(options=ExportOptions(store_counts=True))
    np.testing.assert_array_equal(found["patterns"], counts_of(make_scan()))
    with open_product(tmp_path / "out/product.h5") as product:
        np.testing.assert_array_equal(product.frames[:], make_scan()["diff3d"], strict=True)


def test_a_product_without_frames_has_patterns_beside_it(make_scan, export, tmp_path):
    _, found = export(include_raw=False)
    np.testing.assert_array_equal(found["patterns"], counts_of(make_scan()))
    with open_product(tmp_path / "out/product.h5") as product:
        assert product.frames is None


def late_surprise(value):
    """Frames of which only the last pixel, which no sample of a deflated member shows, is of another kind."""
    counts = np.random.default_rng(5).poisson(3, (40, SIDE, SIDE)).astype(np.float64)
    amplitudes = np.sqrt(counts).astype(np.float32)
    amplitudes[-1, -1, -1] = value
    rng = np.random.default_rng(6)
    positions = {key: rng.uniform(8, 56, 40) for key in ("xcoords", "ycoords")}
    return amplitudes, {
        **positions,
        "diff3d": amplitudes,
        "scan_index": np.arange(40),
        "xcoords_start": None,
        "ycoords_start": None,
        "compress": True,
    }


def test_a_larger_count_than_the_sample_promised_makes_a_larger_type(export):
    amplitudes, scan = late_surprise(np.sqrt(np.float32(100_000)))
    summary, found = export(options=ExportOptions(chunk_frames=4), **scan)
    assert summary.dtype == "uint32"
    np.testing.assert_array_equal(found["patterns"], np.rint(amplitudes.astype(np.float64) ** 2))


@pytest.mark.parametrize("quantity", ["auto", "amplitude"])
def test_a_pixel_that_is_no_root_makes_floats(export, tmp_path, quantity):
    amplitudes, scan = late_surprise(0.3)
    file = DiffractionFile(tmp_path / "out/diffraction.h5", patterns_are=quantity)
    summary, found = export(file, options=ExportOptions(chunk_frames=4), **scan)
    assert (summary.dtype, summary.exact, summary.scale) == ("float32", False, None)
    np.testing.assert_array_equal(found["patterns"], amplitudes**2, strict=True)


def test_a_normalisation_is_undone(export):
    amplitudes, scan = late_surprise(2.0)
    summary, found = export(**scan | {"diff3d": amplitudes * np.float32(0.037)})
    np.testing.assert_array_equal(found["patterns"], np.rint(amplitudes.astype(np.float64) ** 2))
    assert summary.scale in (pytest.approx(0.037), pytest.approx(1 / 0.037))


def test_a_pixel_that_fits_no_normalisation_leaves_nothing(export, tmp_path):
    amplitudes, scan = late_surprise(0.3)
    with pytest.raises(OptionError, match=r"patterns_are: .*give amplitude or counts"):
        export(options=ExportOptions(chunk_frames=4), **scan | {"diff3d": amplitudes * np.float32(0.037)})
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float64])
def test_counts_stay_counts(export, dtype):
    counts = np.random.default_rng(1).poisson(9, (N, SIDE, SIDE))
    summary, found = export(diff3d=counts.astype(dtype))
    assert summary.frames_are == "counts"
    np.testing.assert_array_equal(found["patterns"], counts)
    assert found["patterns"].dtype == (np.uint16 if dtype == np.float64 else dtype)


def test_indexes_are_those_of_the_product(export, tmp_path):
    indexes = np.random.default_rng(2).permutation(N) * 3
    _, found = export(scan_index=indexes)
    with open_product(tmp_path / "out/product.h5") as product:
        np.testing.assert_array_equal(found["indexes"], product.position_indexes)
    np.testing.assert_array_equal(found["indexes"], indexes)


def test_photon_counts_are_in_both_files(export):
    counts = np.random.default_rng(2).uniform(1e5, 1e6, N)
    _, found = export(results=Reconstruction(probe_photon_counts=counts))
    np.testing.assert_array_equal(found["probe_photon_counts"], counts)


MASK = np.zeros((SIDE, SIDE), np.uint8)
MASK[3, 5:9] = 2


def mask_files(folder):
    np.save(folder / "mask.npy", MASK)
    np.savez(folder / "mask.npz", bad_pixels=MASK)
    np.savez(folder / "other.npz", hot=MASK)
    with h5py.File(folder / "mask.h5", "w") as file:
        file["entry/instrument/detector/pixel_mask"] = MASK
        file["hot"] = MASK
    return {name: str(folder / name) for name in ("mask.npy", "mask.npz", "other.npz:hot", "mask.h5", "mask.h5:hot")}


@pytest.mark.parametrize("name", ["mask.npy", "mask.npz", "other.npz:hot", "mask.h5", "mask.h5:hot"])
def test_bad_pixels_come_from_a_file(export, tmp_path, name):
    file = DiffractionFile(tmp_path / "out/diffraction.h5", bad_pixels=mask_files(tmp_path)[name])
    summary, found = export(file, bad_pixels=~MASK.astype(bool))
    np.testing.assert_array_equal(found["bad_pixels"], MASK.astype(bool), strict=True)
    assert summary.bad_pixels == 4


def test_bad_pixels_come_from_the_scan_and_are_kept_as_they_are(export, tmp_path):
    _, found = export(bad_pixels=MASK)
    np.testing.assert_array_equal(found["bad_pixels"], MASK.astype(bool), strict=True)
    with h5py.File(tmp_path / "out/product.h5") as file:
        np.testing.assert_array_equal(file["raw_data/bad_pixels"], MASK, strict=True)


@pytest.mark.parametrize(
    "mask",
    [np.zeros((SIDE, SIDE - 1)), np.zeros((N, SIDE, SIDE)), np.full((SIDE, SIDE), "a")],
    ids=["W", "NHW", "text"],
)
def test_a_mask_of_something_else_is_a_source_error_and_leaves_nothing(export, tmp_path, mask):
    with pytest.raises(SourceError, match="bad_pixels: must hold numbers or truth values"):
        export(bad_pixels=mask)
    assert not (tmp_path / "out").exists()


def test_the_detector_pixel_follows_from_the_object(export, centered_meta):
    known = ExportMeta(**vars(centered_meta) | {"object_pixel_width_m": 5e-8, "object_pixel_height_m": 5e-8})
    known = ExportMeta(**vars(known) | {"probe_energy_eV": 8000.0, "detector_distance_m": 2.0})
    _, found = export(meta=known)
    assert found["detector_pixel_width_m"] == pytest.approx(12398.41984 / 8000 * 1e-10 * 2 / (SIDE * 5e-8), rel=1e-6)


def test_a_detector_pixel_that_nobody_knows_is_told(export, centered_meta):
    with pytest.warns(ProductWarning, match="pixel size is not known"):
        _, found = export(meta=centered_meta)
    assert found["detector_pixel_width_m"] == 0


@pytest.mark.parametrize("name", ["out/product.h5", "scan.npz", "mask.npz", "patterns.txt"])
def test_a_destination_that_is_taken_is_refused_and_nothing_is_left(export, tmp_path, name):
    mask = mask_files(tmp_path)["mask.npz"]
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(OutputError):
        export(DiffractionFile(tmp_path / name, bad_pixels=mask))
    assert sorted(path.name for path in tmp_path.iterdir() if path.name not in ("out", "scan.npz")) == before
    assert not (tmp_path / "out").exists()


def test_an_existing_file_of_patterns_stays_where_it_may_not_be_replaced(export, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/diffraction.h5").write_text("old")
    with pytest.raises(OutputError, match="exists already"):
        export(options=ExportOptions(overwrite=False))
    assert [(path.name, path.read_text()) for path in (tmp_path / "out").iterdir()] == [("diffraction.h5", "old")]


def test_a_damaged_source_leaves_both_files_as_they_were(export, save_scan, meta, tmp_path):
    export()
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    path = save_scan("damaged.npz")
    data = bytearray(path.read_bytes())
    data[data.index(b"diff3d.npy") + 4000] ^= 1
    path.write_bytes(data)
    product, diffraction = standard_layout(tmp_path / "out")
    with pytest.raises((SourceError, OptionError)):
        export_product_from_npz(path, product, meta, diffraction=DiffractionFile(diffraction))
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


def test_scans_without_frames_have_no_patterns(export):
    with pytest.raises(SourceError, match="diff3d"):
        export(diff3d=None)


@pytest.mark.parametrize("kind", ["npy", "hdf5", "rawdata"])
def test_every_kind_of_source_has_patterns(make_scan, meta, export, tmp_path, kind):
    scan = make_scan()
    product, diffraction = standard_layout(tmp_path / kind)
    file = DiffractionFile(diffraction)
    if kind == "npy":
        np.save(tmp_path / "frames.npy", scan["diff3d"])
        positions = (scan["xcoords"], scan["ycoords"])
        with pytest.warns(ProductWarning):
            export_product_from_files(
                ScanFiles(tmp_path / "frames.npy", positions=positions, probe=scan["probeGuess"]),
                product,
                meta,
                diffraction=file,
            )
    elif kind == "hdf5":
        export(bad_pixels=MASK)
        export_product_from_files(ScanFiles(tmp_path / "out/product.h5"), product, meta, diffraction=file)
        assert read(diffraction)["bad_pixels"].sum() == 4
    else:
        export()
        raw = import_product_to_rawdata(tmp_path / "out/product.h5")
        export_product_from_rawdata(raw, product, meta, diffraction=file)
    np.testing.assert_array_equal(read(diffraction)["patterns"], counts_of(scan), strict=True)


@pytest.mark.parametrize("values", [{"patterns_are": "intensity"}, {"compression": "lzma"}])
def test_a_choice_that_is_none_is_an_option_error(values):
    with pytest.raises(OptionError):
        DiffractionFile("diffraction.h5", **values)
