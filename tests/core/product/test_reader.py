"""Opening products: of every dialect, lazily, and never beyond the file itself."""

from dataclasses import replace

import h5py
import hdf5plugin
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ptychoproduct import (
    ContractError,
    ExportMeta,
    ExportOptions,
    ProductError,
    ProductWarning,
    Reconstruction,
    ScanFiles,
    SourceError,
    export_product_from_files,
    export_product_from_npz,
    import_product_to_npz,
    import_product_to_rawdata,
    open_product,
    validate_product,
)
from ptychoproduct.model.contract import ROOT_DATASETS
from ptychoproduct.model.geometry import resolve_metadata

QUIET = {"deadline": None, "suppress_health_check": [HealthCheck.function_scoped_fixture]}
FRAMES = "raw_data/diffraction"
REQUIRED = ("probe", "object", "probe_position_x_m", "probe_position_y_m", "probe_position_indexes")
# Every dataset of a product, those of the contract that are optional among them.
EVERYWHERE = [
    *(dataset.name for dataset in ROOT_DATASETS),
    *(
        f"raw_data/{name}"
        for name in ("diffraction", "xcoords", "ycoords", "xcoords_start", "scan_index", "probeGuess", "Y")
    ),
]


@pytest.fixture
def product(save_scan, centered_meta, tmp_path):
    """A product with everything in it."""
    results = Reconstruction(opr_weights=np.ones((12, 1)), loss_values=[2.0, 1.0], probe_photon_counts=np.arange(12.0))
    path = tmp_path / "product.h5"
    export_product_from_npz(
        save_scan(Y=np.arange(24.0).reshape(12, 2)),
        path,
        replace(centered_meta, name="Run 1", probe_energy_eV=8000.0),
        reconstruction=results,
        options=ExportOptions(chunk_frames=5),
    )
    return path


def read_frames(path):
    with open_product(path) as product:
        return None if product.frames is None else product.frames[:]


def to_npz(path):
    return import_product_to_npz(path, path.with_name("back.npz"))


ALL_READERS = (read_frames, import_product_to_rawdata, to_npz)
READERS = pytest.mark.parametrize("read", ALL_READERS)


def edit(path, change):
    with h5py.File(path, "a") as file:
        change(file)
        file.attrs.pop("metadata_sha256", None)  # as the contract asks of those who change a product


# What a product tells.


def test_a_product_gives_its_reconstruction(product, make_scan):
    scan = make_scan()
    with open_product(product) as opened:
        assert np.array_equal(opened.probe, scan["probeGuess"])
        assert np.array_equal(opened.object, scan["objectGuess"])
        assert opened.is_object_synthetic is False
        assert opened.x_m.tolist() == (scan["xcoords"] * 5e-8).tolist()
        assert opened.y_m.tolist() == (scan["ycoords"] * 5e-8).tolist()
        assert opened.position_indexes.tolist() == list(range(12))
        assert opened.opr_weights.tolist() == np.ones((12, 1)).tolist()
        assert opened.loss_values.tolist() == [2.0, 1.0]
        assert opened.loss_epochs.tolist() == [0, 1]
        assert opened.probe_photon_counts.tolist() == list(range(12))
        assert opened.object_layer_spacing_m.shape == (0,)


def test_metadata_come_back_equal(save_scan, tmp_path):
    meta = ExportMeta(
        name="Run µ",
        comments="two\nlines",
        detector_distance_m=1.5,
        probe_energy_eV=8123.25,
        exposure_time_s=0.125,
        probe_photon_count=1e6,
        mass_attenuation_m2_kg=0.75,
        tomography_angle_deg=4.5,
        object_pixel_width_m=4e-8,
        object_pixel_height_m=5e-8,
        probe_pixel_width_m=1e-7,
        probe_pixel_height_m=2e-7,
        object_center_x_m=1.3e-6,
        object_center_y_m=1.6e-6,
        tilt_angle_deg=0.5,
        focus_object_distance_m=1e-3,
        far_field=False,
        polarization="right_circular",
    )
    export_product_from_npz(save_scan(), tmp_path / "product.h5", meta)
    with open_product(tmp_path / "product.h5") as opened:
        assert resolve_metadata(opened.meta) == resolve_metadata(meta)


