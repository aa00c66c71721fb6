"""Writes the table of layouts.md anew from the layouts that are read: python docs/layouts_table.py."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ptychoproduct.scan.field_layouts import LAYOUTS
from ptychoproduct.scan.layout import Layout, PositionLayout

PAGE = Path(__file__).with_name("layouts.md")
BEGIN, END = "<!-- table -->\n", "<!-- end of table -->\n"
_HEADER = "| program | frames | positions | probe, object | mask (not zero: bad) | numbers, and their unit |\n"


def table() -> str:
    """Return the table in Markdown."""
    return _HEADER + "|---" * 6 + "|\n" + "".join(map(_row, LAYOUTS))


def page(text: str) -> str:
    """Return the text of the page with the table of today."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n{table()}\n{END}{rest.partition(END)[2]}"


def _row(layout: Layout) -> str:
    steps = (f"step `{steps.y}`, `{steps.x}`, unit in `{steps.unit}`" for steps in layout.steps)
    beside = () if layout.beside is None else (f"in `*{layout.beside[1]}` beside `*{layout.beside[0]}`",)
    numbers = [f"{place.field} `{place.path}` {_unit(place.unit)}" for place in layout.metadata]
    numbers += [f"{', '.join(fields)} `{name}` {unit}" for name, fields, unit in layout.names if (name,) != fields]
    program = layout.program
    if layout.mark is not None:
        program += f"; only with `{layout.mark}`"
    if layout.particle is not None:
        program += f"; {layout.particle}s"
    turned = (
        (f"of the sample: `--positions-transform={layout.positions_transform}`",) if layout.positions_transform else ()
    )
    cells: tuple[Iterable[str], ...] = (
        (program,),
        map("`{}`".format, layout.frames),
        (*map(_positions, layout.positions), *steps, *beside, *turned),
        map("`{}`".format, (*layout.probe, *layout.object)),
        map("`{}`".format, layout.mask),
        numbers,
    )
    return "".join(f"| {'<br>'.join(cell)} " for cell in cells) + "|\n"


def _positions(layout: PositionLayout) -> str:
    unit = layout.unit or "m or px, by their size"
    if layout.x != layout.y:
        return f"`{layout.x}`, `{layout.y}` {unit}"
    shape = "[2, N]" if layout.is_transposed else "[N, 2]"
    return f"`{layout.x}` {shape} {layout.order}, {unit}"


def _unit(unit: str) -> str:
    return f"unit in `{unit}`" if unit.startswith("/") else unit


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
