"""What is shown of a file that is no product: what is recognised of a scan, and how it is converted."""

from __future__ import annotations

import argparse
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from ptychoproduct_cli.output import print_result, print_rows

if TYPE_CHECKING:
    from ptychoproduct.scan.recognition import Part, Recognition


def show_scan(path: Path, arguments: argparse.Namespace) -> bool:
    """Show a file; False where it is a product, or nothing of a scan is recognised."""
    from ptychoproduct.errors import OptionError
    from ptychoproduct.scan.recognition import recognised

    found = recognised(path)
    if found is None:
        return False
    for name in ("plot", "html"):
        if getattr(arguments, name) is not None:
            raise OptionError(name, f"draws products; {path.name} is none, but can be converted to one")

    def show() -> None:
        print_rows(_rows(found))
        print(f"\n{_printable(_wrapped(found.command))}")

    print_result({**asdict(found), "command": shlex.join(found.command)}, show, arguments)
    return True


def _rows(found: Recognition) -> dict[str, str]:
    rows = {"file": str(found.file), "layout": found.program or "none that is known"}
    rows |= {name: _part(part) for name, part in found.parts.items()}
    for name, value in found.values.items():
        rows[name] = f"{value.value:.10g}{'' if value.unit == 'count' else f' {value.unit}'}  {value.path}"
    if found.stacks:
        rows["could be frames"] = "\n".join(f"{path}  {_shape(shape)}" for path, shape in found.stacks)
    if found.missing:
        rows["not in the file"] = ", ".join(found.missing)
    if found.problems:
        rows["problems"] = "\n".join(found.problems)
    return {name: _printable(text) for name, text in rows.items()}


def _part(part: Part) -> str:
    described = ", ".join(filter(None, (_shape(part.shape), part.dtype, part.unit)))
    return f"{part.path}  {described}"


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _printable(text: str) -> str:
    """Return text from a file so that it cannot steer the terminal."""
    return "".join(c if c.isprintable() or c == "\n" else " " for c in text)


def _wrapped(words: tuple[str, ...]) -> str:
    """Write a command in lines that a shell takes together, each option with its value."""
    lines: list[str] = []
    for word in map(shlex.quote, words):
        if word.startswith("--"):
            lines.append(f"    {word}")
        else:
            lines[-1:] = [" ".join((*lines[-1:], word))]
    return " \\\n".join(lines)
