"""Files in the layouts of other programs, written here as those do, become products with the values that they hold."""

import runpy
from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401 - h5py reads the products with it
import numpy as np
import pytest

from ptychoproduct import ExportMeta, OptionError, ScanFiles, SourceError, export_product_from_files
from ptychoproduct.model.units import convert_unit, field_unit
from ptychoproduct.scan.field_layouts import LAYOUTS

pytestmark = pytest.mark.filterwarnings("ignore::ptychoproduct.errors.ProductWarning")
N, H, W = 12, 10, 14
RNG = np.random.default_rng(8)
FRAMES = RNG.poisson(3, (N, H, W)).astype(np.uint32)
X_M, Y_M = RNG.uniform(-2e-6, 2e-6, (2, N))
PROBE = (RNG.standard_normal((H, W)) + 1j).astype(np.complex64)
MASK = (RNG.uniform(size=(H, W)) < 0.1).astype(np.uint32)
# CODATA 2022
HC_EV_M = 6.62607015e-34 * 299792458 / 1.602176634e-19
ELECTRON_EV = 9.1093837139e-31 * 299792458**2 / 1.602176634e-19
NUMBERS = {
    "energy": "photon_energy_eV",
    "distance": "detector_object_distance_m",
    "width": "detector_pixel_width_m",
    "height": "detector_pixel_height_m",
    "time": "exposure_time_s",
    "angle": "tomography_angle_deg",
}


def eiger(folder):
    """A master with links to three files, as Dectris' file writer makes it."""
    detector = "entry/instrument/detector"
    with h5py.File(folder / "scan_master.h5", "w") as master:
        for number, frames in enumerate(np.split(FRAMES, [5, 10]), 1):
            name = f"scan_data_{number:06}.h5"
            with h5py.File(folder / name, "w") as part:
                part["entry/data/data"] = frames
            master[f"entry/data/data_{number:06}"] = h5py.ExternalLink(name, "/entry/data/data")
        master[f"{detector}/detectorSpecific/pixel_mask"] = MASK
        for name, value, unit in (
            ("detector_distance", 1.5, "m"),
            ("x_pixel_size", 75e-6, "m"),
            ("y_pixel_size", 80e-6, "m"),
            ("count_time", 0.25, "s"),
        ):
            master[f"{detector}/{name}"] = value
            master[f"{detector}/{name}"].attrs["units"] = unit
        master["entry/instrument/beam/incident_wavelength"] = 1.5
        master["entry/instrument/beam/incident_wavelength"].attrs["units"] = "angstrom"
    return "scan_master.h5", {
        "mask": MASK,
        "energy": HC_EV_M / 1.5e-10,
        "distance": 1.5,
        "width": 75e-6,
        "height": 80e-6,
        "time": 0.25,
    }


def nsls2(folder):
    with h5py.File(folder / "nsls2.h5", "w") as file:
        file["diffamp"] = FRAMES
        file["points"] = np.stack([X_M, Y_M]) * 1e6
        file["prb"] = PROBE * 2
        file["ccd_pixel_um"], file["lambda_nm"], file["z_m"], file["angle"] = 55.0, 0.1, 0.5, 3.0
    numbers = {"energy": HC_EV_M / 1e-10, "distance": 0.5, "width": 55e-6, "height": 55e-6, "angle": 3}
    return "nsls2.h5", {"x": X_M, "y": Y_M, "probe": PROBE * 2, **numbers}


def nsls2_raw(folder):
    with h5py.File(folder / "hxn.h5", "w") as file:
        file["diff_data/merlin1/det_images"] = FRAMES
        file["scan/scan_positions"] = np.stack([X_M, Y_M]) * 1e6
        file["scan/energy"], file["scan/exposure_time"] = 9000.0, 0.02
    return "hxn.h5", {"x": X_M, "y": Y_M, "energy": 9000, "time": 0.02}


