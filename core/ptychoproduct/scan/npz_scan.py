"""A scan in PtychoPINN's NPZ format."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from ptychoproduct.aliases import Array
from ptychoproduct.errors import SourceError
from ptychoproduct.hdf5 import arrays
from ptychoproduct.model import contract
from ptychoproduct.npz.archive import NpzArchive
from ptychoproduct.npz.npy import Member
from ptychoproduct.npz.unpickle import unpickle_text
from ptychoproduct.scan.layouts import BAD_PIXELS
from ptychoproduct.scan.scan import Extra, FrameStack, Scan, is_streamed
from ptychoproduct.scan.source_metadata import npz_metadata, said_by
from ptychoproduct.streaming.sources import member_rows, stored_rows
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
    x, y = (archive.read(archive.require(key)) for key in ("xcoords", "ycoords"))
    probe = archive.read(archive.require("probeGuess"))
    frames = frames_member(archive) if include_frames else None
    return Scan(
        origin=archive.path,
        x=x,
        y=y,
        positions_in=positions_in,
        probe=probe,
        frames=None if frames is None else _frame_stack(archive, frames, resources),
        object=read_if_there(archive, "objectGuess"),
        scan_index=read_if_there(archive, "scan_index"),
        extras=_extras(archive, frames, text, resources),
        bad_pixels=read_if_there(archive, BAD_PIXELS),
        metadata=metadata,
        metadata_files=dict.fromkeys(said_by(metadata), archive.path),
        files=(archive.path,),
    )


def frames_member(archive: NpzArchive) -> Member:
    """Return the member that holds the diffraction frames, or SourceError where there is none."""
    for key in contract.FRAME_KEYS:
        if key in archive.members:
            return archive.members[key]
    return archive.require(" or ".join(contract.FRAME_KEYS))


def read_if_there(archive: NpzArchive, key: str) -> Array | None:
    """Read a member whole; None where the archive has none of that key."""
    member = archive.members.get(key)
    return None if member is None else archive.read(member)


def _frame_stack(archive: NpzArchive, member: Member, resources: Resources) -> FrameStack:
    rows = partial(member_rows, archive, member, resources=resources)
    as_stored = partial(stored_rows, archive, member)
    return FrameStack(member.key, member.shape, rows, member.member, as_stored=as_stored)


def _extras(archive: NpzArchive, frames: Member | None, text: str | None, resources: Resources) -> Iterator[Extra]:
    for member in archive.members.values():
        if member == frames or member.key in _PRODUCT_KEYS:
            continue
        source_dtype = None if member.is_array else arrays.MEMBER_BYTES
        if member.dtype.hasobject:
            yield Extra(member.member, text or "")
        elif is_streamed(member.shape, member.dtype):
            yield Extra(member.member, member_rows(archive, member, resources=resources), source_dtype)
        else:
            yield Extra(member.member, archive.read(member), source_dtype)


def _metadata_text(archive: NpzArchive) -> str | None:
    """Return the pickled ``_metadata``, and refuse every other pickle; None where there is nothing pickled."""
    text = None
    for member in archive.members.values():
        if not member.dtype.hasobject:
            continue
        expected = f"plain data; pickles are not opened, but for a string in {contract.METADATA_KEY}"
        if member.key != contract.METADATA_KEY or member.nbytes > _MOST_PICKLE_BYTES:
            raise SourceError(archive.path, key=member.key, found="an array of Python objects", expected=expected)
        try:
            text = unpickle_text(archive.read_bytes(member)[member.data_start :])
        except ValueError as error:
            raise SourceError(archive.path, key=member.key, found=str(error), expected=expected) from error
    return text
