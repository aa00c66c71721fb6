"""Positions come from files of many kinds, those of ptychodus among them, and are the same in the product."""

import warnings

import h5py
import numpy as np
import pytest
from ptychodus.api.geometry import PixelGeometry
from ptychodus.api.io import save_ptychopinn_training_data, save_training_data
from ptychodus.api.object import Object, ObjectCenter
from ptychodus.api.plugins import PluginRegistry
from ptychodus.api.probe import ProbeSequence
from ptychodus.api.probe_positions import ProbePosition, ProbePositionSequence
from ptychodus.api.product import Product, ProductMetadata
from ptychodus.api.reconstruct import ReconstructInput

from ptychoproduct import ExportMeta, ProductWarning, ScanFiles, export_product_from_files

N, PX, PIXEL_M = 12, 16, 5e-8
RNG = np.random.default_rng(3)
X_M, Y_M = RNG.uniform(-1e-6, 1e-6, (2, N))
X_PX, Y_PX = RNG.uniform(8, 56, (2, N))
FRAMES = RNG.poisson(3, (N, PX, PX)).astype("<u2")
PROBE = (RNG.standard_normal((PX, PX)) + 1j).astype(np.complex64)
META = ExportMeta(object_pixel_width_m=PIXEL_M, object_pixel_height_m=PIXEL_M)
REGISTRY = PluginRegistry.load_plugins()
POSITION_WRITERS = {plugin.simple_name: plugin.strategy for plugin in REGISTRY.probe_position_file_writers}
PRODUCT_WRITERS = {plugin.simple_name: plugin.strategy for plugin in REGISTRY.product_file_writers}
SUFFIXES = {"CSV": "csv", "TXT": "txt", "CXI": "cxi", "NPZ": "npz", "HDF5": "h5"}


def ptychodus_product(numbers):
    return Product(
        metadata=ProductMetadata("scan", "", 1.0, 8000.0, 0.0, 0.0, 0.0, 0.0),
        probe_positions=ProbePositionSequence(
            [ProbePosition(number, x, y) for number, x, y in zip(numbers, X_M.tolist(), Y_M.tolist(), strict=True)]
        ),
        probes=ProbeSequence(PROBE[None], None, PixelGeometry(PIXEL_M, PIXEL_M)),
        object_=Object(np.ones((1, 64, 64), complex), PixelGeometry(PIXEL_M, PIXEL_M), ObjectCenter(0.0, 0.0), []),
        losses=[],
    )


def convert(folder, positions, frames="npy", **options):
    """Return positions in metres as h5py has them, and what was warned of."""
    if frames == "npy":
        np.save(folder / "frames.npy", FRAMES)
        path = folder / "frames.npy"
    else:
        with h5py.File(folder / "frames.h5", "w") as file:
            file["patterns"] = FRAMES
        path = folder / "frames.h5"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ProductWarning)
        export_product_from_files(ScanFiles(path, positions=positions, probe=PROBE, **options), folder / "p.h5", META)
    with h5py.File(folder / "p.h5") as file:
        found = file["probe_position_x_m"][()], file["probe_position_y_m"][()]
    return found, " ".join(str(warning.message) for warning in caught)


def test_nothing_that_ptychodus_can_write_is_left_out():
    assert set(POSITION_WRITERS) | set(PRODUCT_WRITERS) == set(SUFFIXES)


@pytest.mark.parametrize("frames", ["npy", "h5"])
@pytest.mark.parametrize("name", POSITION_WRITERS)
def test_positions_written_by_ptychodus_come_back(tmp_path, name, frames):
    path = tmp_path / f"positions.{SUFFIXES[name]}"
    POSITION_WRITERS[name].write(path, ptychodus_product(range(N)).probe_positions)
    (x_m, y_m), told = convert(tmp_path, path, frames)
    np.testing.assert_allclose([x_m, y_m], [X_M, Y_M], rtol=1e-15, atol=0)
    assert "in metres, as ptychodus writes them" in told
    assert "positions_columns" in told


@pytest.mark.parametrize("frames", ["npy", "h5"])
@pytest.mark.parametrize("numbers", [np.arange(N), np.random.default_rng(2).permutation(N)], ids=["in order", "not"])
@pytest.mark.parametrize("name", PRODUCT_WRITERS)
def test_products_written_by_ptychodus_give_each_frame_the_position_of_its_number(tmp_path, name, numbers, frames):
    path = tmp_path / f"product.{SUFFIXES[name]}"
    PRODUCT_WRITERS[name].write(path, ptychodus_product(numbers.tolist()))
    (x_m, y_m), _ = convert(tmp_path, path, frames)
    order = np.argsort(numbers)
    np.testing.assert_allclose([x_m, y_m], [X_M[order], Y_M[order]], rtol=1e-15, atol=0)


@pytest.mark.parametrize("name", ["ptychopinn.npz", "training.h5"])
def test_training_data_of_ptychodus_have_pixels_from_the_objects_corner(tmp_path, name):
    save = save_ptychopinn_training_data if name.endswith("npz") else save_training_data
    save(tmp_path / name, ReconstructInput(FRAMES, np.zeros((PX, PX), bool), ptychodus_product(range(N))))
    (x_m, y_m), _ = convert(tmp_path, tmp_path / name)
    corner_m = -(64 - 1) / 2 * PIXEL_M
    np.testing.assert_allclose([x_m + corner_m, y_m + corner_m], [X_M, Y_M], rtol=1e-12, atol=1e-20)


