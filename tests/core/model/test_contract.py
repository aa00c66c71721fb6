"""The format stands twice, in prose and as data; here the two are compared, and both with what the writer writes."""

import json
import re
from pathlib import Path

import h5py
import numpy as np
import pytest

from ptychoproduct import (
    DiffractionFile,
    ExportMeta,
    ExportOptions,
    ProductError,
    Reconstruction,
    export_product_from_npz,
    validate_product,
)
from ptychoproduct.model import contract

DOCUMENT = Path(__file__).parents[3] / "specs" / "data_contracts.md"
DASH = "\N{EN DASH}"
ANY = "*"
ANY_RAW = "raw_data/*"


def rows_of(*header):
    """Give the cells of every row of the tables that begin with these headings, by heading."""
    rows, headings = [], None
    for line in DOCUMENT.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else None
        if cells is None:
            headings = None
        elif headings is None:
            headings = cells
        elif tuple(headings[: len(header)]) == header and not set(line) <= set("|-"):
            rows.append(dict(zip(headings, cells, strict=True)))
    return rows


def quoted(cell):
    return tuple(re.findall(r"`([^`]*)`", cell))


def written_attribute(row, name):
    return {
        "name": quoted(row[name])[0],
        "dtype": row["Type"],
        "unit": row["Unit"].replace(DASH, ""),
        "presence": row["Presence"],
        "default": None if row["Default"] == DASH else json.loads(quoted(row["Default"])[0]),
        "aliases": quoted(row["Aliases"]),
    }


def coded_attribute(attribute):
    return {name: getattr(attribute, name) for name in ("name", "dtype", "unit", "presence", "default", "aliases")}


def written_dataset(row):
    return {
        "name": quoted(row["Path"])[0],
        "dtypes": tuple(row["Types"].split(", ")),
        "shapes": tuple(tuple(shape.strip("[]").split(", ")) for shape in quoted(row["Shapes"])),
        "unit": row["Unit"].replace(DASH, ""),
        "presence": row["Presence"],
        "aliases": quoted(row["Aliases"]),
    }


def coded_dataset(dataset):
    return {name: getattr(dataset, name) for name in ("name", "dtypes", "shapes", "unit", "presence", "aliases")}


ROOT_ATTRIBUTE_ROWS = rows_of("Name", "Type")
DATASET_ROWS = rows_of("Path", "Types")
DATASET_ATTRIBUTE_ROWS = rows_of("Dataset", "Attribute")
OWNED_ATTRIBUTES = [
    *((dataset.name, attribute) for dataset in contract.DATASETS for attribute in dataset.attributes),
    *((ANY_RAW, attribute) for attribute in (contract.SOURCE_MEMBER, contract.SOURCE_DTYPE)),
    (ANY, contract.CONTENT_DIGEST),
]


@pytest.mark.parametrize("attribute", contract.ROOT_ATTRIBUTES, ids=lambda attribute: attribute.name)
def test_each_root_attribute_is_documented_as_it_is_coded(attribute):
    rows = [row for row in ROOT_ATTRIBUTE_ROWS if quoted(row["Name"]) == (attribute.name,)]
    assert [written_attribute(row, "Name") for row in rows] == [coded_attribute(attribute)]


@pytest.mark.parametrize("dataset", contract.DATASETS, ids=lambda dataset: dataset.name)
def test_each_dataset_is_documented_as_it_is_coded(dataset):
    rows = [row for row in DATASET_ROWS if quoted(row["Path"]) == (dataset.name,)]
    assert [written_dataset(row) for row in rows] == [coded_dataset(dataset)]


@pytest.mark.parametrize(
    ("owner", "attribute"), OWNED_ATTRIBUTES, ids=[f"{owner}@{attribute.name}" for owner, attribute in OWNED_ATTRIBUTES]
)
def test_each_attribute_of_a_dataset_is_documented_as_it_is_coded(owner, attribute):
    wanted = (owner, attribute.name)
    rows = [row for row in DATASET_ATTRIBUTE_ROWS if quoted(row["Dataset"] + row["Attribute"]) == wanted]
    assert [written_attribute(row, "Attribute") for row in rows] == [coded_attribute(attribute)]


def test_every_documented_root_attribute_is_coded_and_in_order():
    documented = [quoted(row["Name"])[0] for row in ROOT_ATTRIBUTE_ROWS]
    assert documented == [attribute.name for attribute in contract.ROOT_ATTRIBUTES]


