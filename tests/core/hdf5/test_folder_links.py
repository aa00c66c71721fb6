"""Hdf5Source: links are followed, but not out of the folder; whatever is wrong is a SourceError."""

import h5py
import hdf5plugin
import numpy as np
import pytest

from ptychoproduct.errors import SourceError
from ptychoproduct.hdf5.folder_links import Hdf5Source

DATA = np.arange(24, dtype="<u2").reshape(4, 2, 3)


@pytest.fixture
def folder(tmp_path):
    """The source's folder, with a file of data in it, below it, and outside of it."""
    folder = tmp_path / "scan"
    (folder / "sub").mkdir(parents=True)
    for path in (folder / "data.h5", folder / "sub" / "data.h5", tmp_path / "outside.h5"):
        with h5py.File(path, "w") as file:
            file["d"] = DATA
            file["soft"] = h5py.SoftLink("/d")
    return folder


def make(folder, fill, name="scan.h5"):
    path = folder / name
    with h5py.File(path, "w", libver=("v110", "v110")) as file:
        fill(file)
    return path


def virtual(name, file_name, dataset="d"):
    def fill(file):
        layout = h5py.VirtualLayout(DATA.shape, DATA.dtype)
        layout[:] = h5py.VirtualSource(file_name, dataset, DATA.shape)
        file.create_virtual_dataset(name, layout)

    return fill


def raw_data(file_name):
    def fill(file):
        file.create_dataset("d", DATA.shape, DATA.dtype, external=[(str(file_name), 0, DATA.nbytes)])

    return fill


def external(file_name, target="/d"):
    def fill(file):
        file["d"] = h5py.ExternalLink(str(file_name), target)

    return fill


def read(path, name="/d"):
    with Hdf5Source(path) as source:
        return source.read(source.find(name))


def refused(path, *words, name="/d"):
    with pytest.raises(SourceError) as caught, Hdf5Source(path) as source:
        source.find(name)
    message = str(caught.value)
    assert "\n" not in message
    assert [word for word in (path.name, *words) if word not in message] == []


INSIDE = {
    "a dataset": lambda file: file.create_dataset("d", data=DATA),
    "a soft link": lambda file: file.update({"x/y": DATA, "d": h5py.SoftLink("/x/y")}),
    "a relative soft link": lambda file: file.update({"d": h5py.SoftLink("x/./y"), "x/y": DATA}),
    "a soft link in a soft link": lambda file: file.update(
        {"g/y": DATA, "h": h5py.SoftLink("/g"), "d": h5py.SoftLink("/h/y")}
    ),
    "a link to a file": external("data.h5"),
    "a link to a file below": external("sub/data.h5"),
    "a link to a soft link of a file": external("data.h5", "/soft"),
    "a link with a way round": external("sub/../data.h5"),
    "a virtual dataset": virtual("d", "data.h5"),
    "a virtual dataset below": virtual("d", "./sub/data.h5"),
    "a virtual dataset by a soft link": virtual("d", "data.h5", "soft"),
}


@pytest.mark.parametrize("case", INSIDE)
@pytest.mark.parametrize("elsewhere", [False, True], ids=["", "from another working directory"])
def test_data_in_the_folder_is_found(folder, monkeypatch, tmp_path, case, elsewhere):
    if elsewhere:
        monkeypatch.chdir(tmp_path)
    assert np.array_equal(read(make(folder, INSIDE[case])), DATA)


@pytest.mark.parametrize("kind", [external, lambda name: virtual("d", str(name))], ids=["link", "virtual"])
def test_an_absolute_name_in_the_folder_is_followed(folder, kind):
    assert np.array_equal(read(make(folder, kind(folder / "data.h5"))), DATA)


@pytest.mark.parametrize("absolute", [False, True])
def test_raw_data_is_taken_from_beside_the_file(folder, monkeypatch, tmp_path, absolute):
    (folder / "raw.bin").write_bytes(DATA.tobytes())
    (tmp_path / "raw.bin").write_bytes(b"\xff" * DATA.nbytes)
    monkeypatch.chdir(tmp_path)
    assert np.array_equal(read(make(folder, raw_data(folder / "raw.bin" if absolute else "raw.bin"))), DATA)