def test_a_closed_product_still_has_its_reconstruction(product, make_scan):
    with open_product(product) as opened:
        pass
    assert np.array_equal(opened.probe, make_scan()["probeGuess"])


def test_a_product_is_named_in_its_repr(product):
    with open_product(product) as opened:
        assert repr(opened) == "<Product 'product.h5' of 12 positions, probe (16, 16)>"


# Frames, when they are asked for.


@pytest.mark.parametrize(
    "index",
    [
        0,
        -1,
        slice(None),
        slice(3, 9, 2),
        (slice(2, 4), 5),
        (slice(None), slice(1, 3), 7),
        slice(None, None, -2),
        [1, 4, 6],
        [6, 1, -1, 6],
        ([6, 1, -1, 6], slice(3)),
        np.array([11, 0]),
        ...,
        np.arange(12) % 2 == 0,
    ],
    ids=str,
)
def test_frames_are_indexed_like_an_array(product, make_scan, index):
    with open_product(product) as opened:
        assert np.array_equal(opened.frames[index], make_scan()["diff3d"][index])


def test_frames_are_read_into_an_array_of_the_callers(product, make_scan):
    batch = np.empty((4, 16, 16))
    with open_product(product) as opened:
        for numbers in ([6, 1, -1, 6], [0, 2, 4, 3]):
            opened.frames.read_into(batch, numbers)
            assert np.array_equal(batch, make_scan()["diff3d"][numbers])


def test_frames_of_a_closed_product_cannot_be_read(product):
    with open_product(product) as opened:
        assert opened.frames[3].shape == (16, 16)
    with pytest.raises(ContractError, match="closed"):
        opened.frames[3]


def test_frames_have_the_shape_and_type_of_the_array(product):
    with open_product(product) as opened:
        frames = opened.frames
        assert (len(frames), frames.shape, frames.dtype) == (12, (12, 16, 16), np.float32)
        assert frames.chunks == (5, 16, 16)
        assert repr(frames) == "<Frames (12, 16, 16) float32>"


def test_frames_come_one_by_one_in_order(product, make_scan):
    with open_product(product) as opened:
        found = list(opened.frames)
    assert [frame.shape for frame in found] == [(16, 16)] * 12
    assert np.array_equal(found, make_scan()["diff3d"])


@pytest.mark.parametrize("frames", [1, 5, 12, 300])
def test_blocks_are_all_frames_in_order(save_scan, centered_meta, tmp_path, frames):
    scan = np.random.default_rng(1).integers(0, 99, (frames, 64, 64)).astype("f8")
    coordinates = dict.fromkeys(("xcoords", "ycoords", "xcoords_start", "ycoords_start"), np.full(frames, 9.0))
    source = save_scan(diff3d=scan, scan_index=np.arange(frames), **coordinates)
    export_product_from_npz(source, tmp_path / "p.h5", centered_meta, options=ExportOptions(chunk_frames=7))
    with open_product(tmp_path / "p.h5") as opened:
        blocks = list(opened.frames.blocks())
    assert np.array_equal(np.concatenate(blocks), scan)
    assert all(len(block) % 7 == 0 for block in blocks[:-1])


@pytest.mark.parametrize("dtype", [None, np.float64, np.uint8])
def test_frames_become_an_array(product, make_scan, dtype):
    with open_product(product) as opened:
        array = np.asarray(opened.frames, dtype)
    assert array.dtype == (dtype or np.float32)
    assert np.array_equal(array, make_scan()["diff3d"].astype(dtype or np.float32))


@pytest.mark.skipif(np.__version__ < "2", reason="copy=False means a copy where one is needed, before NumPy 2")
def test_frames_cannot_be_had_without_a_copy(product):
    with open_product(product) as opened, pytest.raises(ValueError, match="without a copy"):
        np.array(opened.frames, copy=False)


@pytest.mark.parametrize("index", [12, -13, (0, 0, 16), (0, 0, 0, 0)], ids=str)
def test_frames_that_there_are_not_are_an_index_error(product, index):
    with open_product(product) as opened, pytest.raises((IndexError, TypeError, ValueError)):
        opened.frames[index]


