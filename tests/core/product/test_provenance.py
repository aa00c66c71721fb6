"""What a product says of its origin; hashlib is the judge."""

import hashlib
import json
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError

import h5py
import pytest

from ptychoproduct import ExportOptions, ProductError, export_product_from_npz, repack_product
from ptychoproduct.product import provenance
from ptychoproduct.product.provenance import read_provenance

HEAD = 1024**2


@pytest.fixture
def export(save_scan, tmp_path, centered_meta):
    """A function that converts a scan, and returns the product's path."""
    scan = save_scan()

    def convert(name="product.h5", **options):
        export_product_from_npz(scan, tmp_path / name, centered_meta, options=ExportOptions(**options))
        return tmp_path / name

    return convert


def attribute(path, name):
    with h5py.File(path) as file:
        return file.attrs.get(name)


def test_the_source_is_named_with_size_and_the_digest_of_its_head(export, tmp_path):
    (entry,) = json.loads(attribute(export(), "source_files"))
    content = (tmp_path / "scan.npz").read_bytes()
    digest = hashlib.sha256(content[:HEAD]).hexdigest()
    assert entry == {"name": "scan.npz", "bytes": len(content), "head_sha256": digest}


def test_an_archive_has_the_digest_of_the_whole_source(export, tmp_path):
    (entry,) = json.loads(attribute(export(compression="archive"), "source_files"))
    assert entry["sha256"] == hashlib.sha256((tmp_path / "scan.npz").read_bytes()).hexdigest()


def test_options_are_those_that_change_the_product(export):
    options = {"compression": "zstd:9", "threads": 1, "verify": True, "nexus": False}
    assert json.loads(attribute(export(**options), "program_options")) == {"compression": "zstd:9", "nexus": False}


def test_converting_twice_makes_the_same_bytes(export):
    assert export("a.h5", threads=1).read_bytes() == export("b.h5", threads=2).read_bytes()


def test_the_time_is_written_only_when_asked_for(export):
    assert attribute(export(), "created") is None
    before = datetime.now(UTC).replace(microsecond=0)
    assert before <= datetime.fromisoformat(attribute(export(record_time=True), "created")) <= datetime.now(UTC)


def test_a_product_that_is_written_again_keeps_its_origin(export, tmp_path):
    product = export()
    repack_product(product, tmp_path / "again.h5", options=ExportOptions("lz4"))
    assert attribute(tmp_path / "again.h5", "source_files") == attribute(product, "source_files")


@pytest.mark.parametrize("text", ["{", "[" * 100_000, "3", '[{"name": 1, "bytes": 2}, {"bytes": 2}, 7]', '{"a": 1}'])
def test_what_is_not_as_the_contract_says_counts_as_absent(export, text):
    with h5py.File(export(), "r+") as file:
        file.attrs["source_files"] = text
        assert read_provenance(file).sources == ()


def test_without_a_version_there_is_no_product(export, monkeypatch, tmp_path):
    def not_found(name):
        raise PackageNotFoundError(name)  # as without memory to look for it

    monkeypatch.setattr(provenance, "version", not_found)
    with pytest.raises(ProductError, match="its version cannot be found"):
        export()
    assert not (tmp_path / "product.h5").exists()