def test_virtual_data_of_the_same_file_is_found(folder):
    def fill(file):
        file["x"] = DATA
        virtual("d", ".", "x")(file)

    assert np.array_equal(read(make(folder, fill)), DATA)


def test_the_folder_is_that_of_the_file_behind_a_symbolic_link(folder, tmp_path):
    path = make(folder, external("data.h5"))
    link = tmp_path / "link.h5"
    link.symlink_to(path)
    assert np.array_equal(read(link), DATA)


def test_a_symbolic_link_within_the_folder_is_followed(folder):
    (folder / "link.h5").symlink_to(folder / "sub" / "data.h5")
    assert np.array_equal(read(make(folder, external("link.h5"))), DATA)


OUTSIDE = {
    "up": "../outside.h5",
    "down and up": "sub/../../outside.h5",
    "a symbolic link": "link.h5",
    "a symbolic folder": "up/outside.h5",
    "absolute": "{parent}/outside.h5",
    "missing, outside": "../none.h5",
    "a folder of like name": "../scan2/data.h5",
}
KINDS = {
    "link": lambda name: external(name),
    "virtual": lambda name: virtual("d", name),
    "raw": lambda name: raw_data(name),
}


@pytest.mark.parametrize("way", OUTSIDE)
@pytest.mark.parametrize("kind", KINDS)
def test_data_out_of_the_folder_is_refused(folder, tmp_path, way, kind):
    (folder / "link.h5").symlink_to(tmp_path / "outside.h5")
    (folder / "up").symlink_to(tmp_path)
    (tmp_path / "scan2").mkdir()
    (tmp_path / "scan2" / "data.h5").write_bytes((tmp_path / "outside.h5").read_bytes())
    name = OUTSIDE[way].format(parent=tmp_path)
    refused(make(folder, KINDS[kind](name)), "/d", name, "outside its folder")


NESTED = {
    "a link to a link": (external("second.h5"), external("../outside.h5")),
    "a link to a virtual dataset": (external("second.h5"), virtual("d", "../outside.h5")),
    "a link to raw data": (external("second.h5"), raw_data("../outside.h5")),
    "a virtual dataset of a link": (virtual("d", "second.h5"), external("../outside.h5")),
    "a virtual dataset of a virtual dataset": (virtual("d", "second.h5"), virtual("d", "../outside.h5")),
    "a virtual dataset of raw data": (virtual("d", "second.h5"), raw_data("{parent}/outside.h5")),
    "from a folder below": (external("sub/third.h5"), external("../../outside.h5")),
}


@pytest.mark.parametrize("case", NESTED)
def test_data_out_of_the_folder_is_refused_however_deep(folder, tmp_path, case):
    first, second = NESTED[case]
    if case == "a virtual dataset of raw data":
        second = raw_data(tmp_path / "outside.h5")
    make(folder, second, "second.h5")
    make(folder / "sub", second, "third.h5")
    refused(make(folder, first), "outside its folder")


def test_a_name_counts_from_the_file_that_has_it(folder):
    make(folder / "sub", external("data.h5"), "second.h5")
    (folder / "data.h5").unlink()
    assert np.array_equal(read(make(folder, external("sub/second.h5"))), DATA)


def test_raw_data_by_a_relative_name_behind_a_virtual_dataset_is_refused(folder):
    """HDF5 would look for it in the working directory."""
    (folder / "raw.bin").write_bytes(DATA.tobytes())
    make(folder, raw_data("raw.bin"), "second.h5")
    refused(make(folder, virtual("d", "second.h5")), "raw.bin", "virtual")


@pytest.mark.parametrize("kind", KINDS)
def test_missing_files_are_told_and_are_not_taken_for_zeros(folder, kind):
    refused(make(folder, KINDS[kind]("none.h5")), "the data is in none.h5, which is not beside scan.h5; copy it there")


