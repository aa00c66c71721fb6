"""Native parts of ptychoproduct: chunk memory, HDF5 filter pipelines, strided copies, files, roots of counts.

Knows buffers, chunks and filters, and nothing of ptychography.
"""

from ptychoproduct_native.buffers import ChunkBuffer, keep_freed_memory
from ptychoproduct_native.checksums import metadata_checksum
from ptychoproduct_native.compressors import ZSTD_SETTINGS, nearest_level
from ptychoproduct_native.counts import CountSteps
from ptychoproduct_native.ending import claim_last_line, end_at_second_interrupt
from ptychoproduct_native.filters import (
    BUILT_IN_IDS,
    DEFLATE_ID,
    FLETCHER32_ID,
    SHUFFLE_ID,
    SZIP_ID,
    Filter,
    FilterError,
)
from ptychoproduct_native.gather import byteswap, gather
from ptychoproduct_native.output_file import OutputFile
from ptychoproduct_native.pipeline import FilterPipeline
from ptychoproduct_native.segments import read_segments
from ptychoproduct_native.szip import has_szip
from ptychoproduct_native.watchdog import start_watchdog

__all__ = [
    "BUILT_IN_IDS",
    "DEFLATE_ID",
    "FLETCHER32_ID",
    "SHUFFLE_ID",
    "SZIP_ID",
    "ZSTD_SETTINGS",
    "ChunkBuffer",
    "CountSteps",
    "Filter",
    "FilterError",
    "FilterPipeline",
    "OutputFile",
    "byteswap",
    "claim_last_line",
    "end_at_second_interrupt",
    "gather",
    "has_szip",
    "keep_freed_memory",
    "metadata_checksum",
    "nearest_level",
    "read_segments",
    "start_watchdog",
]
