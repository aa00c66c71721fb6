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
from ptychoproduct.export import (
    Reconstruction,
    export_product_from_hdf5,
    export_product_from_npy,
    export_product_from_npz,
    export_product_from_rawdata,
    export_product_from_scan,
)
from ptychoproduct.importer import ImportSummary, import_product_to_npz, import_product_to_rawdata
from ptychoproduct.metadata import ExportMeta
from ptychoproduct.options import ExportOptions
from ptychoproduct.rawdata import RawData
from ptychoproduct.reader import Frames, Product, open_product
from ptychoproduct.scan import Extra, FrameStack, Scan
from ptychoproduct.scanfiles import ScanFiles, export_product_from_files
from ptychoproduct.simulation import ScanParameters, simulate_scan
from ptychoproduct.validation import ValidationReport, validate_product
from ptychoproduct.writer import ExportSummary, ProductWriter

__version__ = "0.1.0"

__all__ = [
    "ContractError",
    "ExportMeta",
    "ExportOptions",
    "ExportSummary",
    "Extra",
    "FrameStack",
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
    "Scan",
    "ScanFiles",
    "ScanParameters",
    "SourceError",
    "ValidationReport",
    "export_product_from_files",
    "export_product_from_hdf5",
    "export_product_from_npy",
    "export_product_from_npz",
    "export_product_from_rawdata",
    "export_product_from_scan",
    "import_product_to_npz",
    "import_product_to_rawdata",
    "open_product",
    "simulate_scan",
    "validate_product",
]
