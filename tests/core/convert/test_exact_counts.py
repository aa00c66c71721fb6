"""Frames that are stored as counts come back bit for bit, whatever they came from; what is not exact leaves nothing."""

from functools import partial

import h5py
import numpy as np
import pytest

from ptychoproduct import (
    CountsRecipe,
    ExportOptions,
    InexactError,
    OptionError,
    ProductError,
    ProductWarning,
    ProductWriter,
    RawData,
    ScanFiles,
    SourceError,
    export_product_from_files,
    export_product_from_npz,
    export_product_from_rawdata,
    import_product_to_npz,
    import_product_to_rawdata,
    open_product,
    validate_product,
)
from ptychoproduct.scan.scan import FrameStack
from ptychoproduct.streaming.sources import ArrayRows

FRAMES = "raw_data/diffraction"
STORE = ExportOptions(store_counts=True, chunk_frames=2)


def stack(frames):
    """Frames in memory as a writer takes them."""
    return FrameStack("frames", frames.shape, partial(ArrayRows, frames))


def stored(path):
    with h5py.File(path) as file:
        return file[FRAMES][()], dict(file[FRAMES].attrs)


def assert_same_bits(found, expected):
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    assert found.tobytes() == expected.tobytes()


@pytest.fixture
def amplitudes(make_scan):
    return make_scan()["diff3d"]


@pytest.fixture
def product(save_scan, tmp_path):
    """A product that stores counts."""
    path = tmp_path / "product.h5"
    with pytest.warns(ProductWarning, match="positions"):
        export_product_from_npz(save_scan(), path, options=STORE)
    return path


