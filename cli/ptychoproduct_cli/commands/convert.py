"""``ptychoproduct convert`` and ``convert_to_ptychodus_product``: a scan becomes a product."""

from __future__ import annotations

import argparse
import shlex
from contextlib import ExitStack
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ptychoproduct_cli import options
from ptychoproduct_cli.batch import cluster
from ptychoproduct_cli.batch_options import add_batch_options
from ptychoproduct_cli.command import EXIT_OK, Batch, Command
from ptychoproduct_cli.convention_options import add_convention_options, given_convention, physics_json
from ptychoproduct_cli.convert_rows import summary_rows
from ptychoproduct_cli.metadata_options import PIXEL_SIZE_FLAGS, add_metadata_options, given_metadata
from ptychoproduct_cli.output import report
from ptychoproduct_cli.progress import progress_bars
from ptychoproduct_cli.running import run

if TYPE_CHECKING:
    from ptychoproduct import DiffractionFile, ExportOptions, ExportSummary, NamedMetadata, ScanFiles


# Of the files that are taken from a folder.
SUFFIXES = (".npz", ".npy", ".h5", ".hdf5", ".cxi", ".nxs", ".mat", ".ptyr", ".ptyd")
SUMMARY = "convert a scan (NPZ, NPY, HDF5) to a ptychodus product (HDF5)"
DESCRIPTION = """\
Convert a ptychography scan to an HDF5 product that every ptychodus release opens. The scan is a PtychoPINN NPZ file; or
an NPY file with the frames, or a folder of TIFF, CBF or EDF files, and companion files with positions and probe; or an
HDF5 file (ptychodus, fold_slice, CXI, NeXus or any other) that has positions and probe in it or in companion files.
Scans larger than memory are converted, too; all cores compress. The product appears under its name only when it is
complete.
"""
EXAMPLES = (
    "ptychoproduct convert scan.npz scan.h5 --probe-energy-eV 8000",
    "ptychoproduct convert scan.npz scan.h5 --compression archive --verify",
    "ptychoproduct convert 'scan*.npz' --output-dir products --resume",
    """\
ptychoproduct convert scan.npz --standard-layout scan12 \\
    --detector-pixel-size-m 75um""",
    """\
ptychoproduct convert frames.npy scan.h5 \\
    --positions positions.csv --probe probe.npy --object-pixel-size-m 5e-8""",
    """\
ptychoproduct convert diffraction.h5 scan.h5 \\
    --dataset /patterns --positions product.h5""",
)
EXECUTABLE_EXAMPLES = (
    """\
convert_to_ptychodus_product --input-npz scan.npz --output-product scan.h5 \\
    --object-center auto""",
    """\
convert_to_ptychodus_product --input-npy frames.npy --output-product scan.h5 \\
    --positions positions.csv --probe probe.npy --object-pixel-size-m 5e-8""",
)


def _add_paths(parser: argparse.ArgumentParser) -> None:
    parser.usage = (
        "%(prog)s [options] SCAN {PRODUCT.h5 | --standard-layout DIR}\n"
        "       %(prog)s [options] SCAN... --output-dir DIR"
    )
    parser.add_argument(
        "scan",
        metavar="SCAN",
        help="scan to convert: NPZ, NPY or HDF5, its content counts, not its name; or a folder of TIFF, CBF or EDF "
        "files, or a pattern of their names in quotes",
    )
    parser.add_argument("output_product", metavar="PRODUCT.h5", help="product to write, *.h5 or *.hdf5")
    _add_options(parser, object_center="auto")
    resume_one = (
        "; of one scan with --cluster: keep what is done if this ends early, and go on from there the next time"
    )
    add_batch_options(parser, "scans", "products", resume_one)
    parser.add_argument(
        "--shards",
        type=int,
        metavar="N",
        help="with --cluster, for one scan: the workers write the frames in N files, in the folder NAME.frames beside "
        "NAME.h5; `ptychoproduct merge` makes one file of them (default: one product, written by this process)",
    )


