"""A product as the source of another one: its results, and everything in ``/raw_data``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import h5py
import numpy as np

from ptychoproduct.aliases import Array
from ptychoproduct.errors import ContractError, warn_of_damage
from ptychoproduct.hdf5 import arrays
from ptychoproduct.hdf5.chunk_grid import is_almost_empty, not_stored
from ptychoproduct.hdf5.contract_fields import read_attribute, read_layer_spacing
from ptychoproduct.hdf5.dataset_reader import DatasetReader
from ptychoproduct.hdf5.folder_links import Hdf5Source
from ptychoproduct.model import contract
from ptychoproduct.npz.npy import NPY_SUFFIX
from ptychoproduct.scan.field_layouts import BAD_PIXELS
from ptychoproduct.scan.scan import Extra, Reconstruction, is_streamed
from ptychoproduct.streaming.dataset_rows import DatasetRows
from ptychoproduct.system.resources import Resources

_RAW = f"/{contract.RAW_DATA}"
# Written anew from the scan.
_OWN = ("diffraction", "xcoords", "ycoords", "scan_index", "probeGuess", "objectGuess")
_MEMORY_BYTES = 16 * 1024**2


def product_parts(source: Hdf5Source) -> tuple[h5py.Dataset, h5py.Dataset] | None:
    """Return probe and object of a product; None where a file is another."""
    names = ("/probe", "/object", "/probe_position_x_m", "/probe_position_y_m", "/probe_position_indexes")
    probe, object_, *positions = map(source.find, names)
    return None if probe is None or object_ is None or None in positions else (probe, object_)


def product_reconstruction(source: Hdf5Source) -> Reconstruction:
    """Read the results that a product has besides object and probe."""

    def read(dataset: contract.Dataset) -> Array | None:
        found = next(filter(None, map(source.find, (dataset.name, *dataset.aliases))), None)
        return None if found is None else source.read(found)

    probe = source.find(contract.PROBE.name)
    object_, losses, weights = source.find(contract.OBJECT.name), read(contract.LOSS_VALUES), read(contract.OPR)
    spacing_m = None if object_ is None else read_layer_spacing(object_.file, object_)
    if weights is None and probe is not None:  # PtychoPINN's contract has them as an attribute of the probe
        weights = probe.attrs.get(contract.OPR.name)
    return Reconstruction(
        opr_weights=weights,
        object_layer_spacing_m=() if spacing_m is None else spacing_m,
        loss_values=() if losses is None else losses,
        loss_epochs=read(contract.LOSS_EPOCHS) if losses is not None else None,
        probe_photon_counts=read(contract.PHOTON_COUNTS),
    )


def product_extras(
    path: Path, threads: int = 1, rows: Array | None = None, accept_damage: bool = False
) -> Iterator[Extra]:
    """Give what else a product keeps in ``/raw_data``; the file is open only as long as the iteration lasts.

    Parameters
    ----------
    path : Path
    threads : int
        How many chunks are decoded at once.
    rows : array, int, optional
        The positions that are taken, where these are not all in their order. Arrays with a row for each follow.
    accept_damage : bool
        Whether what cannot be read, or has changed, is left out.

    Raises
    ------
    ContractError, SourceError
        Something cannot be read.
    """
    with Hdf5Source(path, accept_damage=accept_damage) as source:
        position = source.find(contract.POSITION_X.name)
        positions = 0 if position is None else position.size
        for name in source.names(_RAW):
            dataset = None if name in _OWN else source.find(f"{_RAW}/{name}")
            problem = _problem(dataset) if accept_damage and dataset is not None else ""
            if problem:
                warn_of_damage(f"{path}: {_RAW}/{name}: {problem}; it is left out")
            if dataset is None or problem:
                continue
            member = read_attribute(dataset, contract.SOURCE_MEMBER) or f"{name}{NPY_SUFFIX}"
            source_dtype = dataset.attrs.get(contract.SOURCE_DTYPE.name)
            kept_dtype = source_dtype if source_dtype == arrays.MEMBER_BYTES else None
            is_taken = rows is not None and bool(dataset.shape) and dataset.shape[0] == positions
            if (
                not is_taken
                and name != BAD_PIXELS  # which is cropped and turned with the frames
                and source_dtype in (None, arrays.MEMBER_BYTES)
                and is_streamed(dataset.shape or (), dataset.dtype)
            ):
                resources = Resources(threads, _MEMORY_BYTES)
                yield Extra(member, DatasetRows(dataset, resources=resources, source=source), kept_dtype)
                continue
            array = arrays.read_array(dataset)
            if is_taken:
                array = array[rows]
            yield Extra(member, array.item() if array.dtype == object else array, kept_dtype)


def lost_frames(frames: h5py.Dataset, accept_damage: bool, threads: int = 1) -> Array:
    """Return the numbers of frames that a product does not have any more.

    Those that were lost when it was repacked; where damage is accepted, all frames are read to find others.
    """
    before = frames.attrs.get(contract.LOST_ROWS, ())
    if not accept_damage:
        return np.asarray(before, np.int64)
    if is_almost_empty(frames.id):
        raise ContractError(frames.file.filename, "damaged: hardly any frame is left", key=frames.name)
    with closing(DatasetReader(frames, threads, accept_damage=True)) as reader:
        for _, future in reader.blocks(lambda *_: None):
            future.result()
    reader.tell_damage("frames", fate="are left out")
    return np.unique(np.concatenate([reader.lost_rows, reader.changed_rows, np.asarray(before, np.int64)]))


def _problem(dataset: h5py.Dataset) -> str:
    """Say why a dataset cannot be read, or that it has changed; nothing where all is well."""
    problem = not_stored(dataset.id)
    if problem or not dataset.shape:
        return problem
    with closing(DatasetReader(dataset, 1)) as reader:
        try:
            for _, future in reader.blocks(lambda *_: None):
                future.result()
        except ContractError as error:
            return error.sentence
    return ""


def frames_member_name(frames: h5py.Dataset) -> str:
    """Return the archive member that a product's frames were."""
    return read_attribute(frames, contract.SOURCE_MEMBER) or f"{contract.FRAME_KEYS[0]}{NPY_SUFFIX}"
