"""``ptychoproduct inspect``: what is in a product."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from ptychoproduct_cli import terminal_image
from ptychoproduct_cli.command import EXIT_BAD_INPUT, EXIT_OK, Command
from ptychoproduct_cli.options import add_output_options, add_plot_option
from ptychoproduct_cli.output import collected_warnings, print_error, print_result
from ptychoproduct_cli.scan_view import show_scan

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text
    from rich.tree import Tree

    from ptychoproduct.plots.thumbnails import Thumbnail
    from ptychoproduct.product.inspection import AttributeEntry, DatasetEntry, GroupEntry, Inspection, LinkEntry


SUMMARY = "show what is in a product, and draw it; or what is recognised of a scan"
DESCRIPTION = """\
Show what is in a product: every attribute with its unit, every dataset with its shape, type, codec, compression ratio
and size. In a terminal, small pictures of the object's phase and of the mean diffraction pattern follow. --plot draws a
figure of the whole product. Of another HDF5 file, what is recognised of a scan is shown, and the command that converts
it.
"""
EXAMPLES = (
    "ptychoproduct inspect scan.h5",
    "ptychoproduct inspect scan.h5 --plot scan.png --frame 100",
    "ptychoproduct inspect scan.h5 --json",
    "ptychoproduct inspect scan.npz",
)

_PICTURE_COLUMNS, _PICTURE_ROWS = 38, 38
_LONGEST_TEXT = 60


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("product", metavar="PRODUCT.h5", help="product to show")
    picture = parser.add_argument_group("picture")
    add_plot_option(picture, "object, probe, scan positions, patterns and losses")
    picture.add_argument(
        "--frame", type=int, metavar="N", help="number of the frame to draw beside the mean, from 0 (default: 0)"
    )
    add_output_options(parser)


def inspect(arguments: argparse.Namespace) -> int:
    """Show a product; the exit code says whether the file is one."""
    from ptychoproduct import OptionError, inspect_product
    from ptychoproduct.plots.files import require_matplotlib

    if arguments.frame is not None and arguments.plot is None:
        raise OptionError("frame", "is drawn in the figure only; add --plot FILE")
    if arguments.plot is not None:
        require_matplotlib(Path(arguments.plot))
    with collected_warnings(arguments):
        if show_scan(Path(arguments.product), arguments):
            return EXIT_OK
        inspection = inspect_product(arguments.product)
    is_drawn = arguments.plot is not None and inspection.problem is None
    if is_drawn:
        _plot(arguments)

    def show() -> None:
        _print(inspection)
        if inspection.mixed_pair is not None:
            print(f"warning: {inspection.mixed_pair}")
        if is_drawn:
            print(f"\ndrawn in {arguments.plot}")

    print_result(asdict(inspection), show, arguments)
    if inspection.problem is not None:
        print_error("ptychoproduct inspect", inspection.problem)
        return EXIT_BAD_INPUT
    return EXIT_OK


def _plot(arguments: argparse.Namespace) -> None:
    from ptychoproduct import open_product
    from ptychoproduct.plots.files import save_picture

    with open_product(arguments.product) as product:
        save_picture(product.plot(arguments.frame), Path(arguments.plot), sources=(product.path,))


def _print(inspection: Inspection) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    console.print(_tree(inspection))
    if inspection.problem is None and console.is_terminal and console.encoding.startswith("utf"):
        _print_pictures(inspection.product, console)


def _tree(inspection: Inspection) -> Tree:
    from rich.filesize import decimal
    from rich.text import Text
    from rich.tree import Tree

    title = Text.assemble((_printable(str(inspection.product)), "bold"), f"  {decimal(inspection.file_bytes)}")
    tree = Tree(title, guide_style="dim")
    _add_group(tree, inspection.root)
    return tree


def _add_group(tree: Tree, group: GroupEntry) -> None:
    from rich.text import Text

    from ptychoproduct.product.inspection import DatasetEntry, GroupEntry

    _add_attributes(tree, group.attributes)
    for member in group.members:
        if isinstance(member, GroupEntry):
            _add_group(tree.add(Text(f"{_name(member.path)}/", "bold")), member)
        elif isinstance(member, DatasetEntry):
            _add_attributes(tree.add(_dataset_text(member)), member.attributes)
        else:
            tree.add(_link_text(member))


def _add_attributes(tree: Tree, attributes: tuple[AttributeEntry, ...]) -> None:
    from rich.text import Text

    width = max((len(attribute.name) for attribute in attributes), default=0)
    for attribute in attributes:
        tree.add(Text.assemble((f"{_printable(attribute.name):{width}}  ", "cyan"), _value_text(attribute)))


def _value_text(attribute: AttributeEntry) -> str:
    value = attribute.value
    if not attribute.dtype:
        return "missing"
    if value is None:
        return f"{list(attribute.shape)} {_printable(attribute.dtype)}"
    if isinstance(value, str):
        return _printable(value)
    text = f"{value:.10g}" if isinstance(value, float) else str(value)
    text = f"{text} {attribute.unit}" if attribute.unit not in ("", "1") else text
    return text if attribute.is_given else f"{text} (not given)"


def _dataset_text(dataset: DatasetEntry) -> Text:
    from rich.filesize import decimal
    from rich.text import Text

    unit = f", {dataset.unit}" if dataset.unit not in ("", "1") else ""
    text = Text.assemble(
        (_name(dataset.path), "bold"),
        f"  {list(dataset.shape)} {_printable(dataset.dtype)}{unit}, {decimal(dataset.nbytes)}",
    )
    if dataset.ratio is not None:
        text.append(
            f"\n{dataset.codec}, chunks {list(dataset.chunk_shape or ())}\n"
            f"ratio {dataset.ratio:.2f}, {decimal(dataset.stored_bytes)} in the file",
            "dim",
        )
    return text


def _link_text(link: LinkEntry) -> Text:
    from rich.text import Text

    relation = "=" if link.kind == "hard link" else "->"
    other = "" if link.kind == "hard link" else f"  ({link.kind}, not followed)"
    return Text.assemble((_name(link.path), "bold"), (f"  {relation} {_printable(link.target)}{other}", "dim"))


def _name(path: str) -> str:
    return _printable(path.rpartition("/")[2])


def _printable(text: str) -> str:
    """Return text from a file so that it cannot steer the terminal, in one line that is not too long."""
    safe = "".join(c if c.isprintable() else " " for c in text)
    return safe if len(safe) <= _LONGEST_TEXT else f"{safe[:_LONGEST_TEXT]}..."


def _print_pictures(path: Path, console: Console) -> None:
    """Print small pictures side by side, or below each other in a narrow terminal."""
    from rich.columns import Columns

    from ptychoproduct import open_product
    from ptychoproduct.plots.thumbnails import product_thumbnails

    with open_product(path) as product:
        thumbnails = product_thumbnails(product, _PICTURE_ROWS, min(_PICTURE_COLUMNS, console.width - 1))
    console.print()
    console.print(Columns([_picture(thumbnail, console) for thumbnail in thumbnails], padding=(0, 2)))


def _picture(thumbnail: Thumbnail, console: Console) -> Text:
    from rich.text import Text

    rows = thumbnail.values.tolist()
    has_colours = console.color_system in ("256", "truecolor") and not console.no_color
    picture = terminal_image.coloured(rows, thumbnail.is_cyclic) if has_colours else terminal_image.shaded(rows)
    return Text.assemble((thumbnail.title, "bold"), "\n", picture, no_wrap=True)


COMMAND = Command("ptychoproduct inspect", SUMMARY, DESCRIPTION, _add_arguments, inspect, EXAMPLES)
build_command_parser = COMMAND.parser