def written(folder):
    """Positions in pixels, in files of all kinds; what has to be said beside each."""
    x, y, numbers = X_PX, Y_PX, np.arange(N)

    def table(name, columns, delimiter=",", header="", **options):
        np.savetxt(folder / name, np.stack(columns, 1), "%.17g", delimiter, header=header, comments="", **options)
        return folder / name

    rows = [(format(a, ".17g"), format(b, ".17g")) for a, b in zip(x, y, strict=True)]
    (folder / "quoted.csv").write_text("".join(f'"{a}","{b}"\n' for a, b in [("X [px]", "Y [px]"), *rows]))
    np.savetxt(folder / "default.txt", np.c_[x, y])
    np.savetxt(folder / "comment.txt", np.c_[y, x], header="y x")
    np.save(folder / "n2.npy", np.c_[x, y])
    np.save(folder / "2n.npy", np.stack([y, x]))
    np.savez(folder / "rest.npz", xcoords=x, ycoords=y)
    with h5py.File(folder / "rest.h5", "w") as file:
        file["xcoords"], file["ycoords"] = x, y
    shuffled = np.random.default_rng(5).permutation(N)
    return {
        "comma, header": (table("comma.csv", (x, y), header="x,y"), None),
        "comma, other order": (table("other.csv", (y, x), header="ycoords,xcoords"), None),
        "no header, named": (table("bare.csv", (y, x)), "y,x"),
        "tab": (table("tab.tsv", (x, y), "\t", "x_px\ty_px"), None),
        "semicolon": (table("semicolon.csv", (x, y), ";", "X (px);Y (px)"), None),
        "blanks": (folder / "default.txt", "x,y"),
        "comment": (folder / "comment.txt", None),
        "quotes": (folder / "quoted.csv", None),
        "index": (table("index.csv", (numbers, x, y), header=",x,y"), None),
        "index, rows out of order": (
            table("mixed.csv", (shuffled, x[shuffled], y[shuffled]), header="index,x,y"),
            None,
        ),
        "array [N, 2]": (folder / "n2.npy", "x,y"),
        "array [2, N]": (folder / "2n.npy", "y,x"),
        "NPZ": (folder / "rest.npz", None),
        "HDF5": (folder / "rest.h5", None),
    }


PROVENANCE = ("metadata_sha256", "program_options", "source_files")


def content(path):
    """All datasets and attributes of a file as h5py has them."""
    found = {}

    def visit(name, item):
        found[name] = {key: np.asarray(value).tolist() for key, value in item.attrs.items() if key not in PROVENANCE}
        if isinstance(item, h5py.Dataset):
            found[name] |= {"": (str(item.dtype), item[()].tolist())}

    with h5py.File(path) as file:
        visit("/", file)
        file.visititems(visit)
    return found


def test_positions_in_files_of_all_kinds_give_one_and_the_same_product(tmp_path):
    first = None
    for name, (path, columns) in written(tmp_path).items():
        (x_m, y_m), told = convert(tmp_path, path, positions_columns=columns)
        assert np.array_equal(x_m, X_PX * PIXEL_M), name
        assert np.array_equal(y_m, Y_PX * PIXEL_M), name
        assert "column" not in told, name
        found = content(tmp_path / "p.h5")
        found.pop("raw_data/scan_index", None)
        first = first or found
        assert found == first, name


@pytest.mark.parametrize("unit", ["m", "mm", "um", "nm"])
def test_units_give_the_same_positions(tmp_path, unit):
    factor = PIXEL_M / {"m": 1, "mm": 1e-3, "um": 1e-6, "nm": 1e-9}[unit]
    np.savetxt(
        tmp_path / "p.csv", np.c_[X_PX, Y_PX] * factor, "%.17g", ",", header=f"x ({unit}),y ({unit})", comments=""
    )
    (x_m, y_m), told = convert(tmp_path, tmp_path / "p.csv")
    np.testing.assert_allclose([x_m, y_m], [X_PX * PIXEL_M, Y_PX * PIXEL_M], rtol=1e-14)
    assert "positions-" not in told


def test_the_command_says_what_it_takes_and_takes_what_is_said(run_command, tmp_path):
    np.save(tmp_path / "frames.npy", FRAMES)
    np.save(tmp_path / "probe.npy", PROBE)
    np.savetxt(tmp_path / "yx.txt", np.c_[Y_PX, X_PX])
    words = ("convert", "frames.npy", "p.h5", "--positions", "yx.txt", "--probe", "probe.npy")
    assumed = run_command("ptychoproduct", *words)
    assert "taken as x, y (--positions-columns decides)" in assumed.stderr
    named = run_command("ptychoproduct", *words, "--positions-columns", "y,x", "--object-pixel-size-m", str(PIXEL_M))
    assert (named.returncode, "--positions-columns" in named.stderr) == (0, False)
    with h5py.File(tmp_path / "p.h5") as file:
        assert np.array_equal(file["probe_position_x_m"], X_PX * PIXEL_M)
    wrong = run_command("ptychoproduct", *words, "--positions-columns", "a,b")
    assert (wrong.returncode, len(wrong.stderr.splitlines())) == (2, 1)
    assert "'a,b' does not name one x and one y" in wrong.stderr
