import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ptychoproduct import export_product_from_npz, open_product
from ptychoproduct.plots.thumbnails import product_thumbnails, shrunk


@given(st.integers(1, 90), st.integers(1, 90))
def test_a_shrunk_image_fits_and_no_pixel_is_invented(height, width):
    image = np.arange(height * width, dtype=float).reshape(height, width)
    small = shrunk(image, 38, 20)
    assert small.shape[0] <= 38
    assert small.shape[1] <= 20
    assert image.min() <= small.min() <= small.max() <= image.max()


def test_blocks_are_averaged():
    assert shrunk(np.array([[1, 3, 10, 20], [5, 7, 30, 40]]), 1, 2).tolist() == [[4, 25]]


def test_a_small_image_stays_as_it_is():
    assert shrunk(np.array([[1, 2], [3, 4]]), 38, 38).tolist() == [[1, 2], [3, 4]]


def test_phases_around_pi_do_not_average_to_zero():
    image = np.exp(1j * np.array([[3.1, -3.1]]))
    assert abs(np.angle(shrunk(image, 1, 1))[0, 0]) > 3.1


def test_a_product_has_a_phase_and_a_pattern_with_values_from_0_to_1(save_scan, tmp_path, centered_meta):
    export_product_from_npz(save_scan(), tmp_path / "product.h5", centered_meta)
    with open_product(tmp_path / "product.h5") as product:
        phase, pattern = product_thumbnails(product, 38, 38)
    assert (phase.is_cyclic, pattern.is_cyclic) == (True, False)
    assert all(0 <= picture.values.min() <= picture.values.max() <= 1 for picture in (phase, pattern))
    assert phase.title == "object phase, -π to π, 3.2 µm wide"


def test_the_colours_of_a_weak_phase_are_of_its_own_range(save_scan, tmp_path, centered_meta):
    phases = np.linspace(-0.1, 0.3, 64 * 64).reshape(64, 64)
    scan = save_scan(objectGuess=np.exp(1j * phases).astype(np.complex64))
    export_product_from_npz(scan, tmp_path / "product.h5", centered_meta)
    with open_product(tmp_path / "product.h5") as product:
        phase = product_thumbnails(product, 64, 64)[0]
    assert (phase.title, phase.is_cyclic) == ("object phase, -0.1 to 0.3 rad, 3.2 µm wide", False)
    assert (phase.values.min(), phase.values.max()) == (0, 1)


def test_a_product_without_frames_has_a_phase_alone(save_scan, tmp_path, centered_meta):
    export_product_from_npz(save_scan(), tmp_path / "product.h5", centered_meta, False)
    with open_product(tmp_path / "product.h5") as product:
        assert len(product_thumbnails(product, 38, 38)) == 1