def _add_path_options(parser: argparse.ArgumentParser) -> None:
    parser.usage = (
        "%(prog)s [options]\n"
        "           {--input-npz SCAN.npz | --input-npy FRAMES.npy | --input-h5 FILE}\n"
        "           {--output-product PRODUCT.h5 | --standard-layout DIR}"
    )
    scan = parser.add_mutually_exclusive_group(required=True)
    scan.add_argument("--input-npz", metavar="SCAN.npz", help="scan to convert")
    scan.add_argument("--input", dest="scan", metavar="SCAN", help="scan to convert: NPZ, NPY or HDF5, by its content")
    scan.add_argument("--input-npy", metavar="FRAMES.npy", help="frames to convert, with --positions and --probe")
    scan.add_argument("--input-h5", metavar="FILE", help="HDF5 file to convert, with --dataset, --positions, --probe")
    parser.add_argument(
        "--output-product", required=True, metavar="PRODUCT.h5", help="product to write, *.h5 or *.hdf5"
    )
    _add_options(parser, object_center="zero")


class _StandardLayout(argparse.Action):
    """Takes a folder in place of the product.

    In a group of mutually exclusive arguments the product would have to be an optional positional, and argparse would
    not find it where options stand between the scan and the product.
    """

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, *_: object) -> None:
        setattr(namespace, self.dest, values)
        for action in parser._actions:
            if action.dest == "output_product":
                action.required = False


def _add_options(parser: argparse.ArgumentParser, object_center: str) -> None:
    options.add_companion_options(parser)
    add_metadata_options(parser)
    add_convention_options(parser)
    _add_patterns_options(parser)
    content = parser.add_argument_group("content")
    content.add_argument(
        "--include-diffraction",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="store frames, positions in pixels and everything else of the scan in /raw_data (default: yes)",
    )
    options.add_accept_damage_option(content, "convert", "are left out with their positions")
    options.add_axis_order_option(content)
    content.add_argument(
        "--position-index",
        choices=("auto", "scan-index", "sequence"),
        default="auto",
        help="numbers that pair patterns with positions: the scan's scan_index, or 0 to N-1 in sequence; auto: "
        "scan_index where its values are distinct, else the sequence (default: %(default)s)",
    )
    content.add_argument(
        "--object-center",
        choices=("auto", "corner", "zero"),
        default=object_center,
        help="where the object's middle is, without --object-center-x-m and -y-m; corner: positions count "
        "from the object's first pixel; zero: they count from its middle; auto: the one of the two that has all "
        "positions on the object, else zero (default: %(default)s)",
    )
    content.add_argument(
        "--nexus",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="add what NeXus viewers (silx view, h5web, NexPy) need to show frames, object phase and scan "
        "(default: yes)",
    )
    writing = parser.add_argument_group("writing")
    writing.add_argument(
        "--compression",
        default="balanced",
        metavar="CODEC|PROFILE",
        help="a profile: fast, balanced, archive, portable; or auto, auto:ratio, auto:speed, which measure the scan "
        "first; or a codec such as zstd:9 or bitshuffle-zstd:3,block=64KiB+fletcher32; `ptychoproduct codecs` lists "
        "them (default: %(default)s)",
    )
    options.add_chunk_options(writing, whole="about 1 MiB", tiles="whole frames")
    writing.add_argument(
        "--store-counts",
        action="store_true",
        help="store the photon counts that the amplitudes are square roots of: much smaller, and import gives back the "
        "amplitudes bit for bit; fails if a pixel is not exactly such a root (default: store the amplitudes)",
    )
    writing.add_argument("--threads", type=int, metavar="N", help="number of cores that compress (default: all)")
    options.add_memory_option(writing)
    writing.add_argument(
        "--digest",
        action=argparse.BooleanOptionalAction,
        help="store a SHA-256 of the content of every dataset, which `ptychoproduct validate --deep` checks (default: "
        "only with --compression archive)",
    )
    writing.add_argument(
        "--verify",
        action="store_true",
        help="read the finished product back from the disk, and compare it with the scan",
    )
    writing.add_argument(
        "--record-time",
        action="store_true",
        help="write into the product when it was made (default: no, so the same conversion makes the same file)",
    )
    options.add_overwrite_option(writing, "the product")
    options.add_output_options(parser)


