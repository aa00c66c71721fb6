"""Reading NPZ archives without loading their arrays.

An NPZ file is a ZIP archive of NPY files: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
The directory is read by `zipfile`; the bytes of a member are read by `StoredArray`, because `zipfile` neither reads at
an offset nor inflates at isal's speed.
"""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Collection
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Self

import numpy as np

from ptychoproduct.errors import OptionError, SourceError
from ptychoproduct.npz.npy import NPY_SUFFIX, as_array
from ptychoproduct.npz.stored_array import StoredArray, fill, open_source
from ptychoproduct.npz.unpickle import unpickle_text
from ptychoproduct.system.file_kinds import not_a

# https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT, 4.3.7 and 4.3.16
_LOCAL_HEADER_BYTES = 30
_LOCAL_NAME_LENGTH = 26
_UTF8_FLAG = 0x800
# The record is followed by a comment, or by bytes that belong to nothing, such as padding.
_END_RECORD = b"PK\x05\x06"
_END_RECORD_COUNT = 10
_MOST_END_BYTES = 22 + 2**16
_UNCOUNTED = 0xFFFF
# Deflate cannot shrink its input further than 1032 : 1. https://zlib.net/zlib_tech.html
_MAX_DEFLATE_RATIO = 1032
# Of the pickle of a 0-d array that holds None; NumPy's take some 150.
_MOST_NONE_BYTES = 1024


class NpzArchive:
    """An NPZ file opened for reading.

    Parameters
    ----------
    path : Path
    drop : collection of str
        Keys of members that are left out, whatever they are.

    Attributes
    ----------
    members : dict of str to StoredArray
        By key, in the order of the archive's directory.
    absent : tuple of str
        Keys that hold a pickled None, which is how PtychoPINN writes what a scan does not have; not in `members`.

    Raises
    ------
    SourceError
        The file is missing, no ZIP archive, or a member's header does not fit the directory.
    OptionError
        There is no member of a key to drop.
    """

    def __init__(self, path: Path, drop: Collection[str] = ()) -> None:
        self.path = path
        self._file = open_source(path, "an NPZ file")
        try:
            infos = self._read_directory(drop)
            self.members = {array.key: array for array in map(self._stored_array, infos)}
            if len(self.members) < len(infos):
                raise SourceError(path, found="two members of one name", expected="distinct keys")
            self.absent = tuple(key for key, array in self.members.items() if _holds_none(array))
            for key in self.absent:
                del self.members[key]
        except BaseException:
            self._file.__exit__(None, None, None)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.__exit__(kind, error, trace)

    def require(self, key: str) -> StoredArray:
        """Return a member; SourceError where the archive has none of that key."""
        try:
            return self.members[key]
        except KeyError:
            raise SourceError(
                self.path, key=key, found=f"only {', '.join(self.members) or 'nothing'}", expected="this key"
            ) from None

    def _read_directory(self, drop: Collection[str]) -> list[zipfile.ZipInfo]:
        try:
            with zipfile.ZipFile(self.path) as archive:
                infos = archive.infolist()
            tail = self._file.read(tail_at := max(0, self._file.size - _MOST_END_BYTES), self._file.size - tail_at)
            (count,) = struct.unpack_from("<H", tail, tail.rfind(_END_RECORD) + _END_RECORD_COUNT)
        except (zipfile.BadZipFile, OSError, NotImplementedError, struct.error, ValueError, EOFError) as error:
            another = not_a(self.path, "an NPZ file")
            raise SourceError(self.path, another or f"the ZIP archive cannot be read: {error}") from error
        if count not in (len(infos), _UNCOUNTED):
            raise SourceError(self.path, found=f"{len(infos)} members", expected=f"{count} by the end of its directory")
        if len({info.filename for info in infos}) < len(infos):
            raise SourceError(self.path, found="two members of one name", expected="distinct keys")
        keys = [info.filename.removesuffix(NPY_SUFFIX) for info in infos]
        for key in drop:
            if key not in keys:
                problem = f"there is no member {key!r} to leave out; the file has {', '.join(keys) or 'nothing'}"
                raise OptionError("drop", problem, file=self.path)
        infos = [info for info, key in zip(infos, keys, strict=True) if key not in drop]
        for info in infos:
            self._check_info(info)
        return [info for info in infos if not info.filename.endswith("/")]

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
        name_bytes, _ = self._local_lengths(info)
        name = self._read_at(info, info.header_offset + _LOCAL_HEADER_BYTES, name_bytes)
        encoding = "utf-8" if info.flag_bits & _UTF8_FLAG else "cp437"
        if name.decode(encoding, "replace") != info.orig_filename:
            raise SourceError(
                self.path, key=info.filename, found=f"a member named {name!r}", expected="the name in the directory"
            )

    def _stored_array(self, info: zipfile.ZipInfo) -> StoredArray:
        member = StoredArray(
            self._file,
            self.path,
            member=info.filename,
            key=info.filename,
            dtype=np.dtype(np.uint8),
            shape=(info.file_size,),
            nbytes=info.file_size,
            start=info.header_offset + _LOCAL_HEADER_BYTES + sum(self._local_lengths(info)),
            deflated_bytes=None if info.compress_type == zipfile.ZIP_STORED else info.compress_size,
            crc32=info.CRC,
        )
        return as_array(member, info.filename.removesuffix(NPY_SUFFIX))

    def _local_lengths(self, info: zipfile.ZipInfo) -> tuple[int, int]:
        """Return the lengths of the name and of the extra field before the member's data."""
        header = self._read_at(info, info.header_offset, _LOCAL_HEADER_BYTES)
        if not header.startswith(b"PK\x03\x04"):
            raise SourceError(self.path, "there is no member where the directory says", key=info.filename)
        name_bytes, extra_bytes = struct.unpack_from("<HH", header, _LOCAL_NAME_LENGTH)
        return name_bytes, extra_bytes

    def _read_at(self, info: zipfile.ZipInfo, offset: int, nbytes: int) -> bytes:
        data = bytearray(nbytes)
        fill(self._file, offset, memoryview(data), self.path, info.filename)
        return bytes(data)


def _holds_none(array: StoredArray) -> bool:
    if array.dtype != object or array.shape or array.nbytes > _MOST_NONE_BYTES:
        return False
    try:
        return unpickle_text(array.as_bytes().read().tobytes()[array.header_bytes :]) is None
    except ValueError:
        return False
