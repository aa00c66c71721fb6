"""From a product back to a scan, in memory or in an NPZ file."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path

import h5py
import numpy as np

from ptychoproduct.aliases import Array, Progress
from ptychoproduct.convert.undamaged import undamaged_product
from ptychoproduct.errors import ContractError, OptionError, OutputError, warn, warn_of_damage
from ptychoproduct.hdf5 import arrays
from ptychoproduct.hdf5.chunk_grid import not_stored
from ptychoproduct.hdf5.contract_fields import read_attribute
from ptychoproduct.hdf5.dataset_reader import DatasetReader
from ptychoproduct.hdf5.local_links import local_dataset, local_object
from ptychoproduct.model import contract
from ptychoproduct.model.axes import canonical_axes
from ptychoproduct.model.positions import metres_to_pixels
from ptychoproduct.model.transforms import inverse_steps, transformed_array
from ptychoproduct.npz.writer import MemberStream, NpzWriter, Part
from ptychoproduct.npz.zip_records import is_member_name
from ptychoproduct.product.reader import Frames, Product
from ptychoproduct.scan.field_layouts import BAD_PIXELS
from ptychoproduct.scan.rawdata import RawData
from ptychoproduct.system.atomic import atomic_output, writing_errors
from ptychoproduct.system.ordered_tasks import OrderedTasks
from ptychoproduct.system.resources import DEFAULT_MEMORY_BYTES, Resources
from ptychoproduct.system.workers import Workers, most_ahead

_LARGE_BYTES = 8 * 1024**2
_BLOCK_BYTES = 1024**2


@dataclass(frozen=True)
class ImportSummary:
    """What was imported.

    Parameters
    ----------
    archive : Path
    members : tuple of str
        Member names of the NPZ file.
    frames : int
        Number of diffraction frames; 0 where none were imported.
    frame_shape : tuple of int
    frame_dtype : str
    axis_order : str
        Of the frames in the archive.
    file_bytes : int
    """

    archive: Path
    members: tuple[str, ...]
    frames: int
    frame_shape: tuple[int, ...]
    frame_dtype: str
    axis_order: str
    file_bytes: int


def import_product_to_rawdata(
    in_path: str | PathLike[str], *, include_diffraction: bool = True, counts: bool = False, accept_damage: bool = False
) -> RawData:
    """Load a product as a scan in memory.

    Parameters
    ----------
    in_path : path
        A product of this package, of any ptychodus, or of PtychoPINN's exporter.
    include_diffraction : bool
        Whether frames are loaded, where the product has any.
    counts : bool
        Whether frames that are stored as counts stay counts; the amplitudes that they were otherwise.
    accept_damage : bool
        Whether a damaged product is imported as far as it can be read; a `DamageWarning` names what is damaged. Frames
        that are lost become zeros, other arrays that cannot be read are left out.

    Returns
    -------
    RawData
        Positions in object pixels: the source's own, where the product kept them.

    Raises
    ------
    SourceError
        There is no HDF5 file.
    ContractError
        The file is no product, or is damaged.
    OptionError
        Counts are asked for, and the product has none.
    """
    with undamaged_product(in_path, accept_damage) as product:
        frames = _frames(product, include_diffraction, counts)
        values = _root_arrays(product)
        for member, dataset in _kept_datasets(product, accept_damage).items():
            with _left_out(accept_damage):
                values[member.removesuffix(".npy")] = arrays.read_array(dataset)
        metadata = values.get(contract.METADATA_KEY)
        rows = None if frames is None else _as_in_source(frames[:], frames.transform)
        _tell_damage(frames)
        return RawData(
            xcoords=values["xcoords"],
            ycoords=values["ycoords"],
            xcoords_start=values.get("xcoords_start", values["xcoords"]),
            ycoords_start=values.get("ycoords_start", values["ycoords"]),
            diff3d=rows,
            probeGuess=values["probeGuess"],
            scan_index=values.get("scan_index"),
            objectGuess=values.get("objectGuess"),
            Y=values.get("Y"),
            norm_Y_I=values.get("norm_Y_I"),
            metadata=None if metadata is None else str(metadata),
        )


def import_product_to_npz(
    path: str | PathLike[str],
    npz_path: str | PathLike[str],
    *,
    include_diffraction: bool = True,
    compress: bool = False,
    original_axis_order: bool = False,
    counts: bool = False,
    accept_damage: bool = False,
    overwrite: bool = True,
    force: bool = False,
    memory_bytes: int = DEFAULT_MEMORY_BYTES,
    progress: Progress | None = None,
) -> ImportSummary:
    """Convert a product to a scan in PtychoPINN's NPZ format, streaming its frames.

    Parameters
    ----------
    path : path
        A product of this package, of any ptychodus, or of PtychoPINN's exporter.
    npz_path : path
        ``*.npz``; appears when it is complete.
    include_diffraction : bool
        Whether frames are imported, where the product has any.
    compress : bool
        Whether the members are deflated.
    original_axis_order : bool
        Whether frames come back in the order that the product's source had; NHW otherwise.
    counts : bool
        Whether frames that are stored as counts stay counts; the amplitudes that they were otherwise.
    accept_damage : bool
        Whether a damaged product is imported as far as it can be read; a `DamageWarning` names what is damaged. Frames
        that are lost become zeros, other arrays that cannot be read are left out.
    overwrite : bool
        Whether an existing file may be replaced.
    force : bool
        Whether that may be a read-only file.
    memory_bytes : int
        What may be held at once to reorder the axes of frames.
    progress : callable, optional
        Called with a number of bytes whenever frames of that size have been written.

    Returns
    -------
    ImportSummary

    Raises
    ------
    SourceError
        There is no HDF5 file.
    ContractError
        The file is no product, or is damaged.
    OutputError
        The NPZ file cannot be written there.
    OptionError
        Counts are asked for, and the product has none.
    """
    path, npz_path = Path(path), Path(npz_path)
    resources = Resources(memory_bytes=memory_bytes)
    if progress is not None:
        resources = replace(resources, progress=progress)
    if npz_path.suffix.lower() != ".npz":
        raise OutputError(npz_path, found=f"suffix {npz_path.suffix!r}", expected=".npz, .cxi or .json")
    with undamaged_product(path, accept_damage) as product:
        frames = _frames(product, include_diffraction, counts)
        order = frames.original_axis_order if frames is not None and original_axis_order else "NHW"
        if order not in contract.AXIS_ORDERS:
            raise ContractError(
                path, key=contract.ORIGINAL_AXIS_ORDER.name, found=repr(order), expected=", ".join(contract.AXIS_ORDERS)
            )
        kept = _kept_datasets(product, accept_damage)
        _check_member_names([*kept, *([] if frames is None else [frames.source_member])], path)
        with (
            atomic_output(npz_path, overwrite=overwrite, force=force, sources=(path,)) as part,
            writing_errors(npz_path),
            NpzWriter(part, compress=compress) as archive,
        ):
            free, needed = shutil.disk_usage(part.parent).free, 0 if frames is None or compress else frames.nbytes
            if needed > free:
                raise OutputError(npz_path, f"the frames take {needed:,} bytes, and its disk has {free:,} left")
            for key, array in _root_arrays(product).items():
                if f"{key}.npy" not in kept:
                    archive.write_array(f"{key}.npy", array)
            for member, dataset in kept.items():
                with _left_out(accept_damage):
                    _write_kept(archive, member, dataset, accept_damage, _turned_by(dataset, product.frames))
            if frames is not None:
                _write_frames(archive, frames, order, resources)
                _tell_damage(frames)
        return ImportSummary(
            archive=npz_path,
            members=archive.members,
            frames=0 if frames is None else len(frames),
            frame_shape=() if frames is None else _source_shape(frames)[1:],
            frame_dtype="" if frames is None else str(frames.dtype),
            axis_order=order,
            file_bytes=npz_path.stat().st_size,
        )


def _frames(product: Product, wanted: bool, counts: bool) -> Frames | None:
    frames = product.frames if wanted else None
    if frames is None or not counts or frames.dtype.kind in "biu":
        return frames
    if frames.counts is None:
        raise OptionError("counts", found=f"frames stored as {frames.dtype}", expected="frames stored as counts")
    return frames.counts


def _root_arrays(product: Product) -> dict[str, Array]:
    """Return what the product itself tells of a scan, in pixels."""
    values = {"probeGuess": _as_in_source(product.probe, product.probe_transform)}
    kept = product.raw_data or ()
    for key, metres, size in (
        ("xcoords", product.x_m, contract.OBJECT_PIXEL_WIDTH),
        ("ycoords", product.y_m, contract.OBJECT_PIXEL_HEIGHT),
    ):
        pixel_m = getattr(product.meta, size.field)
        if pixel_m is not None:
            values[key] = metres_to_pixels(metres, pixel_m)
        elif key not in kept:
            raise ContractError(product.path, _no_pixel(product.path), key=f"{contract.OBJECT.name}@{size.name}")
    if not product.is_object_synthetic:
        values["objectGuess"] = product.object
    if product.raw_data is None:  # a source without scan_index has none to give back
        values["scan_index"] = product.position_indexes
    return values


def _no_pixel(path: Path) -> str:
    return (
        "is missing, and without the size of an object pixel positions in metres cannot become pixels; write a product "
        f"that has it: ptychoproduct convert {path.name} NEW.h5 --object-pixel-size-m SIZE"
    )


def _tell_damage(frames: Frames | None) -> None:
    if frames is not None:
        frames.reader.tell_damage("frames")


def _kept_datasets(product: Product, accept_damage: bool) -> dict[str, h5py.Dataset]:
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
        with _left_out(accept_damage):
            if isinstance(local_object(group, name), h5py.Group):
                warn(f"{product.path}: {group.name}/{name}: a group is not imported")
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
def _left_out(accept_damage: bool) -> Iterator[None]:
    """Warn of an array that cannot be read, where damage is accepted."""
    try:
        yield
    except ContractError as error:
        if not accept_damage:
            raise
        warn_of_damage(f"{error.with_flags}; it is left out")


def _check_member_names(members: Iterable[str], path: Path) -> None:
    for member in members:
        if not is_member_name(member):
            key = f"{contract.RAW_DATA}@{contract.SOURCE_MEMBER.name}"
            raise ContractError(path, key=key, found=repr(member[:80]), expected="a member name inside an archive")


def _turned_by(dataset: h5py.Dataset, frames: Frames | None) -> tuple[str, ...]:
    """Return the steps by which a kept array was turned with the frames: the mask was, and no other."""
    is_mask = frames is not None and dataset.name == f"/{contract.RAW_DATA}/{BAD_PIXELS}"
    return frames.transform if frames is not None and is_mask and dataset.shape[-2:] == frames.shape[1:] else ()


def _write_kept(
    archive: NpzWriter, member: str, dataset: h5py.Dataset, accept_damage: bool, turned_by: tuple[str, ...]
) -> None:
    if turned_by:
        archive.write_array(member, _as_in_source(arrays.read_array(dataset), turned_by))
        return
    source_dtype = dataset.attrs.get(contract.SOURCE_DTYPE.name)
    is_bytes = dataset.dtype == np.uint8 and dataset.ndim == 1
    if isinstance(source_dtype, str) and source_dtype == arrays.MEMBER_BYTES and is_bytes:
        with archive.member(member) as stream, closing(DatasetReader(dataset, accept_damage=accept_damage)) as reader:
            _write_parts(stream, reader)
            reader.tell_damage()
    elif source_dtype is None and dataset.shape and dataset.nbytes >= _LARGE_BYTES and not dataset.dtype.hasobject:
        with archive.member(member) as stream, closing(DatasetReader(dataset, accept_damage=accept_damage)) as reader:
            stream.write_header(reader.shape, arrays.plain_dtype(reader.dtype))
            _write_parts(stream, reader)
            reader.tell_damage()
    else:
        archive.write_array(member, arrays.read_array(dataset))


def _as_in_source(array: Array, steps: tuple[str, ...]) -> Array:
    """Undo a transform, bit for bit."""
    return np.ascontiguousarray(transformed_array(inverse_steps(steps), array)) if steps else array


def _source_shape(frames: Frames) -> tuple[int, ...]:
    turned = transformed_array(frames.transform, np.broadcast_to(np.int8(0), (1, *frames.shape[1:])))
    return len(frames), *turned.shape[1:]


def _write_frames(archive: NpzWriter, frames: Frames, order: str, resources: Resources) -> None:
    if order == "NHW":
        with archive.member(frames.source_member) as stream:
            stream.write_header(_source_shape(frames), frames.dtype)
            _write_parts(stream, frames.reader, resources.progress, frames.transform)
        return
    shape = tuple(_source_shape(frames)["NHW".index(axis)] for axis in order)
    blocks = _reordered_blocks(frames, order, resources.memory_bytes)
    with closing(Workers(resources.threads)) as workers:
        archive.write_blocks(frames.source_member, shape, frames.dtype, blocks, workers, resources.progress)


def _write_parts(
    stream: MemberStream, reader: DatasetReader, progress: Progress | None = None, transform: tuple[str, ...] = ()
) -> None:
    """Write all rows of a dataset; each core decodes, encodes and writes its own."""
    row_bytes = math.prod(reader.shape[1:]) * reader.dtype.itemsize

    def encode(first: int, block: Array) -> Part:
        return stream.encode(first * row_bytes, _as_in_source(block, transform))

    most = most_ahead(reader.threads, len(next(reader.block_ranges(), ())) * row_bytes)
    with OrderedTasks(reader.threads, most, stream.add, progress or (lambda _: None)) as tasks:
        for rows in reader.block_ranges():
            tasks.submit(reader.block_call(rows, encode), len(rows) * row_bytes)


def _reordered_blocks(frames: Frames, order: str, memory_bytes: int) -> Iterator[Array]:
    """Give the frames in HNW or HWN order, by bands of rows; each band is one pass over the frames."""
    number, height, width = _source_shape(frames)
    band = min(height, max(1, memory_bytes // (number * width * frames.dtype.itemsize)))
    for top in range(0, height, band):
        rows = min(band, height - top)
        window = np.empty([{"N": number, "H": rows, "W": width}[axis] for axis in order], frames.dtype)
        canonical = window.transpose(canonical_axes(order))
        first = 0
        for block in frames.blocks():
            block = _as_in_source(block, frames.transform)
            canonical[first : first + len(block)] = block[:, top : top + rows]
            first += len(block)
        elements = window.reshape(-1)
        step = max(1, _BLOCK_BYTES // window.itemsize)
        for start in range(0, len(elements), step):
            yield elements[start : start + step]