def test_every_documented_dataset_is_coded_and_in_order():
    assert [quoted(row["Path"])[0] for row in DATASET_ROWS] == [dataset.name for dataset in contract.DATASETS]


def test_every_documented_attribute_of_a_dataset_is_coded():
    documented = [quoted(row["Dataset"] + row["Attribute"]) for row in DATASET_ATTRIBUTE_ROWS]
    assert sorted(documented) == sorted((owner, attribute.name) for owner, attribute in OWNED_ATTRIBUTES)


def test_the_legend_of_axes_is_the_coded_one():
    assert {quoted(row["Letter"])[0]: row["Counts"] for row in rows_of("Letter", "Counts")} == contract.AXES


def test_every_axis_of_a_shape_is_in_the_legend():
    letters = {axis.removesuffix("-1") for dataset in contract.DATASETS for shape in dataset.shapes for axis in shape}
    assert letters == set(contract.AXES)


def test_the_documented_values_are_the_coded_ones():
    values = {quoted(row["Attribute"])[0]: quoted(row["Values"]) for row in rows_of("Attribute", "Values")}
    assert values == {
        "polarization": contract.POLARIZATIONS,
        "particle": contract.PARTICLES,
        contract.AXIS_CANONICAL.name: (contract.AXIS_CANONICAL.default,),
        contract.ORIGINAL_AXIS_ORDER.name: contract.AXIS_ORDERS,
        contract.QUANTITY.name: contract.QUANTITIES,
        contract.AMPLITUDE_DTYPE.name: contract.AMPLITUDES,
        contract.OPERATION_ORDER.name: contract.OPERATION_ORDERS,
    }


def test_the_document_says_which_version_it_is_of():
    version = f"This is version `{contract.FORMAT_VERSION}` of the format `{contract.FORMAT_ID}`."
    assert version in DOCUMENT.read_text(encoding="utf-8")


def test_every_table_row_has_as_many_cells_as_its_header():
    widths = {
        len({line.count("|") for line in block.splitlines()})
        for block in re.findall(r"(?:^\|.*\n)+", DOCUMENT.read_text(encoding="utf-8"), flags=re.MULTILINE)
    }
    assert widths == {1}


def test_names_and_aliases_are_distinct():
    names = [name for attribute in contract.ROOT_ATTRIBUTES for name in (attribute.name, *attribute.aliases)]
    names += [name for dataset in contract.DATASETS for name in (dataset.name, *dataset.aliases)]
    assert len(names) == len(set(names))


def test_every_field_of_the_metadata_is_in_the_contract_once():
    attributes = (*contract.ROOT_ATTRIBUTES, *contract.PROBE.attributes, *contract.OBJECT.attributes)
    assert sorted(attribute.field for attribute in attributes if attribute.field) == sorted(vars(ExportMeta()))


@pytest.fixture
def full_product(save_scan, tmp_path):
    """A product with everything that the contract knows of."""
    n = 12
    scan = save_scan(
        diff3d=np.ones((16, n, 16), np.float32),
        probeGuess=np.ones((2, 3, 16, 16), np.complex64),
        objectGuess=np.ones((3, 64, 64), np.complex64),
        Y=np.ones((n, 4), np.complex64),
        _metadata=np.array('{"nphotons": 1e9}', dtype=object),
        **{"a/b": np.array("été")},
    )
    center_m = 63 / 2 * 5e-8
    meta = ExportMeta(
        name="everything",
        polarization="left_circular",
        particle="electron",
        object_center_x_m=center_m,
        object_center_y_m=center_m,
        detector_pixel_width_m=1e-5,
        detector_pixel_height_m=1e-5,
    )
    results = Reconstruction(
        opr_weights=np.ones((n, 2)),
        object_layer_spacing_m=[1e-6, 2e-6],
        loss_values=[2.0, 1.0],
        loss_epochs=[10, 20],
        probe_photon_counts=np.ones(n),
    )
    product = tmp_path / "product.h5"
    patterns = DiffractionFile(tmp_path / "diffraction.h5", patterns_are="counts")
    options = ExportOptions(record_time=True)
    export_product_from_npz(scan, product, meta, reconstruction=results, diffraction=patterns, options=options)
    with h5py.File(product) as file:
        yield file


