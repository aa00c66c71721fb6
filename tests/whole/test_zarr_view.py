"""A product as Zarr and xarray see it, over HTTP, by references to its bytes; h5py is the judge."""

import functools
import http.server
import json
import threading

import h5py
import hdf5plugin  # noqa: F401 - h5py reads the products with it
import numcodecs
import numpy as np
import pytest
import xarray
import zarr

from ptychoproduct import ContractError, ExportOptions, OutputError, ProductWarning, export_product_from_npz
from ptychoproduct.compression.filters import can_write_szip
from ptychoproduct.compression.zarr_codec import Hdf5Filters
from ptychoproduct.convert.zarr_view import CODEC_ID, reference_product

CODECS = (
    "none",
    "zstd:1",
    "gzip:1",
    "shuffle+gzip:1+fletcher32",
    "bzip2:9",
    "bitshuffle-zstd:1",
    "lz4",
    "blosc2-zstd:1",
    *(("szip",) if can_write_szip() else ()),
)


class _Ranges(http.server.SimpleHTTPRequestHandler):
    """Gives the parts of files that are asked for; the handler of Python's library gives files whole."""

    def send_head(self):
        first, last = map(int, self.headers["Range"].removeprefix("bytes=").split("-"))
        with open(self.translate_path(self.path), "rb") as file:  # noqa: PTH123
            file.seek(first)
            content = file.read(last + 1 - first)
        self.send_response(206)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture
def url(tmp_path):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Ranges, directory=tmp_path)) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def write(save_scan, centered_meta, tmp_path):
    def write(codec="bitshuffle-zstd:1", **changes):
        out = tmp_path / "product.h5"
        options = ExportOptions(compression=codec, chunk_frames=5)  # of 12, so that the last chunk is not full
        export_product_from_npz(save_scan(**changes), out, centered_meta, options=options)
        return out

    return write


def storage_options(path, protocol):
    remote = {"asynchronous": True} if protocol == "http" else {}
    return {"fo": str(path), "remote_protocol": protocol, "remote_options": remote, "asynchronous": protocol == "http"}


def opened(path, protocol="http"):
    store = zarr.storage.FsspecStore.from_url("reference://", storage_options=storage_options(path, protocol))
    return zarr.open_group(store, mode="r", zarr_format=2)


@pytest.mark.parametrize("codec", CODECS)
def test_zarr_reads_everything_over_http(write, tmp_path, url, codec):
    summary = reference_product(write(codec), tmp_path / "view.json", url=f"{url}/product.h5")
    found = opened(tmp_path / "view.json")
    with h5py.File(tmp_path / "product.h5") as file:
        for name in summary.members:
            assert np.array_equal(found[name][...], file[name][...]), name
        assert {"probe", "object", "raw_data/diffraction", "raw_data/xcoords", "loss_values"} <= set(summary.members)
        assert found.attrs["detector_object_distance_m"] == file.attrs["detector_object_distance_m"]
        assert found["object"].attrs["center_x_m"] == file["object"].attrs["center_x_m"]
    assert (summary.frames, summary.frame_shape, summary.frame_dtype) == (12, (16, 16), "float32")


@pytest.mark.parametrize(("codec", "needs_ours"), [("zstd:1", False), ("shuffle+gzip:1", False), ("lz4", True)])
def test_our_codec_is_named_only_where_numcodecs_has_none(write, tmp_path, codec, needs_ours):
    reference_product(write(codec), tmp_path / "view.json")
    text = (tmp_path / "view.json").read_text()
    assert (CODEC_ID in text) == needs_ours
    metadata = json.loads(json.loads(text)["refs"]["raw_data/diffraction/.zarray"])
    assert all(numcodecs.get_codec(filter_) for filter_ in metadata["filters"])


