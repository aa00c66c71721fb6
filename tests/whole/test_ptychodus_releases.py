"""Every release of ptychodus reads what we write, and we read what every release writes.

Each release is installed from the package index into a folder of its own, beside the dependencies of this environment,
and run in a process of its own.
"""

import functools
import os
import subprocess
import sys

import numpy as np
import pytest

from ptychoproduct import ExportMeta, ProductWriter, open_product, validate_product
from ptychoproduct.model.geometry import resolve_metadata

pytestmark = pytest.mark.slow

RELEASES = [
    *("1.0", "1.0.1", "1.0.2", "1.1.0", "1.1.1", "1.1.2", "1.2", "1.3"),
    *("1.3.1", "1.3.2", "1.4.0", "1.4.1", "1.4.2", "1.5.1", "1.6.0", "1.7.0"),
]
N = 10_000

# Runs under each release: tells what it has read, then saves it as that release does. Names changed over time.
SCRIPT = """
import sys
from pathlib import Path

import numpy as np
import ptychodus
from ptychodus.plugins.h5_product_file import H5ProductFileIO


def first(owner, *names):
    return next(getattr(owner, name) for name in names if hasattr(owner, name))


source, values, copy = map(Path, sys.argv[1:])
product = H5ProductFileIO().read(source)
metadata, probes, object_ = product.metadata, product.probes, product.object_
positions = first(product, "probe_positions", "positions")
losses = first(product, "losses", "costs")
geometry = object_.get_geometry()
found = {
    "probe_energy_eV": first(metadata, "photon_energy_eV", "probe_energy_eV"),
    "mass_attenuation_m2_kg": first(metadata, "mass_attenuation_m2_per_kg", "mass_attenuation_m2_kg"),
    "probe_pixel_width_m": probes.get_pixel_geometry().width_m,
    "probe_pixel_height_m": probes.get_pixel_geometry().height_m,
    "object_pixel_width_m": geometry.pixel_width_m,
    "object_pixel_height_m": geometry.pixel_height_m,
    "object_center_x_m": geometry.center_x_m,
    "object_center_y_m": geometry.center_y_m,
    "probe": probes.get_array(),
    "opr_weights": probes.get_opr_weights(),
    "object": object_.get_array(),
    "object_layer_spacing_m": object_.layer_spacing_m,
    "position_indexes": [point.index for point in positions],
    "x_m": [first(point, "x_m", "coordinate_x_m", "position_x_m") for point in positions],
    "y_m": [first(point, "y_m", "coordinate_y_m", "position_y_m") for point in positions],
    "loss_values": [getattr(loss, "value", loss) for loss in losses],
}
for name in (
    "name", "comments", "detector_distance_m", "exposure_time_s", "probe_photon_count", "tomography_angle_deg",
    "tilt_angle_deg", "focus_object_distance_m", "far_field", "polarization",
):
    if hasattr(metadata, name):
        found[name] = str(value) if isinstance(value := getattr(metadata, name), str) else value
if hasattr(losses[0], "epoch"):
    found["loss_epochs"] = [loss.epoch for loss in losses]
if hasattr(positions[0], "probe_photon_count"):
    found["probe_photon_counts"] = [point.probe_photon_count for point in positions]
to_object = first(geometry, "map_coordinates_probe_to_object", "map_scan_point_to_object_point")
pixels = [to_object(point) for point in positions]
found["column"] = [first(pixel, "x_px", "coordinate_x_px", "position_x_px") for pixel in pixels]
found["row"] = [first(pixel, "y_px", "coordinate_y_px", "position_y_px") for pixel in pixels]
np.savez(values, package=ptychodus.__file__, **found)
H5ProductFileIO().write(copy, product)
"""


def written():
    """Give what our product holds: the arrays, and the metadata, none of which is zero."""
    rng = np.random.default_rng(11)
    meta = ExportMeta(
        name="Größe µ",
        comments="two\nlines",
        detector_distance_m=1.94,
        probe_energy_eV=8801.5,
        exposure_time_s=0.125,
        probe_photon_count=1234567.0,
        mass_attenuation_m2_kg=0.625,
        tomography_angle_deg=-31.5,
        object_pixel_width_m=5e-8,
        object_pixel_height_m=4e-8,
        probe_pixel_width_m=1.25e-7,
        probe_pixel_height_m=1.5e-7,
        object_center_x_m=1.5e-7,
        object_center_y_m=-2e-7,
        tilt_angle_deg=2.5,
        focus_object_distance_m=7.5e-4,
        far_field=False,
        polarization="right_circular",
    )
    arrays = {
        "probe": (rng.standard_normal((2, 3, 8, 8)) + 1j * rng.standard_normal((2, 3, 8, 8))).astype(np.complex64),
        "opr_weights": rng.standard_normal((N, 2)),
        "object": (rng.standard_normal((2, 64, 72)) + 1j * rng.standard_normal((2, 64, 72))).astype(np.complex64),
        "object_layer_spacing_m": np.array([1.5e-6]),
        "position_indexes": 3 * np.arange(N) + 1,
        "x_px": rng.uniform(-20, 20, N),
        "y_px": rng.uniform(-20, 20, N),
        "loss_values": np.array([0.5, 0.25, 0.125]),
        "loss_epochs": np.array([10, 20, 35]),
        "probe_photon_counts": rng.uniform(1e5, 1e6, N),
    }
    return meta, arrays


