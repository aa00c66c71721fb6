"""Reading NPZ archives without loading their arrays.

An NPZ file is a ZIP archive of NPY files: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
The directory is read by `zipfile`; the bytes of a member are read here, because `zipfile` neither reads at an offset
nor inflates at isal's speed.
"""

from __future__ import annotations

import struct
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any, Self

import numpy as np
from isal import isal_zlib

from ptychoproduct.errors import SourceError
from ptychoproduct.npz.npy import (
    MAX_HEADER_BYTES,
    ByteStream,
    Member,
    SegmentReader,
    check_size,
    open_source,
    read_header,
    read_member,
)
from ptychoproduct_native import read_segments

# https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT, 4.3.7 and 4.3.16
_LOCAL_HEADER_BYTES = 30
_LOCAL_NAME_LENGTH = 26
_UTF8_FLAG = 0x800
_END_RECORD_BYTES = 22
_END_RECORD_COUNT = 10
_UNCOUNTED = 0xFFFF
_NPY_SUFFIX = ".npy"
_INFLATE_STEP_BYTES = 256 * 1024
# Deflate cannot shrink its input further than 1032 : 1. https://zlib.net/zlib_tech.html
_MAX_DEFLATE_RATIO = 1032


class NpzArchive:
    """An NPZ file opened for reading.

    Parameters
    ----------
    path : Path

    Attributes
    ----------
    members : dict of str to Member
        In the order of the archive's directory.

    Raises
    ------
    SourceError
        The file is missing, no ZIP archive, or a member's header does not fit the directory.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = open_source(path, "an NPZ file")
        try:
            self._infos = self._read_directory()
            self.members = {member.key: member for member in map(self._read_header, self._infos.values())}
            if len(self.members) < len(self._infos):
                raise SourceError(path, found="two members of one name", expected="distinct keys")
        except BaseException:
            self._file.__exit__(None, None, None)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.__exit__(kind, error, trace)

    def require(self, key: str) -> Member:
        """Return a member; SourceError where the archive has none of that key."""
        try:
            return self.members[key]
        except KeyError:
            raise SourceError(
                self.path, key=key, found=f"only {', '.join(self.members) or 'nothing'}", expected="this key"
            ) from None

    def read(self, member: Member) -> np.ndarray[Any, Any]:
        """Read an array whole, in native byte order and C order, its checksum verified.

        Raises
        ------
        SourceError
            The data is damaged, or an array of Python objects.
        """
        return read_member(self, member, self.path)

    def read_bytes(self, member: Member) -> bytes:
        """Read a member whole, NPY header included, its checksum verified."""
        data = bytearray(self._infos[member.member].file_size)
        stream = self._raw_stream(member.member)
        stream.readinto(memoryview(data))
        stream.finish()
        return bytes(data)

    def is_stored(self, member: Member) -> bool:
        """Whether the member's bytes lie uncompressed in the file."""
        return self._infos[member.member].compress_type == zipfile.ZIP_STORED

    def segment_reader(self, member: Member) -> SegmentReader | None:
        """Return a function that reads strided parts of a stored member's data; None where it is deflated."""
        if not self.is_stored(member):
            return None
        start = self._data_offset(self._infos[member.member]) + member.data_start

        def read(offset: int, stride: int, segment_bytes: int, destination: memoryview) -> None:
            try:
                read_segments(self._file.descriptor, start + offset, stride, segment_bytes, destination)
            except (OSError, EOFError) as error:
                raise SourceError(self.path, f"cannot be read: {error}", key=member.member) from error

        return read

    def stream(self, member: Member) -> ByteStream:
        """Open the array's data as a stream of bytes; its checksum covers the NPY header too."""
        stream = self._raw_stream(member.member)
        stream.readinto(memoryview(bytearray(member.data_start)))
        return stream

    def parts(self, member: Member) -> PartReader:
        """Open a stored member for reading at offsets.

        Raises
        ------
        ValueError
            The member is deflated.
        """
        if not self.is_stored(member):
            raise ValueError(f"{member.key} is deflated")
        return PartReader(self, member)

    def _read_directory(self) -> dict[str, zipfile.ZipInfo]:
        try:
            with zipfile.ZipFile(self.path) as archive:
                infos = archive.infolist()
                counted_at = self._file.size - len(archive.comment) - _END_RECORD_BYTES + _END_RECORD_COUNT
            (count,) = struct.unpack("<H", self._file.read(counted_at, 2))
        except (zipfile.BadZipFile, OSError, NotImplementedError, struct.error, ValueError, EOFError) as error:
            raise SourceError(self.path, found=f"no readable ZIP archive ({error})", expected="an NPZ file") from error
        if count not in (len(infos), _UNCOUNTED):
            raise SourceError(self.path, found=f"{len(infos)} members", expected=f"{count} by the end of its directory")
        if len({info.filename for info in infos}) < len(infos):
            raise SourceError(self.path, found="two members of one name", expected="distinct keys")
        for info in infos:
            self._check_info(info)
        return {info.filename: info for info in infos if not info.filename.endswith("/")}

    def _check_info(self, info: zipfile.ZipInfo) -> None:
        self._check_local_name(info)
        path = PurePosixPath(info.filename)
        if not info.filename or path.is_absolute() or ".." in path.parts or "\\" in info.filename:
            raise SourceError(self.path, key=info.filename, found="a path", expected="a member name inside the archive")
        if info.flag_bits & 0x1:
            raise SourceError(self.path, key=info.filename, found="an encrypted member", expected="a plain one")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise SourceError(
                self.path, key=info.filename, found=f"ZIP method {info.compress_type}", expected="stored or deflated"
            )
        if info.filename.endswith("/") and info.file_size:
            raise SourceError(self.path, key=info.filename, found="a folder with contents", expected="an empty one")
        limit = info.compress_size * (1 if info.compress_type == zipfile.ZIP_STORED else _MAX_DEFLATE_RATIO)
        if info.file_size > limit + 1024 or info.header_offset + info.compress_size > self._file.size:
            raise SourceError(
                self.path,
                key=info.filename,
                found=f"{info.compress_size} bytes said to hold {info.file_size}",
                expected="sizes that fit the file",
            )

    def _check_local_name(self, info: zipfile.ZipInfo) -> None:
        """Compare the name before the member's data with that in the directory, as `zipfile` does on opening it."""
        header = self._read_at(info, info.header_offset, _LOCAL_HEADER_BYTES)
        (length,) = struct.unpack_from("<H", header, _LOCAL_NAME_LENGTH)
        name = self._read_at(info, info.header_offset + _LOCAL_HEADER_BYTES, length)
        encoding = "utf-8" if info.flag_bits & _UTF8_FLAG else "cp437"
        if name.decode(encoding, "replace") != info.orig_filename:
            raise SourceError(
                self.path, key=info.filename, found=f"a member named {name!r}", expected="the name in the directory"
            )

    def _read_header(self, info: zipfile.ZipInfo) -> Member:
        key = info.filename.removesuffix(_NPY_SUFFIX)
        start = bytearray(min(info.file_size, MAX_HEADER_BYTES))
        self._raw_stream(info.filename).readinto(memoryview(start))
        header = read_header(start, self.path, key)
        if header is None or not header.dtype.itemsize:  # NumPy itself cannot make arrays of empty elements again
            return self._opaque_member(info)
        nbytes = info.file_size - header.data_start
        if not header.dtype.hasobject:
            check_size(header, nbytes, self.path, key)
        return Member(
            key=key,
            member=info.filename,
            dtype=header.dtype,
            shape=header.shape,
            fortran_order=header.fortran_order,
            is_array=True,
            data_start=header.data_start,
            nbytes=nbytes,
        )

    def _opaque_member(self, info: zipfile.ZipInfo) -> Member:
        return Member(
            key=info.filename,
            member=info.filename,
            dtype=np.dtype(np.uint8),
            shape=(info.file_size,),
            fortran_order=False,
            is_array=False,
            data_start=0,
            nbytes=info.file_size,
        )

    def _raw_stream(self, name: str) -> ByteStream:
        info = self._infos[name]
        start = self._data_offset(info)
        if info.compress_type == zipfile.ZIP_STORED:
            return _StoredStream(self, info, start)
        return _InflatedStream(self, info, start)

    def _data_offset(self, info: zipfile.ZipInfo) -> int:
        header = self._read_at(info, info.header_offset, _LOCAL_HEADER_BYTES)
        if not header.startswith(b"PK\x03\x04"):
            raise SourceError(self.path, key=info.filename, found="no member where the directory says")
        name_bytes, extra_bytes = struct.unpack_from("<HH", header, _LOCAL_NAME_LENGTH)
        return info.header_offset + _LOCAL_HEADER_BYTES + int(name_bytes) + int(extra_bytes)

    def _read_at(self, info: zipfile.ZipInfo, offset: int, nbytes: int) -> bytes:
        data = bytearray(nbytes)
        self._read_into(info, offset, memoryview(data))
        return bytes(data)

    def _read_into(self, info: zipfile.ZipInfo, offset: int, view: memoryview) -> None:
        try:
            self._file.read_into(offset, view)
        except EOFError as error:
            raise SourceError(self.path, f"truncated: {error}", key=info.filename) from error
        except (OSError, ValueError, OverflowError) as error:
            raise SourceError(self.path, f"cannot be read: {error}", key=info.filename) from error

    def _check_crc(self, info: zipfile.ZipInfo, crc: int) -> None:
        if crc != info.CRC:
            raise SourceError(
                self.path, key=info.filename, found=f"CRC-32 {crc:08x}", expected=f"{info.CRC:08x} by its directory"
            )


