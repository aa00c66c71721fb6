"""From a dataset's filters to functions that run outside HDF5."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import h5py
import hdf5plugin

from ptychoproduct_native import BUILT_IN_IDS, SZIP_ID, Filter, FilterError, FilterPipeline, has_szip

_PLUGIN_NAMES = {number: name for name, number in hdf5plugin.FILTERS.items()}
# Those that work only on the buffer they are given. The others keep a global state, or throw C++ exceptions.
_DIRECT = {"bzip2", "blosc", "lz4", "bshuf", "zstd", "blosc2"}


def filter_pipeline(dataset: h5py.Dataset) -> FilterPipeline:
    """Build the pipeline that encodes and decodes chunks of a dataset.

    Parameters
    ----------
    dataset : h5py.Dataset
        Chunked. HDF5 has completed the filters' parameters when it created the dataset.

    Raises
    ------
    ptychoproduct_native.FilterError
        A filter can only be run by HDF5, or is not available; its name and number are in the message.
    """
    return FilterPipeline(
        [
            Filter(filter_id, flags, values, filter_library(filter_id, name))
            for filter_id, flags, values, name in filters_of(dataset)
        ]
    )


def missing_filters(dataset: h5py.Dataset) -> list[str]:
    """Return the name and number of each filter of a dataset that HDF5 does not have."""
    return [
        filter_name(filter_id, name)
        for filter_id, _, _, name in filters_of(dataset)
        if not h5py.h5z.filter_avail(filter_id)
    ]


def filters_of(dataset: h5py.Dataset) -> list[tuple[int, int, tuple[int, ...], bytes]]:
    """Return number, flags, parameters and stored name of each filter."""
    properties = dataset.id.get_create_plist()
    return [properties.get_filter(i) for i in range(properties.get_nfilters())]


def filter_name(filter_id: int, stored_name: bytes = b"") -> str:
    """Return a filter's name, from hdf5plugin or the file, and its number, for messages."""
    name = _PLUGIN_NAMES.get(filter_id) or stored_name.decode("utf-8", "replace") or "unknown"
    return f"{name} ({filter_id})"


def filter_library(filter_id: int, stored_name: bytes = b"") -> str | None:
    """Return the library that has a filter; None for one of our own. FilterError where only HDF5 can run it."""
    if filter_id in BUILT_IN_IDS:
        return None
    name = _PLUGIN_NAMES.get(filter_id)
    path = _registered().get(name) if name in _DIRECT else _szip_library() if filter_id == SZIP_ID else None
    if path is None:
        raise FilterError(f"filter {filter_name(filter_id, stored_name)} cannot be run outside of HDF5")
    return path


def can_write_szip() -> bool:
    """Whether HDF5 takes szip for new datasets, and its encoder can be called here."""
    there = h5py.h5z.filter_avail(SZIP_ID)
    encodes = there and h5py.h5z.get_filter_info(SZIP_ID) & h5py.h5z.FILTER_CONFIG_ENCODE_ENABLED
    return bool(encodes) and _szip_library() is not None


@cache
def _szip_library() -> str | None:
    """Return a library by which that of h5py's HDF5 is reached; None where it has none, or keeps it to itself."""
    path: str = h5py.h5z.__file__
    return path if has_szip(path) else None


@cache
def _registered() -> dict[str, str]:
    """Return the paths of hdf5plugin's libraries, by name."""
    config = hdf5plugin.get_config()
    libraries: dict[str, str] = config.registered_filters
    folder, suffix = Path(hdf5plugin.PLUGIN_PATH), config.build_config.filter_file_extension
    # HDF5 may have found one by itself, through HDF5_PLUGIN_PATH; then its path is "unknown".
    return {
        name: path if Path(path).exists() else str(folder / f"libh5{name}{suffix}") for name, path in libraries.items()
    }
