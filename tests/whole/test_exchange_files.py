"""CXI files and NPZ files with ptychodus's keys that are made of products: read by ptychodus 1.7.0, and again by us."""

import h5py
import numpy as np
import pytest
from ptychodus.api.io import load_product
from ptychodus.plugins.cxi_file import CXIDiffractionFileReader, CXIProductFileIO
from ptychodus.plugins.npz_diffraction_file import NPZDiffractionFileIO
from ptychodus.plugins.npz_product_file import NPZProductFileIO

from ptychoproduct import (
    ContractError,
    ExportMeta,
    ExportOptions,
    FrameStack,
    OptionError,
    ProductWarning,
    ProductWriter,
    ScanFiles,
    export_product_from_files,
    export_product_from_npz,
    import_product_to_cxi,
    import_product_to_ptychodus_npz,
    open_product,
)
from ptychoproduct.convert import ptychodus_values
from ptychoproduct.streaming.sources import ArrayRows

pytestmark = pytest.mark.filterwarnings("ignore::ptychoproduct.errors.ProductWarning")
N, H, W = 9, 12, 14
RNG = np.random.default_rng(4)
COUNTS = RNG.poisson(3, (N, H, W)).astype(np.uint16)
BAD = RNG.uniform(size=(H, W)) < 0.1
META = ExportMeta(
    name="Größe",
    comments="two\nlines",
    detector_distance_m=1.5,
    probe_energy_eV=9000.0,
    exposure_time_s=0.1,
    probe_photon_count=1e6,
    mass_attenuation_m2_kg=0.25,
    tomography_angle_deg=3.0,
    object_pixel_width_m=2e-8,
    object_pixel_height_m=3e-8,
    probe_pixel_width_m=2.5e-8,
    probe_pixel_height_m=3.5e-8,
    object_center_x_m=1e-8,
    object_center_y_m=-2e-8,
    tilt_angle_deg=-4.0,
    focus_object_distance_m=-1e-3,
    far_field=False,
    polarization="left_circular",
    detector_pixel_width_m=7.5e-5,
    detector_pixel_height_m=5.5e-5,
    particle="electron",
)
FORMS = {
    ".cxi": (import_product_to_cxi, CXIProductFileIO, CXIDiffractionFileReader),
    ".npz": (import_product_to_ptychodus_npz, NPZProductFileIO, NPZDiffractionFileIO),
}
both = pytest.mark.parametrize("suffix", FORMS)


def pictures(*shape):
    return (RNG.standard_normal(shape) + 1j * RNG.standard_normal(shape)).astype(np.complex64)


def write_product(path, frames=COUNTS, meta=META, numbers=None, full=True, bad=BAD, **options):
    options = ExportOptions(overwrite=True, chunk_frames=2, **options)
    with ProductWriter(path, meta, options=options) as writer:
        writer.set_positions(*RNG.uniform(-9, 9, (2, N)), None, numbers=np.arange(N) if numbers is None else numbers)
        writer.set_probe(pictures(2, 3, H, W), RNG.uniform(-1, 1, (N, 2)))
        if full:
            writer.set_object(pictures(2, 40, 50), [1e-6])
            writer.set_losses([2.5, 1.5], [4, 9])
            writer.set_probe_photon_counts(np.arange(1.0, N + 1))
        if frames is not None:
            writer.write_frames(FrameStack("diff3d", frames.shape, lambda _: ArrayRows(frames)))
        if bad is not None:
            writer.keep("bad_pixels.npy", bad)
    return path


def arrays_of(path):
    """Give what a product says, apart from which file it was made of."""
    with open_product(path) as product:
        named = ("probe", "object", "is_object_synthetic", "object_layer_spacing_m", "x_m", "y_m", "position_indexes")
        named += ("opr_weights", "loss_values", "loss_epochs", "probe_photon_counts")
        found = {name: getattr(product, name) for name in named} | vars(product.meta)
        found["frames"] = None if product.frames is None else product.frames[:]
        found["mask"] = None if "bad_pixels" not in product.raw_data else product.raw_data["bad_pixels"][()] != 0
    return found