class PartReader:
    """Reads parts of a stored member from any thread, and verifies the whole once all parts were read.

    Parameters
    ----------
    archive : NpzArchive
    member : Member
        Stored, not deflated.
    """

    def __init__(self, archive: NpzArchive, member: Member) -> None:
        self._archive = archive
        self._member = member
        self._info = archive._infos[member.member]
        self._start = archive._data_offset(self._info)
        header = archive._read_at(self._info, self._start, member.data_start)
        self._crcs = {0: (member.data_start, isal_zlib.crc32(header))}
        self._lock = threading.Lock()

    def read_into(self, offset: int, view: memoryview) -> None:
        """Fill the view from `offset` of the array's data on."""
        offset += self._member.data_start
        self._archive._read_into(self._info, self._start + offset, view)
        crc = isal_zlib.crc32(view)
        with self._lock:
            self._crcs[offset] = (len(view), crc)

    def finish(self) -> None:
        """Compare the parts' checksum with the directory's.

        Raises
        ------
        SourceError
            They differ.
        ValueError
            Parts are missing, or overlap.
        """
        end, total = 0, 0
        for offset, (length, crc) in sorted(self._crcs.items()):
            if offset != end:
                raise ValueError(f"bytes {end} to {offset} of {self._member.key} were not read once")
            total = isal_zlib.crc32_combine(total, crc, length)
            end += length
        if end != self._info.file_size:
            raise ValueError(f"{self._member.key} was read up to byte {end} of {self._info.file_size}")
        self._archive._check_crc(self._info, total)