def test_xarray_reads_it_as_a_dataset(write, tmp_path, url):
    reference_product(write(), tmp_path / "view.json", url=f"{url}/product.h5")
    arguments = {"consolidated": True, "storage_options": storage_options(tmp_path / "view.json", "http")}
    with (
        xarray.open_dataset("reference://", engine="zarr", backend_kwargs=arguments) as root,
        xarray.open_dataset("reference://", engine="zarr", group="raw_data", backend_kwargs=arguments) as raw,
        h5py.File(tmp_path / "product.h5") as file,
    ):
        assert root.probe_position_x_m.dims == ("position",)
        assert raw.diffraction.dims == ("position", "diffraction_H", "diffraction_W")
        assert np.array_equal(raw.diffraction[3:7], file["raw_data/diffraction"][3:7])


def test_a_product_beside_it_needs_no_url(write, tmp_path):
    reference_product(write("none"), tmp_path / "view.json")
    with h5py.File(tmp_path / "product.h5") as file:
        assert np.array_equal(
            opened(tmp_path / "view.json", "file")["raw_data/diffraction"], file["raw_data/diffraction"]
        )


def test_a_changed_byte_is_an_error(write, tmp_path, url):
    product = write("lz4+fletcher32")
    reference_product(product, tmp_path / "view.json", url=f"{url}/product.h5")
    with h5py.File(product) as file:
        chunk = file["raw_data/diffraction"].id.get_chunk_info(1)
    with product.open("r+b") as file:
        file.seek(chunk.byte_offset + chunk.size // 2)
        byte = file.read(1)[0]
        file.seek(-1, 1)
        file.write(bytes([byte ^ 1]))
    frames = opened(tmp_path / "view.json")["raw_data/diffraction"]
    assert frames[:5].shape == (5, 16, 16)
    with pytest.raises(Exception, match="its checksum is not that of its bytes"):
        frames[5:10]


def test_what_zarr_cannot_be_told_is_an_error(write, tmp_path):
    with h5py.File(write(), "a") as file:
        data = np.zeros((1, 16, 16), np.float32)
        del file["raw_data/diffraction"], file.attrs["metadata_sha256"]
        frames = file.create_dataset(
            "raw_data/diffraction", data.shape, data.dtype, chunks=data.shape, compression="gzip"
        )
        frames.id.write_direct_chunk((0, 0, 0), data.tobytes(), 1)
    with pytest.raises(ContractError, match=r"raw_data/diffraction: chunk \(0, 0, 0\) was stored without all filters"):
        reference_product(tmp_path / "product.h5", tmp_path / "view.json")
    assert not (tmp_path / "view.json").exists()


def test_what_has_no_type_in_zarr_is_told(write, tmp_path):
    product = write(_metadata=np.array("text", object))
    with pytest.warns(ProductWarning, match=r"view.json: does not hold raw_data/_metadata$"):
        reference_product(product, tmp_path / "view.json")


def test_another_suffix(write, tmp_path):
    with pytest.raises(OutputError, match=r"\.json"):
        reference_product(write(), tmp_path / "view.txt")


def test_the_codec_encodes_what_it_decodes():
    codec = Hdf5Filters([(2, 0, (4,)), (1, 0, (1,))], 400)
    elements = np.arange(100, dtype=np.float32)
    again = numcodecs.get_codec(codec.get_config()).decode(codec.encode(elements))
    assert np.array_equal(again.view(np.float32), elements)


def test_format_3_has_the_codec_under_the_name_that_translations_give_it():
    """As VirtualiZarr 2.5 does with references of format 2; it was tried there."""
    codec = Hdf5Filters([(2, 0, (4,)), (1, 0, (1,))], 400)
    values = np.arange(300, dtype=np.float32)
    configuration = codec.get_config()
    name = f"numcodecs.{configuration.pop('id')}"
    array = zarr.create_array(
        {}, shape=300, chunks=100, dtype="f4", compressors=[{"name": name, "configuration": configuration}]
    )
    array[:] = values
    assert np.array_equal(zarr.open_array(array.store_path)[:], values)


def test_the_command(run_command, write, tmp_path):
    write("zstd:1")
    done = run_command("ptychoproduct", "import", "product.h5", "view.json", "--url", "http://somewhere/product.h5")
    assert done.returncode == 0, done.stderr
    references = json.loads((tmp_path / "view.json").read_text())["refs"]
    assert references["raw_data/diffraction/0.0.0"][0] == "http://somewhere/product.h5"
