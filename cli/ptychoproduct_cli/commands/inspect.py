"""``ptychoproduct inspect``: what is in a product."""

from __future__ import annotations

import argparse
import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from ptychoproduct_cli import terminal_image
from ptychoproduct_cli.command import EXIT_BAD_INPUT, EXIT_CODES, EXIT_OK, Command
from ptychoproduct_cli.options import add_output_options, add_plot_option
from ptychoproduct_cli.output import collected_warnings, new_console, print_error, print_result, print_rows
from ptychoproduct_cli.scan_view import show_scan
from ptychoproduct_cli.watching import watch

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text
    from rich.tree import Tree

    from ptychoproduct.plots.thumbnails import Thumbnail
    from ptychoproduct.product.inspection import (
        AttributeEntry,
        DatasetEntry,
        Element,
        GroupEntry,
        Inspection,
        LinkEntry,
    )


SUMMARY = "show what is in a product, and draw it; or in a scan"
DESCRIPTION = """\
Show what is in a product: frames, codec, positions, geometry, and where it comes from. In a terminal, small pictures of
the object's phase and of the mean diffraction pattern follow. --tree lists every attribute and dataset. --plot draws a
figure of the whole product. --compare tells in what two products differ. Of another HDF5 file, what is recognised of a
scan is shown, and the command that converts it.
"""
EXAMPLES = (
    "ptychoproduct inspect scan.h5",
    "ptychoproduct inspect scan.h5 --tree",
    "ptychoproduct inspect scan.h5 --html scan.html",
    "ptychoproduct inspect scan.h5 --plot scan.png --frame 100",
    "ptychoproduct inspect --compare scan.h5 product.h5",
    "ptychoproduct inspect scan.h5 --json",
    "ptychoproduct inspect scan.npz",
)

EXIT_DIFFERENT = 1
_PICTURE_COLUMNS, _PICTURE_ROWS = 38, 38
_LONGEST_TEXT = 60


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("product", metavar="PRODUCT.h5", help="product to show")
    parser.add_argument(
        "--tree",
        action="store_true",
        help="list every attribute with its unit, and every dataset with its shape, type, codec and size",
    )
    parser.add_argument(
        "--compare",
        metavar="OTHER.h5",
        help="tell in what another product and this one differ: attributes, datasets, their storage and content",
    )
    parser.add_argument(
        "--watch",
        action="store_true",
        help="show the number of frames and their mean as a product grows that is written with live=True; ends when it "
        "is complete",
    )
    picture = parser.add_argument_group("picture")
    add_plot_option(picture, "object, probe, scan positions, patterns and losses")
    picture.add_argument(
        "--html",
        metavar="PAGE.html",
        help="write one page to share, 3 MB at most, that needs no network: pictures, frames, and what is told here",
    )
    picture.add_argument(
        "--frame", type=int, metavar="N", help="number of the frame to draw beside the mean, from 0 (default: 0)"
    )
    add_output_options(parser)


def inspect(arguments: argparse.Namespace) -> int:
    """Show a product; the exit code says whether the file is one."""
    from ptychoproduct import OptionError, inspect_product
    from ptychoproduct.plots.files import require_matplotlib

    for name in ("compare", "watch"):
        if getattr(arguments, name):
            _require_alone(arguments, name)
            return _compare(arguments) if name == "compare" else watch(arguments)
    if arguments.frame is not None and arguments.plot is None:
        raise OptionError("frame", "is drawn in the figure only; add --plot FILE")
    if arguments.plot is not None:
        require_matplotlib(Path(arguments.plot))
    if arguments.html is not None:
        from ptychoproduct.product.page import require_page

        require_page(Path(arguments.html))
    with collected_warnings(arguments):
        if show_scan(Path(arguments.product), arguments):
            return EXIT_OK
        inspection = inspect_product(arguments.product)
    drawn = [] if inspection.problem else [path for path in (arguments.plot, arguments.html) if path is not None]
    if drawn:
        _draw(arguments, inspection)

    def show() -> None:
        _print(inspection, arguments.tree)
        if inspection.mixed_pair is not None:
            print(f"warning: {inspection.mixed_pair}")
        if inspection.changed is not None:
            print(f"warning: {inspection.changed}")
        if drawn:
            print(f"\ndrawn in {' and '.join(drawn)}")

    print_result(asdict(inspection), show, arguments)
    if inspection.problem is not None:
        print_error("ptychoproduct inspect", inspection.problem)
        return EXIT_BAD_INPUT
    return EXIT_OK


