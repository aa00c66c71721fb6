"""Scans of another convention: transformed while they are converted, and given back bit for bit."""

import h5py
import numpy as np
import pytest

from ptychoproduct import (
    ExportMeta,
    ExportOptions,
    OptionError,
    ProductWarning,
    ScanFiles,
    export_product_from_files,
    export_product_from_npz,
    import_product_to_npz,
    import_product_to_rawdata,
    validate_product,
)

PIXEL_M = 5e-8
CENTER_PX = 31.5
META = ExportMeta(object_center_x_m=CENTER_PX * PIXEL_M, object_center_y_m=CENTER_PX * PIXEL_M)


def converted(scan, tmp_path, **options):
    export_product_from_npz(scan, tmp_path / "p.h5", META, options=ExportOptions(**options))
    return tmp_path / "p.h5"


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ("transpose", lambda frames: frames.swapaxes(1, 2)),
        ("flip-rows", lambda frames: frames[:, ::-1]),
        ("flip-columns", lambda frames: frames[:, :, ::-1]),
        (
            "point-reflect",
            lambda frames: frames[
                :, *np.ix_(*([*(-np.arange(size) + size // 2 * 2) % size] for size in frames.shape[1:]))
            ],
        ),
        ("fftshift", lambda frames: np.fft.fftshift(frames, (1, 2))),
        ("transpose,flip-rows,fftshift", lambda frames: np.fft.fftshift(frames.swapaxes(1, 2)[:, ::-1], (1, 2))),
    ],
)
@pytest.mark.parametrize("shape", [(12, 16, 16), (12, 15, 18)])
@pytest.mark.parametrize("compress", [False, True])
def test_frames_are_transformed_and_come_back_bit_for_bit(save_scan, tmp_path, steps, expected, shape, compress):
    frames = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    probe = np.ones(expected(frames).shape[1:], np.complex64)
    scan = save_scan(compress=compress, diff3d=frames, probeGuess=probe)
    product = converted(scan, tmp_path, frames_transform=steps)
    with h5py.File(product) as file:
        np.testing.assert_array_equal(file["raw_data/diffraction"][()], expected(frames))
        assert file["raw_data/diffraction"].attrs["frames_transform"] == steps
    import_product_to_npz(product, tmp_path / "back.npz")
    with np.load(tmp_path / "back.npz") as back:
        assert back["diff3d"].tobytes() == frames.tobytes()
    assert import_product_to_rawdata(product).diff3d.tobytes() == frames.tobytes()
    assert validate_product(product, source_npz=scan).is_valid


def test_frames_of_another_axis_order_come_back_in_it(save_scan, tmp_path):
    frames = np.random.default_rng(1).normal(size=(15, 18, 12)).astype(np.float32)
    scan = save_scan(diff3d=frames, probeGuess=np.ones((18, 15), np.complex64))
    product = converted(scan, tmp_path, frames_transform="transpose,flip-columns")
    with h5py.File(product) as file:
        expected = frames.transpose(2, 1, 0)[:, :, ::-1]
        np.testing.assert_array_equal(file["raw_data/diffraction"][()], expected)
    import_product_to_npz(product, tmp_path / "back.npz", original_axis_order=True)
    with np.load(tmp_path / "back.npz") as back:
        np.testing.assert_array_equal(back["diff3d"], frames)


def test_counts_are_stored_of_transformed_frames(save_scan, tmp_path):
    frames = np.sqrt(np.random.default_rng(1).poisson(5, (12, 16, 16))).astype(np.float32)
    product = converted(save_scan(diff3d=frames), tmp_path, frames_transform="flip-rows", store_counts=True)
    import_product_to_npz(product, tmp_path / "back.npz")
    with np.load(tmp_path / "back.npz") as back:
        assert back["diff3d"].tobytes() == frames.tobytes()


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ("swap", lambda x, y: (y, x)),
        ("flip-x", lambda x, y: (2 * CENTER_PX - x, y)),
        ("swap,flip-y", lambda x, y: (y, 2 * CENTER_PX - x)),
        ("scale=0.5", lambda x, y: (0.5 * x, 0.5 * y)),
        ("scale=0.5:0.8,offset=3:-1.5", lambda x, y: (0.5 * x + 3, 0.8 * y - 1.5)),
        ("reverse", lambda x, y: (x[::-1], y[::-1])),
        ("roll=1", lambda x, y: (np.roll(x, 1), np.roll(y, 1))),
    ],
)
def test_positions_are_transformed_and_come_back_bit_for_bit(make_scan, save_scan, tmp_path, steps, expected):
    scan = save_scan()
    product = converted(scan, tmp_path, positions_transform=steps)
    arrays = make_scan()
    x, y = expected(arrays["xcoords"], arrays["ycoords"])
    starts = ("xcoords_start", "ycoords_start")  # before correction
    with h5py.File(product) as file:
        np.testing.assert_allclose(file["probe_position_x_m"][()], x * PIXEL_M, rtol=1e-12)
        np.testing.assert_allclose(file["probe_position_y_m"][()], y * PIXEL_M, rtol=1e-12)
        assert file.attrs["positions_transform"] == steps
        for key, values in zip(starts, expected(*(arrays[key] for key in starts)), strict=True):
            np.testing.assert_allclose(file[f"raw_data/{key}"][()], values, rtol=1e-12)
    import_product_to_npz(product, tmp_path / "back.npz")
    with np.load(tmp_path / "back.npz") as back:
        assert set(back.files) == set(arrays)
        for name, array in arrays.items():
            assert back[name].tobytes() == array.tobytes(), name
    report = validate_product(product, source_npz=scan)
    assert [problem.message for problem in report.problems if problem.severity == "error"] == []