@pytest.mark.filterwarnings("ignore::ptychoproduct.errors.ProductWarning")
class TestStoring:
    @pytest.mark.parametrize("compress", [False, True], ids=["stored", "deflated"])
    @pytest.mark.parametrize("order", ["NHW", "HNW", "HWN"])
    @pytest.mark.parametrize("fortran", [False, True], ids=["C", "Fortran"])
    def test_frames_in_an_archive(self, save_scan, tmp_path, amplitudes, compress, order, fortran):
        frames = amplitudes.transpose(["NHW".index(axis) for axis in order])
        scan = save_scan(compress=compress, diff3d=np.array(frames, order="F" if fortran else "C"))
        export_product_from_npz(scan, tmp_path / "p.h5", options=STORE)
        counts, attributes = stored(tmp_path / "p.h5")
        np.testing.assert_array_equal(counts, np.rint(amplitudes**2))
        assert counts.dtype == np.uint8
        assert attributes["quantity"] == "counts"
        with open_product(tmp_path / "p.h5") as product:
            assert_same_bits(product.frames[:], amplitudes)
        assert validate_product(tmp_path / "p.h5", source_npz=scan, deep=True).is_valid

    @pytest.mark.parametrize("chunk_shape", [(5, 8, 3), (12, 16, 16), (1, 16, 16)])
    def test_chunks_that_are_tiles(self, save_scan, tmp_path, amplitudes, chunk_shape):
        options = ExportOptions(store_counts=True, chunk_shape=chunk_shape)
        export_product_from_npz(save_scan(), tmp_path / "p.h5", options=options)
        with open_product(tmp_path / "p.h5") as product:
            assert_same_bits(product.frames[:], amplitudes)
            assert_same_bits(product.frames[3:11:2, 4], amplitudes[3:11:2, 4])

    def test_frames_in_memory_an_npy_file_and_an_hdf5_file(self, make_scan, tmp_path, amplitudes):
        scan = make_scan()
        raw = RawData(**{"xcoords_start": None, "ycoords_start": None} | scan)
        export_product_from_rawdata(raw, tmp_path / "memory.h5", options=STORE)
        np.save(tmp_path / "frames.npy", amplitudes.astype(">f4"))
        positions = scan["xcoords"], scan["ycoords"]
        beside = {"positions": positions, "probe": scan["probeGuess"]}
        npy, hdf5 = (ScanFiles(tmp_path / name, **beside) for name in ("frames.npy", "frames.h5"))
        export_product_from_files(npy, tmp_path / "npy.h5", options=STORE)
        with h5py.File(tmp_path / "frames.h5", "w") as file:
            file["dp"] = amplitudes
        export_product_from_files(hdf5, tmp_path / "hdf5.h5", options=STORE)
        for name in ("memory", "npy", "hdf5"):
            assert stored(tmp_path / f"{name}.h5")[0].dtype == np.uint8
            with open_product(tmp_path / f"{name}.h5") as product:
                assert_same_bits(product.frames[:], amplitudes)

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_scaled_amplitudes(self, save_scan, tmp_path, dtype):
        counts = np.random.default_rng(0).poisson(5, (12, 16, 16))
        amplitudes = np.sqrt(counts.astype(dtype)) / dtype(3.7)
        export_product_from_npz(save_scan(diff3d=amplitudes), tmp_path / "p.h5", options=STORE)
        np.testing.assert_array_equal(stored(tmp_path / "p.h5")[0], counts)
        assert_same_bits(import_product_to_rawdata(tmp_path / "p.h5").diff3d, amplitudes)

    @pytest.mark.parametrize("largest", [255, 257, 70000])
    @pytest.mark.parametrize("compress", [False, True], ids=["stored", "deflated"])
    def test_a_count_that_no_sample_showed(self, save_scan, tmp_path, largest, compress):
        amplitudes = np.zeros((12, 512, 512), np.float32)
        amplitudes[7, 0, 0] = np.sqrt(largest)
        scan, told = save_scan(compress=compress, diff3d=amplitudes), []
        summary = export_product_from_npz(scan, tmp_path / "p.h5", options=STORE, progress=told.append)
        assert stored(tmp_path / "p.h5")[0].max() == largest
        assert summary.recipe.count_dtype == np.min_scalar_type(largest).name
        assert sum(told) == summary.frame_bytes == amplitudes.nbytes
        assert_same_bits(import_product_to_rawdata(tmp_path / "p.h5").diff3d, amplitudes)

    def test_a_scale_that_has_to_be_known_to_the_last_bit(self, save_scan, tmp_path):
        counts = np.zeros((12, 512, 512), np.int64)
        counts[0, 0, :10] = np.arange(10)
        counts[5] = np.random.default_rng(0).integers(0, 10**6, (512, 512))
        amplitudes = (np.sqrt(counts) * np.float64(0.0312345678912345)).astype(np.float32)
        export_product_from_npz(save_scan(diff3d=amplitudes), tmp_path / "p.h5", options=STORE)
        assert_same_bits(import_product_to_rawdata(tmp_path / "p.h5").diff3d, amplitudes)

    def test_a_product_as_the_source_of_another(self, product, tmp_path, amplitudes):
        export_product_from_files(ScanFiles(product), tmp_path / "plain.h5")
        assert_same_bits(stored(tmp_path / "plain.h5")[0], amplitudes)
        export_product_from_files(ScanFiles(product), tmp_path / "counts.h5", options=STORE)
        assert_same_bits(stored(tmp_path / "counts.h5")[0], stored(product)[0])

    @pytest.mark.parametrize(("frame", "row", "column"), [(0, 0, 0), (3, 15, 2), (11, 15, 15)])
    @pytest.mark.parametrize("order", ["NHW", "HWN"])
    @pytest.mark.parametrize("chunk_shape", [(2, 16, 16), (12, 4, 4)])
    def test_one_ulp_leaves_nothing(self, save_scan, tmp_path, amplitudes, frame, row, column, order, chunk_shape):
        amplitudes[amplitudes == 0] = 1
        for index in ((frame, row, column), (11, 15, 15)):
            amplitudes[index] = np.nextafter(np.sqrt(np.float32(13)), np.float32(9))
        (tmp_path / "p.h5").write_text("precious")
        scan = save_scan(diff3d=amplitudes.transpose(["NHW".index(axis) for axis in order]))
        options = ExportOptions(store_counts=True, chunk_shape=chunk_shape)
        where = f"diff3d: 3.60555148.* in frame {frame}, pixel row {row}, column {column} is not the square root"
        with pytest.raises(SourceError, match=where):
            export_product_from_npz(scan, tmp_path / "p.h5", options=options)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["p.h5", "scan.npz"]
        assert (tmp_path / "p.h5").read_text() == "precious"

    @pytest.mark.parametrize("value", [-0.0, -1.0, np.nan, np.inf, 0.3137])
    def test_a_pixel_behind_the_sample(self, save_scan, tmp_path, value):
        amplitudes = np.zeros((12, 512, 512), np.float32)
        amplitudes[:, 1, 1] = np.sqrt(np.arange(12))
        amplitudes[7, 300, 411] = value
        with pytest.raises(SourceError, match="in frame 7, pixel row 300, column 411"):
            export_product_from_npz(save_scan(diff3d=amplitudes), tmp_path / "p.h5", options=STORE)
        assert not (tmp_path / "p.h5").exists()

    def test_integers_are_stored_as_they_are(self, save_scan, tmp_path):
        scan = save_scan(diff3d=np.ones((12, 16, 16), np.uint16))
        with pytest.warns(ProductWarning, match="frames are uint16, and are stored as they are"):
            summary = export_product_from_npz(scan, tmp_path / "p.h5", options=STORE)
        assert summary.recipe is None
        assert "quantity" not in stored(tmp_path / "p.h5")[1]
        assert import_product_to_rawdata(tmp_path / "p.h5", counts=True).diff3d.dtype == np.uint16

    def test_half_precision_is_refused(self, save_scan, tmp_path):
        scan = save_scan(diff3d=np.ones((12, 16, 16), np.float16))
        with pytest.raises(OptionError, match="store_counts: needs frames of float32 or float64; these are float16"):
            export_product_from_npz(scan, tmp_path / "p.h5", options=STORE)

    def test_frames_that_are_appended_are_refused(self, make_scan, tmp_path):
        with (
            pytest.raises(OptionError, match="store_counts"),
            ProductWriter(tmp_path / "p.h5", options=STORE) as writer,
        ):
            writer.append(make_scan()["diff3d"], make_scan()["xcoords"], make_scan()["ycoords"])

    def test_counts_are_not_stored_without_a_recipe(self, tmp_path, amplitudes):
        with (
            pytest.raises(OptionError, match="store_counts: needs a recipe"),
            ProductWriter(tmp_path / "p.h5", options=STORE) as writer,
        ):
            writer.write_frames(stack(amplitudes))

    def test_a_recipe_for_another_type_is_refused(self, tmp_path, amplitudes):
        with (
            pytest.raises(OptionError, match="amplitude_dtype: is float64, but the frames are float32"),
            ProductWriter(tmp_path / "p.h5") as writer,
        ):
            writer.write_frames(stack(amplitudes), recipe=CountsRecipe("float64"))

    def test_a_recipe_of_ones_own_has_to_be_right(self, make_scan, tmp_path, amplitudes):
        with ProductWriter(tmp_path / "p.h5") as writer:
            writer.set_probe(make_scan()["probeGuess"])
            writer.set_positions(make_scan()["xcoords"], make_scan()["ycoords"])
            source = stack(amplitudes)
            with pytest.raises(InexactError):
                writer.write_frames(source, recipe=CountsRecipe("float32", "none"))
            writer.write_frames(source, recipe=CountsRecipe("float32", count_dtype="uint32"))
        assert stored(tmp_path / "p.h5")[0].dtype == np.uint32
        assert_same_bits(import_product_to_rawdata(tmp_path / "p.h5").diff3d, amplitudes)


