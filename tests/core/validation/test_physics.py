"""Physics as a judge: simulated scans are predicted, mistakes in them are named, and nothing else is.

The scans come from the campaign, which simulates them by the definition, and asks many more of them.
"""

import importlib.util
import math
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from ptychoproduct import (
    ExportMeta,
    ExportOptions,
    ProductWarning,
    RawData,
    ScanFiles,
    judge_physics,
    open_product,
    validate_product,
)
from ptychoproduct import export_product_from_rawdata as export
from ptychoproduct.model.transforms import (
    inverse_steps,
    parse_array_transform,
    parse_positions_transform,
    transformed_array,
    transformed_positions,
)
from ptychoproduct.validation.hypotheses import Hypothesis
from ptychoproduct.validation.physics import judge
from ptychoproduct.validation.physics_evidence import evidence_from, predicted_frame
from ptychoproduct.validation.physics_model import Optics, predicted_amplitudes, root_variance, thinned


def _campaign():
    path = Path(__file__).parents[2] / "campaigns" / "physics.py"
    spec = importlib.util.spec_from_file_location("physics_campaign", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


campaign = _campaign()
SMALL = campaign.Kind(48, 1e5, positions=120)
KINDS = {
    "few photons": campaign.Kind(48, 1e3, positions=120),
    "three modes": campaign.Kind(48, 1e5, modes=3, positions=120),
    "two layers": campaign.Kind(48, 1e5, layers=2, positions=120),
    "gaps": campaign.Kind(48, 1e5, gaps=True, positions=120),
    "raster": campaign.Kind(48, 1e5, path="raster", positions=120),
}


@pytest.fixture(scope="module")
def scan():
    return campaign.Scan(SMALL, 3)


@pytest.mark.parametrize("kind", KINDS)
def test_a_sound_scan_is_predicted_as_well_as_its_photons_allow(kind):
    report, _ = campaign.Scan(KINDS[kind], 1).judged({})
    assert report.verdict == "consistent"
    assert report.correlation > 0.93 * report.limit
    assert report.sentence == f"the frames are predicted, {report.correlation:.2f}"


@pytest.mark.parametrize(
    "mistake",
    [
        *({"positions_transform": text} for text in ("swap", "flip-x", "flip-y", "swap,flip-x,flip-y", "reverse")),
        *(
            {"positions_transform": text}
            for text in ("roll=1", "scale=1e-06", "scale=0.8", "offset=corner", "offset=6:-4")
        ),
        *({"frames_transform": text} for text in ("transpose", "flip-rows", "flip-rows,flip-columns", "fftshift")),
        {"frames_transform": "point-reflect"},
        *({"probe_transform": text} for text in ("transpose", "flip-rows", "fftshift", "conjugate")),
        {"positions_transform": "swap", "frames_transform": "flip-columns"},
    ],
    ids=lambda mistake: " ".join(mistake.values()),
)
def test_a_mistake_is_named_with_the_options_that_mend_it(scan, mistake):
    report, _ = scan.judged(mistake)
    assert report.verdict == "another convention"
    assert scan.is_mended(mistake, report.options), report.sentence
    assert report.better_correlation > report.correlation / 0.93
    assert all(f"--{name.replace('_', '-')}={text}" in report.sentence for name, text in report.options.items())


def test_rows_that_are_not_unrolled_are_named():
    snake = campaign.Scan(campaign.Kind(48, 1e5, path="snake", positions=128), 2)
    report, _ = snake.judged({"positions_transform": "unsnake"})
    assert report.options == {"positions_transform": "unsnake"}


def test_conjugates_of_probe_and_object_are_frames_reflected_through_zero_frequency(scan):
    report, _ = scan.judged({"probe_transform": "conjugate"}, object_=scan.object.conj())
    assert report.options == {"frames_transform": "point-reflect"}
    assert report.better_correlation == pytest.approx(scan.judged({})[0].correlation, abs=0.02)


def test_exchanged_pixel_sizes_are_named(scan):
    wide, high = 1.4 * campaign.PIXEL_M, campaign.PIXEL_M
    meta = replace(scan.meta, object_pixel_width_m=wide, object_pixel_height_m=high)
    x_m, y_m = scan.x * high, scan.y * wide  # as if pixels were high and wide the other way round
    evidence = evidence_from(scan.probe, scan.object, x_m, y_m, meta, scan.rows, lambda: scan.frames)
    report = judge(evidence)
    assert report.better is not None
    assert "pixel sizes are exchanged" in report.sentence
    x, y = transformed_positions(
        parse_positions_transform(report.options["positions_transform"]), x_m / wide, y_m / high, lambda *_: (0, 0)
    )
    np.testing.assert_allclose([x, y], [scan.x, scan.y], rtol=1e-9)


def test_a_scale_that_is_none_of_a_unit_is_found_to_a_pixel(scan):
    for factor in (0.9, 1.2):
        report, _ = scan.judged({"positions_transform": f"scale={factor}"})
        assert scan.is_mended({"positions_transform": f"scale={factor}"}, report.options)
        assert "another scale" in report.sentence


@pytest.mark.parametrize(
    ("shape", "every"), [((32, 48), 4), ((36, 36), 3), ((30, 18), 2), ((27, 27), 9), ((16, 16), 1)]
)
@pytest.mark.parametrize("near", [False, True])
def test_some_of_the_pixels_are_predicted_like_all(shape, every, near):
    rng = np.random.default_rng(5)
    to_detector = np.exp(1j * rng.uniform(0, 3, shape)).astype(np.complex64) if near else None
    optics = replace(Optics.of(_complex(rng, (2, *shape)), _complex(rng, (70, 80))), to_detector=to_detector)
    x, y = rng.uniform(24, 54, (2, 5))
    every_pixel = predicted_amplitudes(optics, x, y)
    middle = tuple(size // 2 % every for size in shape)  # zero frequency is among them
    expected = every_pixel[:, middle[0] :: every, middle[1] :: every]
    found = predicted_amplitudes(optics, x, y, every=every)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3 * expected.max())
    np.testing.assert_array_equal(thinned(every_pixel, every), expected)


@pytest.mark.parametrize("frames", ["", "flip-rows,flip-columns", "transpose,flip-rows", "fftshift"])
def test_a_first_look_finds_what_all_pixels_show(frames):
    """Of 256 x 256 pixels a few are looked at, in any orientation."""
    large = campaign.Scan(campaign.Kind(256, 1e5, positions=16), 4)
    turned = transformed_array(inverse_steps(parse_array_transform(frames)), large.frames)
    arrays = large.probe, large.object, large.x * campaign.PIXEL_M, large.y * campaign.PIXEL_M
    evidence = evidence_from(*arrays, large.meta, large.rows, lambda: turned)
    assert evidence.thinning == 4
    glance, full = evidence.glance(Hypothesis("", frames=frames)), evidence.agreement(Hypothesis("", frames=frames))
    assert glance.correlation == pytest.approx(full.correlation, abs=0.05)
    assert glance.deviations > 8
    assert judge(evidence).options == ({"frames_transform": frames} if frames else {})


@pytest.mark.parametrize("case", ["ones", "another object", "noise"])
def test_nothing_is_said_of_what_does_not_belong_together(scan, case):
    rng = np.random.default_rng(9)
    changes = {
        "ones": {"object_": np.ones_like(scan.object)},
        "another object": {"object_": campaign.rough(scan.object_px, 0.6, rng)[np.newaxis]},
        "noise": {"frames": np.sqrt(rng.poisson(1.0, scan.frames.shape)).astype(np.float32)},
    }
    report, _ = scan.judged({}, **changes[case])
    assert report.verdict == "undecided"
    assert report.sentence.startswith("not judged: ")


def test_a_factor_and_the_quantity_of_frames_do_not_matter(scan):
    as_it_is, _ = scan.judged({})
    for frames in (scan.frames * np.float32(0.37), np.rint(scan.frames**2).astype(np.uint16)):
        report, _ = scan.judged({}, frames=frames)
        assert report.correlation == pytest.approx(as_it_is.correlation, abs=1e-3)


@pytest.mark.parametrize("mean", [0.01, 0.3, 1.0, 3.7, 12.0, 60.0])
def test_the_variance_of_a_root_of_counts(mean):
    terms = [(math.exp(k * math.log(mean) - mean - math.lgamma(k + 1)), k) for k in range(400)]
    expected = mean - sum(weight * math.sqrt(k) for weight, k in terms) ** 2
    assert root_variance(np.array([mean]))[0] == pytest.approx(expected, rel=0.03, abs=1e-3)


def test_a_probe_that_varies_is_composed_by_its_weights():
    rng = np.random.default_rng(1)
    modes, object_ = _complex(rng, (2, 1, 16, 16)), _complex(rng, (40, 40))
    weights = rng.normal(size=(3, 2))
    x, y = np.array([10.5, 12.5, 20.5]), np.array([9.5, 21.5, 14.5])
    found = predicted_amplitudes(Optics.of(modes, object_, weights), x[1:], y[1:], np.array([1, 2]))
    for number, row in enumerate((1, 2)):
        top, left = int(y[row] - 7.5), int(x[row] - 7.5)
        wave = np.tensordot(weights[row], modes[:, 0], axes=1) * object_[top : top + 16, left : left + 16]
        np.testing.assert_allclose(found[number], np.abs(np.fft.fftshift(np.fft.fft2(wave))), rtol=1e-3)


@pytest.mark.parametrize(
    "options", [{}, {"store_counts": True}, {"compression": "none"}, {"chunk_frames": 16, "threads": 2}], ids=str
)
def test_a_product_is_judged_while_it_is_written_and_afterwards(scan, tmp_path, options):
    full = _with_all_frames(scan)
    summary = _exported(scan, full, tmp_path, **options)
    report = judge_physics(tmp_path / "p.h5")
    assert summary.physics == report
    assert report.verdict == "consistent"
    with h5py.File(tmp_path / "p.h5") as file:
        assert file.attrs["physics_verdict"] == "consistent"
        assert file.attrs["physics_correlation"] == report.correlation
    assert validate_product(tmp_path / "p.h5", physics=True).physics == report
    assert validate_product(tmp_path / "p.h5", deep=True).physics == report
    assert validate_product(tmp_path / "p.h5").physics is None


@pytest.mark.parametrize("quantity", ["amplitudes", "counts"])
def test_a_frame_is_predicted_beside_the_measured_one(scan, tmp_path, quantity):
    full = _with_all_frames(scan)
    full = np.rint(full**2).astype(np.uint16) if quantity == "counts" else full
    _exported(scan, full, tmp_path)
    row = int(scan.rows[3])
    predicted, correlation = predicted_frame(tmp_path / "p.h5", row)
    assert predicted.sum() == pytest.approx(full[row].sum(), rel=0.1)
    assert np.corrcoef(predicted.ravel(), full[row].ravel())[0, 1] > 0.95
    pytest.importorskip("matplotlib")
    with open_product(tmp_path / "p.h5") as product:
        titles = [axes.get_title() for axes in product.plot(row).axes]
    assert f"frame {row} as predicted\ncorrelation of all frames {correlation:.2f}" in titles
    assert correlation == judge_physics(tmp_path / "p.h5").correlation


def test_another_convention_is_a_warning_of_the_export_and_of_validation(scan, tmp_path):
    full = _with_all_frames(scan)
    with pytest.warns(ProductWarning, match="frames_transform=transpose") as caught:
        _exported(scan, full.swapaxes(1, 2), tmp_path)
    assert len(caught) == 1
    report = validate_product(tmp_path / "p.h5", physics=True)
    assert report.is_valid
    assert [problem.severity for problem in report.problems] == ["warning"]
    with h5py.File(tmp_path / "p.h5") as file:
        assert file.attrs["physics_convention"] == "--frames-transform=transpose"
    summary = _exported(scan, full, tmp_path, frames_transform="", physics=False)
    assert summary.physics is None
    with h5py.File(tmp_path / "p.h5") as file:
        assert "physics_verdict" not in file.attrs


def test_a_scan_is_judged_before_it_is_converted(tmp_path):
    rng = np.random.default_rng(3)
    probe, object_ = _complex(rng, (16, 16)), _complex(rng, (60, 60))
    x, y = rng.integers(0, 44, (2, 40)) + 7.5
    corners = [(int(top - 7.5), int(left - 7.5)) for top, left in zip(y, x, strict=True)]
    waves = np.array([probe * object_[top : top + 16, left : left + 16] for top, left in corners])
    arrays = {"xcoords": x, "ycoords": y, "probeGuess": probe, "objectGuess": object_}
    frames = np.abs(np.fft.fftshift(np.fft.fft2(waves), (1, 2))).astype(np.float32)
    for turned, options in ((frames, {}), (frames[:, ::-1], {"frames_transform": "flip-rows"})):
        np.savez(tmp_path / "scan.npz", diff3d=turned, **arrays)
        report = judge_physics(ScanFiles(tmp_path / "scan.npz"))
        assert report.options == options
        assert report.verdict == ("another convention" if options else "consistent")


def _with_all_frames(scan):
    """Give as many frames as positions; those that are not judged are zero."""
    frames = np.zeros((SMALL.positions, SMALL.size, SMALL.size), np.float32)
    frames[scan.rows] = scan.frames
    return frames


def _exported(scan, frames, tmp_path, **options):
    raw = RawData(
        xcoords=scan.x,
        ycoords=scan.y,
        xcoords_start=None,
        ycoords_start=None,
        diff3d=frames,
        probeGuess=scan.probe,
        scan_index=np.arange(len(scan.x)),
        objectGuess=scan.object,
    )
    meta = ExportMeta(object_pixel_width_m=2e-8, object_pixel_height_m=2e-8)
    options = ExportOptions(**{"chunk_frames": 1, "object_center": "zero"} | options)
    return export(raw, tmp_path / "p.h5", meta, options=options)


def _complex(rng, shape):
    return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(np.complex64)
