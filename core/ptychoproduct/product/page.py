"""A product as one HTML page that needs no network: pictures, a strip of frames, and the table of `describe_product`.

All pictures together stay below 2 MB, whatever they show: their pixels are limited, and have a byte each.
"""

from __future__ import annotations

import base64
import math
from html import escape
from importlib.resources import files
from os import PathLike
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from ptychoproduct.aliases import Array
from ptychoproduct.errors import OptionError, counted
from ptychoproduct.plots.colours import CYCLIC, SEQUENTIAL, css_colour, css_gradient, png
from ptychoproduct.plots.mean_pattern import UNKNOWN, mean_pattern
from ptychoproduct.plots.thumbnails import shrunk
from ptychoproduct.product.description import describe_product, printable, with_prefix
from ptychoproduct.product.inspection import Inspection
from ptychoproduct.product.provenance import PROGRAM
from ptychoproduct.product.reader import Product
from ptychoproduct.system.atomic import atomic_output

_FORMATS = (".html", ".htm")
# Most pixels of all pictures of a kind together.
_OBJECT_PIXELS = 2 * 440**2
_PROBE_PIXELS = 8 * 220**2
_PATTERN_PX = 256
_STRIP_PX = 180
_MOST_LAYERS, _MOST_MODES = 4, 12
STRIP_FRAMES = 24
_MOST_DOTS = 2000
_DECADES = 4
_SVG = 1000


def require_page(path: Path) -> None:
    """Check the name of a page; OptionError where it is none."""
    if path.suffix.lower() not in _FORMATS:
        raise OptionError("html", f"{path.name!r} must end in one of {', '.join(_FORMATS)}")


def write_page(product: Product, inspection: Inspection, path: str | PathLike[str]) -> None:
    """Write the page, which appears when it is complete.

    Parameters
    ----------
    product : Product
        Open; a few hundred frames are read at most.
    inspection : Inspection
        Of the same file.
    path : path
        ``*.html``.

    Raises
    ------
    OptionError
        The name is another.
    OutputError
        The page cannot be written.
    ContractError
        A frame cannot be read.
    """
    path = Path(path)
    require_page(path)
    page = product_page(product, inspection)
    with atomic_output(path, sources=(product.path,)) as part:
        part.write_text(page, encoding="utf-8")


def product_page(product: Product, inspection: Inspection) -> str:
    """Return the page; text of the file cannot become markup."""
    rows = describe_product(product, inspection)
    figures = [*_object(product), *_probe(product), _positions(product), *_patterns(product), *_losses(product)]
    cells = (f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in rows.items())
    template = Template(files("ptychoproduct.plots").joinpath("page.html").read_text(encoding="utf-8"))
    return template.substitute(
        title=escape(printable(product.meta.name or product.path.name, 80)),
        figures="\n".join(figures),
        rows="\n".join(cells),
        made=escape(f"A page about {product.path.name}, made by {PROGRAM} inspect --html."),
    )


def _object(product: Product) -> list[str]:
    layers = product.object if product.object.ndim == 3 else product.object[np.newaxis]
    shown = [layer for layer in layers[:_MOST_LAYERS] if layer.size]
    side = _side(_OBJECT_PIXELS, 2 * len(shown))
    width_m = product.meta.object_pixel_width_m
    size = "" if not width_m else f", {with_prefix(layers.shape[-1] * width_m, 'm')} wide"
    size += ", a stand-in" if product.is_object_synthetic else ""
    figures = []
    for number, layer in enumerate(shown, 1):
        which = "" if len(layers) == 1 else f", layer {number} of {len(layers)}"
        small = shrunk(layer, side, side)
        figures.append(_ranged(f"object amplitude{which}", np.abs(small), size))
        figures.append(_phase(f"object phase{which}", np.angle(small), size))
    return figures


def _probe(product: Product) -> list[str]:
    modes = product.probe.reshape(-1, *product.probe.shape[-2:])
    if not modes.size:
        return []
    powers = (np.abs(modes).astype(np.float64) ** 2).sum(axis=(1, 2))
    shown = modes[:_MOST_MODES]
    side = _side(_PROBE_PIXELS, len(shown))
    figures = []
    for number, mode in enumerate(shown, 1):
        which = "" if len(modes) == 1 else f", mode {number} of {len(modes)}"
        share = f", {100 * powers[number - 1] / powers.sum():.3g} % of power" if which and powers.sum() > 0 else ""
        figures.append(_ranged(f"probe amplitude{which}", np.abs(shrunk(mode, side, side)), share))
    return figures


def _patterns(product: Product) -> list[str]:
    frames = product.frames
    if frames is None or 0 in frames.shape:
        return []
    mean = mean_pattern(frames)
    unit = "" if mean.quantity == UNKNOWN else f" {mean.quantity}"
    used = "" if mean.frames_used == mean.frames else f"{mean.frames_used} of "
    values, low, high = _decades(shrunk(mean.values, _PATTERN_PX, _PATTERN_PX))
    scale = _scale(f"{low:.2g}", f"{high:.3g}{unit}", SEQUENTIAL)
    title = f"mean of {used}{counted(mean.frames, 'frame')}"
    numbers = np.unique(np.linspace(0, len(frames) - 1, min(STRIP_FRAMES, len(frames))).round().astype(int)).tolist()
    strip = [shrunk(frames[number].astype(np.float64), _STRIP_PX, _STRIP_PX) for number in numbers]
    values_of_strip, low, high = _decades(np.hstack(strip))
    rows, columns = strip[0].shape
    slider = (
        f'<figure><figcaption id="label">frames</figcaption><div class="strip" id="strip" role="img" '
        f'aria-label="one frame of the scan" data-numbers="{" ".join(map(str, numbers))}" '
        f'style="aspect-ratio:{columns}/{rows};background-image:url({_data(values_of_strip, SEQUENTIAL)});'
        f'background-size:{len(numbers)}00% 100%"></div>'
        f'<input type="range" id="slider" min="0" max="{len(numbers) - 1}" value="0" aria-label="frame">'
        f"{_scale(f'{low:.2g}', f'{high:.3g}{unit}', SEQUENTIAL)}"
        f'<p class="note">{counted(len(numbers), "frame")} of {len(frames):,}</p></figure>'
    )
    return [_figure(title, _image(title, values, SEQUENTIAL), scale), slider]


