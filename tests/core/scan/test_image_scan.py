"""Frames in TIFF, CBF and EDF files, written with tifffile and fabio, become products with the same frames."""

import re
import sys

import h5py
import hdf5plugin  # noqa: F401 - h5py reads the products with it
import numpy as np
import pytest
import tifffile
from fabio.cbfimage import CbfImage
from fabio.edfimage import EdfImage

from ptychoproduct import OptionError, ProductWarning, ScanFiles, SourceError, export_product_from_files

pytestmark = pytest.mark.filterwarnings("ignore::ptychoproduct.errors.ProductWarning")
N, H, W = 12, 9, 14
RNG = np.random.default_rng(4)
FRAMES = RNG.poisson(3, (N, H, W)).astype(np.uint16)
X_M, Y_M = RNG.uniform(-2e-6, 2e-6, (2, N))
PROBE = (RNG.standard_normal((H, W)) + 1j).astype(np.complex64)


def write_tiff(path, frame, **options):
    tifffile.imwrite(path.with_suffix(".tif"), frame, **options)


def write_cbf(path, frame):
    CbfImage(data=frame.astype(np.int32)).write(str(path.with_suffix(".cbf")))


def write_edf(path, frame):
    EdfImage(data=frame).write(str(path.with_suffix(".edf")))


WRITERS = {"tif": write_tiff, "cbf": write_cbf, "edf": write_edf}


@pytest.fixture
def series(tmp_path):
    """Writes a file a frame, a_1 to a_12, and returns the folder."""

    def write(kind, frames=FRAMES, **options):
        folder = tmp_path / "frames"
        folder.mkdir()
        for number, frame in enumerate(frames, 1):
            WRITERS[kind](folder / f"a_{number}", frame, **options)
        return folder

    return write


def convert(path, **others):
    product = path.parent / "product.h5"
    files = ScanFiles(path, positions=(X_M, Y_M), positions_in="m", **{"probe": PROBE} | others)
    return product, export_product_from_files(files, product)


def frames_of(product):
    with h5py.File(product) as file:
        return file["raw_data/diffraction"][()]


@pytest.mark.parametrize("kind", WRITERS)
def test_a_folder_is_a_scan_in_the_order_of_numbers(series, kind):
    folder = series(kind)
    (folder / "positions.csv").write_text("x,y\n")
    product, summary = convert(folder)
    assert np.array_equal(frames_of(product), FRAMES)
    assert summary.notes == (
        f"12 frames of 12 files, in the order of the numbers in their names, a_1.{kind} to a_12.{kind}",
    )


@pytest.mark.parametrize(
    "options", [{"compression": "zlib"}, {"byteorder": ">"}, {"bigtiff": True}, {"tile": (16, 16)}]
)
def test_ways_to_store_a_tiff(series, options):
    assert np.array_equal(frames_of(convert(series("tif", **options))[0]), FRAMES)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint32", "int32", "float32", "float64"])
@pytest.mark.parametrize("kind", ["tif", "edf"])
def test_types_are_kept(series, kind, dtype):
    found = frames_of(convert(series(kind, FRAMES.astype(dtype)))[0])
    assert found.dtype == dtype
    assert np.array_equal(found, FRAMES)


def test_edf_of_other_machines(series):
    """fabio, which reads them too, writes in this machine's order of bytes only."""
    folder = series("edf")
    for path, frame in zip(sorted(folder.iterdir(), key=lambda path: int(path.stem[2:])), FRAMES, strict=True):
        start = path.read_bytes()[: -frame.nbytes].replace(b"LowByteFirst ", b"HighByteFirst")
        path.write_bytes(start + frame.astype(">u2").tobytes())
        assert np.array_equal(EdfImage().read(str(path)).data, frame)
    assert np.array_equal(frames_of(convert(folder)[0]), FRAMES)


def test_a_tiff_of_many_pages(tmp_path):
    tifffile.imwrite(tmp_path / "stack.tif", FRAMES)
    product, summary = convert(tmp_path / "stack.tif")
    assert np.array_equal(frames_of(product), FRAMES)
    assert summary.notes == ("12 frames of one file",)


def test_files_of_several_frames(tmp_path):
    """Two files of EDF frames, seven and five."""
    (tmp_path / "frames").mkdir()
    for number, frames in enumerate(np.split(FRAMES, [7])):
        image = EdfImage(data=frames[0])
        for frame in frames[1:]:
            image.append_frame(data=frame)
        image.write(str(tmp_path / "frames" / f"part{number}.edf"))
    assert np.array_equal(frames_of(convert(tmp_path / "frames")[0]), FRAMES)


