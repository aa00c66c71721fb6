"""What the command line says of files that nobody could read: one line, exit code 2, nothing left, and an end."""

import os
import subprocess
import sys

import h5py
import numpy as np
import pytest

from ptychoproduct import ExportOptions, export_product_from_npz

# The check of heaps is switched off: the watchdog is for what nobody knows yet.
HELD = """
import re, sys
from ptychoproduct_cli.main import main
import ptychoproduct.hdf5.local_links as links
links.require_sound_heaps = lambda file: None
sys.argv[1:] = {words}
main()
"""


@pytest.fixture
def product(save_scan, centered_meta, tmp_path):
    path = tmp_path / "product.h5"
    export_product_from_npz(save_scan(), path, centered_meta, options=ExportOptions(compression="none"))
    return path


def _run(program, folder):
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=120, cwd=folder
    )
    return done.returncode, done.stderr.splitlines()


@pytest.mark.skipif(sys.platform != "linux", reason="the watchdog looks at /proc")
def test_hdf5_that_loops_for_ever_is_ended_and_leaves_nothing(product, tmp_path):
    data = product.read_bytes()
    heap = data.index(b"GCOL\x01\0\0\0")
    product.write_bytes(data[: heap + 16] + bytes(16) + data[heap + 32 :])
    before = sorted(tmp_path.iterdir())
    code, lines = _run(HELD.format(words=["repack", "product.h5", "out.h5", "--compression", "zstd"]), tmp_path)
    assert (code, lines) == (
        2,
        [
            "ptychoproduct repack: error: product.h5: damaged: reading does not come to an end, or takes all memory; "
            "nothing was left behind"
        ],
    )
    assert sorted(tmp_path.iterdir()) == before


def _of_type_time(file):
    del file["loss_values"], file["costs"], file["losses"]
    space = h5py.h5s.create_simple((3,))
    h5py.h5d.create(file.id, b"loss_values", h5py.h5t.UNIX_D32LE, space)


def _of_declared_rows(file):
    del file["probe_photon_counts"]
    file.create_dataset("probe_photon_counts", (2**40,), "f8", chunks=(1024,))


@pytest.mark.parametrize("change", [_of_type_time, _of_declared_rows])
@pytest.mark.parametrize(
    "words",
    [
        ["validate", "--deep", "product.h5"],
        ["inspect", "product.h5"],
        ["import", "product.h5", "out.npz"],
        ["repack", "product.h5", "out.h5", "--compression", "zstd"],
    ],
    ids=lambda words: words[0],
)
def test_nonsense_in_a_file_is_one_line(product, tmp_path, change, words):
    with h5py.File(product, "a") as file:
        file["probe_photon_counts"] = np.ones(12)
        change(file)
    before = sorted(tmp_path.iterdir())
    code, lines = _run(f"import sys; from ptychoproduct_cli.main import main; sys.argv[1:] = {words}; main()", tmp_path)
    assert code == 2
    assert words[0] == "validate" or len(lines) == 1
    assert not any("Traceback" in line for line in lines)
    assert sorted(tmp_path.iterdir()) == before


def _flip(path, name):
    with h5py.File(path) as file:
        place = file[name].id.get_offset() or file[name].id.get_chunk_info(0).byte_offset
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("name", ["object", "probe", "probe_position_x_m"])
def test_inspect_shows_nothing_that_has_changed_as_if_it_had_not(product, run_command, name):
    assert run_command("ptychoproduct", "inspect", product).returncode == 0
    _flip(product, name)
    done = run_command("ptychoproduct", "inspect", product)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert f"/{name}: damaged: has changed since content_sha256 was written" in done.stderr


def test_inspect_warns_of_attributes_that_have_changed(product, run_command):
    with h5py.File(product, "r+") as file:
        file.attrs["name"] = "another"
    done = run_command("ptychoproduct", "inspect", product)
    assert done.returncode == 0
    assert "warning: a name, type, link, attribute or text in the file has changed since" in done.stdout


def test_plain_validate_says_that_it_has_not_read_the_frames(product, run_command):
    _flip(product, "raw_data/diffraction")
    done = run_command("ptychoproduct", "validate", product)
    assert "/raw_data/diffraction: not looked at for damage; --deep does so" in done.stdout
    assert done.returncode == 0
    assert run_command("ptychoproduct", "validate", product, "--deep").returncode == 2


