"""The validator: silent about what is right, and for every check a product that breaks just that."""

import re
import struct
import zipfile
from contextlib import suppress
from dataclasses import replace
from functools import partial

import h5py
import hdf5plugin  # noqa: F401 - the judge reads through h5py
import numpy as np
import pytest

from ptychoproduct import (
    ContractError,
    ExportMeta,
    ExportOptions,
    Problem,
    ProductWarning,
    Reconstruction,
    SourceError,
    export_product_from_npz,
    validate_product,
)
from ptychoproduct.model.contract import RAW_DATASETS, ROOT_ATTRIBUTES, ROOT_DATASETS
from ptychoproduct.validation.digests import content_digest, has_digest
from ptychoproduct.validation.metadata_digest import metadata_digest

FRAMES = "raw_data/diffraction"
DATASETS = (*ROOT_DATASETS, *RAW_DATASETS)


@pytest.fixture
def source(save_scan):
    """The scan that `product` is made from."""
    return save_scan()


@pytest.fixture
def product(source, centered_meta, tmp_path):
    """A valid product with everything in it but links for viewers, in chunks of 4 frames."""
    path = tmp_path / "product.h5"
    results = Reconstruction(opr_weights=np.ones((12, 1)), loss_values=[2.0, 1.0], probe_photon_counts=np.arange(12.0))
    meta = replace(centered_meta, probe_energy_eV=8000.0, polarization="left_circular")
    options = ExportOptions(chunk_frames=4, nexus=False)
    export_product_from_npz(source, path, meta, reconstruction=results, options=options)
    return path


def edit(path, *changes):
    with h5py.File(path, "a") as file:
        for change in changes:
            change(file)
        renew_digests(file)


def renew_digests(file):
    """Make the digests those of what is there now: tests change products on purpose."""

    def renew(_, found):
        if "content_sha256" in found.attrs and has_digest(found):
            with suppress(ContractError):
                found.attrs["content_sha256"] = content_digest(found)

    file.visititems(renew)
    if "metadata_sha256" in file.attrs:
        file.attrs["metadata_sha256"] = metadata_digest(file)


def lose_chunk(file, name):
    """Have a dataset of the same values in chunks, the second of which was never written."""
    attributes, values = dict(file[name].attrs), file[name][()]
    del file[name]
    left = file.create_dataset(name, values.shape, values.dtype, chunks=(1, *values.shape[1:]))
    left[:1], left[2:] = values[:1], values[2:]
    left.attrs.update(attributes)


def put(file, name, value):
    """Replace a dataset, its attributes kept."""
    attributes = dict(file[name].attrs) if name in file else {}
    if name in file:
        del file[name]
    file[name] = value
    file[name].attrs.update(attributes)


def set_item(name, index, value):
    return lambda file: file[name].__setitem__(index, value)


def set_attribute(target, name, value):
    return lambda file: file[target].attrs.__setitem__(name, value)


def delete_attributes(target, *names):
    return lambda file: [file[target].attrs.__delitem__(name) for name in names]


def delete(*names):
    return lambda file: [file.__delitem__(name) for name in names]


def replace_dataset(name, change):
    return lambda file: put(file, name, change(file[name][()]))


def damage_compressed(name, value=None):
    """Store a dataset as a deflated chunk that cannot be inflated."""

    def change(file):
        data = file[name][()] if value is None else value
        attributes = dict(file[name].attrs)
        del file[name]
        dataset = file.create_dataset(name, data.shape, data.dtype, chunks=data.shape, compression="gzip")
        dataset.id.write_direct_chunk((0,) * data.ndim, b"no deflate stream")
        dataset.attrs.update(attributes)

    return change


def stored_as_counts(dtype=np.uint16, **attributes):
    """Store frames as counts; keywords replace attributes, None removes one."""
    recipe = {
        "quantity": "counts",
        "amplitude_dtype": "float32",
        "operation_order": "sqrt:float64",
        "amplitude_scale": 1.0,
    }
    recipe = {name: value for name, value in (recipe | attributes).items() if value is not None}
    return (
        replace_dataset(FRAMES, lambda frames: np.rint(frames**2).astype(dtype)),
        *(set_attribute(FRAMES, name, value) for name, value in recipe.items()),
    )