def isn(folder):
    with h5py.File(folder / "isn.h5", "w") as file:
        file["entry/data/data"] = FRAMES
        file["entry/data/X_Position"], file["entry/data/Y_Position"] = X_M * 1e6, Y_M * 1e6
        file["entry/instrument/NDAttributes/Wavelength"] = np.linspace(1.25, 1.26, N)
        file["entry/instrument/NDAttributes/CountTime"] = np.full(N, 0.5)
    return "isn.h5", {"x": X_M, "y": Y_M, "energy": HC_EV_M / 1.25e-10, "time": 0.5}


def nanomax(folder):
    with h5py.File(folder / "nmx.h5", "w") as file:
        file["entry/measurement/eiger1m/frames"] = FRAMES
        file["entry/measurement/pseudo/x"], file["entry/measurement/pseudo/y"] = X_M * 1e6, Y_M * 1e6
    return "nmx.h5", {"x": X_M, "y": Y_M}


def nanomax_in_mm(folder):
    """A unit that the file says wins."""
    nanomax(folder)
    with h5py.File(folder / "nmx.h5", "r+") as file:
        for axis, values in (("x", X_M), ("y", Y_M)):
            file[f"entry/measurement/pseudo/{axis}"][...] = values * 1e3
            file[f"entry/measurement/pseudo/{axis}"].attrs["units"] = "mm"
    return "nmx.h5", {"x": X_M, "y": Y_M}


def polar(folder):
    with h5py.File(folder / "polar.h5", "w") as file:
        file["entry/externals/eiger"] = FRAMES
        file["entry/instrument/bluesky/streams/baseline/mono_energy/value_start"] = 8.3
        file["entry/instrument/NDAttributes/DetectorDistance"] = np.full(N, 2100.0)
    return "polar.h5", {"energy": 8300, "distance": 2.1}


def cssi(folder):
    with h5py.File(folder / "cssi.h5", "w") as file:
        file["exchange/data"], file["exchange/motor_pos"] = FRAMES, np.column_stack([X_M, Y_M]) * 1e3
    return "cssi.h5", {"x": X_M, "y": Y_M}


def ptycho_saxs(folder):
    with h5py.File(folder / "12id.h5", "w") as file:
        file["entry/data/data"] = FRAMES
        file["entry/instrument/NDAttributes/monoE"] = np.full(N, 11900.0)
        file["entry/instrument/NDAttributes/ExposureTime"] = np.full(N, 0.5)
    return "12id.h5", {"energy": 11900, "time": 0.5}


def lamni(folder):
    with h5py.File(folder / "lamni.h5", "w") as file:
        file["entry/data/eiger_4"] = FRAMES
    return "lamni.h5", {}


def lcls(folder):
    with h5py.File(folder / "xpp.h5", "w") as file:
        file["jungfrau1M/image_img"] = FRAMES
        file["lmc/ch03"], file["lmc/ch04"], file["lmc/ch05"] = X_M * 1e6, X_M, Y_M * 1e6
        file["ipm2/sum"] = np.linspace(1900, 3100, N)
    return "xpp.h5", {"x": X_M, "y": Y_M}


def csaxs(folder):
    instrument = "entry/instrument"
    with h5py.File(folder / "csaxs.h5", "w") as file:
        file["entry/data/data"] = FRAMES
        file[f"{instrument}/monochromator/energy"], file[f"{instrument}/monochromator/distance"] = [6.2], [7300.0]
        file[f"{instrument}/eiger_4/x_pixel_size"], file[f"{instrument}/eiger_4/y_pixel_size"] = [75.0], [75.0]
    return "csaxs.h5", {"energy": 6200, "distance": 7.3, "width": 75e-6, "height": 75e-6}