def test_a_pattern_of_names_and_a_selection(series):
    folder = series("tif")
    tifffile.imwrite(folder / "dark_1.tif", np.zeros((4, 4)))
    product, _ = convert(folder / "a_*.tif", frames="2:9:3", crop=(4, 6), probe=PROBE[:4, :6])
    assert np.array_equal(frames_of(product), FRAMES[2:9:3, 2:6, 4:10])


def test_a_mask_in_a_tiff(series):
    mask = (RNG.uniform(size=(H, W)) < 0.1).astype(np.uint8)
    folder = series("cbf")
    tifffile.imwrite(folder.parent / "mask.tif", mask)
    with h5py.File(convert(folder, mask=folder.parent / "mask.tif")[0]) as file:
        assert np.array_equal(file["raw_data/bad_pixels"], mask)


@pytest.mark.parametrize(
    ("other", "found"),
    [
        (FRAMES[0].astype(np.float32), rf"float32 \({H}, {W}\)"),
        (FRAMES[0].T.copy(), rf"uint16 \({W}, {H}\)"),
    ],
)
def test_files_of_another_size_or_type_are_named(series, other, found):
    folder = series("tif")
    write_tiff(folder / "a_7", other)
    with pytest.raises(SourceError, match=rf"a_7\.tif: .* found {found}, expected uint16 \({H}, {W}\), as in a_1\.tif"):
        convert(folder)


def test_pages_of_another_size_are_an_error(tmp_path):
    with tifffile.TiffWriter(tmp_path / "stack.tif") as file:
        for frame in (*FRAMES[:-1], FRAMES[0].T.copy()):
            file.write(frame, contiguous=False, metadata=None)
    with pytest.raises(SourceError, match=r"stack\.tif: frame 11 is another"):
        convert(tmp_path / "stack.tif")


def stack_of(path, kind):
    """All frames in one file, its data behind or before the directories."""
    if kind == "pages":
        tifffile.imwrite(path, FRAMES)
    else:
        with tifffile.TiffWriter(path) as file:
            for frame in FRAMES:
                file.write(frame, contiguous=False, metadata=None)


@pytest.mark.parametrize("kind", ["pages", "pages one by one", *WRITERS])
@pytest.mark.parametrize("part", [0.99, 0.6, 0.2, 0.01])
def test_files_that_end_early_are_named(series, tmp_path, kind, part):
    if kind in WRITERS:
        path = series(kind) / f"a_5.{kind}"
        source = path.parent
    else:
        source = path = tmp_path / "stack.tif"
        stack_of(path, kind)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])
    if kind == "cbf" and part == 0.99:
        assert np.array_equal(frames_of(convert(source)[0]), FRAMES)  # no byte of the frame is missing
        return
    with pytest.raises(SourceError, match=path.name.replace(".", r"\.")):
        convert(source)


def test_a_changed_byte_of_a_cbf_is_an_error(series):
    folder = series("cbf")
    content = bytearray((folder / "a_3.cbf").read_bytes())
    content[content.index(b"\x0c\x1a\x04\xd5") + 20] ^= 1
    (folder / "a_3.cbf").write_bytes(content)
    with pytest.raises(SourceError, match=r"a_3\.cbf: its data are incomplete or have changed"):
        convert(folder)


def test_the_header_of_a_pilatus_is_read(series):
    """As the detector writes it between the start of the file and the frame; fabio reads the file still."""
    folder = series("cbf")
    lines = [
        "# Pixel_size 172e-6 m x 150e-6 m",
        "# Exposure_time 0.095 s",
        "# Detector_distance 2.5 m",
        "# Wavelength 1.5 A",
    ]
    header = "\n".join(
        ['_array_data.header_convention "PILATUS_1.2"', "_array_data.header_contents", ";", *lines, ";", ""]
    )
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes().replace(b"_array_data.data", header.encode() + b"\n_array_data.data", 1))
    assert np.array_equal(CbfImage().read(str(folder / "a_1.cbf")).data, FRAMES[0])
    with h5py.File(convert(folder)[0]) as file:
        assert (file.attrs["detector_pixel_width_m"], file.attrs["detector_pixel_height_m"]) == (172e-6, 150e-6)
        assert (file.attrs["detector_object_distance_m"], file.attrs["exposure_time_s"]) == (2.5, 0.095)
        assert np.isclose(file.attrs["photon_energy_eV"], 6.62607015e-34 * 299792458 / 1.602176634e-19 / 1.5e-10)