def corrupt_chunk(path, number):
    """Overwrite what a compressed chunk of frames holds."""
    with h5py.File(path) as file:
        chunk = file[FRAMES].id.get_chunk_info(number)
    data = bytearray(path.read_bytes())
    data[chunk.byte_offset + 12 : chunk.byte_offset + chunk.size] = b"\xff" * (chunk.size - 12)
    path.write_bytes(data)


def damage_member(path, name):
    """Change a byte in the middle of what an archive's member holds."""
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(name)
    data = bytearray(path.read_bytes())
    lengths = struct.unpack_from("<HH", data, info.header_offset + 26)
    data[info.header_offset + 30 + sum(lengths) + info.compress_size * 2 // 3] ^= 0x55
    path.write_bytes(data)


def error(where, words, *changes):
    """Tell that changes to a product make it invalid: where, and words of the message."""
    return "error", where, words, changes


def warning(where, words, *changes):
    """Tell that changes to a product deserve a look."""
    return "warning", where, words, changes


def set_energy(value):
    """Give both names of the energy a value."""
    return lambda file: file.attrs.update(photon_energy_eV=value, probe_energy_eV=value)


# What breaks the rule of each check, and no other.
BROKEN = {
    "attributes_present": [
        *(
            error(
                f"/@{attribute.name}",
                "is missing; a product needs",
                delete_attributes("/", attribute.name, *attribute.aliases),
            )
            for attribute in ROOT_ATTRIBUTES
            if attribute.presence == "required"
        ),
        *(
            error(
                f"/{dataset.name}@{attribute.name}",
                "is missing; a product needs",
                delete_attributes(dataset.name, attribute.name),
            )
            for dataset in DATASETS
            for attribute in dataset.attributes
            if attribute.presence == "required"
        ),
        error("/@exposure_time_s", "one value of float64", set_attribute("/", "exposure_time_s", "long")),
        warning("/@exposure_time_s", "finite", set_attribute("/", "exposure_time_s", np.nan)),
        warning("/object@center_x_m", "finite", set_attribute("object", "center_x_m", np.inf)),
        error("/@far_field", "one value of bool", set_attribute("/", "far_field", [True, False])),
    ],
    "attribute_aliases_agree": [
        error("/@photon_energy_eV", "expected one value", set_attribute("/", "probe_energy_eV", 1.0)),
        error("/@mass_attenuation_m2_per_kg", "expected one value", set_attribute("/", "mass_attenuation_m2_kg", 1.0)),
    ],
    "datasets_present": [
        *(
            error(f"/{dataset.name}", "is missing; a product needs", delete(dataset.name, *dataset.aliases))
            for dataset in DATASETS
            if dataset.presence == "required"
        ),
        error("/probe", "found float32", replace_dataset("probe", np.real)),
        error("/object", "found float32", replace_dataset("object", np.real)),
        error("/probe_position_indexes", "found float64", replace_dataset("probe_position_indexes", np.float64)),
        error("/loss_epochs", "found float64", replace_dataset("loss_epochs", np.float64)),
        error(f"/{FRAMES}", "found complex64", replace_dataset(FRAMES, np.complex64)),
        error("/object", r"expected \[H, W\] or \[L, H, W\]", replace_dataset("object", lambda data: data[None, None])),
        error(f"/{FRAMES}", r"expected \[N, H, W\]", replace_dataset(FRAMES, lambda data: data[..., None])),
        error(
            "/raw_data/scan_index",
            r"expected \[N\]",
            replace_dataset("raw_data/scan_index", lambda data: data[:, None]),
        ),
    ],
    "readable": [
        error("/probe_photon_counts", "cannot be read", damage_compressed("probe_photon_counts")),
        error("/object", "cannot be read", damage_compressed("object")),
    ],
    "one_length": [
        *(
            error(f"/{name}", "found length 11, expected 12", replace_dataset(name, lambda data: data[:11]))
            for name in (
                "probe_position_y_m",
                "probe_position_indexes",
                "probe_photon_counts",
                FRAMES,
                "raw_data/xcoords",
                "raw_data/scan_index",
            )
        ),
    ],
    "positions_finite": [
        error("/probe_position_x_m", "1 value is", delete("raw_data"), set_item("probe_position_x_m", 3, np.nan)),
        error(
            "/probe_position_y_m", "2 values are", delete("raw_data"), set_item("probe_position_y_m", [3, 4], np.inf)
        ),
    ],
    "indexes_pair": [
        warning("/probe_position_indexes", "11 distinct values for 12", set_item("probe_position_indexes", 3, 4)),
        warning(
            "/probe_position_indexes", "not in ascending order", set_item("probe_position_indexes", slice(3, 5), [4, 3])
        ),
        error("/probe_position_indexes", "no negative", set_item("probe_position_indexes", 0, -1)),
    ],
    "pixel_sizes_positive": [
        warning("/probe@pixel_width_m", "expected a positive size", set_attribute("probe", "pixel_width_m", 0.0)),
        error("/probe@pixel_height_m", "expected a positive size", set_attribute("probe", "pixel_height_m", -1e-8)),
        warning(
            "/object@pixel_width_m",
            "expected a positive size",
            delete("raw_data"),
            set_attribute("object", "pixel_width_m", 0.0),
        ),
    ],
    "numbers_not_negative": [
        error("/@photon_energy_eV", "found -8000.0, expected a number in eV, not", set_energy(-8000.0)),
        error("/@exposure_time_s", "in seconds, not negative", set_attribute("/", "exposure_time_s", -0.1)),
    ],
    "units_plausible": [
        warning("/@photon_energy_eV", "8 eV; for 8 keV say --probe-energy-eV 8000", set_energy(8.0)),
        warning("/probe@pixel_width_m", "for 125 nm say", set_attribute("probe", "pixel_width_m", 125.0)),
    ],
    "layers_spaced": [
        error(
            "/object_layer_spacing_m",
            "found length 1, expected 0 for 1",
            replace_dataset("object_layer_spacing_m", lambda _: [1e-6]),
        ),
        error(
            "/object_layer_spacing_m",
            "found length 0, expected 1 for 2",
            replace_dataset("object", lambda data: np.stack([data] * 2)),
        ),
    ],
    "opr_weights_fit": [
        error(
            "/probe@opr_weights",
            "for 1 coherent mode",
            delete("opr_weights"),
            set_attribute("probe", "opr_weights", np.ones((12, 2))),
        ),
        error(
            "/opr_weights",
            "for 1 coherent mode",
            delete_attributes("probe", "opr_weights"),
            replace_dataset("opr_weights", lambda _: np.ones((12, 2))),
        ),
        error("/opr_weights", "differ from the attribute", set_item("opr_weights", (3, 0), 0.5)),
    ],
    "losses_agree": [
        error("/loss_epochs", "found length 1, expected 2", replace_dataset("loss_epochs", lambda data: data[:1])),
        error("/costs", "differ from loss_values", replace_dataset("costs", lambda data: data + 1)),
    ],
    "polarization_known": [
        error("/@polarization", "found 'vertical'", set_attribute("/", "polarization", "vertical")),
    ],
    "photon_counts_counted": [
        error("/probe_photon_counts", "negative or not finite", set_item("probe_photon_counts", 3, -1)),
        error("/probe_photon_counts", "negative or not finite", set_item("probe_photon_counts", 3, np.nan)),
    ],
    "frames_canonical": [
        error(f"/{FRAMES}@axis_canonical", "found 'HNW', expected NHW", set_attribute(FRAMES, "axis_canonical", "HNW")),
        error(f"/{FRAMES}@original_axis_order", "found 'WHN'", set_attribute(FRAMES, "original_axis_order", "WHN")),
    ],
    "counts_come_back": [
        error(
            f"/{FRAMES}@amplitude_scale",
            "has no meaning without quantity",
            set_attribute(FRAMES, "amplitude_scale", 2.0),
        ),
        error(
            f"/{FRAMES}@operation_order",
            "is missing; frames with the attribute quantity need it",
            *stored_as_counts(operation_order=None),
        ),
        error(f"/{FRAMES}@quantity", "found 'photons', expected one of counts", *stored_as_counts(quantity="photons")),
        error(f"/{FRAMES}@amplitude_dtype", "found 'int8'", *stored_as_counts(amplitude_dtype="int8")),
        error(
            f"/{FRAMES}@operation_order",
            "found 'divide:float32,sqrt:float32'",
            *stored_as_counts(operation_order="divide:float32,sqrt:float32"),
        ),
        error(f"/{FRAMES}@amplitude_scale", "is 2.0; it must be 1.0", *stored_as_counts(amplitude_scale=2.0)),
        error(
            f"/{FRAMES}@amplitude_scale",
            "found -1.0",
            *stored_as_counts(operation_order="divide:float32", amplitude_scale=-1.0),
        ),
        error(f"/{FRAMES}", "found 'int16', expected one of uint8", *stored_as_counts(np.int16)),
    ],
    "pixels_and_metres_agree": [
        error("/probe_position_x_m", "not raw_data/xcoords times", set_item("raw_data/xcoords", 3, 20.0)),
        error("/probe_position_y_m", "not raw_data/ycoords times", set_item("raw_data/ycoords", 3, 20.0)),
    ],
    "positions_on_object": [
        warning("/probe_position_x_m", "12 of 12 positions outside", set_attribute("object", "center_x_m", 1.0)),
    ],
    "probe_fits_frames": [
        warning(
            "/probe", "the probe is 12 x 16 px, the frames are 16 x 16 px", replace_dataset("probe", lambda p: p[:12])
        ),
        warning("/probe", "seems to be the object", lambda file: put(file, "probe", file["object"][()])),
    ],
    "object_measured": [
        warning("/object", "synthetic", set_attribute("object", "synthetic", True)),
    ],
    "plots_show_the_product": [
        warning(
            "/entry/frames/diffraction",
            "not the same dataset as /raw_data/diffraction",
            lambda file: put(file, "entry/frames/diffraction", file["raw_data/diffraction"][()]),
        ),
    ],
    "everything_stored": [
        error(
            "/probe_photon_counts",
            r"rows 1 to 1: chunk \(1,\) is not stored",
            lambda file: lose_chunk(file, "probe_photon_counts"),
        ),
    ],
    "links_stay_inside": [
        error("/more", "links to other.h5", lambda file: file.__setitem__("more", h5py.ExternalLink("other.h5", "/"))),
        error(
            "/raw_data/more",
            "links to other.h5",
            lambda file: file["raw_data"].__setitem__("more", h5py.ExternalLink("other.h5", "/")),
        ),
    ],
}
ROWS = [(check, *row) for check, rows in BROKEN.items() for row in rows]


def test_a_product_of_ours_has_no_problems(product):
    report = validate_product(product)
    assert (report.problems, report.is_valid, report.product) == ((), True, product)


def test_losses_that_are_not_numbers_are_the_same_under_every_name(product):
    losses = [np.nan, 1.0]
    edit(product, *(partial(put, name=name, value=losses) for name in ("loss_values", "costs", "losses")))
    assert validate_product(product).problems == ()
    edit(product, partial(put, name="costs", value=[np.nan, 2.0]))
    assert [problem.where for problem in validate_product(product).problems] == ["/costs"]


def test_weights_that_are_not_numbers_are_the_same_in_both_places(product):
    weights = np.full((12, 1), np.nan)
    edit(product, partial(put, name="opr_weights", value=weights))
    edit(product, lambda file: file["probe"].attrs.__setitem__("opr_weights", weights))
    assert validate_product(product).problems == ()


def test_a_product_that_stores_counts_has_no_problems(product, source):
    edit(product, *stored_as_counts())
    assert validate_product(product, source_npz=source).problems == ()


def test_a_count_other_than_the_source_has_is_found(product, source):
    edit(product, *stored_as_counts(), lambda file: file[FRAMES].__setitem__((5, 3, 3), 99))
    problems = validate_product(product, source_npz=source).problems
    assert [problem.message for problem in problems] == ["frame 5 differs from the source"]


def test_a_product_of_ours_has_no_problems_deep_and_against_its_source(product, source):
    assert validate_product(product, source_npz=source, deep=True).problems == ()


@pytest.mark.parametrize(
    ("check", "severity", "where", "words", "changes"), ROWS, ids=[f"{row[0]}-{row[2]}-{row[3]}" for row in ROWS]
)
def test_what_breaks_one_rule_is_the_one_problem_found(product, check, severity, where, words, changes):
    edit(product, *changes)
    report = validate_product(product)
    assert check in report.checks
    assert [(problem.severity, problem.where) for problem in report.problems] == [(severity, where)]
    assert re.search(words, report.problems[0].message)
    assert report.is_valid == (severity == "warning")


def test_every_check_has_a_product_that_breaks_it(product):
    # Further down, where they are asked for, and in test_mixed_pairs.py.
    elsewhere = {"everything_decodes", "same_as_source", "patterns_of_this_conversion"}
    assert set(BROKEN) | elsewhere == set(validate_product(product).checks)


@pytest.mark.parametrize("name", ["probe", "loss_epochs", FRAMES])
def test_a_group_in_place_of_a_dataset_is_a_problem(product, name):
    edit(product, delete(name), lambda file: file.create_group(name))
    problems = validate_product(product).problems
    assert {problem.where for problem in problems} == {f"/{name}"}
    assert "must be a dataset, but it is a group" in problems[0].message


def test_all_problems_are_reported_at_once(product):
    chosen = [row for row in ROWS if row[2] in ("/@name", "/loss_epochs", "/@polarization", "/probe@pixel_width_m")]
    chosen = list({row[2]: row for row in chosen}.values())
    for row in chosen:
        edit(product, *row[4])
    found = {(problem.severity, problem.where) for problem in validate_product(product).problems}
    assert found == {(row[1], row[2]) for row in chosen}
    assert len(found) == 4


def test_an_empty_hdf5_file_lacks_everything_that_is_required(tmp_path):
    with h5py.File(tmp_path / "product.h5", "w"):
        pass
    report = validate_product(tmp_path / "product.h5")
    required = {
        f"/{dataset.name}" for dataset in DATASETS if dataset.presence == "required" and "raw_data" not in dataset.name
    }
    required |= {f"/@{attribute.name}" for attribute in ROOT_ATTRIBUTES if attribute.presence == "required"}
    assert {problem.where for problem in report.problems} == required
    assert not report.is_valid


def test_raw_data_may_be_absent(product):
    edit(product, delete("raw_data"))
    assert validate_product(product).problems == ()


@pytest.mark.parametrize(
    "name", [dataset.name for dataset in DATASETS if dataset.presence == "optional" and dataset.name != "opr_weights"]
)
def test_what_is_optional_may_be_absent(product, name):
    edit(product, delete(name))
    assert validate_product(product).problems == ()


@pytest.mark.parametrize("old", [False, True], ids=["of 1.7", "of 1.0"])
def test_a_minimal_product_of_another_writer_is_valid(tmp_path, old):
    path = tmp_path / "product.h5"
    with h5py.File(path, "w") as file:
        file.attrs.update({"name": "", "comments": "", "detector_object_distance_m": 1.0, "exposure_time_s": 0.0})
        file.attrs["probe_energy_eV" if old else "photon_energy_eV"] = 8000.0
        file["probe"] = np.ones((1, 1, 4, 4), complex)
        file["object"] = np.ones((1, 8, 8), complex)
        for name in ("probe", "object"):
            file[name].attrs.update({"pixel_width_m": 1e-8, "pixel_height_m": 1e-8})
        file["object"].attrs.update({"center_x_m": 0.0, "center_y_m": 0.0})
        file["object_layer_spacing_m"] = np.empty(0)
        for name in ("probe_position_x_m", "probe_position_y_m"):
            file[name] = np.linspace(-1e-8, 1e-8, 3)
        file["probe_position_indexes"] = np.arange(3, dtype=np.int32)
        file["costs" if old else "loss_values"] = np.empty(0)
    assert validate_product(path).problems == ()
    (problem,) = validate_product(path, deep=True).problems
    assert (problem.severity, problem.where) == ("warning", "/")
    assert "there is no digest or checksum of" in problem.message


@pytest.mark.parametrize("make", [lambda _: None, lambda path: path.mkdir(), lambda path: path.write_text("text")])
def test_a_file_that_cannot_be_opened_is_a_source_error(tmp_path, make):
    make(tmp_path / "product.h5")
    with pytest.raises(SourceError):
        validate_product(tmp_path / "product.h5")


def test_validating_changes_nothing(product, source):
    before = product.read_bytes()
    validate_product(product, source_npz=source, deep=True)
    assert product.read_bytes() == before


# Products that were made to be a nuisance.

NUISANCES = {
    "nothing": h5py.Empty("f8"),
    "a number": 3.5,
    "no elements": np.empty((0, 3)),
    "a cube": np.ones((2, 3, 4, 5, 6)),
    "text": "abc",
    "texts": ["abc"] * 12,
    "records": np.zeros(12, [("a", "f8"), ("b", "S3")]),
    "opaque": np.zeros(12, "V7"),
}


@pytest.mark.parametrize("kind", NUISANCES)
@pytest.mark.parametrize("name", [dataset.name for dataset in DATASETS] + ["costs"])
def test_a_dataset_of_any_other_content_is_a_problem_and_no_exception(product, source, name, kind):
    if name == "loss_values":
        edit(product, delete("costs"))
    edit(product, lambda file: put(file, name, NUISANCES[kind]))
    report = validate_product(product, source_npz=source, deep=True)
    assert f"/{name}" in {problem.where for problem in report.problems}


@pytest.mark.parametrize("name", [dataset.name for dataset in DATASETS] + ["costs", "raw_data"])
@pytest.mark.parametrize("way", ["external link", "soft link out", "virtual dataset", "external storage", "round"])
def test_what_leads_out_of_the_file_is_a_problem_there(product, source, tmp_path, name, way):
    other = tmp_path / "other.h5"
    other.write_bytes(product.read_bytes())

    def change(file):
        shape, dtype = getattr(file[name], "shape", (1,)), getattr(file[name], "dtype", np.dtype("u1"))
        del file[name]
        match way:
            case "external link":
                file[name] = h5py.ExternalLink("other.h5", name)
            case "soft link out":
                file["way_out"] = h5py.ExternalLink("other.h5", name)
                file[name] = h5py.SoftLink("/way_out")
            case "virtual dataset":
                layout = h5py.VirtualLayout(shape, dtype)
                layout[...] = h5py.VirtualSource("other.h5", name, shape, dtype)
                file.create_virtual_dataset(name, layout)
            case "external storage":
                file.create_dataset(name, shape, dtype, external=[(str(other), 0, h5py.h5f.UNLIMITED)])
            case "round":
                file["there"] = h5py.SoftLink(f"/{name}")
                file[name] = h5py.SoftLink("/there")

    if name == "object_layer_spacing_m" and way == "virtual dataset":
        pytest.skip("a virtual dataset of no elements leads nowhere")
    edit(product, change)
    report = validate_product(product, source_npz=source, deep=True)
    optional = {dataset.name for dataset in DATASETS if dataset.presence == "optional"} | {"costs", "raw_data"}
    if way != "round" or name not in optional:  # a soft link to nothing is as good as nothing
        errors = [problem.where for problem in report.problems if problem.severity == "error"]
        assert any(where.startswith(f"/{name}") for where in errors)


@pytest.mark.parametrize("value", ["text", [1.0, 2.0], np.bytes_(b"\xff"), h5py.Empty("f8"), 1j], ids=str)
@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("/", "photon_energy_eV"),
        ("object", "pixel_width_m"),
        ("object", "center_y_m"),
        ("probe", "opr_weights"),
        ("probe", "pixel_height_m"),
        ("/", "polarization"),
        (FRAMES, "axis_canonical"),
        (FRAMES, "original_axis_order"),
    ],
)
def test_an_attribute_of_any_other_kind_is_a_problem_and_no_exception(product, source, target, name, value):
    edit(product, set_attribute(target, name, value))
    report = validate_product(product, source_npz=source)
    assert not report.is_valid
    assert any(name in problem.where for problem in report.problems)