def ptylab(folder):
    with h5py.File(folder / "ptylab.hdf5", "w") as file:
        file["ptychogram"], file["encoder"] = FRAMES, np.column_stack([Y_M, X_M])
        file["dxd"], file["zo"], file["wavelength"], file["entrancePupilDiameter"] = 4.5e-6, 0.05, 632.8e-9, 1e-3
    numbers = {"energy": HC_EV_M / 632.8e-9, "distance": 0.05, "width": 4.5e-6, "height": 4.5e-6}
    return "ptylab.hdf5", {"x": X_M, "y": Y_M, **numbers}


def fold_slice(folder):
    with h5py.File(folder / "data_roi0_dp.hdf5", "w") as file:
        file["dp"] = FRAMES
    with h5py.File(folder / "data_roi0_para.hdf5", "w") as file:
        file["ppX"], file["ppY"] = X_M[np.newaxis], Y_M[np.newaxis]
        file["lambda"], file["dx"], file["angle"] = 1.5e-10, 1.3e-8, 12.0
    return "data_roi0_dp.hdf5", {"x": X_M, "y": Y_M, "energy": HC_EV_M / 1.5e-10, "angle": 12, "object_px": 1.3e-8}


@pytest.mark.parametrize(
    "write",
    [
        *(eiger, nsls2, nsls2_raw, isn, nanomax, nanomax_in_mm, polar, csaxs, ptylab, fold_slice),
        *(cssi, ptycho_saxs, lamni, lcls),
    ],
)
def test_a_file_of_another_program(tmp_path, write):
    name, holds = write(tmp_path)
    files = ScanFiles(
        tmp_path / name,
        positions=None if "x" in holds else (X_M, Y_M),
        positions_in=None if "x" in holds else "m",
        probe=None if "probe" in holds else PROBE,
    )
    with h5py.File(convert(files)) as product:
        assert np.array_equal(product["raw_data/diffraction"], FRAMES)
        assert np.allclose(product["probe_position_x_m"], X_M, rtol=1e-9, atol=0)
        assert np.allclose(product["probe_position_y_m"], Y_M, rtol=1e-9, atol=0)
        assert np.array_equal(product["probe"], holds.get("probe", PROBE))
        assert ("bad_pixels" in product["raw_data"]) == ("mask" in holds)
        assert "mask" not in holds or np.array_equal(product["raw_data/bad_pixels"], holds["mask"])
        for key, attribute in NUMBERS.items():
            assert np.isclose(product.attrs[attribute], holds.get(key, 0), rtol=1e-9), attribute
        assert product["object"].attrs["pixel_width_m"] == holds.get("object_px", object_px(holds))


def object_px(holds):
    """The size of a pixel at the object that follows from the detector's; the default without one."""
    if not {"energy", "distance", "width"} <= set(holds):
        return 5e-8
    return pytest.approx(HC_EV_M / holds["energy"] * holds["distance"] / W / holds["width"], rel=1e-9)


def convert(files, meta=None):
    product = files.path.with_name("product.h5")
    export_product_from_files(files, product, meta)
    return product


def test_a_part_of_a_master_that_is_not_there_is_named(tmp_path):
    name, _ = eiger(tmp_path)
    (tmp_path / "scan_data_000002.h5").unlink()
    files = ScanFiles(tmp_path / name, positions=(X_M, Y_M), positions_in="m", probe=PROBE)
    with pytest.raises(SourceError, match=r"scan_data_000002\.h5, which is not beside scan_master\.h5"):
        convert(files)


def test_parts_are_in_the_order_of_their_numbers(tmp_path):
    with h5py.File(tmp_path / "master.h5", "w") as file:
        for number in range(N):
            file[f"entry/data/data_{number + 1}"] = FRAMES[number : number + 1]
    files = ScanFiles(tmp_path / "master.h5", positions=(X_M, Y_M), positions_in="m", probe=PROBE)
    with h5py.File(convert(files)) as product:
        assert np.array_equal(product["raw_data/diffraction"], FRAMES)


