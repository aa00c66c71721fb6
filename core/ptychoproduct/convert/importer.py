"""From a product back to a scan, in memory or in an NPZ file."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path

import numpy as np

from ptychoproduct.aliases import Array, Progress
from ptychoproduct.convert.kept_arrays import (
    as_in_source,
    is_streamed,
    kept_datasets,
    left_out,
    turned_by,
    write_kept,
    write_parts,
)
from ptychoproduct.convert.undamaged import undamaged_product
from ptychoproduct.errors import ContractError, OptionError, OutputError
from ptychoproduct.hdf5 import arrays
from ptychoproduct.hdf5.contract_fields import tell_of_others
from ptychoproduct.hdf5.local_links import naming_damage
from ptychoproduct.model import contract
from ptychoproduct.model.axes import canonical_axes
from ptychoproduct.model.positions import metres_to_pixels
from ptychoproduct.model.transforms import transformed_array
from ptychoproduct.npz.writer import NpzWriter
from ptychoproduct.npz.zip_records import is_member_name
from ptychoproduct.product.reader import Frames, Product, open_product
from ptychoproduct.scan.rawdata import RawData
from ptychoproduct.system.atomic import atomic_output, writing_errors
from ptychoproduct.system.resources import DEFAULT_MEMORY_BYTES, Resources
from ptychoproduct.system.workers import Workers
from ptychoproduct.validation.damage import are_verified_frames, require_undamaged

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
        for member, dataset in kept_datasets(product, accept_damage).items():
            with left_out(accept_damage):
                values[member.removesuffix(".npy")] = arrays.read_array(dataset)
        metadata = values.get(contract.METADATA_KEY)
        rows = None if frames is None else as_in_source(frames[:], frames.transform)
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
    with naming_damage(path), open_product(path, accept_damage=accept_damage) as product:
        kept = kept_datasets(product, accept_damage)
        streamed = {dataset for dataset in kept.values() if is_streamed(dataset, turned_by(dataset, product.frames))}
        require_undamaged(
            product.file,
            accept=accept_damage,
            verified_later=lambda dataset, name: dataset in streamed or are_verified_frames(dataset, name),
        )
        tell_of_others(product.file, path)
        frames = _frames(product, include_diffraction, counts)
        order = frames.original_axis_order if frames is not None and original_axis_order else "NHW"
        if order not in contract.AXIS_ORDERS:
            raise ContractError(
                path, key=contract.ORIGINAL_AXIS_ORDER.name, found=repr(order), expected=", ".join(contract.AXIS_ORDERS)
            )
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
                with left_out(accept_damage):
                    write_kept(archive, member, dataset, accept_damage, turned_by(dataset, product.frames))
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
    values = {"probeGuess": as_in_source(product.probe, product.probe_transform)}
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


def _check_member_names(members: Iterable[str], path: Path) -> None:
    for member in members:
        if not is_member_name(member):
            key = f"{contract.RAW_DATA}@{contract.SOURCE_MEMBER.name}"
            raise ContractError(path, key=key, found=repr(member[:80]), expected="a member name inside an archive")


def _source_shape(frames: Frames) -> tuple[int, ...]:
    turned = transformed_array(frames.transform, np.broadcast_to(np.int8(0), (1, *frames.shape[1:])))
    return len(frames), *turned.shape[1:]


def _write_frames(archive: NpzWriter, frames: Frames, order: str, resources: Resources) -> None:
    if order == "NHW":
        with archive.member(frames.source_member) as stream:
            stream.write_header(_source_shape(frames), frames.dtype)
            write_parts(stream, frames.reader, resources.progress, frames.transform)
        return
    shape = tuple(_source_shape(frames)["NHW".index(axis)] for axis in order)
    blocks = _reordered_blocks(frames, order, resources.memory_bytes)
    with closing(Workers(resources.threads)) as workers:
        archive.write_blocks(frames.source_member, shape, frames.dtype, blocks, workers, resources.progress)


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
            block = as_in_source(block, frames.transform)
            canonical[first : first + len(block)] = block[:, top : top + rows]
            first += len(block)
        elements = window.reshape(-1)
        step = max(1, _BLOCK_BYTES // window.itemsize)
        for start in range(0, len(elements), step):
            yield elements[start : start + step]
