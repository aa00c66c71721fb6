"""Reading products that came from elsewhere: nothing in them may lead out of the file."""

from __future__ import annotations

import errno
import shlex
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import h5py

from ptychoproduct.compression.filters import missing_filters
from ptychoproduct.errors import ContractError, SourceError, warn
from ptychoproduct.hdf5.attribute_check import require_short_texts
from ptychoproduct.hdf5.heap_check import require_sound_heaps
from ptychoproduct.hdf5.shard_layout import is_sharded, shards_of
from ptychoproduct.model.contract import DIFFRACTION
from ptychoproduct.system.file_kinds import not_a, require_file

_ORIGIN = b"${ORIGIN}"  # HDF5's word for the folder of the file
_IN_USE = "file is already open for"
_NO_LOCK = "unable to lock file"
_MOST_LINKS = 64


def open_hdf5(path: Path, expected: str = "a product") -> h5py.File:
    """Open an HDF5 file for reading.

    Parameters
    ----------
    path : Path
    expected : str
        What messages call it.

    Raises
    ------
    SourceError
        There is no such file, or it cannot be read.
    ContractError
        It is damaged in a way that HDF5 does not survive.

    Warns
    -----
    ProductWarning
        Another program is writing it, in a mode (SWMR) that lets others read.
    """
    if path.is_dir():
        raise SourceError(path, "this is a folder; give an HDF5 file")
    if not path.exists():
        raise SourceError(path, "no such file")
    require_file(path)
    try:
        file = h5py.File(path, "r")
    except (OSError, RuntimeError) as error:
        if _IN_USE in str(error):
            with suppress(OSError):
                file = h5py.File(path, "r", swmr=True)
                warn(f"{path}: another program is writing it, or was killed while it did; what it has now is read")
                return file
        another = None if h5py.is_hdf5(path) else not_a(path, "an HDF5 file")
        problem = another or _in_use(path, error) or f"cannot be read as HDF5: {last_words(error)}; give {expected}"
        raise SourceError(path, problem) from error
    try:
        require_sound_heaps(file)
        require_short_texts(file)
    except BaseException:
        file.close()
        raise
    return file


def _in_use(path: Path, error: Exception) -> str | None:
    """Say what to do where HDF5 cannot lock a file, or a program has marked it as its own; None for other errors."""
    if _IN_USE in str(error):
        command = shlex.join(["h5clear", "-s", str(path)])
        return (
            "another program has it open for writing; close it there. If that program was killed, the file may be "
            f"damaged; to read it all the same: {command}"
        )
    if _NO_LOCK not in str(error) or not isinstance(error, OSError):
        return None
    unlocked = "set the environment variable HDF5_USE_FILE_LOCKING=FALSE"
    if error.errno not in (errno.EAGAIN, errno.EACCES):
        return f"this file system cannot lock files ({error.strerror}); {unlocked}"
    problem = "another program has it open for writing; close it there"
    return problem if _marks_writers(path) else f"{problem}, or, to read it as it is now, {unlocked}"


def _marks_writers(path: Path) -> bool:
    """Whether a file is of the newer kind that notes its writer, and cannot be read meanwhile without SWMR."""
    with path.open("rb") as file:
        return file.read(9)[8:] >= b"\3"


def local_object(group: h5py.Group, name: str) -> h5py.Group | h5py.Dataset | None:
    """Return what a name leads to; None where it leads to nothing.

    Links are followed here, one by one: HDF5 would open whatever file is named, which may be a pipe.

    Raises
    ------
    ContractError
        The name leads to another file, round in a circle, or to an object that is damaged.
    """
    file = group.file.filename
    link = group.get(name, getlink=True)
    if isinstance(link, h5py.ExternalLink):
        raise ContractError(file, f"links to {link.filename}; store the data in this file", key=name)
    place, left, links = group, [name], 0
    while left:
        part = left.pop()
        link = place.get(part, getlink=True) if isinstance(place, h5py.Group) else None
        if isinstance(link, h5py.ExternalLink):
            raise ContractError(file, "links to another file; store the data in this file", key=name)
        if isinstance(link, h5py.SoftLink):
            links += 1
            if links > _MOST_LINKS:
                raise ContractError(file, "links to an object that does not exist", key=name)
            place = group.file["/"] if link.path.startswith("/") else place
            left += [step for step in reversed(link.path.split("/")) if step not in ("", ".")]
            continue
        if link is None:
            return None
        try:
            found = place.get(part)
        except (RuntimeError, OSError) as error:
            raise ContractError(file, "links to an object that does not exist", key=name) from error
        if found is None:  # to h5py, what it cannot open is not there
            raise ContractError(file, "is damaged and cannot be opened", key=name)
        place = found
    return place


