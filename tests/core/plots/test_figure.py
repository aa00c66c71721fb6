"""The figure of a product: what it shows, and that nothing in it overlaps."""

import itertools
import math
import sys

import h5py
import numpy as np
import pytest

from ptychoproduct import (
    ContractError,
    ExportMeta,
    OptionError,
    Reconstruction,
    export_product_from_npz,
    open_product,
)
from ptychoproduct.plots.files import save_picture

pytest.importorskip("matplotlib")


@pytest.fixture
def draw(save_scan, tmp_path, centered_meta):
    """A function that makes a product and gives its figure."""

    def make(frame=None, meta=centered_meta, include_diffraction=True, losses=(), spacing=(), weights=None, **changes):
        path = tmp_path / "product.h5"
        reconstruction = Reconstruction(loss_values=losses, object_layer_spacing_m=spacing, opr_weights=weights)
        export_product_from_npz(save_scan(**changes), path, meta, include_diffraction, reconstruction=reconstruction)
        with open_product(path) as product:
            return product.plot(frame)

    return make


def stack(*shape, side=16):
    values = np.random.default_rng(3).standard_normal((2, *shape, side, side))
    return (values[0] + 1j * values[1]).astype(np.complex64)


def titles(figure):
    return [axes.get_title().partition("\n")[0] for axes in figure.axes]


def panel(figure, title):
    return next(axes for axes in figure.axes if axes.get_title().startswith(title))


def colour_label(axes):
    return axes.child_axes[0].get_ylabel()


@pytest.mark.filterwarnings("ignore::ptychoproduct.errors.ProductWarning")
def test_everything_that_a_product_has_is_drawn(draw):
    figure = draw(
        probeGuess=stack(2, 3),
        objectGuess=stack(2, side=64),
        losses=[3.0, 2.0],
        spacing=[1e-6],
        weights=np.ones((12, 2)),
    )
    assert titles(figure) == [
        *("object amplitude, layer 1 of 2", "object amplitude, layer 2 of 2"),
        *("object phase, layer 1 of 2", "object phase, layer 2 of 2"),
        *("12 positions over the object", "mean of 12 frames", "frame 0", "loss"),
        *[f"probe amplitude, mode {mode} of 3" for _ in range(2) for mode in (1, 2, 3)],
    ]


def test_a_product_without_frames_and_losses_is_drawn_without_them(draw):
    assert titles(draw(include_diffraction=False)) == [
        *("object amplitude", "object phase", "12 positions over the object", "probe amplitude")
    ]


def test_the_chosen_frame_is_drawn_as_it_is_stored(draw, make_scan):
    image = panel(draw(frame=7), "frame 7").images[0].get_array()
    assert np.array_equal(image.filled(0), make_scan()["diff3d"][7])


@pytest.mark.parametrize("frame", [-1, 12])
def test_a_frame_that_is_not_there_is_an_error(draw, frame):
    with pytest.raises(OptionError, match="0 to 11"):
        draw(frame=frame)


def test_every_scale_and_axis_has_its_unit(draw):
    figure = draw(losses=[3.0, 2.0])
    assert colour_label(panel(figure, "object phase")) == "phase (rad)"
    assert colour_label(panel(figure, "frame")) == "√counts"
    assert (panel(figure, "12 positions").get_xlabel(), panel(figure, "frame").get_xlabel()) == (
        "x (µm)",
        "column (px)",
    )
    assert [text.get_text() for text in panel(figure, "object phase").texts] == ["1 µm"]


def test_positions_lie_on_the_object_where_the_contract_puts_them(draw, make_scan):
    axes = panel(draw(), "12 positions")
    pixel_um = 0.05
    dots = axes.collections[0].get_offsets()
    assert np.allclose(dots, np.stack((make_scan()["xcoords"], make_scan()["ycoords"]), 1) * pixel_um)
    # Columns count from zero at the middle of the first one.
    assert np.allclose(axes.images[0].get_extent(), (-pixel_um / 2, 63.5 * pixel_um, 63.5 * pixel_um, -pixel_um / 2))


def test_phases_are_drawn_on_the_whole_circle(draw):
    image = panel(draw(), "object phase").images[0]
    assert (image.get_clim(), image.get_cmap().name) == ((-math.pi, math.pi), "twilight")