def test_a_damaged_frame_is_a_contract_error_when_it_is_read_and_not_before(product):
    with h5py.File(product) as file:
        chunk = file[FRAMES].id.get_chunk_info(1)
    data = bytearray(product.read_bytes())
    data[chunk.byte_offset + 12 : chunk.byte_offset + chunk.size] = b"\xff" * (chunk.size - 12)
    product.write_bytes(data)
    with open_product(product) as opened:
        assert opened.frames[4].shape == (16, 16)
        message = r"product.h5: /raw_data/diffraction: cannot be read: chunk \(5, 0, 0\): its checksum"
        with pytest.raises(ContractError, match=message):
            opened.frames[5]


def test_a_product_without_raw_data_has_no_frames(save_scan, centered_meta, tmp_path):
    export_product_from_npz(save_scan(), tmp_path / "p.h5", centered_meta, include_raw=False)
    with open_product(tmp_path / "p.h5") as opened:
        assert opened.frames is None
        assert opened.raw_data is None


# Dialects.


@pytest.mark.parametrize(
    ("names", "field", "value"),
    [
        (("photon_energy_eV", "probe_energy_eV"), "probe_energy_eV", 8000.0),
        (("mass_attenuation_m2_per_kg", "mass_attenuation_m2_kg"), "mass_attenuation_m2_kg", 0.5),
    ],
)
@pytest.mark.parametrize("kept", [0, 1])
def test_either_name_of_an_attribute_is_read(product, names, field, value, kept):
    def rename(file):
        for name in names:
            del file.attrs[name]
        file.attrs[names[kept]] = value

    edit(product, rename)
    with open_product(product) as opened:
        assert getattr(opened.meta, field) == value


def test_losses_are_read_under_their_old_name(product):
    def rename(file):
        del file["loss_values"], file["loss_epochs"]

    edit(product, rename)
    with open_product(product) as opened:
        assert opened.loss_values.tolist() == [2.0, 1.0]
        assert opened.loss_epochs.tolist() == [0, 1]


def test_opr_weights_are_read_from_the_attribute(product):
    edit(product, lambda file: file.__delitem__("opr_weights"))
    with open_product(product) as opened:
        assert opened.opr_weights.tolist() == np.ones((12, 1)).tolist()


def test_a_probe_without_pixel_size_is_sampled_like_the_object(product):
    edit(product, lambda file: [file["probe"].attrs.__delitem__(f"pixel_{side}_m") for side in ("width", "height")])
    with open_product(product) as opened:
        assert opened.meta.probe_pixel_width_m == opened.meta.object_pixel_width_m == 5e-8
        assert opened.meta.probe_pixel_height_m == opened.meta.object_pixel_height_m == 5e-8


def test_texts_of_fixed_length_are_read(product):
    edit(product, lambda file: file.attrs.create("name", np.bytes_("Run µ".encode())))
    with open_product(product) as opened:
        assert opened.meta.name == "Run µ"


# Files that are no products.


@READERS
@pytest.mark.parametrize("name", REQUIRED)
def test_a_product_without_a_required_dataset_is_refused(product, read, name):
    edit(product, lambda file: file.__delitem__(name))
    with pytest.raises(ContractError, match=f"there is no dataset '{name}'"):
        read(product)


@READERS
@pytest.mark.parametrize("name", REQUIRED)
def test_a_group_where_a_dataset_belongs_is_refused(product, read, name):
    def change(file):
        del file[name]
        file.create_group(name)

    edit(product, change)
    with pytest.raises(ContractError, match="must be a dataset, but it is a group"):
        read(product)


@READERS
def test_a_dataset_where_raw_data_belongs_is_refused(product, read):
    def change(file):
        del file["raw_data"]
        file["raw_data"] = np.arange(3)

    edit(product, change)
    with pytest.raises(ContractError, match="but it is a dataset"):
        read(product)


