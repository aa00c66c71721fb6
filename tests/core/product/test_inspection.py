"""The tree of a file, as data."""

import h5py
import numpy as np
import pytest

from ptychoproduct import ExportOptions, SourceError, export_product_from_npz, inspect_product
from ptychoproduct.product.inspection import DatasetEntry, GroupEntry, LinkEntry


@pytest.fixture
def product(save_scan, tmp_path, centered_meta):
    options = ExportOptions("bitshuffle-zstd:1,block=64KiB")
    export_product_from_npz(save_scan(), tmp_path / "product.h5", centered_meta, options=options)
    return tmp_path / "product.h5"


def member(group, path):
    for entry in group.members:
        if entry.path == path:
            return entry
        if isinstance(entry, GroupEntry) and path.startswith(f"{entry.path}/"):
            return member(entry, path)
    raise KeyError(path)


def attribute(entry, name):
    return next(attribute for attribute in entry.attributes if attribute.name == name)


def test_attributes_have_the_units_of_the_contract(product):
    root = inspect_product(product).root
    assert [attribute(root, name).unit for name in ("photon_energy_eV", "probe_energy_eV", "name")] == ["eV", "eV", ""]


def test_frames_have_shape_type_codec_and_ratio(product):
    frames = member(inspect_product(product).root, "/raw_data/diffraction")
    assert (frames.shape, frames.dtype, frames.codec) == ((12, 16, 16), "float32", "bitshuffle-zstd:1,block=64KiB")
    assert frames.ratio == frames.nbytes / frames.stored_bytes == 12 * 16 * 16 * 4 / frames.stored_bytes


def test_another_name_of_a_dataset_is_a_hard_link_to_the_name_that_the_contract_prefers(product):
    root = inspect_product(product).root
    assert member(root, "/costs") == LinkEntry("/costs", "/loss_values", "hard link")
    assert member(root, "/raw_data/probeGuess") == LinkEntry("/raw_data/probeGuess", "/probe", "hard link")


def test_frames_are_listed_where_the_contract_has_them_though_another_name_comes_first(product):
    with h5py.File(product, "r+") as file:
        file["a"] = file["raw_data/diffraction"]
    root = inspect_product(product).root
    assert member(root, "/a") == LinkEntry("/a", "/raw_data/diffraction", "hard link")
    assert member(root, "/raw_data/diffraction").codec == "bitshuffle-zstd:1,block=64KiB"


def test_a_dataset_behind_a_soft_link_is_listed_where_it_is(product):
    with h5py.File(product, "r+") as file:
        file.move("loss_epochs", "elsewhere")
        file["loss_epochs"] = h5py.SoftLink("/elsewhere")
    root = inspect_product(product).root
    assert isinstance(member(root, "/elsewhere"), DatasetEntry)
    assert member(root, "/loss_epochs") == LinkEntry("/loss_epochs", "/elsewhere", "soft link")


def test_a_link_to_another_file_is_named_and_not_followed(product):
    with h5py.File(product, "r+") as file:
        file["elsewhere"] = h5py.ExternalLink("secret.h5", "/data")
    entry = member(inspect_product(product).root, "/elsewhere")
    assert entry == LinkEntry("/elsewhere", "secret.h5:/data", "external link")


def test_a_group_inside_itself_is_listed_once(product):
    with h5py.File(product, "r+") as file:
        group = file.create_group("round")
        group["again"] = group
    assert member(inspect_product(product).root, "/round/again").target == "/round"


def test_groups_nested_without_end_are_refused(tmp_path):
    with h5py.File(tmp_path / "deep.h5", "w") as file:
        file.create_group("/".join("g" * 2000))
    with pytest.raises(SourceError, match="groups inside each other"):
        inspect_product(tmp_path / "deep.h5")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.float64("nan"), "nan"),
        (np.array([2.5]), 2.5),
        (np.bytes_(b"caf\xc3\xa9"), "café"),
        (np.bool_(True), True),
        (np.arange(3), (0, 1, 2)),
        (h5py.Empty("f8"), None),
    ],
)
def test_an_attribute_of_any_kind_has_a_value_that_json_can_say(tmp_path, value, expected):
    with h5py.File(tmp_path / "file.h5", "w") as file:
        file.attrs["attribute"] = value
    found = attribute(inspect_product(tmp_path / "file.h5").root, "attribute").value
    assert (type(found), found) == (type(expected), expected)


def test_a_file_that_is_no_product_is_listed_with_the_reason(tmp_path):
    with h5py.File(tmp_path / "file.h5", "w") as file:
        file["values"] = np.zeros(3)
    inspection = inspect_product(tmp_path / "file.h5")
    assert isinstance(inspection.root.members[0], DatasetEntry)
    assert "probe" in inspection.problem


def test_a_file_that_is_no_hdf5_is_refused(tmp_path):
    (tmp_path / "file.h5").write_text("text")
    with pytest.raises(SourceError):
        inspect_product(tmp_path / "file.h5")
