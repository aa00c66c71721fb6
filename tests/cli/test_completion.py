"""Completion scripts, read by the shells they are for."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

# What bash does at a press of Tab behind the last word.
COMPLETE = r"""
complete_words() {
    COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
    "$(complete -p "$1" | sed 's/.*-F \([^ ]*\).*/\1/')"
    printf '%s\n' "${COMPREPLY[@]}"
}
"""


@pytest.fixture
def complete(tmp_path):
    """A function that completes a command line in bash."""
    if shutil.which("bash") is None:
        pytest.skip("needs bash")

    def words(*line):
        program = Path(sys.executable).with_name("ptychoproduct")
        script = f'eval "$("{program}" completion bash "$1")"\n{COMPLETE}\ncomplete_words "$@"\n'
        command = ["bash", "-c", script, "bash", *line]
        result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        return result.stdout.split()

    return words


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (("ptychoproduct", "ins"), ["inspect"]),
        (("ptychoproduct", "convert", "--compr"), ["--compression"]),
        (("ptychoproduct", "simulate", "--quantity", ""), ["amplitude", "counts"]),
        (("ptychoproduct", "convert", "--compression", "ar"), ["archive"]),
        (("ptychoproduct", "help", "ins"), ["inspect"]),
        (("convert_to_ptychodus_product", "--input-n"), ["--input-npz", "--input-npy"]),
        (("import_ptychodus_product", "--orig"), ["--original-axis-order"]),
    ],
)
def test_bash_completes_commands_options_and_choices(complete, line, expected):
    assert complete(*line) == expected


def test_bash_completes_file_names(complete, tmp_path):
    (tmp_path / "scan_with_a_long_name.h5").touch()
    assert complete("ptychoproduct", "inspect", "scan_w") == ["scan_with_a_long_name.h5"]


@pytest.mark.skipif(shutil.which("fish") is None, reason="needs fish")
def test_fish_completes_commands_options_and_codecs(tmp_path):
    program = Path(sys.executable).with_name("ptychoproduct")
    lines = ("ptychoproduct ins", "ptychoproduct convert --compr", "ptychoproduct repack a.h5 b.h5 --compression bitsh")
    script = f'"{program}" completion fish | source\n' + "\n".join(f'complete -C "{line}"' for line in lines)
    result = subprocess.run(["fish", "--no-config", "-c", script], cwd=tmp_path, capture_output=True, text=True)
    found = [line.partition("\t")[0] for line in result.stdout.splitlines()]
    assert found == ["inspect", "--compression", "bitshuffle-lz4", "bitshuffle-zstd"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
@pytest.mark.parametrize("program", ["ptychoproduct", "convert_to_ptychodus_product", "import_ptychodus_product"])
def test_a_shell_can_parse_its_script(run_command, tmp_path, shell, program):
    if shutil.which(shell) is None:
        pytest.skip(f"needs {shell}")
    script = tmp_path / "script"
    script.write_text(run_command("ptychoproduct", "completion", shell, program).stdout)
    assert program in script.read_text()
    subprocess.run([shell, "-n", script], check=True)
