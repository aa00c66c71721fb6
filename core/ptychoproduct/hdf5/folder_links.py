"""Scans in HDF5 files that came from elsewhere: links in them are followed, but no further than the file's folder.

Detectors write many files, and one that holds them together. So links to other files, virtual datasets and raw data in
other files are followed here, unlike in products (`links`), as long as everything lies in the folder of the file that
the user has named, or below it, symbolic links resolved.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np

from ptychoproduct.aliases import Array
from ptychoproduct.errors import ContractError, ProductError, SourceError, warn
from ptychoproduct.hdf5.arrays import could_be_frames
from ptychoproduct.hdf5.chunk_grid import is_hollow, not_stored
from ptychoproduct.hdf5.gaps import gaps_of
from ptychoproduct.hdf5.joined import join
from ptychoproduct.hdf5.local_links import DAMAGE, last_words, open_hdf5, open_member
from ptychoproduct.hdf5.matlab import complex_of_pairs, is_matlab, turned

_MOST_HOLLOW_BYTES = 256 * 1024**2  # of an array that is read whole, and never was written
_MOST_LINKS = 64
_MOST_OBJECTS = 10_000
# With these HDF5 looks for files elsewhere than beside the one that names them.
_PREFIX_VARIABLES = ("HDF5_EXT_PREFIX", "HDF5_VDS_PREFIX", "HDF5_EXTFILE_PREFIX")


class Hdf5Source:
    """An HDF5 file opened for reading, with what it is linked to in its folder.

    Parameters
    ----------
    path : Path
    allow_gaps : bool
        Whether rows that no file has are only a warning.
    accept_damage : bool
        Whether it is left to the caller to see which chunks are where they should be.

    Attributes
    ----------
    path : Path
        The file that messages name.
    missing : list of str
        The names of files that it was found to lead to, and that are not there.

    Raises
    ------
    SourceError
        There is no HDF5 file.
    """

    def __init__(self, path: Path, allow_gaps: bool = False, accept_damage: bool = False) -> None:
        self.path = path
        self.accept_damage = accept_damage
        self.missing: list[str] = []
        self._allow_gaps = allow_gaps
        self._files: dict[Path, h5py.File] = {}
        self._is_matlab: dict[str, bool] = {}
        self._parts: dict[str, tuple[h5py.Dataset, ...]] = {}
        self._data_files: set[Path] = set()
        self._stack = ExitStack()
        self._links = 0
        self._checked, self._sound = set[tuple[str, str]](), set[tuple[str, str]]()
        self._required: set[h5py.Dataset] = set()
        try:
            real = path.resolve()
            self._root = self._stack.enter_context(open_hdf5(real, "an HDF5 file"))
        except ProductError as error:
            raise SourceError(path, error.sentence) from error
        except (OSError, RuntimeError, ValueError) as error:  # a loop of symbolic links
            raise SourceError(path, f"cannot be read: {error}") from error
        self._files[real] = self._root
        self._folder = real.parent

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    @property
    def files(self) -> tuple[Path, ...]:
        """The file, and all others that it was found to lead to."""
        return (self.path, *sorted({*self._files, *self._data_files} - {Path(self._root.filename)}))

    def find(self, name: str) -> h5py.Dataset | None:
        """Return a dataset; None where there is none of that name.

        Parameters
        ----------
        name : str
            A path from the root; soft links and links to other files are followed.

        Raises
        ------
        SourceError
            The way to the dataset, or its data, leads out of the folder or nowhere.
        """
        self._links = 0
        with self.reading(name):
            found = self._follow(self._root["/"], name)
            if not isinstance(found, h5py.Dataset):
                return None
            self._check_place(found, nested=False)
            self._check_filters(found)
        return found

    def exists(self, name: str) -> bool:
        """Whether there is a group, a dataset or a link of that name; the link may lead nowhere."""
        group, _, last = name.rpartition("/")
        return last in self.names(group or "/")

    def attributes(self, name: str) -> Mapping[str, Any]:
        """Return the attributes of a group or dataset; none where there is none of that name."""
        self._links = 0
        with self.reading(name):
            found = self._follow(self._root["/"], name)
            return {} if found is None else found.attrs

    def names(self, group: str) -> tuple[str, ...]:
        """Return what there is in a group; nothing where there is none of that name."""
        self._links = 0
        with self.reading(group):
            found = self._follow(self._root["/"], group)
            return tuple(found) if isinstance(found, h5py.Group) else ()

    def groups(self, group: str) -> tuple[str, ...]:
        """Return the names of the groups in a group; none that are behind links."""
        self._links = 0
        with self.reading(group):
            found = self._follow(self._root["/"], group)
            if not isinstance(found, h5py.Group):
                return ()
            own = [name for name in found if isinstance(found.get(name, getlink=True), h5py.HardLink)]
            return tuple(name for name in own if isinstance(open_member(found, name), h5py.Group))

    def file_of(self, dataset: h5py.Dataset) -> Path:
        """Return the file that a dataset lies in, for messages."""
        found = Path(dataset.file.filename)
        return found if found in self._files and dataset.file != self._root else self.path

    def require_rows(self, dataset: h5py.Dataset, axis: int = 0, what: str = "frames") -> None:
        """See that all rows of a dataset are in its files; HDF5 makes up what is not.

        Raises
        ------
        SourceError
            Some are not, and gaps are not allowed; where they are, there is a warning.
        """
        if dataset in self._required:
            return
        self._required.add(dataset)
        with self.reading(dataset.name):
            try:
                gaps = gaps_of(dataset, axis, self._virtual_source)
            except RecursionError:
                raise SourceError(self.path, "its virtual datasets form a circle", key=dataset.name) from None
        for gap in gaps if self._allow_gaps else gaps[:1]:
            if not self._allow_gaps:
                cure = "copy or record the data again"
                if what in ("frames", "rows of the scan"):
                    cure += f", or give --allow-gaps to go on with {gap.filling} there"
                raise SourceError(self.path, f"{gap.missing(what)}; {cure}", key=dataset.name)
            warn(f"{self.path}: {dataset.name}: {gap.instead(what)}")

    def read(self, dataset: h5py.Dataset) -> Array:
        """Read a dataset of numbers whole, in native byte order.

        Raises
        ------
        SourceError
            It cannot be decoded, or holds something else.
        """
        with self.reading(dataset.name):
            if dataset.shape is None or dataset.dtype.hasobject:
                problem = f"must be an array of numbers, but has type {dataset.dtype}"
                raise SourceError(self.path, problem, key=dataset.name)
            if is_hollow(dataset.id, _MOST_HOLLOW_BYTES):
                raise SourceError(
                    self.path, f"hardly anything of its shape {dataset.shape} is stored", key=dataset.name
                )
            if dataset.is_virtual or dataset.external:  # parts of others that were never written may mean zeros
                self.require_rows(dataset, what="rows")
            array = np.empty(dataset.shape, dataset.dtype.newbyteorder("="))
            if array.size:
                dataset.read_direct(array)
        return array

    def joined(self, name: str, parts: Sequence[h5py.Dataset]) -> h5py.Dataset:
        """Return datasets one after the other as a virtual one; see `join`."""
        with self.reading(name):
            path = Path(self._stack.enter_context(TemporaryDirectory(prefix="ptychoproduct-"))) / "joined.h5"
            join(path, name, parts)
            self._parts[str(path)] = tuple(parts)
            return self._stack.enter_context(h5py.File(path))[name]

    def parts_of(self, dataset: h5py.Dataset) -> tuple[h5py.Dataset, ...]:
        """Return the datasets that were joined to this one, or the dataset itself."""
        return self._parts.get(dataset.file.filename, (dataset,))

    def is_matlab(self, dataset: h5py.Dataset) -> bool:
        """Whether a dataset lies in a file of MATLAB's, which HDF5 shows with its axes reversed."""
        name = dataset.file.filename
        if name not in self._is_matlab:
            with self.reading("/"):
                self._is_matlab[name] = is_matlab(dataset.file)
        return self._is_matlab[name]

    def read_table(self, dataset: h5py.Dataset) -> Array:
        """Read numbers whole, with the axes in the order in which their program has them."""
        array = self.read(dataset)
        return array.T if self.is_matlab(dataset) else array

    def read_pictures(self, dataset: h5py.Dataset) -> Array:
        """Read one or more pictures whole, rows and columns last, whichever program wrote them."""
        array = complex_of_pairs(self.read(dataset))
        return turned(array) if self.is_matlab(dataset) else array

    def stacks(self) -> list[tuple[str, tuple[int, ...]]]:
        """Return names and shapes of what could be frames, the largest first, of what is behind links too.

        That is a scan of more than one frame, real numbers of more than one pixel.
        """
        stacks = []
        visited: set[h5py.Group] = set()
        unvisited = ["/"]
        for _ in range(_MOST_OBJECTS):
            if not unvisited:
                break
            name = unvisited.pop(0)
            try:
                self._links = 0
                with self.reading(name):
                    found = self._follow(self._root["/"], name)
                    if isinstance(found, h5py.Group) and self._links == 0 and found not in visited:
                        visited.add(found)
                        unvisited += [f"{name.rstrip('/')}/{child}" for child in found]
                    elif isinstance(found, h5py.Dataset):
                        self._check_place(found, nested=False)
                        if could_be_frames(found):
                            stacks.append((name, found.shape))
            except SourceError:  # a link out of the folder is no choice
                continue
        return sorted(stacks, key=lambda stack: -math.prod(stack[1]))

    @contextmanager
    def reading(self, key: str) -> Iterator[None]:
        """Name the file and the dataset in what h5py says when something cannot be read.

        Raises
        ------
        SourceError
            In place of h5py's errors.
        """
        try:
            yield
        except DAMAGE as error:
            raise SourceError(self.path, f"cannot be read: {last_words(error)}", key=key) from error
        except MemoryError as error:
            raise SourceError(self.path, "does not fit in memory", key=key) from error

    def _follow(self, group: h5py.Group, name: str) -> h5py.Group | h5py.Dataset | None:
        """Go from a group to what a path names, link by link; None where it names nothing."""
        place = group.file["/"] if name.startswith("/") else group
        for part in name.split("/"):
            if part in ("", "."):
                continue
            if not isinstance(place, h5py.Group):
                return None
            link = place.get(part, getlink=True)
            if link is None:
                return None
            if isinstance(link, h5py.HardLink):
                place = open_member(place, part)
                continue
            self._links += 1
            if self._links > _MOST_LINKS:
                raise SourceError(self.path, "its links form a circle", key=name)
            if isinstance(link, h5py.SoftLink):
                place = self._follow(place, link.path)
            else:
                other = self._open_beside(place.file, link.filename, name)
                place = self._follow(other["/"], link.path)
        return place

    def _open_beside(self, file: h5py.File, name: str, key: str) -> h5py.File:
        """Open a file that another one names."""
        path = self._beside(file, name, key)
        if path not in self._files:
            self._files[path] = self._stack.enter_context(self._open_linked(path, name, key))
        return self._files[path]

    def _open_linked(self, path: Path, name: str, key: str) -> h5py.File:
        try:
            return open_hdf5(path, "an HDF5 file")
        except SourceError as error:
            raise SourceError(self.path, f"links to {name}: {error.sentence}", key=key) from error
        except ContractError as error:
            raise SourceError(self.path, f"links to {name}, which is {error.sentence}", key=key) from error

    def _beside(self, file: h5py.File, name: str, key: str) -> Path:
        """Return the real path of a file that another one names; SourceError where it is not there, in the folder."""
        path = self._inside(file, name, key)
        if not path.is_file():
            self.missing.append(name)
            problem = f"the data is in {name}, which is not beside {Path(file.filename).name}; copy it there"
            raise SourceError(self.path, problem, key=key)
        return path

    def _inside(self, file: h5py.File, name: str, key: str) -> Path:
        """Return the real path that another file names; SourceError where it is not in the folder."""
        try:
            path = (Path(file.filename).resolve().parent / name).resolve()
            path.is_file()
        except (OSError, RuntimeError, ValueError) as error:
            raise SourceError(self.path, f"links to {name!r}, which is not a file", key=key) from error
        if not path.is_relative_to(self._folder):
            problem = f"links to {name}, outside its folder; move the data into {self._folder}"
            raise SourceError(self.path, problem, key=key)
        return path

    def _check_place(self, dataset: h5py.Dataset, *, nested: bool) -> None:
        """Refuse data that lies in other folders, directly or by way of virtual datasets.

        What is looked at here is what HDF5 opens later: it looks for files beside the one that names them before it
        looks anywhere else, and they are there.
        """
        if not dataset.is_virtual and not dataset.external:
            return
        key, problem = dataset.name, "has its data in other files; unset the variable"
        for variable in filter(os.environ.get, _PREFIX_VARIABLES):
            raise SourceError(self.path, f"{problem} {variable}", key=key)
        for name, _, _ in dataset.external or ():
            if nested and not Path(name).is_absolute():  # HDF5 looks in the working directory then
                problem = f"its virtual data is raw data in {name}; store it in an HDF5 file"
                raise SourceError(self.path, problem, key=key)
            self._data_files.add(self._beside(dataset.file, name, key))
        if dataset.is_virtual:
            for file_name, dataset_name in {(map_.file_name, map_.dset_name) for map_ in dataset.virtual_sources()}:
                self._check_virtual(dataset, file_name, dataset_name)

    def _check_virtual(self, dataset: h5py.Dataset, file_name: str, dataset_name: str) -> None:
        """Look at one source of a virtual dataset, and at where that one's data lies."""
        key = dataset.name
        if "%" in file_name or "%" in dataset_name:
            problem = f"numbers its files as {file_name}; name each file in the virtual dataset"
            raise SourceError(self.path, problem, key=key)
        with self._virtual_source(dataset, file_name, dataset_name) as found:
            if found is not None and (found.file.filename, dataset_name) not in self._checked:
                self._checked.add((found.file.filename, dataset_name))
                self._check_place(found, nested=True)
                self._check_filters(found)

    @contextmanager
    def _virtual_source(self, dataset: h5py.Dataset, file_name: str, name: str) -> Iterator[h5py.Dataset | None]:
        """Open what a virtual dataset names, as long as it is needed: files may be many. None if it may be missing."""
        key = dataset.name
        with ExitStack() as stack:
            file = dataset.file
            if file_name != ".":
                path = (self._inside if self._allow_gaps else self._beside)(dataset.file, file_name, key)
                if not path.is_file():
                    yield None
                    return
                self._data_files.add(path)
                file = self._files.get(path) or stack.enter_context(self._open_linked(path, file_name, key))
                if file.swmr_mode:  # HDF5 reads it only as long as it is open
                    self._files[path] = file
                    self._stack.enter_context(stack.pop_all())
            self._links = 0
            found = self._follow(file["/"], name)
            if not isinstance(found, h5py.Dataset):
                raise SourceError(self.path, f"takes data from {file_name}, which has no dataset {name!r}", key=key)
            yield found

    def _check_filters(self, dataset: h5py.Dataset) -> None:
        """Refuse a dataset whose filter is not installed, or whose chunks are not where they can be."""
        place = (dataset.file.filename, dataset.name)  # not the dataset, which HDF5 opens in one way at a time
        if place not in self._sound:
            problem = "" if self.accept_damage else not_stored(dataset.id, allow_gaps=True)
            if problem:
                raise SourceError(self.path, problem, key=dataset.name)
            self._sound.add(place)
        properties = dataset.id.get_create_plist()
        for filter_id, _, _, name in map(properties.get_filter, range(properties.get_nfilters())):
            if not h5py.h5z.filter_avail(filter_id):
                name = name.decode("utf-8", "replace") or "no name"
                raise SourceError(self.path, f"needs HDF5 filter {filter_id} ({name}); install it", key=dataset.name)