@READERS
@pytest.mark.parametrize("make", [lambda _: None, lambda path: path.mkdir(), lambda path: path.write_text("text")])
def test_a_file_that_is_no_hdf5_is_a_source_error(tmp_path, read, make):
    make(tmp_path / "product.h5")
    with pytest.raises(SourceError):
        read(tmp_path / "product.h5")


@settings(max_examples=40, **QUIET)
@given(part=st.floats(0, 1, exclude_max=True))
def test_a_truncated_product_is_a_product_error(product, tmp_path, part):
    data = product.read_bytes()
    cut = tmp_path / "cut.h5"
    cut.write_bytes(data[: int(part * len(data))])
    for read in (read_frames, import_product_to_rawdata, to_npz):
        with pytest.raises(ProductError):
            read(cut)
    assert not (tmp_path / "back.npz").exists()


@READERS
@pytest.mark.parametrize(
    ("target", "name", "value"),
    [
        ("/", "photon_energy_eV", "high"),
        ("/", "photon_energy_eV", [1.0, 2.0]),
        ("/", "photon_energy_eV", h5py.Empty("f8")),
        ("/", "name", np.bytes_(b"\xff\xfe")),
        ("/", "polarization", "vertical"),
        ("/", "far_field", [True, False]),
        ("object", "pixel_width_m", -1.0),
        ("object", "center_x_m", "middle"),
    ],
    ids=str,
)
def test_an_attribute_that_makes_no_sense_is_a_contract_error_that_names_the_file(product, read, target, name, value):
    edit(product, lambda file: file[target].attrs.__setitem__(name, value))
    with pytest.raises(ContractError, match=r"product\.h5"):
        read(product)


@READERS
@pytest.mark.parametrize(
    ("target", "name", "value"),
    [
        ("/", "photon_energy_eV", np.nan),
        ("/", "exposure_time_s", np.inf),
        ("probe", "pixel_width_m", 0.0),
        ("object", "pixel_width_m", 0.0),
        ("object", "pixel_height_m", np.nan),
    ],
    ids=str,
)
def test_what_ptychodus_writes_for_unknown_numbers_is_a_warning(product, read, target, name, value):
    edit(product, lambda file: file[target].attrs.__setitem__(name, value))
    with pytest.warns(
        ProductWarning,
        match=rf"product\.h5: .*@{name}: is .*not known",
    ):
        read(product)


@pytest.mark.parametrize(
    ("layers", "distances"), [(1, [np.inf]), (1, []), (3, [1e-6, 2e-6, np.inf]), (3, [1e-6, 2e-6])]
)
def test_layers_of_old_products_have_their_distances(product, tmp_path, layers, distances):
    """Before ptychodus called it spacing, there was a distance behind each layer."""

    def make_old(file):
        attributes = dict(file["object"].attrs)
        array = np.repeat(file["object"][()].reshape(1, *file["object"].shape[-2:]), layers, axis=0)
        del file["object"], file["object_layer_spacing_m"]
        file["object"], file["object_layer_distance_m"] = array, np.array(distances, np.float64)
        del attributes["content_sha256"]
        file["object"].attrs.update(attributes)

    edit(product, make_old)
    with open_product(product) as old:
        assert np.array_equal(old.object_layer_spacing_m, distances[: layers - 1])
    result = validate_product(product)
    assert result.is_valid
    assert any(problem.where == "/object_layer_spacing_m" for problem in result.problems)
    export_product_from_files(ScanFiles(product), tmp_path / "new.h5")
    with h5py.File(tmp_path / "new.h5") as new:
        assert np.array_equal(new["object_layer_spacing_m"], distances[: layers - 1])


HOSTILE_VALUES = {
    "nothing": h5py.Empty("f8"),
    "a number": 3.5,
    "numbers": np.arange(5.0),
    "a cube": np.ones((2, 3, 4, 5, 6)),
    "no elements": np.empty((0, 3)),
    "text": "abc",
    "texts": ["abc"] * 12,
    "bytes": np.array([b"abc"] * 12),
    "records": np.zeros(12, [("r", "f8"), ("i", "f8")]),
    "other records": np.zeros(12, [("a", "f8"), ("b", "S3")]),
    "opaque": np.zeros(12, "V7"),
    "NaN": np.full(12, np.nan),
    "lists": np.array([np.arange(3)] * 12 + [np.arange(2)], dtype=object),
    "a huge array": None,
    "references": None,
    "a named type": None,
}


