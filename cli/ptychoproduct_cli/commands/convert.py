"""``ptychoproduct convert`` and ``convert_to_ptychodus_product``: a scan becomes a product."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ptychoproduct_cli import options
from ptychoproduct_cli.command import EXIT_OK, Command
from ptychoproduct_cli.options import add_chunk_options, add_memory_option, add_output_options, memory_bytes
from ptychoproduct_cli.output import megabytes, report
from ptychoproduct_cli.progress import progress_bars
from ptychoproduct_cli.running import collected_warnings, peak_memory_bytes, run

if TYPE_CHECKING:
    from ptychoproduct import (
        DiffractionFile,
        DiffractionSummary,
        ExportMeta,
        ExportOptions,
        ExportSummary,
        NamedMetadata,
        ScanFiles,
    )


SUMMARY = "convert a scan (NPZ, NPY or HDF5) to a ptychodus product (HDF5)"
DESCRIPTION = """\
Convert a ptychography scan to an HDF5 product that every ptychodus release opens. The scan is a PtychoPINN NPZ file; or
frames in an NPY file, with positions and probe beside it; or an HDF5 file, of ptychodus, fold_slice, CXI, NeXus or any
other kind, with positions and probe in it or beside it. Frames are streamed: a scan of any size is converted in bounded
memory, compressed on all cores. The product appears under its name when it is complete.
"""
EXAMPLES = (
    "ptychoproduct convert scan.npz scan.h5 --probe-energy-eV 8000",
    "ptychoproduct convert scan.npz scan.h5 --compression archive --verify",
    "ptychoproduct convert scan.npz --standard-layout scan12 --threads 2",
    """\
ptychoproduct convert frames.npy scan.h5 \\
    --positions positions.csv --probe probe.npy --object-pixel-size-m 5e-8""",
    """\
ptychoproduct convert diffraction.h5 scan.h5 \\
    --dataset /patterns --positions product.h5""",
)
EXECUTABLE_EXAMPLES = (
    "convert_to_ptychodus_product --input-npz scan.npz --output-product scan.h5",
    """\