# Frames.


@pytest.mark.parametrize(("chunk", "frames"), [(0, "frames 0 to 3"), (1, "frames 4 to 7"), (2, "frames 8 to 11")])
def test_a_corrupted_chunk_is_found_deep_and_its_frames_are_named(product, chunk, frames):
    corrupt_chunk(product, chunk)
    assert validate_product(product).problems == ()
    (problem,) = validate_product(product, deep=True).problems
    assert (problem.severity, problem.where) == ("error", f"/{FRAMES}")
    assert frames in problem.message


def test_every_corrupted_chunk_is_named(product):
    corrupt_chunk(product, 0)
    corrupt_chunk(product, 2)
    messages = [problem.message for problem in validate_product(product, deep=True).problems]
    assert len(messages) == 2
    assert "frames 0 to 3" in messages[0]
    assert "frames 8 to 11" in messages[1]


@pytest.mark.parametrize("name", ["raw_data/xcoords", "raw_data/Y"])
def test_a_corrupted_dataset_beside_the_frames_is_found_deep(product, name):
    edit(product, lambda file: file["raw_data"].__setitem__("Y", np.arange(6.0)))
    edit(product, damage_compressed(name))
    problems = validate_product(product, deep=True).problems
    assert f"/{name}" in {problem.where for problem in problems}


