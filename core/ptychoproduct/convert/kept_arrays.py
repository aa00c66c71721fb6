"""The arrays that a product keeps of its scan beside the frames, on their way back to an archive."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import closing, contextmanager

import h5py
import numpy as np

from ptychoproduct.aliases import Array, Progress
from ptychoproduct.errors import ContractError, warn_of_damage
from ptychoproduct.hdf5 import arrays
from ptychoproduct.hdf5.chunk_grid import not_stored
from ptychoproduct.hdf5.contract_fields import read_attribute
from ptychoproduct.hdf5.dataset_reader import DatasetReader
from ptychoproduct.hdf5.local_links import local_dataset, local_object
from ptychoproduct.model import contract
from ptychoproduct.model.transforms import inverse_steps, transformed_array
from ptychoproduct.npz.writer import MemberStream, NpzWriter, Part
from ptychoproduct.product.reader import Frames, Product
from ptychoproduct.scan.field_layouts import BAD_PIXELS
from ptychoproduct.system.ordered_tasks import OrderedTasks
from ptychoproduct.system.workers import most_ahead
from ptychoproduct.validation.digests import Digest, add_elements, new_digest, stored_digest

_LARGE_BYTES = 8 * 1024**2


def kept_datasets(product: Product, accept_damage: bool) -> dict[str, h5py.Dataset]:
    """Return the datasets of ``/raw_data`` but the frames, by the archive member that each was.

    Where damage is accepted, without those that are not stored as a whole.
    """
    group = product.raw_data
    kept: dict[str, h5py.Dataset] = {}
    if group is None:
        return kept
    for name in group:
        if f"{contract.RAW_DATA}/{name}" == contract.DIFFRACTION.name:
            continue
        dataset = None
        with left_out(accept_damage):
            if isinstance(local_object(group, name), h5py.Group):
                continue
            found = local_dataset(group, name)
            problem = not_stored(found.id) if accept_damage and found is not None else ""
            if problem:
                raise ContractError(product.path, problem, key=f"{group.name}/{name}")
            dataset = found
        if dataset is not None:
            member = read_attribute(dataset, contract.SOURCE_MEMBER) or f"{name}.npy"
            if product.probe_transform and name == "probeGuess":  # the product's own, which is transformed back
                continue
            if product.positions_transform and name in contract.SOURCE_POSITIONS:
                kept[f"{name.removesuffix('_source')}.npy"] = dataset
                continue
            if member in kept or (product.frames is not None and member == product.frames.source_member):
                raise ContractError(
                    product.path, key=dataset.name, found=f"another {member}", expected="distinct members"
                )
            kept[member] = dataset
    return kept


@contextmanager
def left_out(accept_damage: bool) -> Iterator[None]:
    """Warn of an array that cannot be read, where damage is accepted."""
    try:
        yield
    except ContractError as error:
        if not accept_damage:
            raise
        warn_of_damage(f"{error.with_flags}; it is left out")


def turned_by(dataset: h5py.Dataset, frames: Frames | None) -> tuple[str, ...]:
    """Return the steps by which a kept array was turned with the frames: the mask was, and no other."""
    is_mask = frames is not None and dataset.name == f"/{contract.RAW_DATA}/{BAD_PIXELS}"
    return frames.transform if frames is not None and is_mask and dataset.shape[-2:] == frames.shape[1:] else ()


def is_streamed(dataset: h5py.Dataset, turned_by: tuple[str, ...]) -> bool:
    """Whether `write_kept` writes a dataset part by part; it then verifies what it reads."""
    if turned_by or not dataset.shape or dataset.dtype.hasobject:
        return False
    return _is_member(dataset) or (
        dataset.attrs.get(contract.SOURCE_DTYPE.name) is None and dataset.nbytes >= _LARGE_BYTES
    )


def _is_member(dataset: h5py.Dataset) -> bool:
    """Whether a dataset is the bytes of an archive's member."""
    source_dtype = dataset.attrs.get(contract.SOURCE_DTYPE.name)
    is_bytes = dataset.dtype == np.uint8 and dataset.ndim == 1
    return isinstance(source_dtype, str) and source_dtype == arrays.MEMBER_BYTES and is_bytes


def write_kept(
    archive: NpzWriter, member: str, dataset: h5py.Dataset, accept_damage: bool, turned_by: tuple[str, ...]
) -> None:
    """Write a dataset as the member that it was.

    Raises
    ------
    ContractError
        It cannot be read; or it is damaged, and that is not accepted.
    """
    if not is_streamed(dataset, turned_by):
        archive.write_array(member, as_in_source(arrays.read_array(dataset), turned_by))
        return
    lost = not_stored(dataset.id)
    if lost:
        raise ContractError(dataset.file.filename, lost, key=dataset.name)
    expected = None if dataset.fletcher32 else stored_digest(dataset)  # HDF5's checksums see as much
    digest = None if expected is None else new_digest()
    with archive.member(member) as stream, closing(DatasetReader(dataset, accept_damage=accept_damage)) as reader:
        if not _is_member(dataset):
            stream.write_header(reader.shape, arrays.plain_dtype(reader.dtype))
        write_parts(stream, reader, digest=digest)
        reader.tell_damage()
        if digest is not None and digest.hexdigest() != expected:
            problem = f"damaged: has changed since {contract.CONTENT_DIGEST.name} was written"
            if not accept_damage:
                raise ContractError(dataset.file.filename, problem, key=dataset.name)
            warn_of_damage(f"{dataset.file.filename}: {dataset.name}: {problem}")


def as_in_source(array: Array, steps: tuple[str, ...]) -> Array:
    """Undo a transform, bit for bit."""
    return np.ascontiguousarray(transformed_array(inverse_steps(steps), array)) if steps else array


def write_parts(
    stream: MemberStream,
    reader: DatasetReader,
    progress: Progress | None = None,
    transform: tuple[str, ...] = (),
    digest: Digest | None = None,
) -> None:
    """Write all rows of a dataset; each core decodes, encodes and writes its own.

    Parameters
    ----------
    stream : MemberStream
    reader : DatasetReader
    progress : callable, optional
        Called with a number of bytes whenever so many have been written.
    transform : tuple of str
        Steps that are undone.
    digest : Digest, optional
        Takes in the rows as they are stored.
    """
    row_bytes = math.prod(reader.shape[1:]) * reader.dtype.itemsize

    def encode(first: int, block: Array) -> tuple[Part, Array | None]:
        return stream.encode(first * row_bytes, as_in_source(block, transform)), None if digest is None else block

    def take(made: tuple[Part, Array | None]) -> None:
        part, block = made
        stream.add(part)
        if digest is not None and block is not None:
            add_elements(digest, block)

    most = most_ahead(reader.threads, len(next(reader.block_ranges(), ())) * row_bytes)
    with OrderedTasks(reader.threads, most, take, progress or (lambda _: None)) as tasks:
        for rows in reader.block_ranges():
            tasks.submit(reader.block_call(rows, encode), len(rows) * row_bytes)