def test_rows_of_a_raster_are_unsnaked(save_scan, tmp_path):
    x, y = np.tile([10.0, 20.0, 30.0, 40.0], 3), np.repeat([10.0, 20.0, 30.0], 4)
    product = converted(save_scan(xcoords=x, ycoords=y), tmp_path, positions_transform="unsnake")
    with h5py.File(product) as file:
        found = np.rint(file["probe_position_x_m"][()] / PIXEL_M).astype(int).tolist()
        assert found == [10, 20, 30, 40, 40, 30, 20, 10, 10, 20, 30, 40]


def test_a_probe_is_transformed_and_comes_back_bit_for_bit(make_scan, save_scan, tmp_path):
    probe = make_scan()["probeGuess"]
    product = converted(save_scan(), tmp_path, probe_transform="transpose,conjugate,fftshift")
    with h5py.File(product) as file:
        np.testing.assert_array_equal(file["probe"][()], np.fft.fftshift(probe.T.conj()))
    import_product_to_npz(product, tmp_path / "back.npz")
    with np.load(tmp_path / "back.npz") as back:
        assert back["probeGuess"].tobytes() == probe.tobytes()


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("positions_transform", "turn"),
        ("positions_transform", "scale"),
        ("positions_transform", "scale=0"),
        ("positions_transform", "offset=1"),
        ("positions_transform", "offset=1:nan"),
        ("frames_transform", "conjugate"),
        ("probe_transform", "swap"),
    ],
)
def test_steps_that_are_none_are_refused(option, text):
    with pytest.raises(OptionError) as caught:
        ExportOptions(**{option: text})
    assert caught.value.option == option


def test_a_transform_that_is_none_makes_a_product_unreadable(save_scan, tmp_path):
    from ptychoproduct import ContractError, open_product

    product = converted(save_scan(), tmp_path)
    with h5py.File(product, "a") as file:
        file["raw_data/diffraction"].attrs["frames_transform"] = "turn"
    with pytest.raises(ContractError, match="frames_transform"):
        open_product(product)


