"""Files that are something else than a command takes are named as what they are, with what to do."""

import os

import h5py
import numpy as np
import pytest

FRAMES = np.random.default_rng(3).poisson(3, (12, 16, 16)).astype("u2")


def write(path, **datasets):
    with h5py.File(path, "w") as file:
        for name, value in datasets.items():
            file[name.replace("__", "/")] = value


@pytest.mark.parametrize("command", ["import", "validate"])
def test_a_scan_in_hdf5_is_not_a_product(run_command, tmp_path, command):
    write(tmp_path / "my scan.h5", dp=FRAMES, ppX=np.arange(12.0), ppY=np.arange(12.0))
    done = run_command("ptychoproduct", command, "my scan.h5", *(["new.npz"] if command == "import" else []))
    assert done.returncode != 0
    words = "is not a ptychodus product (there is no dataset 'probe'); to make one: "
    assert f"{words}ptychoproduct convert 'my scan.h5' NEW.h5" in done.stderr + done.stdout


@pytest.mark.parametrize(
    "words",
    [
        ("convert", "scan", "new.h5"),
        ("tune", "scan"),
        ("import", "scan", "new.npz"),
        ("validate", "scan"),
        ("inspect", "scan"),
        ("repack", "scan", "new.h5", "--compression", "fast"),
    ],
    ids=lambda words: words[0],
)
@pytest.mark.parametrize("kind", ["BLO", "pipe"])
def test_every_command_names_another_kind_of_file(run_command, tmp_path, words, kind):
    (tmp_path / "scan").write_bytes(b"IMGBLO" + bytes(500)) if kind == "BLO" else os.mkfifo(tmp_path / "scan")
    done = run_command("ptychoproduct", *words)
    problem = "this is a BLO file, not an" if kind == "BLO" else "this is a pipe or a device; save the data in a file"
    assert done.returncode != 0
    assert f"ptychoproduct {words[0]}: error: scan: {problem}" in done.stderr
    assert done.stderr.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scan"]


def test_standard_input_is_a_pipe(run_command):
    done = run_command("ptychoproduct", "convert", "/dev/stdin", "new.h5", input="x")
    assert (done.returncode, "/dev/stdin: this is a pipe" in done.stderr) == (2, True)


def test_a_usual_path_that_is_no_stack_is_passed_by(run_command, tmp_path):
    total = FRAMES.sum(axis=(1, 2)).reshape(3, 4)
    write(
        tmp_path / "scan.nxs",
        entry__data__data=total,
        entry__instrument__detector__data=FRAMES,
        xcoords=np.arange(12.0),
        ycoords=np.arange(12.0),
        probe=np.ones((16, 16), np.complex64),
    )
    assert run_command("ptychoproduct", "convert", "scan.nxs", "new.h5", "--compression", "portable").returncode == 0
    with h5py.File(tmp_path / "new.h5") as file:
        assert np.array_equal(file["raw_data/diffraction"][:], FRAMES)
    write(tmp_path / "total.nxs", entry__data__data=total)
    done = run_command("ptychoproduct", "convert", "total.nxs", "new.h5")
    assert "/entry/data/data: found shape (3, 4)" in done.stderr


def test_a_linked_detector_file_that_is_not_there_is_named(run_command, tmp_path):
    write(
        tmp_path / "m.nxs",
        entry__det__data=h5py.ExternalLink("m_data_000001.h5", "/entry/data/data"),
        entry__sample__orientation=np.ones((1, 3, 3)),
    )
    done = run_command("ptychoproduct", "convert", "m.nxs", "new.h5")
    words = (
        "m_data_000001.h5, which the file links to, is not beside it: copy it there; no other dataset could be frames"
    )
    assert words in done.stderr
    done = run_command("ptychoproduct", "convert", "m.nxs", "new.h5", "--dataset", "/entry/det/data")
    assert "/entry/det/data: the data is in m_data_000001.h5, which is not beside m.nxs; copy it there" in done.stderr


def test_suggestions_are_what_could_be_frames(run_command, tmp_path):
    others = {f"d{number}": FRAMES[: 2 + number] for number in range(9)}
    write(tmp_path / "scan.h5", complex=FRAMES * 1j, one=FRAMES[:1], matrix=np.ones((1, 3, 3)), **others)
    done = run_command("ptychoproduct", "convert", "scan.h5", "new.h5")
    listed = ", ".join(f"/d{number} {(2 + number, 16, 16)}" for number in range(8, 0, -1))
    assert f"there are no frames where they usually are; give --dataset one of {listed};" in done.stderr
