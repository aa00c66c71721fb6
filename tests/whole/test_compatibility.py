"""Which reader reads what of a product of which profile: the table of docs/compatibility.md, cell by cell."""

import functools
import re
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401 - the judge of all others reads with it
import numpy as np
import pyfive
import pytest
import zarr
from ptychodus.api.io import load_product
from silx.io import open as silx_open
from silx.io.nxdata import get_default

from ptychoproduct import ExportOptions, export_product_from_npz, reference_product
from ptychoproduct.compression.filters import can_write_szip

PAGE = Path(__file__).parents[2] / "docs" / "compatibility.md"
H5DUMP = shutil.which("h5dump")
ALL, RESULTS = "all", "all but frames"
FRAMES = "raw_data/diffraction"
NAMES = ("probe", "object", "probe_position_x_m", FRAMES)
# Reads with h5py alone what it can, of the datasets that are named on its command line, and saves their bytes.
ALONE = """
import sys, h5py, numpy
out, path, *names = sys.argv[1:]
found = {}
with h5py.File(path) as file:
    for name in names:
        try:
            found[name] = numpy.frombuffer(file[name][()].tobytes(), numpy.uint8)
        except OSError:
            pass
numpy.savez(out, **found)
"""


def by_h5py(path, name):
    with h5py.File(path) as file:
        return file[name][()].tobytes()


@functools.cache
def read_alone(path):
    out = path.with_suffix(".npz")
    subprocess.run([sys.executable, "-c", ALONE, out, path, *NAMES], check=True)
    with np.load(out) as found:
        return {name: found[name].tobytes() for name in found}


def by_h5py_alone(path, name):
    return read_alone(path).get(name)


def by_h5dump(path, name):
    command = [H5DUMP, "-d", f"/{name}", "-y", "-w", "0", "-m", "%.17g", path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    numbers = re.findall(r"-?\d[\d.e+-]*", done.stdout.partition("   DATA {")[2].partition("   ATTRIBUTE")[0])
    with h5py.File(path) as file:
        dtype = file[name].dtype
    plain = np.float32 if dtype.kind == "c" else dtype
    return np.array(numbers, plain).tobytes() if done.returncode == 0 else None


def by_silx(path, name):
    if name != FRAMES:
        with silx_open(str(path)) as file:
            return file[name][()].tobytes()
    with silx_open(str(path)) as file:
        return get_default(file).signal[()].tobytes()


def by_pyfive(path, name):
    with pyfive.File(str(path)) as file:
        try:
            return np.ascontiguousarray(file[name][...]).tobytes()
        except (NotImplementedError, ValueError, OSError):
            return None


def by_zarr(path, name):
    reference_product(path, path.with_suffix(".json"))
    options = {"fo": str(path.with_suffix(".json")), "remote_protocol": "file", "asynchronous": True}
    store = zarr.storage.FsspecStore.from_url("reference://", storage_options=options)
    return zarr.open_group(store, mode="r", zarr_format=2)[name][...].tobytes()


def by_ptychodus(path, name):
    """It reads results of a product, and frames from a patterns file only."""
    product = load_product(path)
    values = {"probe": product.probes.get_array, "object": product.object_.get_array}
    values["probe_position_x_m"] = product.probe_positions.get_coordinates_x_m
    return None if name not in values else np.squeeze(values[name]()).tobytes()


READERS = {
    "h5py with hdf5plugin": by_h5py,
    "h5py alone": by_h5py_alone,
    "h5dump 1.10 alone": by_h5dump,
    "ptychodus": by_ptychodus,
    "silx": by_silx,
    "pyfive": by_pyfive,
    "zarr, by references": by_zarr,
}


def table():
    """Give profile, reader and what the page says, of each cell."""
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    readers, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    for row in rows:
        yield from ((row[0].strip("`"), *cell) for cell in zip(readers[1:], row[1:], strict=True))


@pytest.fixture(scope="module")
def products(tmp_path_factory):
    """A function that gives the products of a profile: of amplitudes, and of counts."""
    folder, made, rng = tmp_path_factory.mktemp("products"), {}, np.random.default_rng(3)
    counts = rng.poisson(3, (12, 16, 16)).astype(np.uint16)
    picture = (rng.standard_normal((16, 16)) + 1j).astype(np.complex64)

    def get(profile):
        if profile not in made:
            made[profile] = []
            for frames in (counts, np.sqrt(counts.astype(np.float32))):
                scan = {"xcoords": rng.uniform(0, 9, 12), "ycoords": rng.uniform(0, 9, 12), "diff3d": frames}
                np.savez(folder / "scan.npz", **scan, probeGuess=picture, objectGuess=np.pad(picture, 20))
                path = folder / f"{re.sub('[^a-z]', '', profile)}-{frames.dtype}.h5"
                export_product_from_npz(folder / "scan.npz", path, options=ExportOptions(compression=profile))
                made[profile].append(path)
        return made[profile]

    return get


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("profile", "reader", "said"), [pytest.param(*cell, id="-".join(cell[:2])) for cell in table()]
)
def test_a_cell(products, profile, reader, said):
    if reader == "h5dump 1.10 alone" and H5DUMP is None:
        pytest.skip("h5dump is not installed")
    if profile == "szip" and not can_write_szip():
        pytest.skip("this h5py has no szip")
    for path in products(profile):
        expected = {name: by_h5py(path, name) for name in NAMES}
        found = {name: READERS[reader](path, name) for name in expected}
        assert said in (ALL, RESULTS)
        assert found == (expected if said == ALL else {**expected, FRAMES: None}), path.name


def test_the_table_has_every_reader_and_profile():
    from ptychoproduct.compression.profiles import PROFILES

    cells = [cell[:2] for cell in table()]
    fixed = {name for name in PROFILES if not name.startswith("auto")} | {"none", "szip"}
    assert set(cells) == {(profile, reader) for profile in fixed for reader in READERS}