def test_weak_phases_are_drawn_from_the_lowest_to_the_highest(draw):
    weak = np.exp(1j * np.linspace(-0.1, 0.2, 64 * 64)).reshape(64, 64).astype(np.complex64)
    assert panel(draw(objectGuess=weak), "object phase").images[0].get_clim() == pytest.approx((-0.1, 0.2))


@pytest.mark.filterwarnings("ignore::ptychoproduct.errors.ProductWarning")
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"probeGuess": stack(6)},
        {"probeGuess": stack(3, 4), "losses": [1.0] * 60},
        {"objectGuess": stack(2, side=64), "spacing": [1e-6]},
        {"objectGuess": np.ones((300, 20), np.complex64)},
        {"objectGuess": np.ones((20, 300), np.complex64), "meta": ExportMeta(name="no centre " * 30)},
        {"diff3d": np.zeros((12, 16, 16), np.uint16)},
        {
            **{key: np.zeros(1) for key in ("xcoords", "ycoords", "xcoords_start", "ycoords_start")},
            **{"scan_index": np.zeros(1, int), "diff3d": np.ones((1, 2, 2)), "probeGuess": stack(side=2)},
            "objectGuess": np.ones((3, 2), np.complex64),
        },
    ],
    ids=["plain", "modes", "coherent modes", "layers", "tall", "wide, far off", "dark", "tiny"],
)
def test_nothing_overlaps_and_nothing_is_cut_off(draw, changes):
    check_nothing_overlaps(draw(**changes))


def check_nothing_overlaps(figure):
    figure.draw_without_rendering()
    boxes = [axes.get_tightbbox() for axes in figure.axes]
    boxes.append(figure.texts[0].get_window_extent())
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))
    page = figure.bbox
    assert all(page.x0 <= box.x0 and box.x1 <= page.x1 and page.y0 <= box.y0 and box.y1 <= page.y1 for box in boxes)


@pytest.mark.parametrize(("name", "start"), [("a.png", b"\x89PNG"), ("a.pdf", b"%PDF"), ("a.svg", b"<?xml")])
def test_a_picture_has_the_format_of_its_name(draw, tmp_path, name, start):
    save_picture(draw(), tmp_path / name)
    assert (tmp_path / name).read_bytes().startswith(start)


def test_pyplot_is_not_touched(draw):
    loaded = "matplotlib.pyplot" in sys.modules
    draw()
    assert ("matplotlib.pyplot" in sys.modules) == loaded


def test_without_matplotlib_one_line_says_how_to_get_it(draw, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(OptionError, match="pip install matplotlib"):
        draw()


def test_an_empty_object_is_an_error_of_one_line(save_scan, tmp_path, centered_meta):
    export_product_from_npz(save_scan(), tmp_path / "product.h5", centered_meta)
    with open_product(tmp_path / "product.h5") as product:
        product.object = product.object[:0]
        with pytest.raises(ContractError, match="empty array"):
            product.plot()


@pytest.mark.filterwarnings("ignore::ptychoproduct.errors.ProductWarning")
@pytest.mark.parametrize("positions", [1, 12])
def test_pixels_of_unknown_size_are_drawn_as_pixels(tmp_path, positions):
    """And positions, which are known in metres, without the object below them."""
    x_m, y_m = np.random.default_rng(2).uniform(0, 1e-5, (2, positions))
    with h5py.File(tmp_path / "product.h5", "w") as file:
        file["probe"], file["object"] = stack(1, 1, side=16), np.ones((1, 40, 60), np.complex64)
        file["probe_position_x_m"], file["probe_position_y_m"] = x_m, y_m
        file["probe_position_indexes"] = np.arange(positions)
    with open_product(tmp_path / "product.h5") as product:
        figure = product.plot()
    for title, (height, width), length in (("object amplitude", (40, 60), 20), ("probe amplitude", (16, 16), 5)):
        axes = panel(figure, title)
        assert tuple(axes.images[0].get_extent()) == (-0.5, width - 0.5, height - 0.5, -0.5)
        assert [text.get_text() for text in axes.texts] == [f"{length} px (size not known)"]
    axes = panel(figure, f"{positions} position")
    assert (axes.get_xlabel(), len(axes.images)) == ("x (µm)", 0)
    assert "object" not in axes.get_title()
    assert np.allclose(axes.collections[0].get_offsets(), np.column_stack([x_m, y_m]) * 1e6)
    assert axes.get_xlim()[0] < x_m.min() * 1e6 <= x_m.max() * 1e6 < axes.get_xlim()[1]
    check_nothing_overlaps(figure)
