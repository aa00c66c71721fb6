from .checks import Problem
from .counts import CountsRecipe, InexactError
from .diffractionfile import DiffractionFile, DiffractionSummary, standard_layout
from .errors import (
    ContractError,
    OptionError,
    OutputError,
    ProductError,
    ProductWarning,
    SourceError,
)
from .export import Reconstruction, export_product_from_rawdata, export_product_from_scan
from .exportfiles import (
    export_product_from_files,
    export_product_from_hdf5,
    export_product_from_npy,
    export_product_from_npz,
)
from .exportsummary import ExportSummary
from .importer import ImportSummary, import_product_to_npz, import_product_to_rawdata
from .inspection import Inspection, inspect_product
from .metadata import ExportMeta
from .metadatafile import NamedMetadata, named_metadata, read_metadata_file
from .options import ExportOptions
from .rawdata import RawData
from .reader import Frames, Product, open_product
from .recognition import recognise_counts
from .repacking import RepackedDataset, RepackSummary, repack_product
from .scan import Extra, FrameStack, Scan
from .scanfiles import ScanFiles
from .simulation import ScanParameters, simulate_scan
from .tuning import TuneOptions, TuneReport, tune_scan
from .validation import ValidationReport, validate_product
from .writer import ProductWriter

__version__: str

__all__ = [
    "ContractError",
    "CountsRecipe",
    "DiffractionFile",
    "DiffractionSummary",
    "ExportMeta",
    "ExportOptions",
    "ExportSummary",
    "Extra",
    "FrameStack",
    "Frames",
    "ImportSummary",
    "InexactError",
    "Inspection",
    "NamedMetadata",
    "OptionError",
    "OutputError",
    "Problem",
    "Product",
    "ProductError",
    "ProductWarning",
    "ProductWriter",
    "RawData",
    "Reconstruction",
    "RepackSummary",
    "RepackedDataset",
    "Scan",
    "ScanFiles",
    "ScanParameters",
    "SourceError",
    "TuneOptions",
    "TuneReport",
    "ValidationReport",
    "export_product_from_files",
    "export_product_from_hdf5",
    "export_product_from_npy",
    "export_product_from_npz",
    "export_product_from_rawdata",
    "export_product_from_scan",
    "import_product_to_npz",
    "import_product_to_rawdata",
    "inspect_product",
    "named_metadata",
    "open_product",
    "read_metadata_file",
    "recognise_counts",
    "repack_product",
    "simulate_scan",
    "standard_layout",
    "tune_scan",
    "validate_product",
]