def test_points_of_other_files_are_no_positions(tmp_path):
    """What has a usual name counts only beside what only the program's files have."""
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["dp"], file["points"] = FRAMES, np.stack([X_M, Y_M])
    with pytest.raises(SourceError, match="there are no positions"):
        convert(ScanFiles(tmp_path / "other.h5", probe=PROBE))


STEM = RNG.poisson(2, (3, 4, H, W)).astype(np.uint16)
STEPS = [("nm", 0.5, 0.5e-9), ("A", 5.0, 0.5e-9), ("um", 5e-4, 0.5e-9)]


def py4dstem(path, calibration=None, axes=None):
    """A data cube as emdfile writes it: dim0 to dim3 are the first two values of linear axes."""
    with h5py.File(path, "w") as file:
        cube = file.create_group("datacube_root/datacube")
        cube["data"] = STEM
        for axis in range(4):
            step, unit = (1, "pixels") if axes is None else axes[axis]
            cube[f"dim{axis}"] = [0.0, step]
            cube[f"dim{axis}"].attrs["units"] = unit
        for name, value in (calibration or {}).items():
            file[f"datacube_root/metadatabundle/calibration/{name}"] = value
    return path


def hyperspy(path):
    with h5py.File(path, "w") as file:
        signal = file.create_group("Experiments/scan")
        signal["data"] = STEM
        for axis, (scale, unit) in enumerate([(0.4, "nm"), (0.5, "nm"), (0.1, "1/nm"), (0.2, "1/nm")]):
            signal.create_group(f"axis-{axis}").attrs.update({"scale": scale, "units": unit})
        signal.create_group("metadata/Acquisition_instrument/TEM").attrs["beam_energy"] = 300.0
    return path


def is_grid(product, step_y_m, step_x_m):
    """The scan is 3 x 4, x faster."""
    y, x = (np.array(product[f"probe_position_{axis}_m"]).reshape(3, 4) for axis in "yx")
    return np.allclose(y, np.arange(3)[:, np.newaxis] * step_y_m, rtol=1e-9, atol=0) and np.allclose(
        x, np.arange(4) * step_x_m, rtol=1e-9, atol=0
    )


@pytest.mark.parametrize(("unit", "size", "step_m"), STEPS)
def test_steps_of_a_calibration_make_positions(tmp_path, unit, size, step_m):
    calibration = {"R_pixel_size": size, "R_pixel_units": unit, "Q_pixel_size": 0.02, "Q_pixel_units": "A^-1"}
    path = py4dstem(tmp_path / "stem.h5", calibration)
    with h5py.File(convert(ScanFiles(path, probe=PROBE))) as product:
        assert np.array_equal(product["raw_data/diffraction"], STEM.reshape(12, H, W))
        assert is_grid(product, step_m, step_m)
        assert product.attrs["particle"] == "electron"
        for name in ("object", "probe"):
            assert np.isclose(product[name].attrs["pixel_width_m"], 1e-10 / (W * 0.02))
            assert np.isclose(product[name].attrs["pixel_height_m"], 1e-10 / (H * 0.02))


def test_steps_of_the_axes_make_positions(tmp_path):
    path = py4dstem(tmp_path / "stem.h5", axes=[(0.3, "nm"), (0.6, "nm"), (1, "pixels"), (1, "pixels")])
    with h5py.File(convert(ScanFiles(path, probe=PROBE))) as product:
        assert is_grid(product, 0.3e-9, 0.6e-9)


def test_hyperspy_says_steps_and_energy(tmp_path):
    with h5py.File(convert(ScanFiles(hyperspy(tmp_path / "scan.hspy"), probe=PROBE))) as product:
        assert is_grid(product, 0.4e-9, 0.5e-9)
        assert product.attrs["photon_energy_eV"] == 300e3
        assert product.attrs["particle"] == "electron"
        assert np.isclose(product["object"].attrs["pixel_height_m"], 1e-9 / (H * 0.1))
        assert np.isclose(product["object"].attrs["pixel_width_m"], 1e-9 / (W * 0.2))


