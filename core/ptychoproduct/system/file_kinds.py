"""What a file is that is not of a kind that is read here, so that a message can say it."""

from __future__ import annotations

from pathlib import Path

from ptychoproduct.errors import SourceError

_SAVE = "save its data as an NPY or HDF5 file"
_UNPACK = "unpack it first"
# Offset and bytes by which a kind is known; what it is called; what to do.
_KINDS = (
    (0, b"II*\0", "a TIFF file", _SAVE),
    (0, b"MM\0*", "a TIFF file", _SAVE),
    (0, b"II+\0", "a TIFF file", _SAVE),
    (0, b"IMGBLO", "a BLO file", _SAVE),
    (208, b"MAP ", "an MRC file", _SAVE),
    (0, b"MQ1,", "a MIB file", _SAVE),
    (0, b"II\x97\x01", "a SER file", _SAVE),
    (0, b"###CBF:", "a CBF file", _SAVE),
    (0, b"SIMPLE  =", "a FITS file", _SAVE),
    (0, b"\x0e\x03\x13\x01", "an HDF4 file", "convert it to HDF5"),
    (0, b"CDF\x01", "a NetCDF 3 file", "convert it to HDF5, which NetCDF 4 is"),
    (0, b"CDF\x02", "a NetCDF 3 file", "convert it to HDF5, which NetCDF 4 is"),
    (0, b"MATLAB 5.0 MAT-file", "a file of MATLAB v5", "save it with -v7.3, which is HDF5"),
    (0, b"\x89PNG\r\n", "a PNG picture", _SAVE),
    (0, b"\xff\xd8\xff", "a JPEG picture", _SAVE),
    (0, b"%PDF-", "a PDF document", ""),
    (0, b"\x1f\x8b", "a gzip file", _UNPACK),
    (0, b"BZh", "a bzip2 file", _UNPACK),
    (0, b"\xfd7zXZ\0", "an xz file", _UNPACK),
    (0, b"\x28\xb5\x2f\xfd", "a zstd file", _UNPACK),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (257, b"ustar", "a tar archive", _UNPACK),
    (0, b"PK\x03\x04", "an NPZ file", ""),
    (0, b"\x93NUMPY", "an NPY file", ""),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file", ""),
    (0, b"\x80\x04\x95", "a pickle", "save its arrays as an NPZ file"),
    (0, b"\x80\x05\x95", "a pickle", "save its arrays as an NPZ file"),
    (0, b"version https://git-lfs", "a pointer of Git LFS", "get the file itself: git lfs pull"),
    (0, b"<!DOCTYPE", "a web page", "download the file itself"),
    (0, b"<html", "a web page", "download the file itself"),
)
# Their first bytes are too usual: the name has to say it, too.
_NAMED = {".dm3": (b"\0\0\0\x03", "a DM3 file"), ".dm4": (b"\0\0\0\x04", "a DM4 file")}
_START_BYTES = 512


def require_file(path: Path) -> None:
    """Refuse a pipe, which would be waited for, and which cannot be read twice; what is not there is no pipe.

    Raises
    ------
    SourceError
        It is a pipe, a terminal or another device.
    """
    try:
        is_other = path.exists() and not path.is_file() and not path.is_dir()
    except OSError:
        return
    if is_other:
        raise SourceError(path, "this is a pipe or a device; save the data in a file, and give that file")


def not_a(path: Path, wanted: str) -> str | None:
    """Return a sentence for a file that is of another kind; None for one of no kind that is known here.

    Parameters
    ----------
    path : Path
    wanted : str
        What it should be, such as "an NPZ file".
    """
    if path.is_dir():
        return f"this is a folder, not {wanted}"
    try:
        with path.open("rb") as file:
            start = file.read(_START_BYTES)
    except OSError:
        return None
    name, cure = _kind(start, path.suffix.lower())
    return f"this is {name}, not {wanted}{cure and f'; {cure}'}" if name not in ("", wanted) else None


def _kind(start: bytes, suffix: str) -> tuple[str, str]:
    """Return what a file is called and what to do; nothing where it is not known."""
    if not start:
        return "an empty file", ""
    magic, name = _NAMED.get(suffix, (b"", ""))
    if name and start.startswith(magic):
        return name, _SAVE
    for offset, magic, name, cure in _KINDS:
        if start.startswith(magic, offset):
            return name, cure
    return ("a text file", "") if _is_text(start) else ("", "")


def _is_text(start: bytes) -> bool:
    text = start.decode("utf-8", "ignore")  # a letter may be cut at the end
    return len(text.encode()) > len(start) - 4 and all(
        c.isprintable() or c in "\t\r\n\f" for c in text.lstrip("\ufeff")
    )
