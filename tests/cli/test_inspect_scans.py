"""Of files that are no products, `inspect` shows what is recognised of a scan; its command makes a product of them."""

import json
import shlex

import h5py
import numpy as np
import pytest

RNG = np.random.default_rng(12)
FRAMES = RNG.poisson(3, (12, 16, 20)).astype("u2")
X_UM, Y_UM = RNG.uniform(-2, 2, (2, 12))
PROBE = np.ones((16, 20), np.complex64)


def nanomax(path):
    with h5py.File(path, "w") as file:
        file["entry/measurement/eiger1m/frames"] = FRAMES
        file["entry/measurement/pseudo/x"], file["entry/measurement/pseudo/y"] = X_UM, Y_UM


def nsls2(path):
    with h5py.File(path, "w") as file:
        file["diffamp"], file["points"], file["prb"] = FRAMES, np.stack([X_UM, Y_UM]), PROBE
        file["ccd_pixel_um"], file["lambda_nm"], file["z_m"] = 55.0, 0.1, 0.5


def eiger(path):
    with h5py.File(path.with_name("scan_data_000001.h5"), "w") as file:
        file["entry/data/data"] = FRAMES
    with h5py.File(path, "w") as file:
        file["entry/data/data_000001"] = h5py.ExternalLink("scan_data_000001.h5", "/entry/data/data")
        detector = file.create_group("entry/instrument/detector")
        detector["detectorSpecific/pixel_mask"] = np.zeros((16, 20), "u4")
        detector["detector_distance"] = 1500.0
        detector["detector_distance"].attrs["units"] = "mm"


def pinn(path):
    np.savez(path, diff3d=FRAMES, xcoords=X_UM, ycoords=Y_UM, probeGuess=PROBE, energy_eV=8000.0)


def unknown(path):
    with h5py.File(path, "w") as file:
        file["scan/images"], file["scan/small"] = FRAMES, FRAMES[:3]


def shown(run_command, name):
    done = run_command("ptychoproduct", "inspect", name)
    assert (done.returncode, done.stderr) == (0, "")
    return " ".join(done.stdout.split())


def result(run_command, name):
    done = run_command("ptychoproduct", "inspect", name, "--json")
    assert done.returncode == 0
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("write", "name", "words"),
    [
        (nanomax, "scan.h5", ["layout MAX IV NanoMAX", "/entry/measurement/eiger1m/frames 12 x 16 x 20, uint16"]),
        (nanomax, "scan.h5", ["/entry/measurement/pseudo/x, /entry/measurement/pseudo/y 12, float64, um"]),
        (nsls2, "scan.h5", ["layout NSLS-II HXN, prepared", "probe /prb 16 x 20", "detector_distance_m 0.5 m /z_m"]),
        (nsls2, "scan.h5", ["detector_pixel_width_m 5.5e-05 m /ccd_pixel_um"]),
        (eiger, "scan_master.h5", ["layout Dectris Eiger, master file", "not in the file positions, probe"]),
        (eiger, "scan_master.h5", ["detector_distance_m 1.5 m /entry/instrument/detector/detector_distance"]),
        (pinn, "scan.npz", ["layout PtychoPINN", "frames diff3d 12 x 16 x 20", "probe_energy_eV 8000 eV energy_eV"]),
        (unknown, "scan.h5", ["none that is known", "could be frames /scan/images 12 x 16 x 20", "/scan/small"]),
    ],
)
def test_what_is_recognised_is_shown(run_command, tmp_path, write, name, words):
    write(tmp_path / name)
    text = shown(run_command, name)
    assert all(word in text for word in words), text


@pytest.mark.parametrize(
    ("write", "name"),
    [(nanomax, "a scan.h5"), (nsls2, "scan.h5"), (eiger, "master.h5"), (pinn, "s.npz"), (unknown, "u.h5")],
)
def test_the_command_makes_a_product(run_command, tmp_path, write, name):
    write(tmp_path / name)
    np.save(tmp_path / "PROBE.npy", PROBE)
    np.savetxt(tmp_path / "POSITIONS.csv", np.column_stack([X_UM, Y_UM]), delimiter=",", header="x_um,y_um")
    words = shlex.split(result(run_command, name)["command"])
    done = run_command(*words)
    assert done.returncode == 0, done.stderr
    with h5py.File(tmp_path / words[3]) as product:
        assert product["raw_data/diffraction"].shape == FRAMES.shape
        assert product["probe_position_x_m"].shape == (12,)


def test_a_file_that_is_missing_is_named(run_command, tmp_path):
    eiger(tmp_path / "master.h5")
    (tmp_path / "scan_data_000001.h5").unlink()
    assert "the data is in scan_data_000001.h5, which is not beside master.h5" in shown(run_command, "master.h5")


def test_no_link_is_followed_out_of_the_folder(run_command, tmp_path):
    (tmp_path / "inner").mkdir()
    nanomax(tmp_path / "secret.h5")
    with h5py.File(tmp_path / "inner/scan.h5", "w") as file:
        file["entry/measurement/eiger1m/frames"] = h5py.ExternalLink(
            "../secret.h5", "/entry/measurement/eiger1m/frames"
        )
    text = shown(run_command, "inner/scan.h5")
    assert "outside its folder" in text
    assert "12 x 16" not in text


def test_a_name_cannot_steer_the_terminal(run_command, tmp_path):
    with h5py.File(tmp_path / "scan.h5", "w") as file:
        file["\x1b[2Jimages"] = FRAMES
    assert "\x1b" not in run_command("ptychoproduct", "inspect", "scan.h5").stdout


def test_the_output_is_bounded(run_command, tmp_path):
    with h5py.File(tmp_path / "scan.h5", "w") as file:
        for number in range(300):
            file[f"group{number}/images"] = FRAMES
    done = run_command("ptychoproduct", "inspect", "scan.h5")
    assert len(done.stdout.splitlines()) < 20


def test_a_scan_is_not_drawn(run_command, tmp_path):
    nanomax(tmp_path / "scan.h5")
    done = run_command("ptychoproduct", "inspect", "scan.h5", "--plot", "scan.png")
    assert done.returncode != 0
    assert "--plot: draws products; scan.h5 is none" in done.stderr