def require_equal(found, expected):
    for name, value in expected.items():
        if isinstance(value, float):
            assert found[name] == pytest.approx(value, rel=1e-15), name  # J and eV differ by rounding
        elif name in ("x_m", "y_m"):
            assert np.allclose(found[name], value, rtol=1e-15, atol=0), name
        else:
            assert np.array_equal(found[name], value), name


@both
@pytest.mark.parametrize("compress", [False, True])
def test_a_product_comes_back(tmp_path, suffix, compress):
    product = write_product(tmp_path / "product.h5")
    summary = FORMS[suffix][0](product, tmp_path / f"out{suffix}", compress=compress)
    assert (summary.frames, summary.frame_shape, summary.frame_dtype) == (N, (H, W), "uint16")
    export_product_from_files(ScanFiles(summary.archive), tmp_path / "again.h5")
    require_equal(arrays_of(tmp_path / "again.h5"), arrays_of(product))


@both
def test_a_stand_in_for_an_object_is_known_as_one_again(tmp_path, suffix):
    product = write_product(tmp_path / "product.h5", full=False)
    FORMS[suffix][0](product, tmp_path / f"out{suffix}")
    export_product_from_files(ScanFiles(tmp_path / f"out{suffix}"), tmp_path / "again.h5")
    assert arrays_of(tmp_path / "again.h5")["is_object_synthetic"]


@both
@pytest.mark.parametrize("compress", [False, True])
def test_ptychodus_reads_it_as_its_own(tmp_path, suffix, compress):
    product = write_product(tmp_path / "product.h5")
    write, its_products, its_patterns = FORMS[suffix]
    write(product, tmp_path / f"out{suffix}", compress=compress)
    found, expected = its_products().read(tmp_path / f"out{suffix}"), load_product(product)
    for get in ("get_coordinates_x_m", "get_coordinates_y_m", "get_indexes"):
        assert np.array_equal(getattr(found.probe_positions, get)(), getattr(expected.probe_positions, get)())
    assert np.array_equal(found.probes.get_array(), expected.probes.get_array())
    assert np.array_equal(found.probes.get_opr_weights(), expected.probes.get_opr_weights())
    assert found.probes.get_pixel_geometry() == expected.probes.get_pixel_geometry()
    assert np.array_equal(found.object_.get_array(), expected.object_.get_array())
    assert found.object_.get_geometry() == expected.object_.get_geometry()
    assert list(found.object_.layer_spacing_m) == list(expected.object_.layer_spacing_m)
    assert [(loss.epoch, loss.value) for loss in found.losses] == [(4, 2.5), (9, 1.5)]
    not_in_cxi = () if suffix == ".npz" else ("focus_object_distance_m", "tilt_angle_deg", "polarization", "far_field")
    for name, value in vars(expected.metadata).items():
        if name not in not_in_cxi:
            is_number = isinstance(value, float)
            assert getattr(found.metadata, name) == (pytest.approx(value, rel=1e-15) if is_number else value), name
    dataset = its_patterns().read(tmp_path / f"out{suffix}")
    assert np.array_equal(np.concatenate([part.get_patterns() for part in dataset]), COUNTS)
    assert np.array_equal(np.concatenate([part.get_indexes() for part in dataset]), np.arange(N))
    assert np.array_equal(dataset.get_bad_pixels(), BAD)
    if suffix == ".cxi":
        metadata, pixel = dataset.get_metadata(), dataset.get_metadata().detector_pixel_geometry
        assert (metadata.detector_distance_m, pixel.width_m, pixel.height_m) == (1.5, 7.5e-5, 5.5e-5)
        assert metadata.photon_energy_eV == pytest.approx(9000, rel=1e-15)


def test_a_translation_is_the_pixel_that_cdtools_computes(tmp_path):
    """It negates translations, and its axes i and j point along -y and -x (cdtools 0.3.2, get_detector_geometry)."""
    product = write_product(tmp_path / "product.h5")
    import_product_to_cxi(product, tmp_path / "out.cxi")
    with h5py.File(tmp_path / "out.cxi") as file, open_product(product) as expected:
        probe = -file["entry_1/data_1/translation"][()]
        axes = np.array([[0, -META.object_pixel_height_m, 0], [-META.object_pixel_width_m, 0, 0]]).T
        i, j = (probe @ np.linalg.pinv(axes).T).T
        assert np.allclose(i, expected.y_m / META.object_pixel_height_m)
        assert np.allclose(j, expected.x_m / META.object_pixel_width_m)