def put(file, name, kind):
    """Put a hostile value in place of a dataset, its attributes kept."""
    attributes = dict(file[name].attrs) if name in file else {}
    if name in file:
        del file[name]
    if kind == "references":
        file.create_dataset(name, (12,), h5py.ref_dtype)
    elif kind == "lists":
        dataset = file.create_dataset(name, (12,), h5py.vlen_dtype(np.dtype("f8")))
        dataset[0] = [1.0, 2.0]
    elif kind == "a named type":
        file[name] = np.dtype("f8")
    elif kind == "a huge array":
        file.create_dataset(name, (2**21, 2**21, 2**17), "f8", chunks=(1, 1, 2**10))
    else:
        file[name] = HOSTILE_VALUES[kind]
    for key, value in attributes.items():
        file[name].attrs[key] = value


@pytest.mark.filterwarnings("ignore::ptychoproduct.ProductWarning", "ignore::UserWarning")
@pytest.mark.parametrize("kind", HOSTILE_VALUES)
@pytest.mark.parametrize(
    "name",
    [
        *("probe", "object_layer_spacing_m", "probe_position_x_m", "loss_values", "opr_weights"),
        *(FRAMES, "raw_data/xcoords", "raw_data/probeGuess", "raw_data/Y"),
    ],
)
def test_a_dataset_of_any_content_is_read_or_refused_in_the_name_of_the_file(product, name, kind):
    edit(product, lambda file: put(file, name, kind))
    for read in ALL_READERS:
        try:
            read(product)
        except ProductError as error:
            assert "product.h5" in str(error)  # noqa: PT017 - that it is read is as good


@READERS
@pytest.mark.parametrize("name", ["probe", "raw_data/xcoords", FRAMES, "raw_data/Y"])
def test_a_dataset_whose_filter_nobody_has_is_a_contract_error(product, read, name):
    def change(file):
        data, attributes = file[name][()], dict(file[name].attrs)
        del file[name]
        properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        properties.set_chunk(data.shape)
        properties.set_filter(1, h5py.h5z.FLAG_OPTIONAL, (6,))
        properties.set_filter(333, h5py.h5z.FLAG_OPTIONAL, ())
        kind = h5py.h5t.py_create(data.dtype, logical=True)
        dataset = h5py.Dataset(
            h5py.h5d.create(file.id, name.encode(), kind, h5py.h5s.create_simple(data.shape), properties)
        )
        dataset.id.write_direct_chunk((0,) * data.ndim, data.tobytes(), 0)
        dataset.attrs.update(attributes)

    edit(product, change)
    if read is read_frames and name not in ("probe", FRAMES):
        assert read(product) is not None
        return
    with pytest.raises(ContractError, match="cannot be read"):
        read(product)


# Nothing leads out of the file.


@pytest.fixture
def outside(product, tmp_path):
    """Another file with the same datasets."""
    path = tmp_path / "outside.h5"
    path.write_bytes(product.read_bytes())
    return path


def lead_out(file, outside, name, way):
    """Replace a dataset by one whose data lies in another file."""
    shape, dtype = file[name].shape, file[name].dtype
    del file[name]
    match way:
        case "external link":
            file[name] = h5py.ExternalLink(outside.name, name)
        case "absolute external link":
            file[name] = h5py.ExternalLink(str(outside), name)
        case "link to nowhere":
            file[name] = h5py.ExternalLink("nowhere.h5", name)
        case "soft link to an external link":
            file["way_out"] = h5py.ExternalLink(outside.name, name)
            file[name] = h5py.SoftLink("/way_out")
        case "soft link through an external group":
            file["way_out"] = h5py.ExternalLink(outside.name, "/")
            file[name] = h5py.SoftLink(f"/way_out/{name}")
        case "virtual dataset":
            layout = h5py.VirtualLayout(shape, dtype)
            layout[...] = h5py.VirtualSource(outside.name, name, shape, dtype)
            file.create_virtual_dataset(name, layout)
        case "external storage":
            file.create_dataset(name, shape, dtype, external=[(str(outside), 0, h5py.h5f.UNLIMITED)])


