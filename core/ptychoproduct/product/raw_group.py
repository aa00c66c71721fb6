"""Writing ``/raw_data``: what the source has besides its frames, and under which names."""

from __future__ import annotations

from collections.abc import Container

import h5py

from ptychoproduct.aliases import Array
from ptychoproduct.hdf5 import arrays
from ptychoproduct.hdf5.chunks import create_chunked
from ptychoproduct.model import contract
from ptychoproduct.npz.npy import NPY_SUFFIX
from ptychoproduct.product.options import ExportOptions
from ptychoproduct.product.scan_positions import ScanPositions
from ptychoproduct.streaming.chunk_stream import write_rows
from ptychoproduct.streaming.chunk_target import RowOutput
from ptychoproduct.streaming.sources import RowSource
from ptychoproduct.system.resources import Resources
from ptychoproduct.validation.written_digests import ContentDigests
from ptychoproduct_native import OutputFile


def link_name(member: str, taken: Container[str]) -> str:
    """Choose the name of a member in ``/raw_data``: its key, or one like it where HDF5 or the contract needs that.

    Parameters
    ----------
    member : str
        The member's file name.
    taken : container of str
        Names in use.
    """
    key = member.removesuffix(NPY_SUFFIX)
    name = key.replace("/", "_")
    if name in ("", "."):
        name = "_"
    reserved = {dataset.name for dataset in contract.RAW_DATASETS if dataset.name != f"{contract.RAW_DATA}/{key}"}
    reserved.add(contract.DIFFRACTION.name)
    while name in taken or f"{contract.RAW_DATA}/{name}" in reserved:
        name += "_"
    return name


class RawGroup:
    """The group ``/raw_data`` of a product that is being written: what the source has besides its frames.

    Parameters
    ----------
    file : h5py.File
    options : ExportOptions
    resources : Resources
        Arrays that are streamed are reported to its progress.
    digests : ContentDigests
        Where the digests of these arrays are made.
    output : OutputFile
        What HDF5 writes the file to.
    """

    def __init__(
        self,
        file: h5py.File,
        options: ExportOptions,
        resources: Resources,
        digests: ContentDigests,
        output: OutputFile,
    ) -> None:
        self.group = file.create_group(contract.RAW_DATA)
        self._options = options
        self._resources = resources
        self._digests = digests
        self._output = output

    def keep(self, member: str, array: Array, source_dtype: str | None) -> None:
        """Write an array, see `ProductWriter.keep`."""
        dataset = arrays.write_array(self.group, link_name(member, self.group), array)
        _name_source(dataset, member, source_dtype)

    def keep_text(self, member: str, text: str) -> None:
        """Write a string."""
        name = link_name(member, self.group)
        arrays.write_text(self.group, name, text)
        _name_source(self.group[name], member)

    def keep_rows(self, member: str, source: RowSource, source_dtype: str | None) -> None:
        """Stream an array, compressed like the frames."""
        name, row_shape, rows = link_name(member, self.group), source.shape[1:], source.shape[0]
        codec = self._options.storage(source.dtype, row_shape, rows).codec
        dataset = create_chunked(self.group, name, row_shape, source.dtype, codec, rows)
        source = self._digests.passing(source, dataset)
        write_rows([RowOutput(dataset, file=self._output)], source, self._resources)
        _name_source(dataset, member, source_dtype)

    def keep_scan(self, positions: ScanPositions) -> None:
        """Write the positions and `scan_index` of the source, and links to its probe and object."""
        for name, array in (
            ("xcoords", positions.x_px),
            ("ycoords", positions.y_px),
            ("scan_index", positions.scan_index),
        ):
            if array is not None:
                arrays.write_array(self.group, name, array)
        for name, dataset in (("probeGuess", contract.PROBE), ("objectGuess", contract.OBJECT)):
            found = self.group.file[dataset.name]
            if not found.attrs.get(contract.SYNTHETIC.name, False):
                self.group[name] = found


def _name_source(dataset: h5py.Dataset, member: str, source_dtype: str | None = None) -> None:
    """Note what an array was in its source, where the dataset does not say it."""
    if source_dtype is not None:
        dataset.attrs[contract.SOURCE_DTYPE.name] = source_dtype
    if member != dataset.name.rpartition("/")[2] + NPY_SUFFIX:
        dataset.attrs[contract.SOURCE_MEMBER.name] = member