def test_what_is_stored_is_never_the_default(save_scan, centered_meta, tmp_path, amplitudes):
    export_product_from_npz(save_scan(), tmp_path / "p.h5", centered_meta)
    assert_same_bits(stored(tmp_path / "p.h5")[0], amplitudes)


@pytest.mark.parametrize(
    "index",
    [0, -1, (2, 3, 4), slice(3, 9), [5, 1, 1], (slice(None), 3), (..., slice(None, None, 2)), np.arange(12) % 3 == 0],
    ids=str,
)
def test_every_way_of_reading_gives_amplitudes(product, amplitudes, index):
    with open_product(product) as found:
        assert_same_bits(np.asarray(found.frames[index]), np.asarray(amplitudes[index]))
        out = np.empty(amplitudes[index].shape)
        found.frames.read_into(out, index)
        np.testing.assert_array_equal(out, amplitudes[index])


def test_blocks_and_single_frames_are_amplitudes(product, amplitudes):
    with open_product(product) as found:
        assert_same_bits(np.concatenate(list(found.frames.blocks())), amplitudes)
        assert_same_bits(np.stack(list(found.frames)), amplitudes)
        assert (found.frames.dtype, found.frames.nbytes) == (amplitudes.dtype, amplitudes.nbytes)


def test_counts_are_there_for_those_who_ask(product, amplitudes):
    with open_product(product) as found:
        assert found.frames.counts.dtype == np.uint8
        np.testing.assert_array_equal(found.frames.counts[3:5], np.rint(amplitudes[3:5] ** 2))
        assert found.frames.counts.counts is None