def _add_patterns_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "patterns file for ptychodus",
        "ptychodus reconstructs from a product and a patterns file; both appear when both are complete",
    )
    group.add_argument(
        "--standard-layout",
        action=_StandardLayout,
        metavar="DIR",
        help="in place of PRODUCT.h5: folder to write product.h5 and diffraction.h5 in, the names that ptychodus's "
        "workflows use",
    )
    group.add_argument(
        "--diffraction-output",
        metavar="FILE",
        help="write the patterns file, in photon counts; with --output-dir, a folder for patterns files with the "
        "products' names (default: none; with --standard-layout, its diffraction.h5)",
    )
    group.add_argument(
        "--patterns-are",
        choices=("auto", "amplitude", "counts"),
        default="auto",
        help="what the scan's frames hold; auto: counts where they are whole numbers, amplitudes where they are square "
        "roots of whole numbers (default: %(default)s)",
    )
    group.add_argument(
        "--bad-pixels",
        metavar="FILE[:KEY]",
        help="mask of a frame's size, not zero where a pixel is bad: NPY, NPZ or HDF5 (default: the scan's mask, if it "
        "has one)",
    )
    options.add_bad_values_option(group)
    group.add_argument(
        "--diffraction-compression",
        default="shuffle+gzip:1+fletcher32",
        metavar="CODEC",
        help="codec of the patterns file, see --compression; ptychodus's scripts read gzip only, its application reads "
        "all (default: %(default)s)",
    )


def convert(arguments: argparse.Namespace) -> int:
    """Convert, and print a summary."""
    from ptychoproduct.scan.scan_files import frame_bytes

    work = _work(arguments)
    files = work.args[0]

    def totals() -> dict[str, int]:
        has_frames = arguments.include_diffraction or work.keywords["diffraction"]
        nbytes = frame_bytes(files) if has_frames else 0
        return {"reorder": nbytes, "convert": nbytes * (2 if arguments.verify else 1)}

    with ExitStack() as stack:
        if getattr(arguments, "cluster", None) is not None:
            from ptychoproduct.batch.one_scan import export_on_cluster

            client = stack.enter_context(cluster(arguments.cluster, arguments, in_process=True))
            on_cluster = partial(export_on_cluster, client, shards=arguments.shards, resume=arguments.resume)
            work = partial(on_cluster, *work.args, **work.keywords)
        reorder_progress, progress = stack.enter_context(progress_bars(totals, 2, arguments))
        summary = work(progress=progress, reorder_progress=reorder_progress)
    rows = summary_rows(summary)
    if arguments.verify:
        rows["verified"] = "the product, read back from the disk: every dataset is as it was to be written"
    report(_result(summary), rows, arguments)
    return EXIT_OK


def _work(arguments: argparse.Namespace) -> partial[ExportSummary]:
    """Return what converts the scan."""
    from ptychoproduct import ExportMeta, Reconstruction, export_product_from_files

    files, options, metadata = _files(arguments), _options(arguments), _metadata(arguments)
    product, diffraction = _outputs(arguments)
    return partial(
        export_product_from_files,
        files,
        product,
        ExportMeta(**metadata.fields),
        arguments.include_diffraction,
        reconstruction=Reconstruction(object_layer_spacing_m=metadata.object_layer_spacing_m or ()),
        diffraction=diffraction,
        options=options,
    )


def _result(summary: ExportSummary) -> dict[str, Any]:
    result = asdict(summary) | {
        "ratio": summary.ratio,
        "throughput_mb_s": summary.throughput_mb_s,
        "not_given": summary.meta.not_given,
        "derived": summary.meta.derived,
        "origins": summary.meta.origins,
    }
    del result["meta"]["origins"]
    result["physics"] = physics_json(summary.physics)
    return result


def _check_batch(arguments: argparse.Namespace) -> None:
    """Raise what is wrong with options, whatever the scan."""
    from ptychoproduct import ExportMeta, OptionError

    for name in ("standard_layout", "shards"):
        if getattr(arguments, name) is not None:
            raise OptionError(name, "is for one scan; it cannot be used with --output-dir")
    _options(arguments)
    ExportMeta(**_metadata(arguments).fields)
    _outputs(arguments)


