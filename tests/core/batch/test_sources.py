"""Which files a batch takes, and how outputs are named."""

from pathlib import Path

import pytest

from ptychoproduct import OptionError, SourceError
from ptychoproduct.batch.sources import find_sources, name_outputs


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name in ("s10.npz", "s9.npz", "s1.NPZ", "notes.txt", ".hidden.npz", "deep/s2.npz", "old.h5"):
        path = tmp_path / "night" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    monkeypatch.chdir(tmp_path)
    return Path("night")


def names(words, **others):
    return [path.name for path in find_sources(words, (".npz",), **others)]


def test_files_folders_and_patterns(folder):
    assert names([folder]) == ["s1.NPZ", "s9.npz", "s10.npz"]
    assert names(["night/s?.*"]) == ["s1.NPZ", "s9.npz"]
    assert names(["night/**/*2.npz", "anything.txt", "night/deep/../deep/s2.npz"]) == ["s2.npz", "anything.txt"]


@pytest.mark.usefixtures("folder")
def test_a_list():
    Path("list").write_text("# tonight\n\n  night/s9.npz \nnight/*1.NPZ\n")
    assert names([], list_file="list") == ["s9.npz", "s1.NPZ"]
    Path("empty").touch()
    for bad in ("missing", "empty", "night"):
        with pytest.raises(SourceError, match=bad):
            names([], list_file=bad)


def test_an_output_is_not_taken_from_its_own_folder(folder):
    found = find_sources([folder], (".npz", ".h5"), folder=folder, output_suffix=".h5")
    assert [path.name for path in found] == ["s1.NPZ", "s9.npz", "s10.npz"]


@pytest.mark.parametrize("word", ["night/*.tif", "night/deep/empty"])
def test_nothing_is_an_error(folder, word):
    (folder / "deep" / "empty").mkdir()
    with pytest.raises(SourceError, match="there is no file"):
        names([word])


def test_names_that_meet():
    assert name_outputs([Path("a/x.npz"), Path("a/y.npz")], "out", ".h5") == [Path("out/x.h5"), Path("out/y.h5")]
    with pytest.raises(OptionError, match=r"a/x\.npz and b/x\.h5 would both become out/x\.h5"):
        name_outputs([Path("a/x.npz"), Path("b/x.h5")], "out", ".h5")
    with pytest.raises(OptionError, match="one of the inputs"):
        name_outputs([Path("out/x.h5")], "out", None)
