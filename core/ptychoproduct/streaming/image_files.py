"""Frames in the files that detectors and their programs write: TIFF with tifffile, CBF and EDF with fabio."""

from __future__ import annotations

import hashlib
import logging
import math
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ptychoproduct.aliases import Array
from ptychoproduct.errors import SourceError, counted

TIFF, CBF, EDF = "TIFF", "CBF", "EDF"
SUFFIXES = (".tif", ".tiff", ".cbf", ".edf")
_MAGICS = {b"II*\0": TIFF, b"MM\0*": TIFF, b"II+\0": TIFF, b"MM\0+": TIFF, b"###C": CBF}
_CBF_STARTER = b"\x0c\x1a\x04\xd5"
_CBF_TYPES = {"signed 32-bit integer": np.int32, "unsigned 32-bit integer": np.uint32}
# Both tell of damage in their log only; here that is an error.
for _library in ("tifffile", "fabio"):
    logging.getLogger(_library).addHandler(logging.NullHandler())


@dataclass(frozen=True)
class ImageFile:
    """An open file.

    Parameters
    ----------
    count : int
        Of its frames.
    shape, dtype
        Of each, [H, W].
    frame : callable
        Returns one by its number, decoded.
    header : str
        What a CBF file says above its frame.
    """

    count: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    frame: Callable[[int], Array]
    header: str = ""


def image_kind(path: Path) -> str | None:
    """Return "TIFF", "CBF" or "EDF" by a file's first bytes, of EDF by its name too; None for another file."""
    try:
        with path.open("rb") as file:
            start = file.read(4)
    except OSError:
        return None
    return _MAGICS.get(start) or (EDF if start.startswith(b"{") and path.suffix.lower() == ".edf" else None)


@contextmanager
def opened_image(path: Path) -> Iterator[ImageFile]:
    """Open a file; no other file that it names is read.

    Raises
    ------
    SourceError
        It is none of the three, is damaged, has frames of several sizes or types, or what reads it is not installed.
    """
    kind = image_kind(path)
    if kind is None:
        raise SourceError(path, "this is not a TIFF, CBF or EDF file" if path.is_file() else "no such file")
    with ExitStack() as stack:
        with _naming(path, kind):
            image = stack.enter_context(_OPEN[kind](path))
        if len(image.shape) != 2 or min(image.shape) < 1:
            raise SourceError(path, f"frames of shape {image.shape} are no [H, W]")

        def frame(number: int) -> Array:
            with _naming(path, kind):
                return image.frame(number)

        yield replace(image, frame=frame)


@contextmanager
def _naming(path: Path, kind: str) -> Iterator[None]:
    """Turn errors of both libraries, which are whatever a damaged file leads them to, into one."""
    try:
        yield
    except ImportError as error:
        is_ours = (error.name or "").partition(".")[0] in ("tifffile", "fabio")
        install = 'pip install "ptychoproduct[images]"' if is_ours else str(error)
        raise SourceError(path, f"{kind} files need a package that is not installed: {install}") from error
    except (SourceError, MemoryError):
        raise
    except Exception as error:
        problem = str(error) or type(error).__name__
        raise SourceError(path, f"cannot be read, it is damaged or unfinished: {problem}") from error


@contextmanager
def _tiff(path: Path) -> Iterator[ImageFile]:
    from tifffile import TiffFile

    with TiffFile(path, is_ome=False) as file:
        pages = file.pages
        count = len(pages)
        file.filehandle.seek(pages.next_page_offset)
        if any(file.filehandle.read(file.tiff.offsetsize)):
            raise SourceError(path, f"ends before its last page; {counted(count, 'page')} can be read")
        first = pages[0]
        said = sum(math.prod(found.get("shape", ())) for found in file.shaped_metadata or ()) // max(1, first.size)
        said = max(said, int((file.imagej_metadata or {}).get("images", 1)))
        if said > count:
            problem = f"says that it has {said} frames, and has {counted(count, 'page')}; save each frame as a page"
            raise SourceError(path, problem)

        def frame(number: int) -> Array:
            page = pages[number]
            if 0 in page.databytecounts:  # tifffile takes them as empty parts
                raise SourceError(path, f"page {number} is not complete")
            return _of_first(path, page.asarray(), first, number)

        yield ImageFile(count, first.shape, np.dtype(first.dtype).newbyteorder("="), frame)