META, ARRAYS = written()
EXPECTED = {
    name: value for name, value in vars(META).items() if not name.startswith(("detector_pixel", "particle"))
} | {
    **{name: array for name, array in ARRAYS.items() if name not in ("x_px", "y_px")},
    "x_m": ARRAYS["x_px"] * META.object_pixel_width_m,
    "y_m": ARRAYS["y_px"] * META.object_pixel_height_m,
}
# What a release knows of came over time; the writer was sometimes later than the reader.
FIRST_READ = {
    "loss_epochs": "1.1.1",
    "tilt_angle_deg": "1.5.1",
    "polarization": "1.5.1",
    "probe_photon_counts": "1.6.0",
    "focus_object_distance_m": "1.7.0",
    "far_field": "1.7.0",
}
FIRST_WRITTEN = FIRST_READ | {"tomography_angle_deg": "1.5.1"}
# They give every position the number of its row, whatever the file says.
IGNORE_INDEXES = ("1.0", "1.0.1")
# What a product means that says nothing of it.
DEFAULTS = {
    "loss_epochs": np.arange(3),
    "tilt_angle_deg": 0.0,
    "tomography_angle_deg": 0.0,
    "polarization": None,
    "probe_photon_counts": None,
    "focus_object_distance_m": 0.0,
    "far_field": True,
}


def indexes_of(release):
    return np.arange(N) if release in IGNORE_INDEXES else ARRAYS["position_indexes"]


def known(release, since):
    return {name for name in EXPECTED if RELEASES.index(since.get(name, RELEASES[0])) <= RELEASES.index(release)}


@pytest.fixture(scope="session")
def our_product(tmp_path_factory):
    """A product with everything that any release knows of, and what none does: frames, and links for viewers."""
    path = tmp_path_factory.mktemp("ours") / "product.h5"
    with ProductWriter(path, META) as writer:
        frames = np.ones((N, 8, 8), np.uint8)
        writer.append(frames, ARRAYS["x_px"], ARRAYS["y_px"], ARRAYS["position_indexes"])
        writer.set_probe(ARRAYS["probe"], ARRAYS["opr_weights"])
        writer.set_object(ARRAYS["object"], ARRAYS["object_layer_spacing_m"])
        writer.set_losses(ARRAYS["loss_values"], ARRAYS["loss_epochs"])
        writer.set_probe_photon_counts(ARRAYS["probe_photon_counts"])
    return path


@pytest.fixture(scope="session")
def pass_through(our_product, tmp_path_factory):
    """A function that installs a release, and gives what it read of our product, and what it saved of it."""
    folder = tmp_path_factory.mktemp("releases")

    @functools.cache
    def run(release):
        package, values, copy = folder / release, folder / f"{release}.npz", folder / f"{release}.h5"
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        subprocess.run([*pip, "--target", package, f"ptychodus=={release}"], check=True)
        environment = os.environ | {"PYTHONPATH": str(package)}
        subprocess.run([sys.executable, "-c", SCRIPT, our_product, values, copy], check=True, env=environment)
        with np.load(values) as archive:
            found = dict(archive)
        assert str(found.pop("package")).startswith(str(package))
        return found, copy

    return run


@pytest.fixture(params=RELEASES)
def release(request):
    return request.param


def test_each_release_reads_every_value_that_it_knows_of(pass_through, release):
    found, _ = pass_through(release)
    expected = EXPECTED | {"position_indexes": indexes_of(release)}
    assert set(found) - {"column", "row"} == known(release, FIRST_READ)
    for name in known(release, FIRST_READ):
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)


def test_each_release_puts_the_centre_of_the_object_where_the_document_says(pass_through, release):
    found, _ = pass_through(release)
    centred = RELEASES.index(release) >= RELEASES.index("1.6.0")
    rows, columns = (size - 1 if centred else size for size in ARRAYS["object"].shape[-2:])
    x_px = (EXPECTED["x_m"] - META.object_center_x_m) / META.object_pixel_width_m
    y_px = (EXPECTED["y_m"] - META.object_center_y_m) / META.object_pixel_height_m
    np.testing.assert_allclose(found["column"], x_px + columns / 2, rtol=0, atol=1e-9)
    np.testing.assert_allclose(found["row"], y_px + rows / 2, rtol=0, atol=1e-9)


def test_we_read_what_each_release_writes(pass_through, release):
    _, path = pass_through(release)
    expected = EXPECTED | {name: DEFAULTS[name] for name in set(EXPECTED) - known(release, FIRST_WRITTEN)}
    expected["position_indexes"] = indexes_of(release)
    with open_product(path) as product:
        meta = ExportMeta(**{name: expected[name] for name in vars(META) if name in expected})
        assert resolve_metadata(product.meta) == resolve_metadata(meta)
        for name in set(EXPECTED) - set(vars(META)):
            np.testing.assert_array_equal(getattr(product, name), expected[name], err_msg=name)


def test_what_each_release_writes_is_valid(pass_through, release):
    _, path = pass_through(release)
    assert validate_product(path).problems == ()
