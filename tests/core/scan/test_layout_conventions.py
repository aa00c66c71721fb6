"""The convention that a layout states is the one that physics finds in a simulated file of that layout."""

from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from ptychodus.api.geometry import PixelGeometry
from ptychodus.api.object import Object, ObjectCenter
from ptychodus.api.probe import ProbeSequence
from ptychodus.api.probe_positions import ProbePosition, ProbePositionSequence
from ptychodus.api.product import Product, ProductMetadata
from ptychodus.plugins.cxi_file import CXIProductFileIO

from ptychoproduct import ScanFiles, judge_physics
from ptychoproduct.scan.field_layouts import LAYOUTS

pytestmark = pytest.mark.filterwarnings("ignore::ptychoproduct.errors.ProductWarning")
SIZE, OBJECT, N, PIXEL_M = 32, 80, 60, 2e-8
WAVELENGTH_M, DISTANCE_M = 1.5e-10, 0.5
DETECTOR_M = WAVELENGTH_M * DISTANCE_M / SIZE / PIXEL_M
STATED = {layout.program: layout.positions_transform for layout in LAYOUTS}


@pytest.fixture(scope="module")
def scan():
    """Counts, positions of the probe about the object's middle in metres, probe and object."""
    rng = np.random.default_rng(21)
    fy, fx = np.meshgrid(np.fft.fftfreq(SIZE), np.fft.fftfreq(SIZE), indexing="ij")
    phase = 60 * (fx**2 + fy**2) + 30 * fx * fy + 400 * fx**3
    probe = np.fft.fftshift(np.fft.ifft2(np.exp(-((np.hypot(fx, fy) / 0.12) ** 6) - 1j * np.pi * phase)))
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(OBJECT), np.fft.fftfreq(OBJECT)))
    rough = np.fft.ifft2(np.fft.fft2(rng.normal(size=(OBJECT, OBJECT))) / (frequency + 0.02) ** 1.5).real
    object_ = np.exp((0.6j - 0.05) * rough / rough.std()).astype(np.complex64)
    top, left = rng.integers(0, OBJECT - SIZE + 1, (2, N))
    waves = [probe * object_[i : i + SIZE, j : j + SIZE] for i, j in zip(top, left, strict=True)]
    intensity = np.abs(np.fft.fftshift(np.fft.fft2(waves), (1, 2))) ** 2
    counts = rng.poisson(intensity * 1e5 / intensity.sum(axis=(1, 2)).mean()).astype(np.uint32)
    x_m, y_m = ((first - (OBJECT - SIZE) / 2) * PIXEL_M for first in (left, top))
    return SimpleNamespace(counts=counts, x_m=x_m, y_m=y_m, probe=probe.astype(np.complex64), object=object_)


def cxi_of_ptychodus(path, scan):
    pixel, points = PixelGeometry(PIXEL_M, PIXEL_M), zip(scan.x_m, scan.y_m, strict=True)
    product = Product(
        metadata=ProductMetadata("", "", DISTANCE_M, 8265.0, 0.0, 0.0, 0.0, 0.0),
        probe_positions=ProbePositionSequence([ProbePosition(i, *point) for i, point in enumerate(points)]),
        probes=ProbeSequence(scan.probe[np.newaxis, np.newaxis], None, pixel),
        object_=Object(scan.object[np.newaxis], pixel, ObjectCenter(0.0, 0.0), []),
        losses=[],
    )
    CXIProductFileIO().write(path, product)
    with h5py.File(path, "r+") as file:
        file["entry_1/data_1/data"] = scan.counts


def cxi_by_its_definition(path, scan):
    """With translations of the sample, as the definition has them, and a detector instead of pixels at the object."""
    detector = "entry_1/instrument_1/detector_1"
    with h5py.File(path, "w") as file:
        file["entry_1/data_1/data"] = scan.counts
        file["entry_1/sample_1/geometry_1/translation"] = -np.column_stack([scan.x_m, scan.y_m, 0 * scan.x_m])
        file["entry_1/instrument_1/source_1/illumination"] = scan.probe
        file["entry_1/image_1/data"] = scan.object
        file["entry_1/instrument_1/source_1/wavelength"] = WAVELENGTH_M
        file[f"{detector}/distance"] = DISTANCE_M
        file[f"{detector}/x_pixel_size"] = file[f"{detector}/y_pixel_size"] = DETECTOR_M


def nsls2(path, scan):
    with h5py.File(path, "w") as file:
        file["diffamp"], file["points"] = np.sqrt(scan.counts), np.stack([scan.x_m, scan.y_m]) * 1e6
        file["prb"], file["obj"] = scan.probe, scan.object
        file["ccd_pixel_um"], file["lambda_nm"], file["z_m"] = DETECTOR_M * 1e6, WAVELENGTH_M * 1e9, DISTANCE_M


def ptychopinn(path, scan):
    with h5py.File(path, "w") as file:
        file["diff3d"], file["probeGuess"], file["objectGuess"] = np.sqrt(scan.counts), scan.probe, scan.object
        file["xcoords"], file["ycoords"] = ((m / PIXEL_M + (OBJECT - 1) / 2) for m in (scan.x_m, scan.y_m))
        file["object_pixel_size_m"] = PIXEL_M


CXI = "CXI (ptychodus, PyNX, cdtools, SHARP, ptypy)"


@pytest.mark.parametrize(
    ("write", "name", "stated"),
    [
        (cxi_of_ptychodus, "scan.cxi", ""),
        (cxi_by_its_definition, "scan.cxi", STATED[CXI]),
        (nsls2, "scan.h5", STATED["NSLS-II HXN, prepared"]),
        (ptychopinn, "scan.h5", STATED["PtychoPINN"]),
    ],
)
def test_physics_finds_the_convention_that_a_layout_states(tmp_path, scan, write, name, stated):
    write(tmp_path / name, scan)
    report = judge_physics(ScanFiles(tmp_path / name))
    assert report.verdict == ("another convention" if stated else "consistent"), report
    assert report.options == ({"positions_transform": stated} if stated else {})