def test_without_deep_all_but_large_datasets_are_read_and_those_are_named(product):
    assert validate_product(product).unread == (f"/{FRAMES}",)
    assert validate_product(product, deep=True).unread == ()
    with h5py.File(product) as file:
        place = file["object"].id.get_offset()
    data = bytearray(product.read_bytes())
    data[place] ^= 1
    product.write_bytes(data)
    assert ("error", "/object") in {(problem.severity, problem.where) for problem in validate_product(product).problems}


def test_progress_counts_every_byte_that_was_decoded(product):
    seen = []
    validate_product(product, deep=True, progress=seen.append)
    assert seen == [4 * 16 * 16 * 4] * 3


# Against the source.


@pytest.mark.parametrize(("axis", "key"), [("x", "xcoords"), ("y", "ycoords")])
@pytest.mark.parametrize("number", [0, 3, 11])
def test_a_changed_position_is_named(product, source, axis, key, number):
    def change(file):
        file[f"raw_data/{key}"][number] = 20.0
        file[f"probe_position_{axis}_m"][number] = 20.0 * 5e-8

    edit(product, change)
    (problem,) = validate_product(product, source_npz=source).problems
    assert (problem.severity, problem.where) == ("error", f"/probe_position_{axis}_m")
    assert f"at position {number}, " in problem.message
    assert f"the source's {key}" in problem.message