def _files(arguments: argparse.Namespace) -> ScanFiles:
    """Return where the scan is; OutputError where an import was meant."""
    from ptychoproduct import OutputError
    from ptychoproduct.scan.layouts import HDF5

    named = {kind: getattr(arguments, f"input_{kind}", None) for kind in ("npz", "npy", "h5")}
    kind, path = next(((kind, path) for kind, path in named.items() if path is not None), (None, None))
    files, output = options.scan_files(arguments, path or arguments.scan, kind), arguments.output_product
    if files.kind == HDF5 and output is not None and output.lower().endswith(".npz"):
        command = shlex.join(["ptychoproduct", "import", str(files.path), output])
        raise OutputError(output, f"convert writes products, *.h5; to make an NPZ scan of a product: {command}")
    return files


def _outputs(arguments: argparse.Namespace) -> tuple[str | Path, DiffractionFile | None]:
    """Return where the product goes, and the patterns file, if there is to be one."""
    from ptychoproduct import OptionError

    product, patterns = arguments.output_product, arguments.diffraction_output
    if arguments.standard_layout is not None:
        for name, path in (("PRODUCT.h5", product), ("--diffraction-output", patterns)):
            if path is not None:
                raise OptionError("standard_layout", f"cannot be used with {name}; give only one of the two")
        from ptychoproduct import standard_layout

        product, patterns = standard_layout(arguments.standard_layout)
    if patterns is None:
        given = [name for name in ("bad_pixels", "bad_values") if getattr(arguments, name) is not None]
        if given or arguments.patterns_are != "auto":
            problem = "applies to the patterns file only; add --diffraction-output or --standard-layout"
            raise OptionError(given[0] if given else "patterns_are", problem)
        return product, None
    from ptychoproduct import DiffractionFile  # 3 ms, with what writes the patterns file

    try:
        names = ("patterns_are", "bad_pixels", "diffraction_compression", "bad_values")
        return product, DiffractionFile(patterns, *(getattr(arguments, name) for name in names))
    except OptionError as error:
        if error.option == "compression":  # the name, in Python, of the product's codec, too
            error.option = "diffraction_compression"
        raise


def _metadata(arguments: argparse.Namespace) -> NamedMetadata:
    """Return the metadata of the command line, and those of the file that the command line does not give."""
    from ptychoproduct import named_metadata, read_metadata_file

    given = named_metadata(given_metadata(arguments), "command line")
    return given if arguments.metadata is None else given.over(read_metadata_file(arguments.metadata))


def _options(arguments: argparse.Namespace) -> ExportOptions:
    from ptychoproduct import ExportOptions

    return ExportOptions(
        compression=arguments.compression,
        threads=arguments.threads,
        axis_order=arguments.axis_order,
        position_index=arguments.position_index,
        object_center=arguments.object_center,
        chunk_frames=arguments.chunk_frames,
        chunk_shape=arguments.chunk_shape,
        memory_bytes=options.memory_bytes(arguments),
        nexus=arguments.nexus,
        store_counts=arguments.store_counts,
        overwrite=not arguments.no_clobber,
        force=arguments.force,
        digests=arguments.digest,
        verify=arguments.verify,
        record_time=arguments.record_time,
        **given_convention(arguments),
    )


_positionals, _beside = ("scan", "output_product"), "diffraction_output"
BATCH = Batch(_positionals, _work, _result, SUFFIXES, ".h5", check=_check_batch, splits=True, beside=_beside)
COMMAND = Command(
    "ptychoproduct convert", SUMMARY, DESCRIPTION, _add_paths, convert, EXAMPLES, flags=PIXEL_SIZE_FLAGS, batch=BATCH
)
EXECUTABLE = replace(
    COMMAND,
    prog="convert_to_ptychodus_product",
    add_arguments=_add_path_options,
    examples=EXECUTABLE_EXAMPLES,
    batch=None,
)

# The man pages are built from these functions.
build_command_parser = COMMAND.parser
build_parser = EXECUTABLE.parser


def main() -> None:
    """Run the executable ``convert_to_ptychodus_product``."""
    run(build_parser())