def test_counts_in_one_piece_and_in_other_byte_order_become_amplitudes(product, amplitudes):
    with h5py.File(product, "a") as file:
        counts, attributes = file[FRAMES][()], dict(file[FRAMES].attrs)
        del file[FRAMES]
        file[FRAMES] = counts.astype(">u4")
        file[FRAMES].attrs.update(attributes)
    with open_product(product) as found:
        assert_same_bits(found.frames[:], amplitudes)
        assert_same_bits(found.frames[4, ::3], amplitudes[4, ::3])


@pytest.mark.parametrize("original", [False, True])
def test_the_archive_has_amplitudes_unless_counts_are_asked_for(product, tmp_path, amplitudes, original):
    import_product_to_npz(product, tmp_path / "a.npz", original_axis_order=original)
    with np.load(tmp_path / "a.npz") as archive:
        assert_same_bits(archive["diff3d"], amplitudes)
    summary = import_product_to_npz(product, tmp_path / "c.npz", original_axis_order=original, counts=True)
    with np.load(tmp_path / "c.npz") as archive:
        assert_same_bits(archive["diff3d"], stored(product)[0])
    assert summary.frame_dtype == "uint8"


def test_counts_that_are_not_there_cannot_be_had(save_scan, centered_meta, tmp_path):
    export_product_from_npz(save_scan(), tmp_path / "p.h5", centered_meta)
    with pytest.raises(OptionError, match="counts: found frames stored as float32"):
        import_product_to_rawdata(tmp_path / "p.h5", counts=True)
    with pytest.raises(OptionError, match="counts"):
        import_product_to_npz(tmp_path / "p.h5", tmp_path / "c.npz", counts=True)
    assert not (tmp_path / "c.npz").exists()


@pytest.mark.parametrize(
    ("name", "value"),
    [("quantity", "photons"), ("operation_order", "cbrt:float32"), ("amplitude_scale", 2.0), ("amplitude_dtype", 3)],
)
def test_a_recipe_that_is_not_known_is_refused(product, name, value):
    with h5py.File(product, "a") as file:
        file[FRAMES].attrs[name] = value
    with pytest.raises(ProductError, match=f"raw_data/diffraction@{name}"):
        open_product(product)


def test_damaged_counts_are_named(product):
    with h5py.File(product) as file:
        chunk = file[FRAMES].id.get_chunk_info(2)
    data = bytearray(product.read_bytes())
    data[chunk.byte_offset + 12 : chunk.byte_offset + chunk.size] = b"\xff" * (chunk.size - 12)
    product.write_bytes(data)
    with open_product(product) as found, pytest.raises(ProductError, match=r"chunk \(4, 0, 0\)"):
        found.frames[:]
