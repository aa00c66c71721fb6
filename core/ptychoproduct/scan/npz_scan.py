"""A scan in PtychoPINN's NPZ format."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from ptychoproduct.errors import SourceError
from ptychoproduct.hdf5 import arrays
from ptychoproduct.model import contract
from ptychoproduct.npz.archive import NpzArchive
from ptychoproduct.npz.stored_array import StoredArray
from ptychoproduct.npz.unpickle import unpickle_text
from ptychoproduct.scan.assembly import Companions, assembled, given_positions, paired, probe_of
from ptychoproduct.scan.field_layouts import BAD_PIXELS, FRAME_NUMBERS, PATTERNS
from ptychoproduct.scan.layouts import WITHOUT_FRAMES
from ptychoproduct.scan.npz_parts import POSITION_KEYS, npz_metadata, own_keys, positions_in_npz, read_if_there
from ptychoproduct.scan.scan import Extra, Scan, is_streamed
from ptychoproduct.scan.stored_frames import stored_frames
from ptychoproduct.streaming.stacked_rows import stack_axes
from ptychoproduct.streaming.stored_rows import stored_rows
from ptychoproduct.system.resources import Resources

_MOST_PICKLE_BYTES = 64 * 1024**2
FRAME_KEYS = (*contract.FRAME_KEYS, PATTERNS[1:])


def npz_scan(
    archive: NpzArchive,
    companions: Companions,
    resources: Resources,
    frames_key: str | None = None,
    include_frames: bool = True,
) -> Scan:
    """Describe the scan in an archive.

    Parameters
    ----------
    archive : NpzArchive
        Open until the product is written.
    companions : Companions
    resources : Resources
        What may be used to reorder axes.
    frames_key : str, optional
        Key of the frames; by default the first of `FRAME_KEYS` that is there.
    include_frames : bool
        Whether there must be frames.

    Raises
    ------
    SourceError
        The archive does not hold a scan.
    """
    text, files = _metadata_text(archive), (archive.path,)
    frames = frames_array(archive, frames_key) if include_frames else None
    stack = None if frames is None else stored_frames(frames, resources)
    positions = given_positions(companions, archive.path, () if frames is None else frames.shape)
    if positions is None:
        if not any({x, y} <= set(archive.members) for x, y, _ in POSITION_KEYS):
            raise _no_positions(archive)
        positions = positions_in_npz(archive, companions.positions_in)
    elif stack is not None:
        numbers = read_if_there(archive, FRAME_NUMBERS) if frames is not None and frames.key == PATTERNS[1:] else None
        positions = paired(archive.path, stack.shape, positions, numbers)
    if positions.numbers is None and positions.scan_index is None:
        positions = replace(positions, scan_index=read_if_there(archive, "scan_index"))
    if positions.object is None:
        positions = replace(positions, object=read_if_there(archive, "objectGuess"))
    probe = probe_of(archive.path, companions, positions, partial(read_if_there, archive, "probeGuess"))
    return assembled(
        archive.path,
        files,
        stack,
        positions,
        probe,
        _extras(archive, frames, text, resources),
        read_if_there(archive, BAD_PIXELS),
        npz_metadata(archive),
        (f"None in the file, so taken as missing: {', '.join(archive.absent)}",) if archive.absent else (),
    )


def frames_array(archive: NpzArchive, key: str | None = None) -> StoredArray:
    """Return the array that holds the diffraction frames, or SourceError where there is none."""
    for usual in FRAME_KEYS if key is None else (key,):
        if usual in archive.members:
            return archive.members[usual]
    stacks = [
        f"{name} {array.shape}"
        for name, array in archive.members.items()
        if array.dtype.newbyteorder("=").name in contract.FRAME and stack_axes(array.shape) is not None
    ]
    problem = f"there are no frames under {key or ' or '.join(FRAME_KEYS)}"
    if stacks:
        problem += f"; give their key by --frames-key, one of {', '.join(stacks)}"
    raise SourceError(archive.path, problem if key else f"{problem}; {WITHOUT_FRAMES}", key=key)


def _no_positions(archive: NpzArchive) -> SourceError:
    tables = (key for key, array in archive.members.items() if array.dtype.kind in "iuf" and array.shape[1:] == (2,))
    missing = [key for key in ("xcoords", "ycoords") if key not in archive.members]
    advice = " or ".join(["with --positions FILE", *(f"--positions {archive.path.name}:{key}" for key in tables)])
    return SourceError(archive.path, f"there are no positions; give them {advice}", key=" and ".join(missing))


def _extras(archive: NpzArchive, frames: StoredArray | None, text: str | None, resources: Resources) -> Iterator[Extra]:
    written_anew = own_keys(archive)
    for array in archive.members.values():
        if array is frames or array.key in written_anew:
            continue
        source_dtype = None if array.is_array else arrays.MEMBER_BYTES
        if array.dtype.hasobject:
            yield Extra(array.member, text or "")
        elif array.key != BAD_PIXELS and is_streamed(array.shape, array.dtype):  # the mask is cropped and turned
            yield Extra(array.member, stored_rows(array, resources=resources), source_dtype)
        else:
            yield Extra(array.member, array.read(), source_dtype)


def _metadata_text(archive: NpzArchive) -> str | None:
    """Return the pickled ``_metadata``, and refuse every other pickle; None where there is nothing pickled."""
    text = None
    for array in archive.members.values():
        if not array.dtype.hasobject:
            continue
        plain = f"plain data; pickles are not opened, but for a string in {contract.METADATA_KEY}"
        expected = f"{plain}; --drop {array.key} leaves it out"
        if array.key != contract.METADATA_KEY or array.nbytes > _MOST_PICKLE_BYTES:
            raise SourceError(archive.path, key=array.key, found="an array of Python objects", expected=expected)
        try:
            text = unpickle_text(array.as_bytes().read().tobytes()[array.header_bytes :])
        except ValueError as error:
            raise SourceError(archive.path, key=array.key, found=str(error), expected=expected) from error
    return text
