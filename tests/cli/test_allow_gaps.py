"""Frames that a source declares and does not have are told by every command."""

import h5py
import numpy as np
import pytest

FILL = {
    "chunks": lambda file: file.create_dataset("dp", (12, 16, 16), "u2", chunks=(1, 16, 16)),
    "raw": lambda file: file.create_dataset("dp", (12, 16, 16), "u2", external=[("raw.bin", 0, 12 * 512)]),
}


@pytest.fixture(params=FILL)
def scan(tmp_path, request):
    """A scan of which the last four frames are in no file."""
    frames = np.random.default_rng(1).poisson(3, (12, 16, 16)).astype("u2")
    (tmp_path / "raw.bin").write_bytes(frames[:8].tobytes())
    with h5py.File(tmp_path / "scan.h5", "w") as file:
        dataset = FILL[request.param](file)
        if request.param == "chunks":
            dataset[:8] = frames[:8]
        file["ppX"], file["ppY"] = np.arange(12) * 1e-6, np.arange(12) * 1e-6
        file["probe"] = np.ones((16, 16), np.complex64)
    frames[8:] = 0
    return tmp_path / "scan.h5", frames


@pytest.mark.parametrize("command", ["convert", "tune", "validate"])
def test_every_command_that_reads_frames_tells(run_command, scan, command):
    path, frames = scan
    words = {
        "convert": ("scan.h5", "new.h5"),
        "tune": ("scan.h5", "--seconds", "0.1"),
        "validate": ("new.h5", "--source", "scan.h5"),
    }[command]
    if command == "validate":
        assert run_command("ptychoproduct", "convert", "scan.h5", "new.h5", "--allow-gaps").returncode == 0
    failed = run_command("ptychoproduct", command, *words)
    assert failed.returncode != 0
    assert "/dp: frames 8 to 11 " in failed.stderr + failed.stdout
    assert "--allow-gaps" in failed.stderr + failed.stdout
    told = run_command("ptychoproduct", command, *words, "--allow-gaps")
    assert told.returncode == 0, told.stderr
    assert "frames 8 to 11 " in told.stderr
    assert "zeros take their place" in told.stderr
    if command != "tune":
        with h5py.File(path.with_name("new.h5")) as file:
            assert np.array_equal(file["raw_data/diffraction"][:], frames)


def test_allow_gaps_without_a_source_to_validate_with(run_command):
    failed = run_command("ptychoproduct", "validate", "new.h5", "--allow-gaps")
    assert failed.returncode == 1
    assert "--allow-gaps: describes the scan to compare with" in failed.stderr


def test_import_tells_which_frames_a_product_never_got(run_command, save_scan, tmp_path):
    save_scan()
    assert run_command("ptychoproduct", "convert", "scan.npz", "new.h5").returncode == 0
    with h5py.File(tmp_path / "new.h5", "r+") as file:
        frames = file["raw_data/diffraction"]
        attributes, array = dict(frames.attrs), frames[:]
        del file["raw_data/diffraction"]
        new = file.create_dataset("raw_data/diffraction", array.shape, array.dtype, chunks=(1, 16, 16))
        new[:5] = array[:5]
        new.attrs.update(attributes)
    problem = "/raw_data/diffraction: damaged: frames 5 to 5: chunk (5, 0, 0) is not stored, and 6 more"
    done = run_command("ptychoproduct", "import", "new.h5", "back.npz")
    assert (done.returncode, problem in done.stderr) == (2, True)
    checked = run_command("ptychoproduct", "validate", "new.h5")
    assert (checked.returncode, f"error: {problem}" in checked.stdout) == (2, True)
    done = run_command("ptychoproduct", "import", "new.h5", "back.npz", "--accept-damage")
    assert (done.returncode, problem in done.stderr) == (3, True)
    assert "/raw_data/diffraction: damaged: frames 5 to 11 are lost, and have the fill value" in done.stderr
    assert np.array_equal(np.load(tmp_path / "back.npz")["diff3d"], np.r_[array[:5], np.zeros((7, 16, 16))])


@pytest.mark.parametrize("kind", ["virtual", "chunks"])
def test_positions_that_no_file_has(run_command, tmp_path, kind):
    x_m = np.arange(12) * 1e-6
    with h5py.File(tmp_path / "scan.h5", "w") as file:
        file["dp"], file["ppX"], file["probe"] = np.ones((12, 16, 16), "u2"), x_m, np.ones((16, 16), np.complex64)
        if kind == "chunks":
            file.create_dataset("ppY", (12,), float, chunks=(4,))[:8] = x_m[:8]
        else:
            with h5py.File(tmp_path / "y.h5", "w") as other:
                other["y"] = x_m[:8]
            layout = h5py.VirtualLayout((12,), float)
            layout[:8] = h5py.VirtualSource("y.h5", "y", (8,))
            file.create_virtual_dataset("ppY", layout)
    failed = run_command("ptychoproduct", "convert", "scan.h5", "new.h5")
    where = {"virtual": "are mapped to no file", "chunks": "were never written to scan.h5"}[kind]
    assert failed.returncode == 2
    assert f"/ppY: positions 8 to 11 {where}; copy or record the data again\n" in failed.stderr
    told = run_command("ptychoproduct", "convert", "scan.h5", "new.h5", "--allow-gaps")
    assert told.returncode == 0
    assert told.stderr.count("8 to 11") == 1
    assert f"/ppY: positions 8 to 11 {where}, zeros take their place" in told.stderr
