"""Ptychography scans in PtychoPINN's NPZ format to ptychodus's HDF5 products, and back."""

from ptychoproduct.checks import Problem
from ptychoproduct.errors import (
    ContractError,
    OptionError,
    OutputError,
    ProductError,
    ProductWarning,
    SourceError,
)
from ptychoproduct.export import Reconstruction, export_product_from_npz, export_product_from_rawdata
from ptychoproduct.importer import ImportSummary, import_product_to_npz, import_product_to_rawdata
from ptychoproduct.metadata import ExportMeta
from ptychoproduct.options import ExportOptions
from ptychoproduct.rawdata import RawData
from ptychoproduct.reader import Frames, Product, open_product
from ptychoproduct.simulation import ScanParameters, simulate_scan
from ptychoproduct.validation import ValidationReport, validate_product
from ptychoproduct.writer import ExportSummary, ProductWriter

__version__ = "0.1.0"

__all__ = [
    "ContractError",
    "ExportMeta",
    "ExportOptions",
    "ExportSummary",
    "Frames",
    "ImportSummary",
    "OptionError",
    "OutputError",
    "Problem",
    "Product",
    "ProductError",
    "ProductWarning",
    "ProductWriter",
    "RawData",
    "Reconstruction",
    "ScanParameters",
    "SourceError",
    "ValidationReport",
    "export_product_from_npz",
    "export_product_from_rawdata",
    "import_product_to_npz",
    "import_product_to_rawdata",
    "open_product",
    "simulate_scan",
    "validate_product",
]