@pytest.mark.parametrize("number", [0, 5, 11])
@pytest.mark.parametrize("order", ["NHW", "HNW", "HWN"])
@pytest.mark.parametrize("compress", [False, True], ids=["stored", "deflated"])
def test_a_changed_frame_is_named(save_scan, make_scan, centered_meta, tmp_path, number, order, compress):
    stored = make_scan()["diff3d"][:, :10, :7].transpose(["NHW".index(axis) for axis in order])
    source, product = save_scan(compress=compress, diff3d=stored), tmp_path / "product.h5"
    export_product_from_npz(source, product, centered_meta)
    assert validate_product(product, source_npz=source).problems == ()
    edit(product, set_item(FRAMES, (number, 2, 3), 7.5))
    (problem,) = validate_product(product, source_npz=source).problems
    assert problem == Problem("error", f"/{FRAMES}", f"frame {number} differs from the source")


def test_frames_that_differ_in_the_sign_of_zero_or_in_nan_only_are_told_apart(
    save_scan, make_scan, centered_meta, tmp_path
):
    frames = make_scan()["diff3d"]
    frames[2] = np.nan
    frames[4, 0, 0] = -0.0
    source, product = save_scan(diff3d=frames), tmp_path / "product.h5"
    export_product_from_npz(source, product, centered_meta)
    assert validate_product(product, source_npz=source).problems == ()
    edit(product, set_item(FRAMES, (4, 0, 0), 0.0))
    assert "frame 4 differs" in validate_product(product, source_npz=source).problems[0].message


