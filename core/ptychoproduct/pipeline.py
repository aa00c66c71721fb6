"""From a dataset's filters to functions that run outside HDF5."""

from __future__ import annotations

from functools import cache

import h5py
import hdf5plugin

from ptychoproduct_native import Filter, FilterPipeline

# hdf5plugin's names of the plugins that our codecs use, by registered filter number.
_PLUGIN_NAMES = {32008: "bshuf", 32015: "zstd"}


def filter_pipeline(dataset: h5py.Dataset) -> FilterPipeline:
    """Build the pipeline that encodes chunks of a dataset.

    Parameters
    ----------
    dataset : h5py.Dataset
        Chunked. HDF5 has completed the filters' parameters when it created the dataset.

    Raises
    ------
    ptychoproduct_native.FilterError
        A filter has no library here.
    """
    properties = dataset.id.get_create_plist()
    return FilterPipeline(
        [
            Filter(filter_id, flags, cd_values, _library(filter_id))
            for filter_id, flags, cd_values, _ in map(properties.get_filter, range(properties.get_nfilters()))
        ]
    )


@cache
def _library(filter_id: int) -> str | None:
    path: str | None = hdf5plugin.get_config().registered_filters.get(_PLUGIN_NAMES.get(filter_id, ""))
    return path