def walk(file):
    """Give every dataset by every name, hard links too, which h5py's own walk visits once."""
    found = {name: file[name] for name in file if isinstance(file[name], h5py.Dataset)}
    for group in (contract.RAW_DATA, *(plot.group for plot in contract.PLOTS)):
        found |= {f"{group}/{name}": file[group][name] for name in file[group]}
    return found


def names_of(entries):
    return {name for entry in entries for name in (entry.name, *entry.aliases)}


# Of frames that are predicted, and of what is transformed; tests of these ask for them.
NOT_IN_FULL = (
    contract.PHYSICS_CORRELATION,
    contract.PHYSICS_CONVENTION,
    contract.POSITIONS_TRANSFORM,
    contract.PROBE_TRANSFORM,
)


def test_the_writer_writes_exactly_the_root_attributes_of_the_contract(full_product):
    assert set(full_product.attrs) == names_of(contract.ROOT_ATTRIBUTES) - names_of(NOT_IN_FULL)


def test_the_writer_writes_exactly_the_datasets_of_the_contract_and_what_it_kept(full_product):
    kept = {f"{contract.RAW_DATA}/{name}" for name in ("Y", "_metadata", "a_b")}
    shown = {
        f"{plot.group}/{dataset.name.rpartition('/')[2]}"
        for plot in contract.PLOTS
        for dataset in (plot.signal, *filter(None, plot.axes), *plot.beside)
    }
    assert set(walk(full_product)) == names_of(contract.DATASETS) | kept | shown


def test_the_writer_makes_no_group_but_raw_data_and_those_for_viewers(full_product):
    groups = []
    full_product.visititems(lambda name, item: groups.append(name) if isinstance(item, h5py.Group) else None)
    assert sorted(groups) == sorted([contract.RAW_DATA, contract.ENTRY, *(plot.group for plot in contract.PLOTS)])


@pytest.mark.parametrize("dataset", contract.DATASETS, ids=lambda dataset: dataset.name)
def test_the_writer_gives_each_dataset_the_attributes_of_the_contract(full_product, dataset):
    allowed = {attribute.name for attribute in dataset.attributes}
    if dataset.name.startswith(contract.RAW_DATA):
        allowed |= {contract.SOURCE_MEMBER.name, contract.SOURCE_DTYPE.name}
    digest = contract.ROW_CHECKSUMS if dataset is contract.DIFFRACTION else contract.CONTENT_DIGEST.name
    found = full_product[dataset.name]
    if found in (full_product[contract.PROBE.name], full_product[contract.OBJECT.name]):  # by any name
        original = contract.PROBE if found == full_product[contract.PROBE.name] else contract.OBJECT
        allowed = {attribute.name for attribute in original.attributes}
        if original is contract.PROBE:
            allowed.add(contract.OPR.name)
    # An object that was given is not synthetic, and does not say so; a member of the plain name needs no attribute.
    # Frames that are stored as they were need no recipe.
    unsaid = {contract.SYNTHETIC.name, contract.SOURCE_MEMBER.name, contract.SOURCE_DTYPE.name}
    unsaid |= {attribute.name for attribute in (*contract.RECIPE, contract.FRAMES_TRANSFORM, contract.SELECTION)}
    assert allowed - unsaid <= set(found.attrs) - {digest} <= allowed
    assert digest in found.attrs


def test_a_synthetic_object_says_so(save_scan, tmp_path):
    product = tmp_path / "product.h5"
    with pytest.warns(match="no objectGuess"):
        export_product_from_npz(save_scan(objectGuess=None), product)
    names = {attribute.name for attribute in (*contract.OBJECT.attributes, contract.CONTENT_DIGEST)}
    with h5py.File(product) as file:
        assert set(file[contract.OBJECT.name].attrs) == names


@pytest.mark.parametrize("dataset", contract.DATASETS, ids=lambda dataset: dataset.name)
def test_the_writer_writes_types_that_readers_accept(full_product, dataset):
    assert full_product[dataset.name].dtype.name in dataset.dtypes


@pytest.mark.parametrize("dataset", contract.ROOT_DATASETS, ids=lambda dataset: dataset.name)
def test_the_writer_writes_root_datasets_without_filters(full_product, dataset):
    assert full_product[dataset.name].id.get_create_plist().get_nfilters() == 0