class _StoredStream:
    def __init__(self, archive: NpzArchive, info: zipfile.ZipInfo, start: int) -> None:
        self._archive = archive
        self._info = info
        self._start = start
        self._position = 0
        self._crc = 0

    def readinto(self, view: memoryview) -> None:
        if len(view) > self._info.file_size - self._position:
            raise SourceError(self._archive.path, "member ends early", key=self._info.filename)
        self._archive._read_into(self._info, self._start + self._position, view)
        self._crc = isal_zlib.crc32(view, self._crc)
        self._position += len(view)

    def finish(self) -> None:
        for size in _steps(self._info.file_size - self._position):
            self.readinto(memoryview(bytearray(size)))
        self._archive._check_crc(self._info, self._crc)


class _InflatedStream:
    def __init__(self, archive: NpzArchive, info: zipfile.ZipInfo, start: int) -> None:
        self._archive = archive
        self._info = info
        self._next = start
        self._end = start + info.compress_size
        self._inflater = isal_zlib.decompressobj(wbits=-15)
        self._pending = b""
        self._inflated = 0
        self._crc = 0

    def readinto(self, view: memoryview) -> None:
        filled = 0
        while filled < len(view):
            piece = self._inflate(len(view) - filled)
            view[filled : filled + len(piece)] = piece
            filled += len(piece)
        self._crc = isal_zlib.crc32(view, self._crc)

    def finish(self) -> None:
        for size in _steps(self._info.file_size - self._inflated):
            self.readinto(memoryview(bytearray(size)))
        self._archive._check_crc(self._info, self._crc)

    def _inflate(self, most: int) -> bytes:
        """Return the next inflated bytes, at least one and at most `most`."""
        while True:
            if not self._pending and not self._inflater.eof:
                self._pending = self._read_deflated()
            try:
                piece = self._inflater.decompress(self._pending, most)
            except isal_zlib.IsalError as error:  # type: ignore[misc]  # a class, whatever its stub says
                raise SourceError(
                    self._archive.path, f"deflated data is damaged: {error}", key=self._info.filename
                ) from error
            self._pending = self._inflater.unconsumed_tail
            if piece:
                self._inflated += len(piece)
                return piece
            if self._inflater.eof or (not self._pending and self._next == self._end):
                raise SourceError(
                    self._archive.path,
                    "deflated data ends early",
                    key=self._info.filename,
                    found=f"{self._inflated} bytes",
                    expected=str(self._info.file_size),
                )

    def _read_deflated(self) -> bytes:
        size = min(_INFLATE_STEP_BYTES, self._end - self._next)
        data = self._archive._read_at(self._info, self._next, size)
        self._next += size
        return data


def _steps(nbytes: int, step: int = 1024 * 1024) -> Iterator[int]:
    for start in range(0, nbytes, step):
        yield min(step, nbytes - start)