def _behind_links(file, pipe):
    """Have links, and a dataset that can grow, lead to a pipe, on which HDF5 would wait for ever."""
    file["way_out"] = h5py.ExternalLink(str(pipe), "/x")
    file["raw_data/soft"] = h5py.SoftLink("/way_out")
    file["raw_data/softer"] = h5py.SoftLink("/way_out/further/on")


def _behind_a_virtual_dataset(file, pipe):
    layout = h5py.VirtualLayout((10,), "f8", maxshape=(None,))
    source = h5py.VirtualSource(str(pipe), "x", (10,), "f8", maxshape=(None,))
    layout[0 : h5py.h5s.UNLIMITED : 1] = source[0 : h5py.h5s.UNLIMITED : 1]
    file.create_virtual_dataset("raw_data/grows", layout)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
@pytest.mark.parametrize("change", [_behind_links, _behind_a_virtual_dataset])
def test_nothing_outside_the_file_is_opened_not_even_to_be_refused(product, tmp_path, run_command, change):
    os.mkfifo(tmp_path / "pipe.h5")
    with h5py.File(product, "r+") as file:
        change(file, tmp_path / "pipe.h5")
        del file.attrs["metadata_sha256"]
    for words, code in (
        (["validate", "product.h5", "--deep"], 2),
        (["inspect", "product.h5"], 0),
        (["import", "product.h5", "out.npz"], 2),
        (["repack", "product.h5", "out.h5", "--compression", "zstd"], 0),
        (["convert", "product.h5", "new.h5"], 2),
    ):
        assert run_command("ptychoproduct", *words, timeout=30).returncode == code, words


def test_names_in_a_file_do_not_steer_the_terminal(product, run_command):
    with h5py.File(product, "r+") as file:
        file["raw_data/a\x1b[31m\nb"] = 1.0
        del file.attrs["metadata_sha256"]
    for words in (
        ["validate", "product.h5", "--deep"],
        ["validate", "product.h5"],
        ["import", "product.h5", "out.npz"],
    ):
        done = run_command("ptychoproduct", *words)
        assert done.returncode == 0
        assert "\x1b" not in done.stdout + done.stderr
    assert r"a\x1b[31m" in done.stdout


def _never_written(file, name, shape, **layout):
    """Put a dataset of this shape, of which nothing is stored, in the place of another."""
    dtype = file[name].dtype if name in file else "f4"
    if name in file:
        del file[name]
    file.create_dataset(name, shape, dtype, **layout)


@pytest.mark.parametrize("layout", [{}, {"chunks": (1024, 1024)}], ids=["contiguous", "chunked"])
def test_an_array_that_is_huge_and_empty_is_one_line(product, run_command, tmp_path, layout):
    with h5py.File(product, "r+") as file:
        _never_written(file, "raw_data/more", (2**20, 2**20), **layout)
        del file.attrs["metadata_sha256"]
    for words in (
        ["import", "product.h5", "out.npz"],
        ["convert", "product.h5", "out.h5"],
        ["repack", "product.h5", "out.h5", "--compression", "none"],
    ):
        done = run_command("ptychoproduct", *words, timeout=60)
        assert done.returncode == 2
        assert len(done.stderr.splitlines()) == 1
        assert "/raw_data/more: damaged: " in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["product.h5", "scan.npz"]


@pytest.mark.parametrize("allowed", [[], ["--allow-gaps"]])
@pytest.mark.parametrize(
    ("name", "shape", "chunks"),
    [
        ("entry_1/instrument_1/detector_1/data", (2**30, 16, 16), None),
        ("entry_1/instrument_1/detector_1/data", (2**30, 16, 16), (64, 16, 16)),
        ("entry_1/instrument_1/detector_1/mask", (2**14, 2**15), None),
        ("entry_1/sample_1/geometry_1/translation", (2**28, 3), (1024, 3)),
    ],
)
@pytest.mark.usefixtures("product")
def test_a_scan_that_is_huge_and_empty_is_one_line(run_command, tmp_path, name, shape, chunks, allowed):
    assert run_command("ptychoproduct", "import", "product.h5", "scan.cxi").returncode == 0
    with h5py.File(tmp_path / "scan.cxi", "r+") as file:
        _never_written(file, name, shape, chunks=chunks)
    done = run_command("ptychoproduct", "convert", "scan.cxi", "out.h5", *allowed, timeout=60)
    assert done.returncode == 2
    assert done.stderr.endswith(f"/{name}: damaged: hardly anything of its shape {shape} is stored\n")