def test_the_convention_that_physics_finds_is_applied(tmp_path, make_scan):
    frames_px, object_px = 32, 96
    rng = np.random.default_rng(5)
    probe, object_ = _beam(frames_px), _rough(object_px, rng)
    x, y = rng.integers(0, object_px - frames_px, (2, 60)) + (frames_px - 1) / 2
    frames = _frames(probe, object_, x, y)
    arrays = make_scan(
        **{"xcoords": y, "ycoords": x, "xcoords_start": None, "ycoords_start": None, "scan_index": np.arange(60)},
        **{"diff3d": frames.swapaxes(1, 2), "probeGuess": probe, "objectGuess": object_},
    )
    np.savez(tmp_path / "scan.npz", **arrays)
    center_m = (object_px - 1) / 2 * PIXEL_M
    meta = ExportMeta(object_center_x_m=center_m, object_center_y_m=center_m)
    options, steps = ExportOptions(convention="auto"), []
    with pytest.warns(ProductWarning) as caught:
        summary = export_product_from_npz(
            tmp_path / "scan.npz", tmp_path / "p.h5", meta, options=options, progress=steps.append
        )
    assert sum(steps) == frames.nbytes
    assert [str(warning.message).count("positions_transform=swap") for warning in caught] == [1]
    assert summary.physics.verdict == "consistent"
    with h5py.File(tmp_path / "p.h5") as file:
        np.testing.assert_array_equal(file["raw_data/diffraction"][()], frames)
        np.testing.assert_allclose(file["probe_position_x_m"][()], x * PIXEL_M)
        assert file.attrs["physics_verdict"] == "consistent"
        assert file.attrs["physics_correlation"] > 0.9
    import_product_to_npz(tmp_path / "p.h5", tmp_path / "back.npz")
    with np.load(tmp_path / "back.npz") as back:
        for name, array in arrays.items():
            assert back[name].tobytes() == np.ascontiguousarray(array).tobytes(), name


def _beam(size_px):
    frequency = np.fft.fftfreq(size_px)
    radius = np.hypot(*np.meshgrid(frequency, frequency))
    wave = np.exp(-((radius / 0.12) ** 4)) * np.exp(-60j * radius**2)
    return np.fft.fftshift(np.fft.ifft2(wave)).astype(np.complex64)


def _rough(size_px, rng):
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(size_px), np.fft.fftfreq(size_px)))
    rough = np.fft.ifft2(np.fft.fft2(rng.normal(size=(size_px, size_px))) / (frequency + 0.02) ** 1.5).real
    return np.exp((0.6j - 0.1) * rough / rough.std()).astype(np.complex64)


def _frames(probe, object_, x, y):
    size = len(probe)
    first = [round(value - (size - 1) / 2) for value in (*y, *x)]
    corners = zip(first[: len(y)], first[len(y) :], strict=True)
    waves = np.array([probe * object_[top : top + size, left : left + size] for top, left in corners])
    return np.abs(np.fft.fftshift(np.fft.fft2(waves), (1, 2))).astype(np.float32)


def test_a_product_of_a_product_gives_back_the_first_source(make_scan, save_scan, tmp_path):
    first = converted(
        save_scan(),
        tmp_path,
        positions_transform="swap,flip-x",
        frames_transform="transpose,flip-rows",
        probe_transform="conjugate",
    )
    again = ExportOptions(positions_transform="flip-y", frames_transform="fftshift", probe_transform="transpose")
    export_product_from_files(ScanFiles(first), tmp_path / "again.h5", options=again)
    with h5py.File(tmp_path / "again.h5") as file:
        assert file.attrs["positions_transform"] == "swap,flip-x,flip-y"
        assert file.attrs["probe_transform"] == "conjugate,transpose"
        assert file["raw_data/diffraction"].attrs["frames_transform"] == "transpose,flip-rows,fftshift"
    import_product_to_npz(tmp_path / "again.h5", tmp_path / "back.npz")
    with np.load(tmp_path / "back.npz") as back:
        for name, array in make_scan().items():
            assert back[name].tobytes() == array.tobytes(), name
