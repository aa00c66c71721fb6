"""Damaged products, taken as far as they can be read: what is lost is named and never passes for measured."""

import h5py
import numpy as np
import pytest

from ptychoproduct import (
    DamageWarning,
    ExportOptions,
    OptionError,
    ProductError,
    ProductWarning,
    ScanFiles,
    export_product_from_files,
    export_product_from_npz,
    import_product_to_npz,
    import_product_to_rawdata,
    open_product,
    repack_product,
    validate_product,
)

# Each damage gives several warnings, of which a test looks for one.
pytestmark = pytest.mark.filterwarnings("ignore::ptychoproduct.ProductWarning")
FRAMES = "raw_data/diffraction"
LOST = slice(4, 8)  # the second chunk


@pytest.fixture
def made(save_scan, centered_meta, tmp_path):
    """A function that makes a product of twelve frames, four in a chunk, with one more array."""

    def make(compression="zstd:1+fletcher32", **changes):
        source = save_scan(Y=np.arange(24.0).reshape(12, 2), **changes)
        options = ExportOptions(compression=compression, chunk_frames=4)
        export_product_from_npz(source, tmp_path / "product.h5", centered_meta, options=options)
        return tmp_path / "product.h5"

    return make


def flip(path, name=FRAMES, chunk=1):
    """Change one bit in a chunk; or of a dataset that has none."""
    with h5py.File(path) as file:
        dataset = file[name]
        place = dataset.id.get_offset()
        if dataset.chunks:
            info = dataset.id.get_chunk_info(chunk)
            place = info.byte_offset + info.size // 2
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def without_chunk(path):
    """Take the second chunk of the frames away, but for its checksums."""
    with h5py.File(path, "r+") as file:
        old = file[FRAMES]
        chunks = {first: old.id.read_direct_chunk((first, 0, 0)) for first in (0, 8)}
        properties, attributes = old.id.get_create_plist(), dict(old.attrs)
        space, kind = old.id.get_space(), old.id.get_type()
        for name in (FRAMES, "entry/frames/diffraction"):
            if name in file:
                del file[name]
        new = h5py.Dataset(h5py.h5d.create(file.id, FRAMES.encode(), kind, space, properties))
        for first, (mask, data) in chunks.items():
            new.id.write_direct_chunk((first, 0, 0), data, mask)
        new.attrs.update(attributes)
        del file.attrs["metadata_sha256"]


def frames_of(path):
    with h5py.File(path) as file:
        return file[FRAMES][:], file["probe_position_x_m"][:]


@pytest.mark.parametrize("damaged", [flip, without_chunk])
def test_repack_lists_the_rows_that_are_lost_and_everyone_tells(made, tmp_path, damaged):
    path = made()
    sound, _ = frames_of(path)
    damaged(path)
    out = tmp_path / "out.h5"
    options = ExportOptions(compression="bitshuffle-zstd:1", chunk_frames=3)
    with pytest.warns(DamageWarning, match="/raw_data/diffraction: damaged: frames 4 to 7 are lost, and have the fill"):
        repack_product(path, out, options=options, accept_damage=True)
    found, _ = frames_of(out)
    assert not found[LOST].any()
    assert np.array_equal(np.delete(found, LOST, 0), np.delete(sound, LOST, 0))
    with h5py.File(out) as file:
        assert file[FRAMES].attrs["lost_rows"].tolist() == [4, 5, 6, 7]
    report = validate_product(out, deep=True)
    assert report.is_valid
    assert any("rows 4 to 7 were lost" in problem.message for problem in report.problems)
    with pytest.warns(ProductWarning, match="frames 4 to 7 were lost before it was repacked, and are zeros"):
        open_product(out).close()