@contextmanager
def _cbf(path: Path) -> Iterator[ImageFile]:
    """Read the binary section of a CBF file, as imgCIF defines it; fabio decodes it, and would wait for what is cut."""
    from fabio.compression import decByteOffset

    section, starter, stored = path.read_bytes().partition(_CBF_STARTER)
    lines = section.rpartition(b"--CIF-BINARY-FORMAT-SECTION--")[2].decode("latin-1").splitlines()
    fields = {name.strip().lower(): value.strip(' "') for name, _, value in (line.partition(":") for line in lines)}
    if not starter:
        raise SourceError(path, "ends before its frame begins")
    if "x-CBF_BYTE_OFFSET" not in section.decode("latin-1"):
        raise SourceError(path, "is not compressed as detectors do it, x-CBF_BYTE_OFFSET; save it in that way")
    stored = stored[: (size := int(fields["x-binary-size"]))]
    digest = b64encode(hashlib.md5(stored, usedforsecurity=False).digest()).decode()
    if len(stored) < size or fields.get("content-md5", digest) != digest:
        raise SourceError(path, "its data are incomplete or have changed: their size or MD5 sum is another")
    width, height = (int(fields[f"x-binary-size-{which}-dimension"]) for which in ("fastest", "second"))
    dtype = np.dtype(_CBF_TYPES[fields["x-binary-element-type"]])
    if width * height > size:  # of a pixel, one byte at least
        raise SourceError(path, "its header says more data than the file has")
    data = np.asarray(decByteOffset(stored, width * height, dtype.name), dtype).reshape(height, width)
    yield ImageFile(1, data.shape, dtype, lambda _: data, section.decode("latin-1"))


@contextmanager
def _edf(path: Path) -> Iterator[ImageFile]:
    from fabio.edfimage import EdfImage

    with path.open("rb") as stored_file:
        image = EdfImage().read(_Forward(stored_file))
        frames = [image.get_frame(number) for number in range(image.nframes)]
        for frame in frames:
            names = {name.lower(): value for name, value in frame.header.items()}
            if "edf_binaryfilename" in names or names.get("compression", "none").lower() != "none":
                raise SourceError(path, "has its data compressed or in another file; save them plainly, in this one")
            if frame.blobsize < math.prod(frame.shape) * np.dtype(frame.dtype).itemsize:
                raise SourceError(path, "its header says more data than the file has")
        if image.incomplete_file:
            raise SourceError(path, "ends before its data do")
        if len({(*frame.shape, frame.dtype) for frame in frames}) > 1:
            raise SourceError(path, "has frames of several sizes or types")
        shape, dtype = tuple(frames[0].shape), np.dtype(frames[0].dtype)

        def read(number: int) -> Array:
            """Read it here: fabio would keep every frame in memory."""
            frame = frames[number]
            names = {name.lower(): value for name, value in frame.header.items()}
            is_big = "high" in names.get("byteorder", "").lower()
            stored = np.fromfile(path, dtype.newbyteorder(">" if is_big else "<"), math.prod(shape), offset=frame.start)
            return stored.reshape(shape)

        yield ImageFile(len(frames), shape, dtype.newbyteorder("="), read)


class _Forward:
    """A file in which each header begins after the one before; a negative size would lead fabio back to one for ever.

    Parameters
    ----------
    file : BinaryIO
    """

    def __init__(self, file: BinaryIO) -> None:
        self.name, self.seek, self.tell, self.write = file.name, file.seek, file.tell, file.write
        self._file, self._last = file, -1

    def read(self, size: int) -> bytes:
        """Read a part of a header, or the single byte with which fabio tries whether data are complete."""
        start = self.tell()
        if size > 1 and start <= self._last:
            raise ValueError("a header says a size below zero")
        if size > 1:
            self._last = start
        return self._file.read(size)


def _of_first(path: Path, frame: Array, first: Any, number: int) -> Array:
    if frame.shape != first.shape or frame.dtype.newbyteorder("=") != np.dtype(first.dtype).newbyteorder("="):
        found, expected = f"{frame.dtype} {frame.shape}", f"{first.dtype} {first.shape}, as of the first"
        raise SourceError(path, f"frame {number} is another", found=found, expected=expected)
    return frame


_OPEN = {TIFF: _tiff, CBF: _cbf, EDF: _edf}
