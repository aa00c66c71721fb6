"""Writing NPZ archives as a stream."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.lib import format as npy

from ptychoproduct.errors import ContractError
from ptychoproduct.members import is_member_name

Array = np.ndarray[Any, Any]


class NpzWriter:
    """An NPZ file that is being written, member by member.

    The archive of the same arrays is the same to the byte: members carry no time.

    Parameters
    ----------
    path : Path
    compress : bool
        Whether members are deflated.
    """

    def __init__(self, path: Path, *, compress: bool = False) -> None:
        self._method = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
        self._zip = zipfile.ZipFile(path, "w", self._method)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._zip.close()

    def write_array(self, member: str, array: Array) -> None:
        """Write an array whole; a 0-d object array of a string is pickled, as NumPy does."""
        with self._open(member) as file:
            npy.write_array(file, array, allow_pickle=_is_text_object(array))

    def write_blocks(self, member: str, shape: tuple[int, ...], dtype: np.dtype[Any], blocks: Iterable[Array]) -> None:
        """Write an array that comes in blocks, in C order."""
        header = io.BytesIO()
        npy.write_array_header_1_0(header, {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": shape})
        with self._open(member) as file:
            file.write(header.getvalue())
            for block in blocks:
                file.write(memoryview(np.ascontiguousarray(block)).cast("B"))

    def write_bytes(self, member: str, blocks: Iterable[Array]) -> None:
        """Write a member that is no array, from blocks of its bytes."""
        with self._open(member) as file:
            for block in blocks:
                file.write(memoryview(block))

    @property
    def members(self) -> tuple[str, ...]:
        """Names of the members written so far."""
        return tuple(self._zip.namelist())

    def _open(self, member: str) -> Any:
        if not is_member_name(member):
            raise ContractError(member, found="a path", expected="a member name inside the archive")
        if member in self._zip.NameToInfo:
            raise ContractError(member, found="two arrays of this name", expected="distinct keys")
        info = zipfile.ZipInfo(member)
        info.compress_type = self._method
        return self._zip.open(info, "w", force_zip64=True)


def _is_text_object(array: Array) -> bool:
    return array.dtype == object and array.shape == () and isinstance(array.item(), str)
