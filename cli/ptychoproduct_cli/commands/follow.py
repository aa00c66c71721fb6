"""``ptychoproduct follow``: a scan that another program is writing becomes a product that grows with it."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from ptychoproduct_cli import options
from ptychoproduct_cli.command import EXIT_BAD_INPUT, EXIT_CODES, EXIT_DAMAGED, EXIT_INTERRUPTED, EXIT_OK, Command
from ptychoproduct_cli.convention_options import physics_json
from ptychoproduct_cli.convert_rows import summary_rows
from ptychoproduct_cli.metadata_options import PIXEL_SIZE_FLAGS, add_metadata_options, given_metadata
from ptychoproduct_cli.output import report
from ptychoproduct_cli.progress import step_progress
from ptychoproduct_cli.quantities import number_in
from ptychoproduct_cli.signals import interrupt_noted

SUMMARY = "make a product of a scan while another program is writing it"
DESCRIPTION = """\
Make a product of an HDF5 file that another program is writing with SWMR, as areaDetector and odin do. Frames are taken
as soon as all their chunks are in the file; meanwhile the product can be watched with `ptychoproduct inspect --watch`.
Positions and probe are read at the start. It ends when each position has its frame, or when the file is closed, or as
--frames and --timeout say, or at Ctrl-C; the frames so far, with their positions, are then a complete product. What has
the name OUT.h5 is replaced at the first frame.
"""
EXAMPLES = (
    """\
ptychoproduct follow diffraction.h5 followed.h5 --dataset /patterns \\
    --positions positions.csv --probe probe.npy --timeout 60""",
)
_EXIT_CODES = {code: text for code, text in EXIT_CODES.items() if code != EXIT_DAMAGED} | {
    EXIT_OK: "done, also after Ctrl-C; a warning says where positions have no frame",
    EXIT_BAD_INPUT: "something is wrong with the command line, an input or the output; one line on standard error says "
    "what; frames that could be watched already stay in OUT.h5",
    EXIT_INTERRUPTED: "interrupted twice (Ctrl-C); unfinished output is removed, and what could be watched stays",
}


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="SOURCE.h5", help="HDF5 file that is being written, frames [N, H, W]")
    parser.add_argument("output_product", metavar="OUT.h5", help="product to write, *.h5 or *.hdf5")
    parser.add_argument(
        "--frames", type=int, metavar="N", help="end after N frames (default: as many as there are positions)"
    )
    parser.add_argument(
        "--timeout",
        type=number_in("s"),
        metavar="SECONDS",
        help="end after so long without a new frame (default: wait until the file is closed)",
    )
    group = parser.add_argument_group("where the scan has frames, positions and probe")
    options.add_dataset_option(group)
    options.add_positions_options(group)
    options.add_probe_option(group)
    add_metadata_options(parser)
    parser.add_argument(
        "--compression",
        default="balanced",
        metavar="CODEC|PROFILE",
        help="codec or profile, as for `ptychoproduct convert`; each frame is a chunk (default: %(default)s)",
    )
    options.add_output_options(parser)


def follow(arguments: argparse.Namespace) -> int:
    """Follow, and print a summary."""
    from ptychoproduct import ExportMeta, OptionError, named_metadata, read_metadata_file
    from ptychoproduct.convert.follow import follow_scan
    from ptychoproduct.scan.assembly import Companions

    metadata = named_metadata(given_metadata(arguments), "command line")
    if arguments.metadata is not None:
        metadata = metadata.over(read_metadata_file(arguments.metadata))
    if metadata.object_layer_spacing_m:
        raise OptionError("object_layer_spacing_m", "is for an object with layers, which follow does not take")
    companions = Companions(arguments.positions, arguments.positions_in, arguments.probe, arguments.positions_columns)
    with interrupt_noted() as is_interrupted, step_progress(arguments) as show:
        summary = follow_scan(
            arguments.source,
            arguments.output_product,
            ExportMeta(**metadata.fields),
            companions=companions,
            dataset=arguments.dataset,
            frames=arguments.frames,
            timeout_s=arguments.timeout,
            compression=arguments.compression,
            is_stopped=is_interrupted,
            progress=lambda done, wanted: show and show(f"{done:,} of {wanted:,} frames", done, wanted),
        )
    rows = summary_rows(summary)
    if is_interrupted():
        rows["ended"] = "by Ctrl-C; the product is complete, with the frames so far"
    result = asdict(summary) | {"ratio": summary.ratio, "physics": physics_json(summary.physics)}
    del result["meta"]["origins"]
    report(result, rows, arguments)
    return EXIT_OK


COMMAND = Command(
    "ptychoproduct follow",
    SUMMARY,
    DESCRIPTION,
    _add_arguments,
    follow,
    EXAMPLES,
    exit_codes=_EXIT_CODES,
    flags=PIXEL_SIZE_FLAGS,
)
build_command_parser = COMMAND.parser