def test_another_scan_is_told_apart_by_its_shape(product, save_scan, make_scan):
    other = save_scan("other.npz", diff3d=make_scan()["diff3d"][:, :8])
    problems = validate_product(product, source_npz=other).problems
    assert [problem.where for problem in problems] == [f"/{FRAMES}"]
    assert "(12, 8, 16)" in problems[0].message


def test_a_scan_of_another_length_is_told_apart(product, save_scan, make_scan):
    scan = {key: make_scan()[key][:11] for key in ("xcoords", "ycoords", "diff3d", "scan_index")}
    problems = validate_product(product, source_npz=save_scan("other.npz", **scan)).problems
    assert {problem.where for problem in problems} == {"/probe_position_x_m", "/probe_position_y_m", f"/{FRAMES}"}


def test_a_product_without_frames_cannot_be_compared_and_says_so(product, source):
    edit(product, delete(FRAMES))
    (problem,) = validate_product(product, source_npz=source).problems
    assert (problem.severity, problem.where) == ("warning", f"/{FRAMES}")


def test_a_damaged_chunk_is_named_where_it_is_compared(product, source):
    corrupt_chunk(product, 1)
    report = validate_product(product, source_npz=source)
    assert f"/{FRAMES}" in {problem.where for problem in report.problems}
    assert not report.is_valid