@pytest.mark.parametrize(
    "fill", [external("data.h5", "/none"), lambda file: file.update({"d": h5py.SoftLink("/none")})]
)
def test_a_link_to_nothing_is_no_dataset(folder, fill):
    with Hdf5Source(make(folder, fill)) as source:
        assert source.find("/d") is None


def test_virtual_data_that_is_not_in_its_file_is_told(folder):
    refused(make(folder, virtual("d", "data.h5", "none")), "data.h5", "none")


def test_virtual_data_from_numbered_files_is_refused(folder):
    def fill(file):
        endless = (h5py.h5s.UNLIMITED, *DATA.shape[1:])
        space = h5py.h5s.create_simple(DATA.shape, endless)
        space.select_hyperslab((0, 0, 0), (h5py.h5s.UNLIMITED, 1, 1), DATA.shape, DATA.shape)
        properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        properties.set_virtual(space, b"data-%b.h5", b"d", h5py.h5s.create_simple(DATA.shape))
        h5py.h5d.create(file.id, b"d", h5py.h5t.STD_U16LE, h5py.h5s.create_simple(DATA.shape, endless), properties)

    refused(make(folder, fill), "data-%b.h5")


def test_a_file_that_is_no_hdf5_is_told(folder):
    (folder / "text.h5").write_text("no HDF5")
    refused(make(folder, external("text.h5")), "text.h5", "not an HDF5 file")
    refused(make(folder, virtual("d", "text.h5")), "text.h5", "not an HDF5 file")


@pytest.mark.parametrize(
    "fill",
    [
        lambda file: file.update({"d": h5py.SoftLink("/d")}),
        lambda file: file.update({"a": h5py.SoftLink("/d"), "d": h5py.SoftLink("/a")}),
        external("scan.h5"),
    ],
    ids=["itself", "each other", "by way of the file"],
)
def test_links_that_go_round_are_told(folder, fill):
    refused(make(folder, fill), "form a circle")


def test_virtual_datasets_that_go_round_come_to_an_end(folder):
    make(folder, virtual("d", "scan.h5"), "second.h5")
    with Hdf5Source(make(folder, virtual("d", "second.h5"))) as source:
        assert source.find("/d").shape == DATA.shape


@pytest.mark.parametrize("variable", ["HDF5_VDS_PREFIX", "HDF5_EXT_PREFIX", "HDF5_EXTFILE_PREFIX"])
def test_a_prefix_in_the_environment_would_lead_elsewhere(folder, monkeypatch, variable):
    monkeypatch.setenv(variable, "/tmp")
    refused(make(folder, virtual("d", "data.h5")), variable)


def test_what_is_in_the_way_of_a_path_is_no_group(folder):
    with Hdf5Source(folder / "data.h5") as source:
        assert source.find("/d/x") is None
        assert source.find("/none/x") is None
        assert source.find("/") is None


@pytest.mark.parametrize("case", ["text", "none", "a folder", "a loop"])
def test_a_file_that_cannot_be_opened_is_told(folder, case):
    path = folder / case
    if case == "text":
        path.write_text("no HDF5")
    elif case == "a folder":
        path.mkdir()
    elif case == "a loop":
        path.symlink_to(path)
    with pytest.raises(SourceError, match=case):
        Hdf5Source(path)


def test_all_files_that_data_comes_from_are_known(folder):
    (folder / "raw.bin").write_bytes(DATA.tobytes())

    def fill(file):
        file["a"] = h5py.ExternalLink("data.h5", "/d")
        virtual("b", "sub/data.h5")(file)
        file.create_dataset("c", DATA.shape, DATA.dtype, external=[("raw.bin", 0, DATA.nbytes)])

    path = make(folder, fill)
    with Hdf5Source(path) as source:
        for name in "abc":
            source.find(name)
        assert source.files[0] == path
        assert {file.relative_to(folder).as_posix() for file in source.files} == {
            "scan.h5",
            "data.h5",
            "sub/data.h5",
            "raw.bin",
        }


