"""Positions of beamlines are those of ptychodus's own readers, wherever the middle is."""

import h5py
import hdf5plugin  # noqa: F401 - h5py reads the products with it
import numpy as np
import pytest
from ptychodus.plugins.aps31id_lamni.position_file import LamNIPositionFileReader
from ptychodus.plugins.aps33id_velociprobe.aps33id_velociprobe_diffraction_file import VelociprobeDiffractionFileReader
from ptychodus.plugins.aps33id_velociprobe.aps33id_velociprobe_position_file import VelociprobePositionFileReader
from ptychodus.plugins.lcls_file_readers import LCLSPositionFileReader

from ptychoproduct import ExportOptions, ScanFiles, export_product_from_files

pytestmark = pytest.mark.filterwarnings("ignore::ptychoproduct.errors.ProductWarning")
N, H, W, READINGS = 8, 6, 10, 3
RNG = np.random.default_rng(5)
FRAMES = RNG.poisson(3, (N, H, W)).astype(np.uint32)
LASER, ENCODER = "-,x,y,-,-,-,-,index", "-,x,-,-,-,y,-,index"


def frames_file(folder):
    np.save(folder / "frames.npy", FRAMES)
    return folder / "frames.npy"


def require_as_ptychodus(files, options, expected):
    """Compare with the means that ptychodus takes of positions with one index."""
    product = files.path.with_name("product.h5")
    export_product_from_files(files, product, options=ExportOptions(**options))
    indexes = np.array([position.index for position in expected])
    with h5py.File(product) as file:
        frames = file["raw_data/diffraction"][()]
        for axis in "xy":
            values = np.array([getattr(position, f"{axis}_m") for position in expected])
            means = np.array([values[indexes == index].mean() for index in np.unique(indexes)])
            found = file[f"probe_position_{axis}_m"][()]
            assert np.allclose(found - found[0], means - means[0], rtol=0, atol=1e-15)
    assert np.array_equal(frames, FRAMES[np.unique(indexes)])


@pytest.mark.parametrize(
    ("instance", "columns", "transform"),
    [
        ("create_laser_interferometer_instance", LASER, []),
        ("create_position_encoder_instance", ENCODER, ["flip-y"]),
    ],
)
@pytest.mark.parametrize("chi_deg", [0.0, 25.0])
def test_velociprobe(tmp_path, instance, columns, transform, chi_deg):
    table = RNG.integers(-4000, 4000, (N * READINGS, 8))
    table[:, 7] = np.repeat(np.arange(N), READINGS)
    np.savetxt(tmp_path / "log.txt", table, "%d", delimiter=",", header="time,x,y", comments="#")
    diffraction = VelociprobeDiffractionFileReader()
    diffraction.stage_rotation_deg = chi_deg
    expected = getattr(VelociprobePositionFileReader, instance)(diffraction).read(tmp_path / "log.txt")
    if chi_deg:
        transform = [*transform, f"scale={float(np.cos(np.deg2rad(chi_deg)))!r}:1"]
    probe = np.ones((H, W), np.complex64)
    log = {"positions": tmp_path / "log.txt", "positions_in": "nm", "positions_columns": columns}
    files = ScanFiles(frames_file(tmp_path), probe=probe, **log)
    require_as_ptychodus(files, {"positions_transform": ",".join(transform)}, expected)


@pytest.mark.parametrize(
    ("names", "first", "readings", "columns"),
    [
        ("DataPoint x_st_fzp y_st_fzp ckUser_Clk_Count Detector_Count", 1, READINGS, "x_st_fzp,y_st_fzp"),
        (
            "Detector_Count Average_x_st_fzp Stdev_x_st_fzp Average_y_st_fzp Stdev_y_st_fzp",
            *(1, 1, "Average_x_st_fzp,Average_y_st_fzp"),
        ),
        (
            "DataPoint TotalPoints Target_x Average_x_st_fzp Stdev_x_st_fzp Target_y Average_y_st_fzp Stdev_y_st_fzp "
            + " ".join(f"Average_cap{number} Stdev_cap{number}" for number in range(1, 6)),
            *(0, 1, "Average_x_st_fzp,Average_y_st_fzp"),
        ),
    ],
    ids=["many readings", "averaged", "Orchestra"],
)
def test_lamni(tmp_path, names, first, readings, columns):
    number = "Detector_Count" if first else "DataPoint"
    table = RNG.uniform(-5, 5, (N * readings, len(names.split()))).astype(object)
    table[:, names.split().index(number)] = np.repeat(np.arange(N), readings) + first
    rows = [" ".join(map(str, row)) for row in table.tolist()]
    (tmp_path / "scan.dat").write_text("\n".join(["S00001, 2026", names, *rows, ""]))
    expected = LamNIPositionFileReader().read(tmp_path / "scan.dat")
    log = {"positions": tmp_path / "scan.dat", "positions_in": "um", "positions_columns": f"{number},{columns}"}
    files = ScanFiles(frames_file(tmp_path), probe=np.ones((H, W), np.complex64), **log)
    require_as_ptychodus(files, {"positions_transform": "flip-x,flip-y"}, expected)


def test_lcls_takes_the_events_that_are_asked_for(tmp_path):
    with h5py.File(tmp_path / "xpp.h5", "w") as file:
        file["jungfrau1M/image_img"], file["ipm2/sum"] = FRAMES, np.linspace(1500, 3500, N)
        for channel in (3, 4, 5):
            file[f"lmc/ch{channel:02}"] = RNG.uniform(-9, 9, N)
    expected = LCLSPositionFileReader().read(tmp_path / "xpp.h5")
    assert 0 < len(expected) < N
    np.savetxt(tmp_path / "events.txt", [position.index for position in expected], "%d")
    files = ScanFiles(tmp_path / "xpp.h5", probe=np.ones((H, W), np.complex64), frames=tmp_path / "events.txt")
    require_as_ptychodus(files, {"positions_transform": "flip-x,flip-y"}, expected)
