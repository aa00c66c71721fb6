"""One figure of a product: object, probe, scan, patterns, losses."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from itertools import product as all_pairs
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ptychoproduct.aliases import Array
from ptychoproduct.errors import ContractError, OptionError, counted
from ptychoproduct.plots.files import require_matplotlib
from ptychoproduct.plots.mean_pattern import UNKNOWN, MeanPattern, mean_pattern
from ptychoproduct.validation.physics_evidence import predicted_frame

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ptychoproduct.product.reader import Product

Panel = Callable[["Axes"], None]


class Area(NamedTuple):
    """Where an array is, rows going down: in micrometres, or in its pixels where their size is not known."""

    extent: tuple[float, float, float, float]  # left, right, bottom, top
    unit: str = "µm"


# Perceptually uniform, and for phases cyclic. Grey is for what other colours are laid over.
_AMPLITUDE_COLOURS = "viridis"
_PHASE_COLOURS = "twilight"
_WEAK_PHASE_COLOURS = "cividis"
_PATTERN_COLOURS = "inferno"
_ORDER_COLOURS = "plasma"

# A panel has a fixed place for its picture, and room for all that stands around it: nothing can overlap.
_CELL_INCHES = (4.2, 3.65)
_BOX_INCHES = (0.65, 0.6, 2.45, 2.45)  # left, bottom, width, height
_HEADING_INCHES = 0.35
_DPI = 120
_TITLE_PT, _LABEL_PT, _TICK_PT = 10, 9, 8
_MOST_LAYERS = 8
_MOST_MODES = 24
_MOST_POSITIONS = 20_000  # more dots are slow to draw, and show no more
_DECADES = 6  # of a pattern on a logarithmic scale


def plot_product(product: Product, frame: int | None = None) -> Figure:
    """Draw a product.

    Parameters
    ----------
    product : Product
        Open; frames are read, a few hundred at most.
    frame : int, optional
        The frame that is shown beside the mean; the first by default.

    Returns
    -------
    matplotlib.figure.Figure
        Belongs to no window, and to no state of pyplot.

    Raises
    ------
    OptionError
        matplotlib is not installed, or there is no such frame.
    ContractError
        A frame cannot be read, or there is nothing to draw.
    """
    require_matplotlib()
    from matplotlib.figure import Figure

    for name, values in (("object", product.object), ("probe", product.probe)):
        if not values.size:
            raise ContractError(product.path, f"is an empty array {values.shape}; there is nothing to draw", key=name)
    panels = [*_object_panels(product), _positions_panel(product), *_pattern_panels(product, frame)]
    if len(product.loss_values):
        panels.append(partial(_draw_losses, product))
    panels += _probe_panels(product)
    columns = 2 if len(panels) <= 4 else 3 if len(panels) <= 6 else 4
    rows = math.ceil(len(panels) / columns)
    width, height = columns * _CELL_INCHES[0], rows * _CELL_INCHES[1] + _HEADING_INCHES
    figure = Figure(figsize=(width, height), dpi=_DPI)
    figure.text(
        0.5, 1 - 0.2 / height, _heading(product), ha="center", va="center", fontsize=_TITLE_PT + 1, parse_math=False
    )
    for number, panel in enumerate(panels):
        row, column = divmod(number, columns)
        left, bottom, box_width, box_height = _BOX_INCHES
        left += column * _CELL_INCHES[0]
        bottom += (rows - 1 - row) * _CELL_INCHES[1]
        axes = figure.add_axes((left / width, bottom / height, box_width / width, box_height / height))
        axes.tick_params(labelsize=_TICK_PT)
        panel(axes)
    return figure


def _heading(product: Product) -> str:
    name = "".join(c for c in product.meta.name or "" if c.isprintable()) or product.path.name
    facts = [counted(len(product.x_m), "position")]
    if product.meta.probe_energy_eV:
        facts.append(f"{product.meta.probe_energy_eV:g} eV")
    if product.meta.detector_distance_m:
        facts.append(f"detector at {product.meta.detector_distance_m:g} m")
    return f"{name if len(name) <= 60 else name[:60] + '…'}: {', '.join(facts)}"


def _object_panels(product: Product) -> list[Panel]:
    """Return amplitude and phase of each layer, amplitudes first."""
    layers = product.object if product.object.ndim == 3 else product.object[np.newaxis]
    shown = layers[:_MOST_LAYERS]
    names = [""] if len(layers) == 1 else [f", layer {number} of {len(layers)}" for number in range(1, len(shown) + 1)]
    if product.is_object_synthetic:
        names = [f"{name} (a stand-in)" for name in names]
    area = _object_area(product)
    return [
        partial(draw, values=layer, area=area, title=f"object {what}{name}")
        for draw, what in ((_draw_amplitude, "amplitude"), (_draw_phase, "phase"))
        for layer, name in zip(shown, names, strict=True)
    ]


def _probe_panels(product: Product) -> list[Panel]:
    """Return the amplitude of each mode, with its share of the power."""
    probe = product.probe.reshape((1,) * (4 - product.probe.ndim) + product.probe.shape)
    powers = (np.abs(probe).astype(np.float64) ** 2).sum(axis=(-2, -1))
    total = powers.sum()
    meta = product.meta
    area = _area(probe.shape, (meta.probe_pixel_height_m, meta.probe_pixel_width_m), (0, 0))
    coherent, incoherent = probe.shape[:2]
    panels: list[Panel] = []
    for c, i in list(all_pairs(range(coherent), range(incoherent)))[:_MOST_MODES]:
        title = "probe amplitude" + (f", mode {i + 1} of {incoherent}" if incoherent > 1 else "")
        details = [f"coherent mode {c + 1} of {coherent}"] if coherent > 1 else []
        if probe.shape[:2] != (1, 1) and total > 0:
            share = powers[c, i] / total
            details.append(f"{100 * share:.3g} % of power" if share > 1e-4 else "< 0.01 % of power")
        title += f"\n{', '.join(details)}" if details else ""
        panels.append(partial(_draw_amplitude, values=probe[c, i], area=area, title=title))
    return panels


def _pattern_panels(product: Product, frame: int | None) -> list[Panel]:
    frames = product.frames
    if frames is None or not len(frames):
        if frame is not None:
            raise OptionError("frame", f"is {frame}, but the product has no frames")
        return []
    chosen = 0 if frame is None else frame
    if not 0 <= chosen < len(frames):
        raise OptionError("frame", f"is {chosen}; the frames are 0 to {len(frames) - 1}")
    mean = mean_pattern(frames)
    sampled = "" if mean.frames_used == mean.frames else f"{mean.frames_used} of "
    title = f"mean of {sampled}{counted(mean.frames, 'frame')}"
    panels: list[Panel] = [
        partial(_draw_pattern, values=mean.values, mean=mean, title=title),
        partial(_draw_pattern, values=frames[chosen].astype(np.float64), mean=mean, title=f"frame {chosen:,}"),
    ]
    predicted = predicted_frame(product.path, chosen)
    if predicted is not None:
        values, correlation = predicted
        measured = frames[chosen].astype(np.float64)
        values[values < np.min(measured, initial=np.inf, where=measured > 0) / 2] = 0  # a photon shows no less
        title = f"frame {chosen:,} as predicted\ncorrelation of all frames {correlation:.2f}"
        panels.append(partial(_draw_pattern, values=values.astype(np.float64), mean=mean, title=title))
    return panels


def _positions_panel(product: Product) -> Panel:
    layer = product.object[0] if product.object.ndim == 3 else product.object
    return partial(_draw_positions, product, layer=layer, area=_object_area(product))


def _object_area(product: Product) -> Area:
    meta = product.meta
    return _area(
        product.object.shape,
        (meta.object_pixel_height_m, meta.object_pixel_width_m),
        (meta.object_center_y_m or 0, meta.object_center_x_m or 0),
    )


def _area(shape: tuple[int, ...], pixel_m: tuple[float | None, float | None], center_m: tuple[float, float]) -> Area:
    """Return left, right, bottom and top of an array, pixel rows going down."""
    rows, columns = shape[-2:]
    height_m, width_m = pixel_m
    if height_m is None or width_m is None:
        return Area((-0.5, columns - 0.5, rows - 0.5, -0.5), "px")
    half_height, half_width = rows * height_m / 2, columns * width_m / 2
    y, x = center_m
    left, right, bottom, top = x - half_width, x + half_width, y + half_height, y - half_height
    return Area((left * 1e6, right * 1e6, bottom * 1e6, top * 1e6))


def _draw_amplitude(axes: Axes, values: Array, area: Area, title: str) -> None:
    image = axes.imshow(np.abs(values), cmap=_AMPLITUDE_COLOURS, extent=area.extent, interpolation="nearest")
    _add_texts(axes, title)
    _add_colour_bar(axes, image, "amplitude (no unit)", format="{x:.3g}")
    _add_scale_bar(axes, area)


def _draw_phase(axes: Axes, values: Array, area: Area, title: str) -> None:
    phases = np.angle(values)
    finite = phases[np.isfinite(phases)]
    show = partial(axes.imshow, phases, extent=area.extent, interpolation="nearest")
    if finite.size and np.ptp(finite) > math.pi:
        image = show(cmap=_PHASE_COLOURS, vmin=-math.pi, vmax=math.pi)
        _add_colour_bar(axes, image, "phase (rad)", ticks=(-math.pi, 0, math.pi), format=_multiple_of_pi)
    else:  # weak phases would be one colour on a scale of the whole circle
        image = show(cmap=_WEAK_PHASE_COLOURS)
        _add_colour_bar(axes, image, "phase (rad)", format="{x:.3g}")
    _add_texts(axes, title)
    _add_scale_bar(axes, area)


def _multiple_of_pi(value: float, _: int) -> str:
    return ("−π", "0", "π")[round(value / math.pi) + 1]  # noqa: RUF001 - a minus sign


def _draw_pattern(axes: Axes, values: Array, mean: MeanPattern, title: str) -> None:
    from matplotlib import colormaps
    from matplotlib.colors import LogNorm
    from matplotlib.ticker import MaxNLocator

    colours = colormaps[_PATTERN_COLOURS]
    colours = colours.with_extremes(bad=colours(0.0))  # zero has no logarithm
    positive = values[np.isfinite(values) & (values > 0)]
    if positive.size:
        high = positive.max()
        low = max(positive.min(), high / 10**_DECADES)
        norm = LogNorm(low if low < high else high / 10, high)
        image = axes.imshow(np.ma.masked_less_equal(values, 0), cmap=colours, norm=norm, interpolation="nearest")
    else:
        image = axes.imshow(values, cmap=colours, interpolation="nearest")
        title += ", nothing above zero"
    _add_colour_bar(axes, image, mean.quantity if mean.quantity != UNKNOWN else f"values {UNKNOWN}")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(5, integer=True))
    _add_texts(axes, title, "column (px)", "row (px)")


def _draw_positions(product: Product, axes: Axes, layer: Array, area: Area) -> None:
    x_um, y_um = product.x_m * 1e6, product.y_m * 1e6
    order = np.arange(len(x_um))
    finite = np.isfinite(x_um) & np.isfinite(y_um)
    x_um, y_um, order = x_um[finite], y_um[finite], order[finite]
    title = counted(len(product.x_m), "position")
    if len(order) > _MOST_POSITIONS:
        chosen = np.linspace(0, len(order) - 1, _MOST_POSITIONS).round().astype(int)
        x_um, y_um, order = x_um[chosen], y_um[chosen], order[chosen]
        title = f"{_MOST_POSITIONS:,} of {title}"
    corners_um = np.empty((2, 0)) if len(order) else np.zeros((2, 1))
    if area.unit == "µm":
        title += " over the object"
        axes.imshow(np.abs(layer), cmap="gray", extent=area.extent, alpha=0.5, interpolation="nearest")
        corners_um = np.reshape(area.extent, (2, 2))
    size = min(20.0, max(1.0, 5000 / max(1, len(order))))
    dots = axes.scatter(x_um, y_um, size, order, cmap=_ORDER_COLOURS, linewidths=0, rasterized=len(order) > 2000)
    if len(order) > 1:
        _add_colour_bar(axes, dots, "number in the scan")
    xs, ys = np.append(x_um, corners_um[0]), np.append(y_um, corners_um[1])
    margin_um = 0.02 * max(np.ptp(xs), np.ptp(ys)) or 1.0
    axes.set(
        xlim=(xs.min() - margin_um, xs.max() + margin_um),
        ylim=(ys.max() + margin_um, ys.min() - margin_um),
    )
    axes.set_aspect("equal")
    _add_texts(axes, title, "x (µm)", "y (µm)")


def _draw_losses(product: Product, axes: Axes) -> None:
    values, epochs = product.loss_values, product.loss_epochs
    count = min(len(values), len(epochs))
    axes.plot(epochs[:count], values[:count], marker="." if count < 50 else None, color="C0")
    if (values[np.isfinite(values)] > 0).all():
        axes.set_yscale("log")
    _add_texts(axes, "loss", "epoch", "loss (no unit)")
    axes.grid(alpha=0.25)


def _add_texts(axes: Axes, title: str, x: str = "", y: str = "") -> None:
    axes.set_title(title, fontsize=_TITLE_PT)
    axes.set_xlabel(x, fontsize=_LABEL_PT)
    axes.set_ylabel(y, fontsize=_LABEL_PT)


def _add_colour_bar(axes: Axes, image: Any, label: str, **options: Any) -> None:
    """Draw a colour bar as high as the picture."""
    place = axes.inset_axes((1.03, 0, 0.05, 1))
    axes.figure.colorbar(image, cax=place, **options)
    place.tick_params(labelsize=_TICK_PT)
    place.set_ylabel(label, fontsize=_LABEL_PT)


def _add_scale_bar(axes: Axes, area: Area) -> None:
    """Draw a bar of a round length below the picture, in place of ticks."""
    from matplotlib.transforms import ScaledTranslation

    left, right, *_ = area.extent
    length = max(1.0, _round_length((right - left) / 3)) if area.unit == "px" else _round_length((right - left) / 3)
    below = axes.get_xaxis_transform() + ScaledTranslation(0, -0.13, axes.figure.dpi_scale_trans)
    end, unknown = left + length, " (size not known)" if area.unit == "px" else ""
    axes.plot((left, end), (0, 0), color="black", linewidth=3, solid_capstyle="butt", transform=below, clip_on=False)
    axes.annotate(
        f"{length:g} {area.unit}{unknown}", (end, 0), (5, 0), xycoords=below, textcoords="offset points", va="center",
        fontsize=_LABEL_PT,
    )  # fmt: skip
    axes.set(xticks=[], yticks=[], xlim=(left, right))


def _round_length(most: float) -> float:
    """Return the largest 1, 2 or 5 times a power of ten that is at most `most`."""
    power = 10.0 ** math.floor(math.log10(most))
    return next(factor * power for factor in (5, 2, 1) if factor * power <= most * (1 + 1e-9))