def test_without_steps_they_are_asked_for(tmp_path):
    with pytest.raises(SourceError, match="give positions or scan_step_m"):
        convert(ScanFiles(py4dstem(tmp_path / "stem.h5"), probe=PROBE))


@pytest.mark.parametrize("kind", ["h5", "npy", "npz"])
@pytest.mark.parametrize(("given", "steps"), [(2e-9, (2e-9, 2e-9)), ((2e-9, 3e-9), (2e-9, 3e-9))])
def test_steps_that_are_given(tmp_path, kind, given, steps):
    path = tmp_path / f"stem.{kind}"
    if kind == "h5":
        py4dstem(path, {"R_pixel_size": 1.0, "R_pixel_units": "nm"})
    elif kind == "npy":
        np.save(path, STEM)
    else:
        np.savez(path, diff3d=STEM)
    with h5py.File(convert(ScanFiles(path, probe=PROBE, scan_step_m=given))) as product:
        assert np.array_equal(product["raw_data/diffraction"], STEM.reshape(12, H, W))
        assert is_grid(product, *steps)


def test_steps_need_a_grid(tmp_path):
    np.save(tmp_path / "frames.npy", FRAMES)
    with pytest.raises(OptionError, match=r"needs frames on a grid, \[Ry, Rx, H, W\]; these are \(12, 10, 14\)"):
        convert(ScanFiles(tmp_path / "frames.npy", probe=PROBE, scan_step_m=1e-9))


@pytest.mark.parametrize("steps", [0, -1e-9, (1e-9,) * 3, (), float("nan")])
def test_steps_are_one_or_two_lengths(tmp_path, steps):
    np.save(tmp_path / "frames.npy", STEM)
    with pytest.raises(OptionError, match="must be one or two lengths"):
        ScanFiles(tmp_path / "frames.npy", probe=PROBE, scan_step_m=steps)


@pytest.mark.parametrize("particle", [None, "photon", "electron"])
def test_the_wavelength_of_electrons_is_relativistic(tmp_path, particle):
    """300 keV: 1.9687 pm, and 4.13 pm for photons."""
    np.save(tmp_path / "frames.npy", STEM)
    files = ScanFiles(tmp_path / "frames.npy", probe=PROBE, scan_step_m=1e-9)
    meta = ExportMeta(
        probe_energy_eV=300e3,
        detector_distance_m=1.5,
        detector_pixel_width_m=150e-6,
        detector_pixel_height_m=150e-6,
        particle=particle,
    )
    wavelength_m = HC_EV_M / np.sqrt(300e3 * (300e3 + 2 * ELECTRON_EV)) if particle == "electron" else HC_EV_M / 300e3
    assert particle != "electron" or np.isclose(wavelength_m, 1.9687e-12, rtol=1e-4)
    with h5py.File(convert(files, meta)) as product:
        assert np.isclose(product["object"].attrs["pixel_width_m"], wavelength_m * 1.5 / (W * 150e-6), rtol=1e-8)
        assert product.attrs.get("particle") == particle


def test_the_docs_have_the_table_of_layouts():
    """`python docs/layouts_table.py` writes it."""
    docs = Path(__file__).parents[3] / "docs"
    script = runpy.run_path(str(docs / "layouts_table.py"))
    text = (docs / "layouts.md").read_text(encoding="utf-8")
    assert text == script["page"](text)
    assert all(f"| {layout.program}" in text for layout in LAYOUTS)


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.program)
def test_a_layout_names_fields_and_units_that_are_known(layout):
    for place in layout.metadata:
        ExportMeta(**{place.field: 1.0})
        for unit in () if place.unit.startswith("/") else place.unit.replace("J/eV", "J").split("/"):
            wanted = field_unit(place.field)
            assert unit in (wanted, "m2", "kg") or convert_unit(1.0, unit, wanted) > 0
    for path in (*layout.frames, *layout.probe, *layout.object, *layout.mask):
        assert path.startswith("/")