def _require_alone(arguments: argparse.Namespace, name: str) -> None:
    """Check that what cannot be done at the same time is not asked for."""
    from ptychoproduct import OptionError

    others = ("compare", "watch", "tree", "plot", "frame", "html", *(("json", "quiet") if name == "watch" else ()))
    for other in others:
        if other != name and getattr(arguments, other) not in (None, False):
            raise OptionError(other, f"cannot be used with --{name}")


def _compare(arguments: argparse.Namespace) -> int:
    """Print the differences of two products; the exit code says whether there are any."""
    from ptychoproduct import compare_products
    from ptychoproduct.errors import counted

    first, second = arguments.compare, arguments.product
    differences = compare_products(first, second)

    def show() -> None:
        print(f"{first} | {second}: {counted(len(differences), 'difference')}")
        for found in differences:
            here, there = (_printable(text) for text in (found.first, found.second))
            only = f"only in {first if here else second}: {here or there}"
            print(f"{_printable(found.where)}: {found.content or (f'{here} | {there}' if here and there else only)}")

    result = {"first": first, "second": second, "differences": [asdict(found) for found in differences]}
    print_result(result, show, arguments)
    return EXIT_DIFFERENT if differences else EXIT_OK


def _draw(arguments: argparse.Namespace, inspection: Inspection) -> None:
    from ptychoproduct import open_product
    from ptychoproduct.plots.files import save_picture
    from ptychoproduct.product.page import write_page

    with open_product(arguments.product) as product:
        if arguments.plot is not None:
            save_picture(product.plot(arguments.frame), Path(arguments.plot), sources=(product.path,))
        if arguments.html is not None:
            write_page(product, inspection, arguments.html)


def _print(inspection: Inspection, as_tree: bool) -> None:
    console = new_console()
    if as_tree or inspection.problem is not None:
        console.print(_tree(inspection), end="")
    else:
        print_rows(_rows(inspection))
    if inspection.problem is None and console.is_terminal and console.encoding.startswith("utf"):
        _print_pictures(inspection.product, console)


def _rows(inspection: Inspection) -> dict[str, str]:
    from ptychoproduct import open_product
    from ptychoproduct.product.description import describe_product

    with open_product(inspection.product) as product:
        return describe_product(product, inspection)


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
    if isinstance(value, tuple):
        more = "..." if len(value) < math.prod(attribute.shape) else ""
        return _printable(f"{list(attribute.shape)} {attribute.dtype}: {', '.join(map(_element_text, value))}{more}")
    text = _printable(_element_text(value))
    if isinstance(value, str):
        return text
    text = f"{text} {attribute.unit}" if attribute.unit not in ("", "1") else text
    return text if attribute.is_given else f"{text} (not given)"


def _element_text(value: Element) -> str:
    return f"{value:.10g}" if isinstance(value, float) else str(value)


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
    from ptychoproduct.product.description import printable

    return printable(text, _LONGEST_TEXT)


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


COMMAND = Command(
    "ptychoproduct inspect",
    SUMMARY,
    DESCRIPTION,
    _add_arguments,
    inspect,
    EXAMPLES,
    dict(sorted({**EXIT_CODES, EXIT_DIFFERENT: "the two products of --compare differ"}.items())),
)
build_command_parser = COMMAND.parser