def test_stacks_lists_what_could_be_frames(folder):
    def fill(file):
        file["complex"] = DATA.astype(complex)
        file["text"] = np.full(DATA.shape, b"text")
        file["bool"] = DATA > 3
        file["one"], file["points"] = DATA[:1], DATA[:, :1, :1]
        file["fields"] = np.zeros(DATA.shape, [("real", "f4"), ("imag", "f4")])
        file["map"] = np.ones((2, 3, 4, 5), "f4")
        file["missing"] = h5py.ExternalLink("none.h5", "/d")
        file["a/b/c"] = DATA
        file["a/plane"] = DATA[0]
        file["linked"] = h5py.ExternalLink("data.h5", "/d")
        file["out"] = h5py.ExternalLink("../outside.h5", "/d")
        file["round"] = h5py.SoftLink("/round")
        file["empty"] = h5py.Empty("f4")
        file["again"] = file["a"]
        file["a/up"] = file["/"]

    with Hdf5Source(make(folder, fill)) as source:
        stacks = source.stacks()
    assert ("/a/b/c", DATA.shape) in stacks
    assert ("/linked", DATA.shape) in stacks
    assert stacks.pop(0) == ("/map", (2, 3, 4, 5))
    assert all(shape == DATA.shape and not name.startswith(("/out", "/bool")) for name, shape in stacks)
    assert not {"/complex", "/text", "/bool", "/fields"} & {name for name, _ in stacks}
    assert source.missing == ["none.h5"]


@pytest.mark.parametrize(
    "data",
    [h5py.Empty("f4"), np.array([b"text"], h5py.string_dtype()), np.full(2, h5py.Reference(), h5py.ref_dtype)],
    ids=["empty", "text", "references"],
)
def test_what_is_no_array_of_numbers_is_not_read(folder, data):
    path = make(folder, lambda file: file.create_dataset("d", data=data))
    with Hdf5Source(path) as source, pytest.raises(SourceError, match="must be an array of numbers"):
        source.read(source.find("/d"))


def test_data_that_cannot_be_decoded_is_told(folder):
    path = make(folder, lambda file: file.create_dataset("d", data=DATA, chunks=DATA.shape, **hdf5plugin.Zstd()))
    with h5py.File(path) as file:
        place = file["d"].id.get_chunk_info(0).byte_offset
    with path.open("r+b") as file:
        file.seek(place)
        file.write(b"\xff" * 8)
    with Hdf5Source(path) as source, pytest.raises(SourceError, match=r"scan\.h5: /d: cannot be read"):
        source.read(source.find("/d"))


def make_unknown_filter(path):
    with h5py.File(path, "w") as file:
        properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        properties.set_chunk(DATA.shape)
        properties.set_filter(h5py.h5z.FILTER_DEFLATE, h5py.h5z.FLAG_OPTIONAL, (1,))
        space = h5py.h5s.create_simple(DATA.shape)
        h5py.h5d.create(file.id, b"d", h5py.h5t.STD_U16LE, space, properties).write_direct_chunk(
            (0, 0, 0), DATA.tobytes(), 1
        )
    # Version 1 of the filter message: number, length of the name, flags, parameters, "deflate".
    data = path.read_bytes()
    old = b"\x01\x00\x08\x00\x01\x00\x01\x00deflate\0"
    assert data.count(old) == 1
    path.write_bytes(data.replace(old, b"\x39\x30\x08\x00\x01\x00\x01\x00szilard\0"))


@pytest.mark.parametrize("kind", ["direct", "link", "virtual"])
def test_a_filter_that_nobody_has_is_named(folder, kind):
    path = folder / "unknown.h5"
    make_unknown_filter(path)
    if kind != "direct":
        path = make(folder, KINDS[kind]("unknown.h5"))
    refused(path, "12345", "szilard")
