"""The page to share: HTML's parser, and a browser where there is one, are the judges."""

import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest

from ptychoproduct import OptionError, Reconstruction, export_product_from_npz, inspect_product, open_product
from ptychoproduct.plots.colours import SEQUENTIAL, png
from ptychoproduct.product.page import STRIP_FRAMES, product_page, require_page

BROWSER = next(filter(None, map(shutil.which, ("chromium-headless-shell", "chromium", "google-chrome"))), None)
MOVE = """<script>slider.value = 5; slider.dispatchEvent(new Event("input"));
console.log("MOVED " + label.textContent + " at " + strip.style.backgroundPosition);</script></body>"""


class Elements(HTMLParser):
    """All elements of a page with their attributes, and whether each is closed in order."""

    VOID = ("meta", "link", "img", "input")

    def __init__(self, page):
        super().__init__()
        self.found, self.open = [], []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture
def make_page(save_scan, tmp_path, centered_meta):
    """A function that gives the page of a product."""

    def make(include_raw=True, results=None, **changes):
        product = tmp_path / "product.h5"
        export_product_from_npz(save_scan(**changes), product, centered_meta, include_raw, reconstruction=results)
        with open_product(product) as opened:
            return product_page(opened, inspect_product(product))

    return make


def test_every_element_is_closed_and_nothing_comes_from_elsewhere(make_page):
    elements = Elements(make_page(results=Reconstruction(loss_values=[3.0, 2.0, 1.0])))
    assert elements.open == []
    links = [attrs[name] for _, attrs in elements.found for name in ("src", "href") if name in attrs]
    assert links
    assert all(link.startswith("data:") for link in links)


def test_pictures_table_and_slider_are_there(make_page):
    page = make_page(results=Reconstruction(loss_values=[3.0, 2.0, 1.0]))
    titles = re.findall(r"<figcaption[^>]*>([^<]*)", page)
    wanted = ("object amplitude", "object phase", "probe amplitude", "12 positions", "mean of 12", "frames", "3 losses")
    assert all(any(title.startswith(start) for title in titles) for start in wanted)
    assert "<tr><th>made from</th><td>scan.npz, " in page
    assert 'id="slider" min="0" max="11"' in page


def test_text_of_the_file_is_no_markup(make_page, centered_meta):
    object.__setattr__(centered_meta, "name", "<script>alert(1)</script>$title")
    assert "<script>alert" not in make_page()


def test_a_page_without_frames_has_no_slider(make_page):
    page = make_page(include_raw=False)
    assert ('id="slider"' in page, "<td>none</td>" in page) == (False, True)


@pytest.mark.slow
def test_pictures_that_cannot_be_compressed_stay_below_3_mb(make_page):
    noise = np.random.default_rng(1).standard_normal
    frames = np.abs(noise((STRIP_FRAMES, 512, 512))).astype(np.float32)
    probe, layers = (noise((n, side, side)) + 1j * noise((n, side, side)) for n, side in ((10, 512), (3, 900)))
    x = np.full(STRIP_FRAMES, 450.0)
    page = make_page(
        diff3d=frames, probeGuess=probe.astype(np.complex64), objectGuess=layers.astype(np.complex64), xcoords=x,
        ycoords=x, xcoords_start=None, ycoords_start=None, scan_index=np.arange(STRIP_FRAMES),
        results=Reconstruction(object_layer_spacing_m=(1e-6, 1e-6)),
    )  # fmt: skip
    assert len(page.encode()) <= 3e6


@pytest.mark.parametrize("name", ["page.png", "page", "page.h5"])
def test_another_name_is_no_page(tmp_path, name):
    with pytest.raises(OptionError, match="must end in"):
        require_page(tmp_path / name)


def test_a_picture_has_the_colours_of_its_table(tmp_path):
    image = pytest.importorskip("matplotlib.image")
    (tmp_path / "a.png").write_bytes(png(np.array([[0.0, 1.0, np.nan]]), SEQUENTIAL))
    found = (image.imread(tmp_path / "a.png") * 255).round().astype(int).tolist()
    assert found == [[[0x44, 0x01, 0x54, 255], [0xFD, 0xE7, 0x25, 255], [0, 0, 0, 0]]]


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="needs Chromium")
def test_in_a_browser_the_slider_moves_and_nothing_is_complained_of(make_page, tmp_path):
    (tmp_path / "page.html").write_text(make_page().replace("</body>", MOVE), encoding="utf-8")
    options = ("--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--window-size=390,844")
    page = (tmp_path / "page.html").as_uri()
    command = [BROWSER, *options, f"--screenshot={tmp_path / 'shot.png'}", page]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    said = [line.partition("CONSOLE")[2] for line in result.stderr.splitlines() if "CONSOLE" in line]
    assert len(said) == 1
    assert "MOVED frame 5 at 45.4545% 0" in said[0]
    assert (tmp_path / "shot.png").stat().st_size > 1000