@pytest.mark.parametrize(
    "attribute",
    [attribute for attribute in contract.ROOT_ATTRIBUTES if attribute not in NOT_IN_FULL],
    ids=lambda attribute: attribute.name,
)
def test_the_writer_writes_attributes_in_their_type(full_product, attribute):
    found = full_product.attrs.get_id(attribute.name)
    kind = {"str": h5py.h5t.STRING, "float64": h5py.h5t.FLOAT, "int64": h5py.h5t.INTEGER, "bool": h5py.h5t.ENUM}
    assert found.get_type().get_class() == kind[attribute.dtype]
    if attribute.dtype == "str":
        assert found.get_type().is_variable_str()
        assert found.get_type().get_cset() == h5py.h5t.CSET_UTF8
    else:
        assert found.dtype == np.dtype(attribute.dtype)


@pytest.mark.parametrize(
    "entry", [entry for entry in contract.ROOT_ATTRIBUTES if entry.aliases], ids=lambda entry: entry.name
)
def test_the_writer_writes_the_value_under_every_alias(full_product, entry):
    assert {full_product.attrs[alias] for alias in entry.aliases} == {full_product.attrs[entry.name]}


@pytest.mark.parametrize(
    ("link", "target"),
    [
        *((alias, dataset.name) for dataset in contract.DATASETS for alias in dataset.aliases),
        ("raw_data/probeGuess", "probe"),
        ("raw_data/objectGuess", "object"),
    ],
)
def test_a_second_name_is_a_hard_link(full_product, link, target):
    assert isinstance(full_product.get(link, getlink=True), h5py.HardLink)
    assert full_product[link] == full_product[target]


def test_the_opr_weights_are_the_same_in_both_places(full_product):
    attribute = full_product[contract.PROBE.name].attrs[contract.OPR.name]
    np.testing.assert_array_equal(full_product[contract.OPR.name], attribute, strict=True)


@pytest.mark.parametrize(
    ("name", "member", "dtype"),
    [
        ("Y", None, None),
        ("_metadata", None, "object"),
        ("a_b", "a/b.npy", "'<U3'"),
        ("diffraction", "diff3d.npy", None),
    ],
)
def test_what_is_kept_says_which_member_of_which_type_it_was(full_product, name, member, dtype):
    attributes = full_product[contract.RAW_DATA][name].attrs
    assert (attributes.get("source_member"), attributes.get("source_dtype")) == (member, dtype)


def test_frames_say_which_order_they_had(full_product):
    frames = full_product[contract.DIFFRACTION.name]
    assert (frames.shape, frames.attrs["axis_canonical"], frames.attrs["original_axis_order"]) == (
        (12, 16, 16),
        "NHW",
        "HNW",
    )


@pytest.mark.filterwarnings("ignore::ptychoproduct.ProductWarning")
@pytest.mark.parametrize(
    ("key", "array"),
    [
        ("xcoords", np.arange(12, dtype=np.float16)),
        ("xcoords", np.arange(12, dtype=np.longdouble)),
        ("xcoords", np.arange(12, dtype=">f4")),
        ("xcoords_start", np.arange(12, dtype=np.float16)),
        ("xcoords_start", np.array(3.0)),
        ("scan_index", np.arange(12) > 5),
        ("scan_index", np.arange(12, dtype=np.float16)),
        ("scan_index", np.array(list("abcdefghijkl"))),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{value.dtype}{value.shape}",
)
def test_a_product_of_unusual_types_is_refused_or_valid(save_scan, centered_meta, tmp_path, key, array):
    product = tmp_path / "product.h5"
    try:
        export_product_from_npz(save_scan(**{key: array}), product, centered_meta)
    except ProductError:
        assert not product.exists()
    else:
        assert [problem for problem in validate_product(product).problems if problem.severity == "error"] == []


def test_the_documented_plots_are_the_coded_ones_in_order():
    documented = [
        (quoted(row["Group"])[0], quoted(row["Signal"])[0], row["Axes"].split(", "), quoted(row["Further axes"]))
        for row in rows_of("Group", "Signal")
    ]
    assert documented == [
        (
            plot.group,
            plot.signal.name,
            [DASH if axis is None else f"`{axis.name}`" for axis in plot.axes],
            tuple(axis.name for axis in plot.beside),
        )
        for plot in contract.PLOTS
    ]
