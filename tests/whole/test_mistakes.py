"""The commonest mistakes on the command line: each gives an error or a warning that names the cure.

A table of commands, with what must be said. Where a command ends with 0, the mistake is a warning.
"""

import shlex

import h5py
import numpy as np
import pytest

# Mistake, command, exit code, what the message must name: the cure, as a person would copy it.
MISTAKES = [
    ("energy in keV", "convert scan.npz out.h5 --probe-energy-eV 8", 0, "--probe-energy-eV 8000"),
    ("distance in mm", "convert scan.npz out.h5 --detector-distance-m 2000", 0, "--detector-distance-m 2"),
    (
        "detector pixel in um",
        "convert scan.npz out.h5 --detector-pixel-size-m 75",
        0,
        "--detector-pixel-size-m 7.5e-05",
    ),
    ("object pixel in nm", "convert scan.npz out.h5 --object-pixel-size-m 50", 0, "--object-pixel-size-m 5e-08"),
    ("a time below zero", "convert scan.npz out.h5 --exposure-time-s -1", 2, "--exposure-time-s"),
    ("a unit that there is not", "convert scan.npz out.h5 --probe-energy-eV 8kV", 2, "such as 8000 (eV) or 8keV"),
    ("a decimal comma", "convert scan.npz out.h5 --detector-distance-m 2,5", 2, "such as 2 (metres), 2000mm"),
    ("import for convert", "import scan.npz new.h5", 2, "ptychoproduct convert scan.npz new.h5"),
    ("convert for import", "convert product.h5 new.npz", 2, "ptychoproduct import product.h5 new.npz"),
    ("files in the wrong order", "convert out.h5 scan.npz", 2, "ptychoproduct import out.h5 scan.npz"),
    ("no output", "convert scan.npz", 2, "PRODUCT.h5"),
    ("output of another kind", "convert scan.npz out.npz", 2, ".h5"),
    ("a scan that is not there", "convert sacn.npz out.h5", 2, "sacn.npz: no such file"),
    ("no probe", "convert noprobe.npz out.h5", 2, "--probe"),
    ("no positions", "convert frames.npy out.h5 --probe probe.npy", 2, "--positions"),
    ("positions in um", "convert micrometres.npz out.h5", 0, "--positions-in um"),
    ("positions in m", "convert metres.npz out.h5", 0, "--positions-in"),
    (
        "columns without names",
        "convert frames.npy out.h5 --probe probe.npy --positions xy.csv",
        0,
        "--positions-columns",
    ),
    ("positions of another scan", "convert frames.npy out.h5 --probe probe.npy --positions short.csv", 2, "30"),
    ("files exchanged", "convert frames.npy out.h5 --probe xy.csv --positions probe.npy", 2, "table of positions"),
    (
        "frames in the wrong axis order",
        "convert scan.npz out.h5 --axis-order HWN",
        2,
        "--axis-order: HWN makes 32 frames",
    ),
    ("a probe cut off", "convert tall.npz out.h5", 0, "24 x 32"),
    ("--dataset of an NPZ file", "convert scan.npz out.h5 --dataset diff3d", 2, "applies to HDF5 files"),
    ("frames at another place", "convert scan.h5 out.h5", 2, "--dataset"),
    ("a dataset that is not there", "convert scan.h5 out.h5 --dataset a/c", 2, "/a/b"),
    ("a codec misspelt", "convert scan.npz out.h5 --compression gzip9", 2, "gzip:4"),
    ("a level that there is not", "convert scan.npz out.h5 --compression zstd:99", 2, "perhaps zstd:22"),
    ("a command misspelt", "covert scan.npz out.h5", 2, "did you mean 'convert'"),
    ("an option misspelt", "convert scan.npz out.h5 --compresion zstd", 2, "--compression"),
    (
        "bad pixels of another kind",
        "convert scan.npz out.h5 --diffraction-output d.h5 --bad-pixels probe.npy",
        2,
        "bad_pixels",
    ),
    ("validate of a scan", "validate scan.npz", 1, "NPZ"),
    ("inspect of a scan", "inspect frames.npy", 2, "NPY"),
    ("import of another HDF5 file", "import scan.h5 back.npz", 2, "not a"),
    ("validate against another scan", "validate product.h5 --source-npz other.npz", 2, "xcoords"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Everything that the commands are tried on; the geometry of the scan is right."""
    folder = tmp_path_factory.mktemp("mistakes")
    rng = np.random.default_rng(4)
    x, y = rng.uniform(8, 24, (2, 40))
    frames = np.sqrt(rng.poisson(3, (40, 32, 32))).astype(np.float32)
    probe = (rng.standard_normal((32, 32)) + 1j).astype(np.complex64)
    scan = {"xcoords": x, "ycoords": y, "diff3d": frames, "probeGuess": probe}
    scan["objectGuess"] = np.ones((96, 96), np.complex64)
    for name, changes in {
        "scan": {},
        "micrometres": {"xcoords": x * 0.05, "ycoords": y * 0.05},
        "metres": {"xcoords": x * 5e-8, "ycoords": y * 5e-8},
        "other": {"xcoords": y, "ycoords": x},
        "tall": {"probeGuess": probe[:24]},
    }.items():
        np.savez(folder / f"{name}.npz", **scan | changes)
    np.savez(folder / "noprobe.npz", **{key: value for key, value in scan.items() if key != "probeGuess"})
    np.save(folder / "frames.npy", frames)
    np.save(folder / "probe.npy", probe)
    np.savetxt(folder / "xy.csv", np.c_[x, y], delimiter=",")
    np.savetxt(folder / "short.csv", np.c_[x, y][:30], delimiter=",", header="x,y", comments="")
    with h5py.File(folder / "scan.h5", "w") as file:
        file["a/b"], file["xcoords"], file["ycoords"], file["probeGuess"] = frames, x, y, probe
    return folder


@pytest.mark.parametrize(("mistake", "command", "code", "cure"), MISTAKES, ids=[row[0] for row in MISTAKES])
def test_a_mistake_is_answered_with_its_cure(run_command, folder, mistake, command, code, cure):
    del mistake
    if "product.h5" in command and not (folder / "product.h5").exists():
        assert run_command("ptychoproduct", "convert", "scan.npz", "product.h5", cwd=folder).returncode == 0
    before = sorted(folder.iterdir())
    result = run_command("ptychoproduct", *shlex.split(command), cwd=folder)
    assert result.returncode == code, result
    assert cure in result.stderr + result.stdout, result
    assert "Traceback" not in result.stderr
    (folder / "out.h5").unlink(missing_ok=True)
    assert sorted(folder.iterdir()) == before
