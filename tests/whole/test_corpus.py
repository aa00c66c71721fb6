"""Damaged files that once hung, crashed, filled the memory or passed for sound; each is answered as it should be."""

import importlib.util
import lzma
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
CORPUS = sorted((TESTS / "corpus").glob("*.xz"))
COMMANDS = {
    "validate": ["validate", "--deep", "{file}"],
    "inspect": ["inspect", "{file}"],
    "import": ["import", "{file}", "{folder}/out.npz"],
    "repack": ["repack", "{file}", "{folder}/out.h5", "--compression", "zstd"],
    "convert": ["convert", "{file}", "{folder}/out.h5"],
}
ACCEPTING = {name: [*COMMANDS[name], "--accept-damage"] for name in ("import", "repack", "convert")}


@pytest.fixture(scope="module")
def campaign():
    spec = importlib.util.spec_from_file_location("mutations", TESTS / "campaigns" / "mutations.py")
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(sys.platform == "win32", reason="forks")
@pytest.mark.parametrize("packed", CORPUS, ids=lambda path: path.stem)
def test_every_command_answers_a_damaged_file_in_one_line(campaign, tmp_path, packed, capsys):
    file = tmp_path / packed.stem
    file.write_bytes(lzma.decompress(packed.read_bytes()))
    for commands, codes in ((COMMANDS, {2}), (ACCEPTING, {2, 3})):
        for name, words in commands.items():
            folder = tmp_path / "run"
            folder.mkdir()
            with capsys.disabled():  # the command prints to files of its own
                result = campaign.run([word.format(file=file, folder=folder) for word in words], folder)
            assert result[0] in codes, (words, result)
            left = [path.name for path in folder.iterdir() if path.name.startswith("out")]
            assert len(left) == (result[0] == 3), (words, left)
            if result[0] == 2:
                assert not list(campaign.violations(name, result, folder, {})), (words, result)
            assert result[3] < campaign.BYTES, words
            for path in folder.iterdir():
                path.unlink()
            folder.rmdir()


def test_the_corpus_is_there():
    assert len(CORPUS) >= 10