@both
def test_amplitudes_become_the_counts_that_they_are_roots_of(tmp_path, suffix):
    product = write_product(tmp_path / "product.h5", np.sqrt(COUNTS.astype(np.float32)))
    with pytest.warns(ProductWarning, match="does not hold the amplitudes, of which it has the photon counts"):
        FORMS[suffix][0](product, tmp_path / f"out{suffix}")
    export_product_from_files(ScanFiles(tmp_path / f"out{suffix}"), tmp_path / "again.h5")
    assert np.array_equal(arrays_of(tmp_path / "again.h5")["frames"], COUNTS)


@both
@pytest.mark.parametrize("compress", [False, True])
def test_frames_that_a_sample_misjudges_are_written_again(tmp_path, suffix, compress, monkeypatch):
    monkeypatch.setattr(ptychodus_values, "_SAMPLED_BYTES", 1)
    frames = np.sqrt(COUNTS.astype(np.float32))
    frames[5, 0, 0] = 1000.5
    product = write_product(tmp_path / "product.h5", frames)
    FORMS[suffix][0](product, tmp_path / f"out{suffix}", compress=compress)
    export_product_from_files(ScanFiles(tmp_path / f"out{suffix}"), tmp_path / "again.h5")
    assert np.array_equal(arrays_of(tmp_path / "again.h5")["frames"], np.square(frames))


@both
def test_a_gap_of_the_detector_is_in_the_mask(tmp_path, suffix):
    frames, mask = COUNTS.copy(), np.zeros((H, W), bool)
    frames[:, 3], mask[3] = 65535, True
    product = write_product(tmp_path / "product.h5", frames, bad=None)
    FORMS[suffix][0](product, tmp_path / f"out{suffix}")
    export_product_from_files(ScanFiles(tmp_path / f"out{suffix}"), tmp_path / "again.h5")
    found = arrays_of(tmp_path / "again.h5")
    assert np.array_equal(found["mask"], mask)
    assert np.array_equal(found["frames"], np.where(mask, 0, COUNTS))


@both
def test_a_mask_is_turned_as_the_frames_were(tmp_path, suffix):
    np.savez(
        tmp_path / "scan.npz",
        xcoords=np.arange(N),
        ycoords=np.arange(N),
        diff3d=COUNTS,
        probeGuess=pictures(W, H),
        bad_pixels=BAD,
    )
    options = ExportOptions(frames_transform="transpose")
    export_product_from_npz(tmp_path / "scan.npz", tmp_path / "product.h5", META, options=options)
    FORMS[suffix][0](tmp_path / "product.h5", tmp_path / f"out{suffix}")
    dataset = FORMS[suffix][2]().read(tmp_path / f"out{suffix}")
    assert np.array_equal(next(iter(dataset)).get_patterns(), COUNTS.transpose(0, 2, 1))
    assert np.array_equal(dataset.get_bad_pixels(), BAD.T)


@both
def test_frames_of_which_it_is_not_clear_what_they_are(tmp_path, suffix):
    frames = RNG.uniform(0, 9, (N, H, W))
    product = write_product(tmp_path / "product.h5", frames)
    with pytest.raises(OptionError, match=r"patterns_are: .* give amplitude or counts"):
        FORMS[suffix][0](product, tmp_path / f"out{suffix}")
    FORMS[suffix][0](product, tmp_path / f"out{suffix}", patterns_are="counts")
    export_product_from_files(ScanFiles(tmp_path / f"out{suffix}"), tmp_path / "again.h5")
    assert np.array_equal(arrays_of(tmp_path / "again.h5")["frames"], frames.astype(np.float32))


