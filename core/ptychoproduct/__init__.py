"""Ptychography scans in PtychoPINN's NPZ format to ptychodus's HDF5 products, and back."""

from ptychoproduct.errors import (
    ContractError,
    OptionError,
    OutputError,
    ProductError,
    ProductWarning,
    SourceError,
)
from ptychoproduct.export import Reconstruction, export_product_from_npz, export_product_from_rawdata
from ptychoproduct.metadata import ExportMeta
from ptychoproduct.options import ExportOptions
from ptychoproduct.rawdata import RawData
from ptychoproduct.writer import ExportSummary, ProductWriter

from ptychoproduct.importer import ImportSummary, import_product_to_npz, import_product_to_rawdata
from ptychoproduct.reader import Frames, Product, open_product
