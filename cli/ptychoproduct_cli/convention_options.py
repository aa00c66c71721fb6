"""The options about scans of another convention, and about the judge that finds them."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ptychoproduct import PhysicsReport


def add_convention_options(parser: argparse.ArgumentParser) -> None:
    """Add the options about conventions, which `given_convention` reads."""
    group = parser.add_argument_group(
        "a scan of another convention",
        "steps with commas between them, done in their order; the product notes them, and import undoes them bit for "
        "bit. convert says which ones a scan needs",
    )
    group.add_argument(
        "--positions-transform",
        default="",
        metavar="STEPS",
        help="swap x and y; flip-x, flip-y: about the object's centre; scale=S or scale=SX:SY; offset=DX:DY in object "
        "pixels; reverse the list; roll=N: move it on by N frames; unsnake: reverse every second row of the scan",
    )
    group.add_argument(
        "--frames-transform",
        default="",
        metavar="STEPS",
        help="transpose; flip-rows: the first pixel row becomes the last; flip-columns; point-reflect: each frequency "
        "gets the place of its negative; fftshift: the corner becomes the middle; ifftshift",
    )
    group.add_argument("--probe-transform", default="", metavar="STEPS", help="the same for the probe; and conjugate")
    group.add_argument(
        "--convention",
        choices=("given", "auto"),
        default="given",
        help="auto: where probe and object predict the frames in another convention, convert with the transforms "
        "that it needs; the frames are looked at before (default: %(default)s, which only warns)",
    )
    group.add_argument(
        "--no-physics",
        dest="physics",
        action="store_false",
        help="do not judge whether probe, object and positions predict the frames",
    )


def given_convention(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the fields of `ExportOptions` that the options are."""
    names = ("physics", "positions_transform", "frames_transform", "probe_transform", "convention")
    return {name: getattr(arguments, name) for name in names}


def physics_json(report: PhysicsReport | None) -> dict[str, Any] | None:
    """Return a verdict as JSON has it; None where nothing was judged."""
    return None if report is None else asdict(report) | {"options": report.options, "sentence": report.sentence}