def test_numbers_that_cxi_has_no_place_for_are_told(tmp_path):
    """ptychodus numbers the frames of a CXI file from 0, so positions have to be numbered in this way."""
    product = write_product(tmp_path / "product.h5", numbers=np.arange(N)[::-1] * 3)
    with pytest.warns(ProductWarning, match=r"out.cxi: does not hold probe_position_indexes$"):
        import_product_to_cxi(product, tmp_path / "out.cxi")
    found = CXIProductFileIO().read(tmp_path / "out.cxi").probe_positions
    with open_product(product) as expected:
        assert np.array_equal(found.get_indexes(), np.arange(N))
        assert np.array_equal(found.get_coordinates_x_m(), expected.x_m)
    import_product_to_ptychodus_npz(product, tmp_path / "out.npz")
    patterns = NPZDiffractionFileIO().read(tmp_path / "out.npz")
    assert np.array_equal(next(iter(patterns)).get_indexes(), np.arange(N)[::-1] * 3)


@both
def test_without_frames(tmp_path, suffix):
    product = write_product(tmp_path / "product.h5", numbers=np.arange(N) + 4)
    summary = FORMS[suffix][0](product, tmp_path / f"out{suffix}", include_diffraction=False)
    assert not summary.frames
    found = FORMS[suffix][1]().read(tmp_path / f"out{suffix}")
    assert np.array_equal(found.probe_positions.get_indexes(), np.arange(N) + 4)


@both
def test_what_is_not_known_is_told(tmp_path, suffix):
    product = write_product(tmp_path / "product.h5", meta=ExportMeta())
    warned = "lacks what most programs need; .*: probe_energy_eV, detector_distance_m, detector_pixel_width_m"
    if suffix == ".cxi":
        with pytest.warns(ProductWarning, match=warned):
            import_product_to_cxi(product, tmp_path / "out.cxi")
    else:
        import_product_to_ptychodus_npz(product, tmp_path / "out.npz")
        assert NPZProductFileIO().read(tmp_path / "out.npz").metadata.photon_energy_eV == 0


@both
def test_damage_is_an_error_or_zeros(tmp_path, suffix):
    product = write_product(tmp_path / "product.h5")
    with h5py.File(product) as file:
        chunk = file["raw_data/diffraction"].id.get_chunk_info(1)
    with product.open("r+b") as file:
        file.seek(chunk.byte_offset + chunk.size // 2)
        byte = file.read(1)[0]
        file.seek(-1, 1)
        file.write(bytes([byte ^ 1]))
    out = tmp_path / f"out{suffix}"
    with pytest.raises(ContractError, match="diffraction"):
        FORMS[suffix][0](product, out)
    assert not list(tmp_path.glob("*out*"))
    with pytest.warns(ProductWarning, match="frames 2 to 3"):
        FORMS[suffix][0](product, out, accept_damage=True)
    patterns = next(iter(FORMS[suffix][2]().read(out))).get_patterns()
    kept = np.arange(N)[:, None, None] // 2 != 1
    assert np.array_equal(patterns, np.where(kept, COUNTS, 0))


def test_the_command(run_command, tmp_path):
    write_product(tmp_path / "product.h5")
    done = run_command("ptychoproduct", "import", "product.h5", "out.cxi", "--compress", "--json")
    assert done.returncode == 0, done.stderr
    with h5py.File(tmp_path / "out.cxi") as file:
        data = file["entry_1/data_1/data"]
        assert np.array_equal(data, COUNTS)
        assert data.compression == "gzip"
    done = run_command("ptychoproduct", "import", "product.h5", "out.npz", "--keys", "ptychodus")
    assert done.returncode == 0, done.stderr
    assert np.array_equal(np.load(tmp_path / "out.npz")["patterns"], COUNTS)
    done = run_command("ptychoproduct", "import", "product.h5", "out.cxi", "--original-axis-order")
    assert done.returncode == 2
    assert done.stderr.strip().endswith("--original-axis-order: does not apply to out.cxi")


def test_a_cxi_file_does_not_say_when_it_was_made(tmp_path):
    import_product_to_cxi(write_product(tmp_path / "product.h5"), tmp_path / "out.cxi")
    times = {}
    with h5py.File(tmp_path / "out.cxi") as file:
        file.visititems(lambda name, found: times.update({name: h5py.h5g.get_objinfo(found.id).mtime}))
    assert len(times) > 20
    assert set(times.values()) == {0}, times  # so the same product gives the same bytes
