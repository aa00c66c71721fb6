"""A scan in PtychoPINN's NPZ format."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from ptychoproduct.aliases import Array
from ptychoproduct.errors import SourceError
from ptychoproduct.hdf5 import arrays
from ptychoproduct.model import contract
from ptychoproduct.npz.archive import NpzArchive
from ptychoproduct.npz.stored_array import StoredArray
from ptychoproduct.npz.unpickle import unpickle_text
from ptychoproduct.scan.layouts import BAD_PIXELS
from ptychoproduct.scan.scan import Extra, FrameStack, Scan, is_streamed
from ptychoproduct.scan.source_metadata import npz_metadata, said_by
from ptychoproduct.streaming.stored_rows import rows_as_stored, stored_rows
from ptychoproduct.system.resources import Resources

_MOST_PICKLE_BYTES = 64 * 1024**2
_PRODUCT_KEYS = ("xcoords", "ycoords", "scan_index", "probeGuess", "objectGuess")


def npz_scan(archive: NpzArchive, include_frames: bool, resources: Resources, positions_in: str | None = None) -> Scan:
    """Describe the scan in an archive.

    Parameters
    ----------
    archive : NpzArchive
        Open until the product is written.
    include_frames : bool
        Whether there must be frames.
    resources : Resources
        What may be used to reorder axes.
    positions_in : {"px", "m", "mm", "um", "nm"}, optional
        Unit of the positions.

    Raises
    ------
    SourceError
        The archive does not hold a scan.
    """
    text, metadata = _metadata_text(archive), npz_metadata(archive)
    x, y = (archive.require(key).read() for key in ("xcoords", "ycoords"))
    probe = archive.require("probeGuess").read()
    frames = frames_array(archive) if include_frames else None
    return Scan(
        origin=archive.path,
        x=x,
        y=y,
        positions_in=positions_in,
        probe=probe,
        frames=None if frames is None else _frame_stack(frames, resources),
        object=read_if_there(archive, "objectGuess"),
        scan_index=read_if_there(archive, "scan_index"),
        extras=_extras(archive, frames, text, resources),
        bad_pixels=read_if_there(archive, BAD_PIXELS),
        metadata=metadata,
        metadata_files=dict.fromkeys(said_by(metadata), archive.path),
        files=(archive.path,),
    )


def frames_array(archive: NpzArchive) -> StoredArray:
    """Return the array that holds the diffraction frames, or SourceError where there is none."""
    for key in contract.FRAME_KEYS:
        if key in archive.members:
            return archive.members[key]
    return archive.require(" or ".join(contract.FRAME_KEYS))


def read_if_there(archive: NpzArchive, key: str) -> Array | None:
    """Read a member whole; None where the archive has none of that key."""
    array = archive.members.get(key)
    return None if array is None else array.read()


def _frame_stack(array: StoredArray, resources: Resources) -> FrameStack:
    rows = partial(stored_rows, array, resources=resources)
    return FrameStack(array.key, array.shape, rows, array.member, as_stored=partial(rows_as_stored, array))


def _extras(archive: NpzArchive, frames: StoredArray | None, text: str | None, resources: Resources) -> Iterator[Extra]:
    for array in archive.members.values():
        if array is frames or array.key in _PRODUCT_KEYS:
            continue
        source_dtype = None if array.is_array else arrays.MEMBER_BYTES
        if array.dtype.hasobject:
            yield Extra(array.member, text or "")
        elif is_streamed(array.shape, array.dtype):
            yield Extra(array.member, stored_rows(array, resources=resources), source_dtype)
        else:
            yield Extra(array.member, array.read(), source_dtype)


def _metadata_text(archive: NpzArchive) -> str | None:
    """Return the pickled ``_metadata``, and refuse every other pickle; None where there is nothing pickled."""
    text = None
    for array in archive.members.values():
        if not array.dtype.hasobject:
            continue
        expected = f"plain data; pickles are not opened, but for a string in {contract.METADATA_KEY}"
        if array.key != contract.METADATA_KEY or array.nbytes > _MOST_PICKLE_BYTES:
            raise SourceError(archive.path, key=array.key, found="an array of Python objects", expected=expected)
        try:
            text = unpickle_text(array.as_bytes().read().tobytes()[array.header_bytes :])
        except ValueError as error:
            raise SourceError(archive.path, key=array.key, found=str(error), expected=expected) from error
    return text