def _positions(product: Product) -> str:
    finite = np.isfinite(product.x_m) & np.isfinite(product.y_m)
    x_m, y_m = product.x_m[finite].astype(np.float64), product.y_m[finite].astype(np.float64)
    title = counted(len(product.x_m), "position")
    if not len(x_m):
        return _figure(title, "")
    order = np.linspace(0, len(x_m) - 1, min(len(x_m), _MOST_DOTS)).round().astype(int)
    span_m = max(np.ptp(x_m), np.ptp(y_m)) or 1.0
    room = _SVG - 200
    centres = (_SVG / 2, _SVG / 2 - 60)  # room for the bar below
    places = [
        (v[order] - (v.min() + v.max()) / 2) / span_m * room + c for v, c in zip((x_m, y_m), centres, strict=True)
    ]
    radius = min(14.0, max(3.0, 300 / math.sqrt(len(order))))
    steps = np.linspace(0, 1, len(order)) if len(order) > 1 else [0.0]
    dots = "".join(
        f'<circle cx="{x:.0f}" cy="{y:.0f}" r="{radius:.1f}" fill="{css_colour(step, SEQUENTIAL)}"/>'
        for x, y, step in zip(*places, steps, strict=True)
    )
    bar = f'<path d="M100 {_SVG - 55}h{room}" stroke="currentColor" stroke-width="6"/>'
    label = f'<text x="{_SVG / 2}" y="{_SVG - 10}" text-anchor="middle">{with_prefix(float(span_m), "m")}</text>'
    drawn = f'<svg viewBox="0 0 {_SVG} {_SVG}" role="img" aria-label="scan positions">{dots}{bar}{label}</svg>'
    note = "" if len(order) == len(x_m) else f'<p class="note">{len(order):,} of them are drawn</p>'
    return _figure(title, drawn, _scale("first", "last", SEQUENTIAL) + note)


def _losses(product: Product) -> list[str]:
    values = product.loss_values[np.isfinite(product.loss_values)].astype(np.float64)
    if len(values) < 2:
        return []
    is_log = values.min() > 0
    heights = np.log10(values) if is_log else values
    few = np.linspace(0, len(values) - 1, min(len(values), _MOST_DOTS)).round().astype(int)
    x = 60 + few / (len(values) - 1) * (_SVG - 120)
    y = _SVG - 120 - (heights[few] - heights.min()) / (np.ptp(heights) or 1.0) * (_SVG - 200)
    line = " ".join(f"{a:.0f},{b:.0f}" for a, b in zip(x, y, strict=True))
    drawn = (
        f'<svg viewBox="0 0 {_SVG} {_SVG}" role="img" aria-label="losses">'
        f'<polyline points="{line}" fill="none" stroke="#2c8c8e" stroke-width="6"/>'
        f'<text x="60" y="50">{values.max():.3g}</text><text x="60" y="{_SVG - 70}">{values.min():.3g}</text></svg>'
    )
    return [_figure(f"{len(values):,} losses{', on a logarithmic scale' if is_log else ''}", drawn)]


def _ranged(title: str, values: Array, note: str = "") -> str:
    """Draw values in the colours of their own range."""
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    image = _image(title, (values - low) / ((high - low) or 1.0), SEQUENTIAL)
    return _figure(title + note, image, _scale(f"{low:.3g}", f"{high:.3g}", SEQUENTIAL))


def _phase(title: str, phases: Array, note: str) -> str:
    """Draw phases on the whole circle, or those of a weak object in the colours of their own range."""
    finite = phases[np.isfinite(phases)]
    if not finite.size or np.ptp(finite) <= math.pi:
        return _ranged(f"{title} (rad)", phases, note)
    image = _image(title, phases / (2 * math.pi) + 0.5, CYCLIC)
    return _figure(f"{title} (rad){note}", image, _scale("-π", "π", CYCLIC))


def _decades(pattern: Array) -> tuple[Array, float, float]:
    """Map a pattern to 0 to 1 on a logarithmic scale; return what these two stand for as well."""
    finite = pattern[np.isfinite(pattern)]
    high = float(finite.max()) if finite.size else 0.0
    if high <= 0:
        return np.zeros(pattern.shape), 0.0, high
    low = high / 10**_DECADES
    return 1 + np.log10(np.maximum(pattern, low) / high) / _DECADES, low, high


def _side(pixels: int, pictures: int) -> int:
    return max(1, math.isqrt(pixels // max(1, pictures)))


def _figure(title: str, picture: str, below: str = "") -> str:
    return f"<figure><figcaption>{escape(title)}</figcaption>{picture}{below}</figure>"


def _image(title: str, values: Array, table: bytes) -> str:
    return f'<img alt="{escape(title)}" src="{_data(values, table)}">'


def _data(values: Any, table: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png(values, table)).decode('ascii')}"


def _scale(low: str, high: str, table: bytes) -> str:
    bar = f'<i style="background:{css_gradient(table)}"></i>'
    return f'<div class="scale"><span>{escape(low)}</span>{bar}<span>{escape(high)}</span></div>'