def local_dataset(group: h5py.Group, name: str) -> h5py.Dataset | None:
    """Return a dataset whose data lies in the same file, or frames in shards; None where there is no such name.

    Parameters
    ----------
    group : h5py.Group
    name : str
        A path without ``..``, each part of which must be a hard link or a soft link to one.

    Raises
    ------
    ContractError
        The name leads to another file, or to something that is not a dataset; or a shard is missing.
    """
    parent = group
    *folders, last = name.split("/")
    for folder in folders:
        child = local_object(parent, folder)
        if child is None:
            return None
        if not isinstance(child, h5py.Group):
            raise ContractError(group.file.filename, f"{folder} must be a group, but it is a dataset", key=name)
        parent = child
    dataset = local_object(parent, last)
    if dataset is None:
        return None
    if not isinstance(dataset, h5py.Dataset):
        raise ContractError(group.file.filename, "must be a dataset, but it is a group", key=name)
    if is_sharded(dataset) and (name == DIFFRACTION.name or dataset == local_dataset(group.file, DIFFRACTION.name)):
        shards_of(dataset)  # an error where one is missing
    elif dataset.external or dataset.is_virtual:
        raise ContractError(group.file.filename, "has its data in other files; store the data in this file", key=name)
    return dataset


def local_group(group: h5py.Group, name: str) -> h5py.Group | None:
    """Return a group of the same file; None where there is no such name.

    Raises
    ------
    ContractError
        The name leads to another file, or to a dataset.
    """
    found = local_object(group, name)
    if found is not None and not isinstance(found, h5py.Group):
        raise ContractError(group.file.filename, "must be a group, but it is a dataset", key=name)
    return found


@contextmanager
def reading(dataset: h5py.Dataset | h5py.File) -> Iterator[None]:
    """Name the dataset in h5py's errors about data that cannot be read.

    Raises
    ------
    ContractError
        In place of h5py's errors.
    """
    try:
        yield
    except (OSError, RuntimeError, KeyError, OverflowError) as error:
        missing = missing_filters(dataset) if isinstance(dataset, h5py.Dataset) else []
        reason = f"filter {', '.join(missing)} is not available" if missing else last_words(error)
        raise ContractError(dataset.file.filename, f"cannot be read: {reason}", key=dataset.name) from error
    except MemoryError as error:
        raise ContractError(dataset.file.filename, "does not fit in memory", key=dataset.name) from error


# Whatever h5py makes of addresses, sizes, names and types that are nonsense.
DAMAGE = (OSError, RuntimeError, LookupError, ValueError, TypeError, ArithmeticError)


@contextmanager
def naming_damage(path: Path) -> Iterator[None]:
    """Turn whatever h5py raises while a file is worked on into one error that names the file.

    Errors of the system, of NumPy and of this package itself pass.

    Raises
    ------
    ContractError
        In place of h5py's errors.
    """
    try:
        yield
    except DAMAGE as error:
        if (isinstance(error, OSError) and error.errno) or not is_h5pys(error):
            raise
        raise ContractError(path, f"damaged or not readable: {last_words(error)}") from error


def is_h5pys(error: BaseException) -> bool:
    """Whether an error was raised in h5py."""
    trace, name = error.__traceback__, ""
    while trace is not None:
        name, trace = str(trace.tb_frame.f_globals.get("__name__", "")), trace.tb_next
    return name.partition(".")[0] == "h5py"


def last_words(error: Exception) -> str:
    """Return what HDF5 puts in the brackets at the end of its message, in one line."""
    text = " ".join(str(error).split())
    return text[text.rfind("(") + 1 : text.rfind(")")] if "(" in text else text


def open_member(group: h5py.Group, name: str) -> h5py.Group | h5py.Dataset | None:
    """Open what a hard link leads to; names of raw data are taken from the file's folder, not the working directory."""
    if group.get(name, getclass=True) is not h5py.Dataset:
        found: h5py.Group | None = group[name]
        return found
    access = h5py.h5p.create(h5py.h5p.DATASET_ACCESS)
    access.set_efile_prefix(_ORIGIN)
    return h5py.Dataset(h5py.h5d.open(group.id, name.encode("utf-8", "surrogateescape"), access))