convert_to_ptychodus_product --input-npy frames.npy --output-product scan.h5 \\
    --positions positions.csv --probe probe.npy --object-pixel-size-m 5e-8""",
)

# Names of the options that say what the user knows of the experiment.
_METADATA = (
    *("name", "comments", "detector_distance_m", "probe_energy_eV", "exposure_time_s", "probe_photon_count"),
    *("mass_attenuation_m2_kg", "tomography_angle_deg", "tilt_angle_deg", "focus_object_distance_m"),
    *("detector_pixel_size_m", "object_pixel_size_m", "probe_pixel_size_m", "object_center_x_m", "object_center_y_m"),
    *("far_field", "polarization", "object_layer_spacing_m"),
)


def _add_paths(parser: argparse.ArgumentParser) -> None:
    parser.usage = "%(prog)s [options] SCAN {PRODUCT.h5 | --standard-layout DIR}"
    parser.add_argument("scan", metavar="SCAN", help="scan to convert: NPZ, NPY or HDF5, whatever its name ends in")
    parser.add_argument("output_product", metavar="PRODUCT.h5", help="product, *.h5 or *.hdf5")
    _add_options(parser)


def _add_path_options(parser: argparse.ArgumentParser) -> None:
    parser.usage = (
        "%(prog)s [options]\n"
        "           {--input-npz SCAN.npz | --input-npy FRAMES.npy | --input-h5 FILE}\n"
        "           {--output-product PRODUCT.h5 | --standard-layout DIR}"
    )
    scan = parser.add_mutually_exclusive_group(required=True)
    scan.add_argument("--input-npz", metavar="SCAN.npz", help="scan to convert")
    scan.add_argument("--input-npy", metavar="FRAMES.npy", help="frames to convert, with --positions and --probe")
    scan.add_argument("--input-h5", metavar="FILE", help="HDF5 file to convert, with --dataset, --positions, --probe")
    parser.add_argument("--output-product", required=True, metavar="PRODUCT.h5", help="product, *.h5 or *.hdf5")
    _add_options(parser)


class _StandardLayout(argparse.Action):
    """Takes a folder, in place of the product.

    In a group of mutually exclusive arguments the product would have to be an optional positional, which argparse takes
    for absent where options stand between the scan and it.
    """

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, *_: object) -> None:
        setattr(namespace, self.dest, values)
        for action in parser._actions:
            if action.dest == "output_product":
                action.required = False


def _add_options(parser: argparse.ArgumentParser) -> None:
    options.add_companion_options(parser)
    _add_metadata(parser)
    _add_companion(parser)
    content = parser.add_argument_group("content")
    content.add_argument(
        "--include-diffraction",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="keep frames, positions in pixels and everything else of the scan in /raw_data (default: yes)",
    )
    options.add_axis_order_option(content)
    content.add_argument(
        "--position-index",
        choices=("auto", "scan-index", "sequence"),
        default="auto",
        help="numbers that pair patterns with positions; auto: the scan's scan_index where its values are distinct, "
        "else 0 to N-1 (default: %(default)s)",
    )
    content.add_argument(
        "--nexus",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="let NeXus viewers (silx view, h5web, NexPy) find frames, object phase and scan (default: yes)",
    )
    writing = parser.add_argument_group("writing")
    writing.add_argument(
        "--compression",
        default="balanced",
        metavar="CODEC|PROFILE",
        help="fast, balanced, archive, portable; auto, auto:ratio, auto:speed measure the scan first; or a codec such "
        "as zstd:9 or bitshuffle-zstd:3,block=64KiB+fletcher32, see ptychoproduct codecs (default: %(default)s)",
    )
    add_chunk_options(writing, whole="about 1 MiB", tiles="whole frames")
    writing.add_argument(
        "--store-counts",
        action="store_true",
        help="store amplitudes as the photon counts that they are square roots of, in a fraction of the space; import "
        "gives back the amplitudes bit for bit. Fails where a pixel is not exact (default: as they are)",
    )
    writing.add_argument("--threads", type=int, metavar="N", help="cores to compress on (default: all)")
    add_memory_option(writing)
    writing.add_argument(
        "--digest",
        action=argparse.BooleanOptionalAction,
        help="give every dataset a SHA-256 of its content, which `validate --deep` compares (default: in archives)",
    )
    writing.add_argument(
        "--verify",
        action="store_true",
        help="read the finished product back from the disk, and compare it with what was to be written",
    )
    writing.add_argument("--no-clobber", action="store_true", help="fail where the product exists already")
    add_output_options(parser)


def _add_metadata(parser: argparse.ArgumentParser) -> None:
    metadata = parser.add_argument_group(
        "metadata", "zero stands for a value that is not known; what is not given is listed in the summary"
    )
    metadata.add_argument(
        "--metadata",
        metavar="FILE",
        help="TOML or JSON file with any of the following, by the same names; the command line wins",
    )
    metadata.add_argument("--name", help="product name (default: empty)")
    metadata.add_argument("--comments", help="description (default: empty)")
    follows = "what follows from the detector's: lambda z / (N pixels); else"
    for flag, unit, default, meaning in (
        ("--detector-distance-m", "m", "0", "from object to detector"),
        ("--probe-energy-eV", "eV", "0", "photon energy"),
        ("--exposure-time-s", "s", "0", "exposure time of a position"),
        ("--probe-photon-count", "count", "0", "photons of an exposure"),
        ("--mass-attenuation-m2-kg", "m2/kg", "0", "mass attenuation coefficient of the sample"),
        ("--tomography-angle-deg", "deg", "0", "rotation of the sample"),
        ("--tilt-angle-deg", "deg", "0", "tilt of the sample"),
        ("--focus-object-distance-m", "m", "0", "from the focus to the object"),
        ("--detector-pixel-size-m", "m", "0", "detector pixel size"),
        ("--object-pixel-size-m", "m", f"{follows} 5e-8", "object pixel size; positions in pixels are multiples of it"),
        ("--probe-pixel-size-m", "m", f"{follows} 1.25e-7", "probe pixel size"),
        ("--object-center-x-m", "m", "0", "x of the object array's middle, in the frame of the positions"),
        ("--object-center-y-m", "m", "0", "y of the object array's middle"),
    ):
        metadata.add_argument(flag, type=float, metavar=unit, help=f"{meaning} (default: {default})")
    metadata.add_argument(
        "--far-field",
        action=argparse.BooleanOptionalAction,
        help="whether the detector records the far field (default: yes)",
    )
    metadata.add_argument(
        "--polarization", choices=("left_circular", "right_circular"), help="of the beam (default: not known)"
    )
    metadata.add_argument(
        "--object-layer-spacing-m",
        type=_numbers,
        metavar="m,m,...",
        help="distances between the layers of an object that has several (default: none)",
    )


def _add_companion(parser: argparse.ArgumentParser) -> None:
    companion = parser.add_argument_group(
        "patterns for ptychodus", "it reconstructs from a product and a file of patterns; both appear, or neither"
    )
    companion.add_argument(
        "--standard-layout",
        action=_StandardLayout,
        metavar="DIR",
        help="in place of PRODUCT.h5: folder for product.h5 and diffraction.h5, the names that ptychodus's workflows "
        "know",
    )
    companion.add_argument(
        "--diffraction-output",
        metavar="FILE",
        help="write the patterns, as photon counts (default: with --standard-layout, to its diffraction.h5)",
    )
    companion.add_argument(
        "--patterns-are",
        choices=("auto", "amplitude", "counts"),
        default="auto",
        help="what the scan's frames hold; auto: counts where they are whole numbers, amplitudes where they are roots "
        "of whole numbers (default: %(default)s)",
    )
    companion.add_argument(
        "--bad-pixels",
        metavar="FILE[:KEY]",
        help="mask of a frame's size, not zero where pixels are bad: NPY, NPZ or HDF5 (default: the scan's, or none)",
    )
    companion.add_argument(
        "--diffraction-compression",
        default="shuffle+gzip:1",
        metavar="CODEC",
        help="of the patterns, see --compression; ptychodus's scripts read gzip only, its application all "
        "(default: %(default)s)",
    )


def convert(arguments: argparse.Namespace) -> int:
    """Convert, and print a summary."""
    from ptychoproduct import ExportMeta, Reconstruction, export_product_from_files
    from ptychoproduct.scan.scan_files import frame_bytes

    files, options, metadata = _files(arguments), _options(arguments), _metadata(arguments)
    product, diffraction = _outputs(arguments)

    def totals() -> dict[str, int]:
        nbytes = frame_bytes(files) if arguments.include_diffraction or diffraction else 0
        return {"reorder": nbytes, "convert": nbytes * (2 if arguments.verify else 1)}

    with (
        collected_warnings(arguments) as messages,
        progress_bars(totals, 2, arguments) as (reorder_progress, progress),
    ):
        summary = export_product_from_files(
            files,
            product,
            ExportMeta(**metadata.fields),
            arguments.include_diffraction,
            reconstruction=Reconstruction(object_layer_spacing_m=metadata.object_layer_spacing_m or ()),
            diffraction=diffraction,
            options=options,
            progress=progress,
            reorder_progress=reorder_progress,
        )
    peak = peak_memory_bytes()
    result = asdict(summary) | {
        "ratio": summary.ratio,
        "throughput_mb_s": summary.throughput_mb_s,
        "peak_memory_bytes": peak,
        "not_given": summary.meta.not_given,
        "derived": summary.meta.derived,
        "warnings": messages,
    }
    rows = _rows(summary, peak)
    if arguments.verify:
        rows["verified"] = "the product, read back from the disk: every dataset is as it was to be written"
    report(result, rows, arguments)
    return EXIT_OK


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(float(number) for number in text.split(","))


def _files(arguments: argparse.Namespace) -> ScanFiles:
    named = {kind: getattr(arguments, f"input_{kind}", None) for kind in ("npz", "npy", "h5")}
    kind, path = next(((kind, path) for kind, path in named.items() if path is not None), (None, None))
    return options.scan_files(arguments, arguments.scan if path is None else path, kind)


def _outputs(arguments: argparse.Namespace) -> tuple[str | Path, DiffractionFile | None]:
    """Return where the product goes, and the patterns beside it, if anywhere."""
    from ptychoproduct import DiffractionFile, OptionError, standard_layout

    product, patterns = arguments.output_product, arguments.diffraction_output
    if arguments.standard_layout is not None:
        for name, path in (("PRODUCT.h5", product), ("--diffraction-output", patterns)):
            if path is not None:
                raise OptionError("--standard-layout", found=f"it with {name}", expected="one of them")
        product, patterns = standard_layout(arguments.standard_layout)
    if patterns is None:
        if arguments.bad_pixels is not None or arguments.patterns_are != "auto":
            expected = "--diffraction-output or --standard-layout"
            raise OptionError("--bad-pixels, --patterns-are", found="them without patterns", expected=expected)
        return product, None
    return product, DiffractionFile(
        patterns, arguments.patterns_are, arguments.bad_pixels, arguments.diffraction_compression
    )


def _metadata(arguments: argparse.Namespace) -> NamedMetadata:
    """Return the metadata of the command line, and what else the file has."""
    from ptychoproduct import named_metadata, read_metadata_file

    flags = {name: value for name in _METADATA if (value := getattr(arguments, name)) is not None}
    given = named_metadata(flags, "command line")
    return given if arguments.metadata is None else given.over(read_metadata_file(arguments.metadata))


def _options(arguments: argparse.Namespace) -> ExportOptions:
    from ptychoproduct import ExportOptions

    return ExportOptions(
        compression=arguments.compression,
        threads=arguments.threads,
        axis_order=arguments.axis_order,
        position_index=arguments.position_index,
        chunk_frames=arguments.chunk_frames,
        chunk_shape=arguments.chunk_shape,
        memory_bytes=memory_bytes(arguments),
        nexus=arguments.nexus,
        store_counts=arguments.store_counts,
        overwrite=not arguments.no_clobber,
        digests=arguments.digest,
        verify=arguments.verify,
    )


def _rows(summary: ExportSummary, peak: int | None) -> dict[str, str]:
    rows = {
        "product": f"{summary.product}  ({megabytes(summary.file_bytes)})",
        "positions": f"{summary.positions:,}",
    }
    if summary.position_index_note is not None:
        rows["position numbers"] = summary.position_index_note
    if summary.frames:
        shape = " x ".join(map(str, summary.frame_shape))
        rows["frames"] = f"{summary.frames:,} of {shape}, {summary.frame_dtype}"
        if summary.recipe is not None:
            rows["stored as"] = f"exact counts, {summary.recipe.count_dtype} ({summary.recipe.operation_order})"
        rows |= {
            "codec": f"{summary.compression}, chunks of {' x '.join(map(str, summary.chunk_shape))}",
            "ratio": f"{summary.ratio:.2f}  ({megabytes(summary.frame_bytes)} to {megabytes(summary.stored_bytes)})",
            "speed": f"{summary.throughput_mb_s:,.0f} MB/s  ({summary.seconds:.2f} s)",
        }
    choice = summary.choice
    if choice is not None:
        rows["chosen"] = f"{choice.reason}  ({choice.objective}, {choice.seconds:.2f} s)"
    if choice is not None and choice.trials:
        tried = (f"{trial.codec}: {trial.ratio:.2f} at {trial.write_mb_s:,.0f} MB/s" for trial in choice.trials)
        rows["tried"] = "\n".join(tried)
    if summary.diffraction is not None:
        rows |= _companion_rows(summary.diffraction)
    rows |= _metadata_rows(summary.meta)
    if peak is not None:
        rows["memory"] = f"{megabytes(peak)} at most"
    return rows


def _companion_rows(summary: DiffractionSummary) -> dict[str, str]:
    made_from = "frames as they are" if summary.frames_are == "counts" else "amplitudes squared"
    if summary.scale is not None:
        made_from += f", normalisation by {summary.scale:.6g} undone"
    size = megabytes(summary.file_bytes)
    rows = {
        "diffraction": f"{summary.path}  ({size})",
        "patterns": f"{summary.dtype}, {'whole ' if summary.exact else ''}counts; {made_from}",
    }
    if summary.bad_pixels:
        rows["bad pixels"] = f"{summary.bad_pixels:,}"
    return rows


def _metadata_rows(meta: ExportMeta) -> dict[str, str]:
    """Say where the pixel sizes come from, and what nobody has said."""
    rows = {}
    for owner in ("object", "probe"):
        width, height = f"{owner}_pixel_width_m", f"{owner}_pixel_height_m"
        source = "the default" if width in meta.not_given else "derived" if width in meta.derived else "given"
        rows[f"{owner} pixel"] = f"{getattr(meta, width):.6g} x {getattr(meta, height):.6g} m  ({source})"
    missing = [name for name in meta.not_given if not name.startswith(("object_pixel", "probe_pixel"))]
    if missing:
        rows["not given"] = ", ".join(missing)
    return rows


COMMAND = Command("ptychoproduct convert", SUMMARY, DESCRIPTION, _add_paths, convert, EXAMPLES)
EXECUTABLE = Command(
    "convert_to_ptychodus_product", SUMMARY, DESCRIPTION, _add_path_options, convert, EXECUTABLE_EXAMPLES
)

# Man pages are built from functions.
build_command_parser = COMMAND.parser
build_parser = EXECUTABLE.parser


def main() -> None:
    """Run the executable ``convert_to_ptychodus_product``."""
    run(build_parser())