COMMANDS = {
    "import": lambda path, out, accept: import_product_to_npz(path, out.with_suffix(".npz"), accept_damage=accept),
    "repack": lambda path, out, accept: repack_product(path, out, accept_damage=accept),
    "convert": lambda path, out, accept: export_product_from_files(ScanFiles(path, accept_damage=accept), out),
    "positions": lambda path, out, accept: export_product_from_files(
        ScanFiles(path.with_name("scan.npz"), positions=path, accept_damage=accept), out
    ),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_changed_attribute_is_an_error_unless_damage_is_accepted(made, tmp_path, command):
    path, out = made(), tmp_path / "out.h5"
    with h5py.File(path, "r+") as file:
        file.attrs["probe_energy_eV"] = file.attrs["photon_energy_eV"] = 9000.0
    before = sorted(tmp_path.iterdir())
    with pytest.raises(ProductError, match=r"attribute or text .* has changed .* on purpose, remove this attribute"):
        COMMANDS[command](path, out, False)
    assert sorted(tmp_path.iterdir()) == before
    if command != "positions":  # damage of an NPZ file's companions cannot be accepted
        with pytest.warns(DamageWarning, match="attribute or text in the file has changed"):
            COMMANDS[command](path, out, True)
    with h5py.File(path, "r+") as file:
        del file.attrs["metadata_sha256"]
    COMMANDS[command](path, out, False)


def test_a_repacked_product_keeps_the_digest_that_a_changed_attribute_does_not_fit(made, tmp_path):
    path, out = made(), tmp_path / "out.h5"
    with h5py.File(path, "r+") as file:
        file.attrs["exposure_time_s"] = 0.5
    repack_product(path, out, accept_damage=True)
    with h5py.File(path) as old, h5py.File(out) as new:
        assert new.attrs["exposure_time_s"] == 0.5
        assert new.attrs["metadata_sha256"] == old.attrs["metadata_sha256"]
    assert any("attribute or text" in problem.message for problem in validate_product(out).problems)


def test_what_was_lost_before_is_left_out_of_a_conversion_without_being_asked(made, tmp_path):
    path = made()
    flip(path)
    sound, x_m = frames_of(made())
    flip(path)
    with pytest.warns(DamageWarning):
        repack_product(path, tmp_path / "repacked.h5", accept_damage=True)
    summary = export_product_from_files(ScanFiles(tmp_path / "repacked.h5"), tmp_path / "new.h5")
    found, positions = frames_of(tmp_path / "new.h5")
    assert np.array_equal(found, np.delete(sound, LOST, 0))
    assert np.array_equal(positions, np.delete(x_m, LOST))
    assert any("without frames 4 to 7, which are lost" in note for note in summary.notes)


@pytest.mark.parametrize("damaged", [flip, without_chunk])
@pytest.mark.parametrize("frames", [None, "2:10"])
def test_convert_leaves_lost_frames_out_with_their_positions(made, tmp_path, damaged, frames):
    path = made()
    sound, x_m = frames_of(path)
    damaged(path)
    kept = [number for number in (range(12) if frames is None else range(2, 10)) if not 4 <= number < 8]
    files = ScanFiles(path, frames=frames, accept_damage=True)
    with pytest.warns(DamageWarning, match="damaged: frames 4 to 7 are lost, and are left out"):
        export_product_from_files(files, tmp_path / "new.h5")
    found, positions = frames_of(tmp_path / "new.h5")
    assert np.array_equal(found, sound[kept])
    assert np.array_equal(positions, x_m[kept])
    assert validate_product(tmp_path / "new.h5", deep=True).is_valid


def test_a_frame_that_has_changed_is_left_out_or_stays_noticeable(made, tmp_path):
    path = made("none")
    sound, _ = frames_of(path)
    flip(path)
    with h5py.File(path) as file:
        changed = int(np.flatnonzero((file[FRAMES][:] != sound).any((1, 2)))[0])
    words = f"frames {changed} to {changed} have changed since row_crc32 was written"
    with pytest.warns(DamageWarning, match=words):
        repack_product(path, tmp_path / "out.h5", options=ExportOptions("zstd:1"), accept_damage=True)
    assert any(words in problem.message for problem in validate_product(tmp_path / "out.h5", deep=True).problems)
    with pytest.warns(DamageWarning, match=words):
        export_product_from_files(ScanFiles(path, accept_damage=True), tmp_path / "new.h5")
    assert np.array_equal(frames_of(tmp_path / "new.h5")[0], np.delete(sound, changed, 0))
    with pytest.warns(DamageWarning, match=words):
        import_product_to_rawdata(path, accept_damage=True)


def test_another_array_that_cannot_be_opened_is_left_out_and_named(made, tmp_path):
    path = made()
    with h5py.File(path, "r+") as file:
        del file["raw_data/Y"], file.attrs["metadata_sha256"]
        file["raw_data"].create_dataset("Y", (2**40,), "f8", chunks=(1024,))
    words = r"/raw_data/Y: damaged: .*; it is left out"
    for name, work in {
        "out.h5": lambda out: repack_product(path, out, accept_damage=True),
        "new.h5": lambda out: export_product_from_files(ScanFiles(path, accept_damage=True), out),
        "again.npz": lambda out: import_product_to_npz(path, out, accept_damage=True),
    }.items():
        with pytest.warns(DamageWarning, match=words):
            work(tmp_path / name)
    with h5py.File(tmp_path / "out.h5") as out, h5py.File(tmp_path / "new.h5") as new:
        assert "Y" not in out["raw_data"]
        assert "Y" not in new["raw_data"]
    with np.load(tmp_path / "again.npz") as archive:
        assert "Y" not in archive


def test_frames_of_which_nothing_is_left_are_an_error(made, tmp_path):
    path = made()
    with h5py.File(path, "r+") as file:
        for name in (FRAMES, "entry/frames/diffraction", "metadata_sha256"):
            if name in file:
                del file[name]
        file.create_dataset(FRAMES, (2**40, 16, 16), "f4", chunks=(4, 16, 16))
        del file.attrs["metadata_sha256"]
    for work in (
        lambda: import_product_to_npz(path, tmp_path / "again.npz", compress=True, accept_damage=True),
        lambda: export_product_from_files(ScanFiles(path, accept_damage=True), tmp_path / "new.h5"),
    ):
        with pytest.raises(ProductError, match="hardly any frame is left"):
            work()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["product.h5", "scan.npz"]


def test_damage_cannot_be_accepted_where_it_could_not_be_told(made, tmp_path, save_scan):
    path = made()
    with pytest.raises(OptionError, match="verify"):
        repack_product(path, tmp_path / "out.h5", options=ExportOptions("zstd", verify=True), accept_damage=True)
    with pytest.raises(OptionError, match="applies to products"):
        ScanFiles(save_scan(), accept_damage=True)


@pytest.mark.parametrize(
    "words",
    [
        ["convert", "product.h5", "out.h5"],
        ["import", "product.h5", "out.npz"],
        ["repack", "product.h5", "out.h5", "--compression", "zstd"],
        ["import", "product.h5", "--output-dir", "out"],
    ],
    ids=["convert", "import", "repack", "batch"],
)
def test_the_exit_code_and_the_summary_say_that_something_is_missing(made, run_command, words):
    flip(made())
    assert run_command("ptychoproduct", *words).returncode == 2
    done = run_command("ptychoproduct", *words, "--accept-damage")
    assert done.returncode == 3
    assert "damaged: frames 4 to 7 are lost" in done.stderr
    if "--output-dir" not in words:
        assert "damaged: frames 4 to 7 are lost" in " ".join(done.stdout.split())