WAYS_OUT = (
    "external link",
    "absolute external link",
    "link to nowhere",
    "soft link to an external link",
    "soft link through an external group",
    "virtual dataset",
    "external storage",
)


@pytest.mark.filterwarnings("ignore:.*not taken over")  # where the links lead
@pytest.mark.parametrize("way", WAYS_OUT)
@pytest.mark.parametrize("name", EVERYWHERE)
def test_a_dataset_that_lies_in_another_file_is_refused(product, outside, name, way):
    if name == "object_layer_spacing_m" and way == "virtual dataset":
        pytest.skip("a virtual dataset of no elements leads nowhere")
    edit(product, lambda file: lead_out(file, outside, name, way))
    for read in ALL_READERS:
        if read is not read_frames or name == FRAMES or not name.startswith("raw_data/"):  # others it does not look at
            with pytest.raises(ContractError):
                read(product)


@READERS
@pytest.mark.parametrize("way", ["external link", "link to nowhere", "soft link to an external link"])
def test_raw_data_that_lies_in_another_file_is_refused(product, outside, read, way):
    def change(file):
        del file["raw_data"]
        match way:
            case "external link":
                file["raw_data"] = h5py.ExternalLink(outside.name, "raw_data")
            case "link to nowhere":
                file["raw_data"] = h5py.ExternalLink("nowhere.h5", "raw_data")
            case _:
                file["way_out"] = h5py.ExternalLink(outside.name, "raw_data")
                file["raw_data"] = h5py.SoftLink("/way_out")

    edit(product, change)
    with pytest.raises(ContractError):
        read(product)


@pytest.mark.parametrize("read", [import_product_to_rawdata, to_npz])
@pytest.mark.parametrize("target", ["raw_data", "/", "nothing"])
def test_a_group_of_another_file_within_raw_data_is_refused(product, outside, read, target):
    edit(product, lambda file: file["raw_data"].__setitem__("more", h5py.ExternalLink(outside.name, target)))
    with pytest.raises(ContractError):
        read(product)


def test_losses_whose_old_name_leads_out_are_refused_where_they_are_read(product, outside):
    def change(file):
        del file["loss_values"], file["costs"]
        file["costs"] = h5py.ExternalLink(outside.name, "costs")

    edit(product, change)
    with pytest.raises(ContractError, match=r"links to outside\.h5"):
        read_frames(product)


@READERS
@pytest.mark.filterwarnings("ignore:.*not taken over")  # where the links lead
def test_a_soft_link_within_the_file_is_followed(product, read):
    def change(file):
        file["kept/probe"] = file["probe"]
        del file["probe"]
        file["probe"] = h5py.SoftLink("/kept/probe")

    edit(product, change)
    assert read(product) is not None


@READERS
@pytest.mark.filterwarnings("ignore:.*not taken over")  # where the links lead
@pytest.mark.parametrize("name", ["probe", FRAMES, "raw_data/Y", "raw_data"])
def test_soft_links_that_go_round_are_missing_or_refused(product, read, name):
    def change(file):
        del file[name]
        file["there"] = h5py.SoftLink(f"/{name}")
        file[name] = h5py.SoftLink("/there")

    edit(product, change)
    try:
        read(product)
    except ContractError:
        return
    assert name != "probe", "a product without probe was read"


def test_frames_compressed_by_others_are_read(product, make_scan):
    def change(file):
        del file[FRAMES]
        file.create_dataset(FRAMES, data=make_scan()["diff3d"], chunks=(3, 8, 8), **hdf5plugin.Blosc2())

    edit(product, change)
    assert np.array_equal(read_frames(product), make_scan()["diff3d"])


def test_frames_that_are_not_chunked_are_read(product, make_scan):
    def change(file):
        del file[FRAMES]
        file[FRAMES] = make_scan()["diff3d"]

    edit(product, change)
    with open_product(product) as opened:
        assert opened.frames.chunks is None
        assert np.array_equal(list(opened.frames), make_scan()["diff3d"])