@pytest.mark.parametrize("compress", [False, True], ids=["stored", "deflated"])
@pytest.mark.parametrize("key", ["diff3d", "xcoords", "ycoords"])
def test_a_damaged_source_is_a_source_error(product, save_scan, key, compress):
    source = save_scan("other.npz", compress=compress)
    damage_member(source, f"{key}.npy")
    with pytest.raises(SourceError, match=r"other\.npz"):
        validate_product(product, source_npz=source)


@pytest.mark.parametrize("key", ["xcoords", "ycoords"])
def test_a_source_without_positions_is_a_source_error(product, save_scan, key):
    with pytest.raises(SourceError, match=key):
        validate_product(product, source_npz=save_scan("other.npz", **{key: None}))


def test_a_source_that_is_missing_is_a_source_error(product, tmp_path):
    with pytest.raises(SourceError, match="no such file"):
        validate_product(product, source_npz=tmp_path / "nowhere.npz")


@pytest.mark.parametrize("order", ["NHW", "HNW"])
def test_the_order_of_axes_that_was_asked_for_is_remembered(save_scan, centered_meta, tmp_path, order):
    frames = np.random.default_rng(1).random((12, 12, 5))
    source, product = save_scan(diff3d=frames), tmp_path / "product.h5"
    export_product_from_npz(source, product, centered_meta, options=ExportOptions(axis_order=order))
    assert validate_product(product, source_npz=source).problems == ()


def test_a_product_of_numbered_positions_is_valid_against_its_source(save_scan, centered_meta, tmp_path):
    source, product = save_scan(scan_index=np.arange(12) // 2), tmp_path / "product.h5"
    with pytest.warns(ProductWarning, match="some of its values repeat"):
        export_product_from_npz(source, product, centered_meta)
    assert validate_product(product, source_npz=source).problems == ()


def test_a_synthetic_object_is_a_warning_only(save_scan, tmp_path):
    with pytest.warns(ProductWarning, match="synthetic"):
        export_product_from_npz(save_scan(objectGuess=None), tmp_path / "product.h5", ExportMeta())
    report = validate_product(tmp_path / "product.h5")
    assert [(problem.severity, problem.where) for problem in report.problems] == [("warning", "/object")]
    assert report.is_valid