def test_data_in_another_file_are_not_read(series):
    folder = series("edf")
    content = (folder / "a_1.edf").read_bytes()
    (folder / "secret").write_bytes(FRAMES[0].tobytes())
    (folder / "a_1.edf").write_bytes(content.replace(b"{", b"{\nEDF_BinaryFileName = secret ;", 1))
    with pytest.raises(SourceError, match=r"a_1\.edf: has its data compressed or in another file"):
        convert(folder)


@pytest.mark.parametrize(
    ("name", "said"),
    [("Size", "-512"), ("EDF_BinarySize", "-512"), ("EDF_BinarySize", "-1"), ("EDF_BinarySize", "-1000000")],
)
def test_sizes_below_zero_lead_back_to_no_header(series, name, said):
    folder = series("edf")
    content = (folder / "a_1.edf").read_bytes()
    header, blob = content[:512], content[512:]
    header = re.sub(rb"\n(EDF_BinarySize|Size) = \d+ ;", b"", header).rstrip(b"}\n ")
    header += f"\n{name} = {said} ;\n".encode()
    (folder / "a_1.edf").write_bytes(content + header.ljust(510) + b"}\n" + blob)
    with pytest.raises(SourceError, match=r"a_1\.edf: "):
        convert(folder)


def test_pixels_below_zero_are_none(series):
    folder = series("edf")
    content = (folder / "a_1.edf").read_bytes()
    (folder / "a_1.edf").write_bytes(
        content.replace(b"Dim_1 = ", b"Dim_1 = -", 1).replace(b"Dim_2 = ", b"Dim_2 = -", 1)
    )
    with pytest.raises(SourceError, match=r"a_1\.edf: "):
        convert(folder)


def test_one_directory_for_all_frames_is_an_error(tmp_path):
    tifffile.imwrite(tmp_path / "stack.tif", FRAMES, truncate=True)
    with pytest.raises(SourceError, match="says that it has 12 frames, and has 1 page"):
        convert(tmp_path / "stack.tif")


def test_colours_are_no_frames(series):
    with pytest.raises(SourceError, match=r"a_1\.tif: frames of shape \(9, 14, 3\) are no \[H, W\]"):
        convert(series("tif", np.repeat(FRAMES[..., np.newaxis], 3, -1).astype(np.uint8), photometric="rgb"))


def test_one_file_of_a_series_is_not_taken_for_it(series):
    with pytest.raises(SourceError, match=r"a_1\.tif: has one frame; give its folder, or a pattern"):
        convert(series("tif") / "a_1.tif")


def test_kinds_are_not_mixed(series):
    folder = series("tif")
    write_cbf(folder / "b_1", FRAMES[0])
    with pytest.raises(SourceError, match=r"has files of several kinds, \.cbf, \.tif; say which"):
        convert(folder)


def test_axes_are_not_guessed(series):
    """Twelve positions are not the rows of eleven frames of twelve rows."""
    with pytest.raises(OptionError, match="11 frames"):
        convert(series("tif", np.zeros((11, N, W), np.uint16)))


def test_positions_are_asked_for(series):
    with pytest.raises(OptionError, match="frames is a series of images without positions"):
        ScanFiles(series("tif"), probe=PROBE)


@pytest.mark.parametrize(("kind", "library"), [("tif", "tifffile"), ("cbf", "fabio"), ("edf", "fabio")])
def test_what_is_not_installed_is_named(series, monkeypatch, kind, library):
    folder = series(kind)
    for name in [name for name in sys.modules if name.partition(".")[0] == library]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(SourceError, match=r'not installed: pip install "ptychoproduct\[images\]"'):
        convert(folder)


def test_a_folder_on_the_command_line(series, run_command):
    folder = series("tif")
    np.save(folder.parent / "probe.npy", PROBE)
    np.savetxt(folder.parent / "positions.csv", np.column_stack([X_M, Y_M]), delimiter=",", header="x_m,y_m")
    product = folder.parent / "product.h5"
    done = run_command(
        *("ptychoproduct", "convert", folder, product),
        *("--positions", folder.parent / "positions.csv", "--probe", folder.parent / "probe.npy", "--verify"),
    )
    assert done.returncode == 0, done.stderr
    assert "12 frames of 12 files" in done.stdout
    assert np.array_equal(frames_of(product), FRAMES)


def test_no_warning_of_a_plain_series(series, recwarn):
    convert(series("tif"))
    assert not [each for each in recwarn if issubclass(each.category, ProductWarning) and "tif" in str(each.message)]
