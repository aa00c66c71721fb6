"""Arrays in files of their own: probe, object and mask; NPY, NPZ, HDF5 and, of masks, images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ptychoproduct.aliases import Array
from ptychoproduct.errors import OptionError, SourceError
from ptychoproduct.hdf5.folder_links import Hdf5Source
from ptychoproduct.hdf5.matlab import complex_of_pairs, turned
from ptychoproduct.npz.archive import NpzArchive
from ptychoproduct.npz.npy import NpyFile
from ptychoproduct.scan.field_layouts import BAD_PIXELS
from ptychoproduct.scan.layouts import HDF5, IMAGES, NPY, NPZ, file_kind
from ptychoproduct.scan.places import first_named, paths_of
from ptychoproduct.streaming.image_files import opened_image
from ptychoproduct.system.file_kinds import not_a

_PROBE_KEYS = ("probeGuess", "probe")
# The part of a layout that an option names, and where a file of that part alone has it.
_PARTS = {"probe": "probe", "object": "object", "bad_pixels": "mask"}
_FIRST = {"bad_pixels": (f"/{BAD_PIXELS}",), "object": ("/object",)}


def read_probe(reference: str) -> tuple[Array, tuple[Path, ...]]:
    """Read a probe from a file of its own.

    Parameters
    ----------
    reference : str
        An NPY, NPZ or HDF5 file; behind a colon the key in it, where that is no usual one.

    Returns
    -------
    array
    tuple of Path
        The files.

    Raises
    ------
    SourceError
        The file has no probe.
    """
    return read_array(reference, "probe", _PROBE_KEYS)


def read_object(reference: str) -> tuple[Array, tuple[Path, ...]]:
    """Read an object from a file of its own; arguments, result and errors are as in `read_probe`."""
    return read_array(reference, "object", ("objectGuess", "object"))


def read_bad_pixels(reference: str) -> tuple[Array, tuple[Path, ...]]:
    """Read a mask of bad pixels from a file of its own; arguments, result and errors are as in `read_probe`."""
    return read_array(reference, "bad_pixels", (BAD_PIXELS, "mask"))


def read_array(reference: str, option: str, npz_keys: Sequence[str]) -> tuple[Array, tuple[Path, ...]]:
    """Read the array that an option names, and return it with its files."""
    path, key = split_key(reference)
    what = option.replace("_", " ")
    kind = file_kind(path)
    if kind == NPY:
        if key is not None:
            raise OptionError(option, f"an NPY file has only one array; give {path.name} with no key")
        with NpyFile(path) as file:
            return _from_pairs(file.array.read()), (path,)
    if kind == NPZ:
        with NpzArchive(path) as archive:
            usual = next((name for name in npz_keys if name in archive.members), "".join(npz_keys[:1]))
            return _from_pairs(archive.require(key or usual).read()), (path,)
    if kind == HDF5:
        with Hdf5Source(path) as source:
            usual_places = (*_FIRST.get(option, ()), *(paths_of(source, _PARTS[option]) if option in _PARTS else ()))
            found = first_named(source, usual_places if key is None else (key,))
            if found is None:
                names = repr(key) if key else f"named {' or '.join(usual_places)}"
                raise SourceError(path, f"there is no {what}: no dataset {names}")
            return source.read_pictures(found), source.files
    if kind == IMAGES and option == "bad_pixels":
        with opened_image(path) as image:
            return image.frame(0), (path,)
    if not path.exists():
        raise SourceError(path, "no such file")
    wanted = f"an NPY, NPZ or HDF5 file with a {what}"
    raise SourceError(path, not_a(path, wanted) or f"this is not {wanted}")


def find_probe(source: Hdf5Source) -> Array | None:
    """Read the probe where one of the known layouts has it; None where there is none."""
    return find_picture(source, "probe")


def find_picture(source: Hdf5Source, part: str) -> Array | None:
    """Read a part of a layout; None where it is not there."""
    found = first_named(source, paths_of(source, part))
    return None if found is None else source.read_pictures(found)


def _from_pairs(array: Array) -> Array:
    """Return a complex array of MATLAB's pairs, whose rows and columns were read by way of HDF5."""
    return array if array.dtype.names is None else turned(complex_of_pairs(array))


def split_key(reference: str) -> tuple[Path, str | None]:
    """Split ``FILE:KEY`` or ``FILE::KEY``; a file whose own name has a colon is that file, as is one on a drive."""
    name, colon, key = reference.rpartition(":")
    drive_only = len(name) == 1 and key.startswith(("\\", "/")) and not Path(name).exists()
    if not colon or not name or drive_only or Path(reference).exists():
        return Path(reference), None
    return Path(name.removesuffix(":")), key
