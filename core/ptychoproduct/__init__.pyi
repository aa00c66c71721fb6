from .benchmark.simulation import ScanParameters, simulate_scan
from .convert.cxi import import_product_to_cxi
from .convert.export import (
    ExportChoices,
    export_product_from_files,
    export_product_from_npz,
    export_product_from_rawdata,
    export_product_from_scan,
)
from .convert.importer import ImportSummary, import_product_to_npz, import_product_to_rawdata
from .convert.merge import MergeSummary, merge_product
from .convert.ptychodus_npz import import_product_to_ptychodus_npz
from .convert.repack import RepackedDataset, RepackSummary, repack_product
from .convert.zarr_view import reference_product
from .errors import ContractError, DamageWarning, OptionError, OutputError, ProductError, ProductWarning, SourceError
from .model.count_recognition import recognise_counts
from .model.counts import CountsRecipe, InexactError
from .model.geometry import resolve_metadata
from .model.metadata import ExportMeta, ResolvedMetadata
from .model.metadata_file import NamedMetadata, named_metadata, read_metadata_file
from .product.differences import Difference, compare_products
from .product.inspection import Inspection, inspect_product
from .product.options import ExportOptions
from .product.patterns_file import DiffractionFile, standard_layout
from .product.reader import Frames, Product, open_product
from .product.summary import DiffractionSummary, ExportSummary
from .product.writer import ProductWriter
from .scan.rawdata import RawData
from .scan.scan import Extra, FrameStack, Reconstruction, Scan
from .scan.scan_files import ScanFiles
from .streaming.sources import Access, RowSource
from .tuning.tune import TuneOptions, TuneReport, tune_scan
from .validation.checks import Problem
from .validation.physics import PhysicsReport
from .validation.physics_evidence import judge_physics
from .validation.validate import ValidationReport, validate_product

__version__: str

__all__ = [
    "Access",
    "ContractError",
    "CountsRecipe",
    "DamageWarning",
    "Difference",
    "DiffractionFile",
    "DiffractionSummary",
    "ExportChoices",
    "ExportMeta",
    "ExportOptions",
    "ExportSummary",
    "Extra",
    "FrameStack",
    "Frames",
    "ImportSummary",
    "InexactError",
    "Inspection",
    "MergeSummary",
    "NamedMetadata",
    "OptionError",
    "OutputError",
    "PhysicsReport",
    "Problem",
    "Product",
    "ProductError",
    "ProductWarning",
    "ProductWriter",
    "RawData",
    "Reconstruction",
    "RepackSummary",
    "RepackedDataset",
    "ResolvedMetadata",
    "RowSource",
    "Scan",
    "ScanFiles",
    "ScanParameters",
    "SourceError",
    "TuneOptions",
    "TuneReport",
    "ValidationReport",
    "compare_products",
    "export_product_from_files",
    "export_product_from_npz",
    "export_product_from_rawdata",
    "export_product_from_scan",
    "import_product_to_cxi",
    "import_product_to_npz",
    "import_product_to_ptychodus_npz",
    "import_product_to_rawdata",
    "inspect_product",
    "judge_physics",
    "merge_product",
    "named_metadata",
    "open_product",
    "read_metadata_file",
    "recognise_counts",
    "reference_product",
    "repack_product",
    "resolve_metadata",
    "simulate_scan",
    "standard_layout",
    "tune_scan",
    "validate_product",
]
