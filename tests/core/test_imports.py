"""Imports run one way: cli to core to bindings; and a parser is built without NumPy."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = {
    "bindings": ROOT / "bindings" / "ptychoproduct_native",
    "core": ROOT / "core" / "ptychoproduct",
    "cli": ROOT / "cli" / "ptychoproduct_cli",
}
PACKAGES = {room: folder.name for room, folder in ROOMS.items()}
FORBIDDEN = {
    "bindings": {PACKAGES["core"], PACKAGES["cli"]},
    "core": {PACKAGES["cli"]},
    "cli": set(),
}
SOURCES = [(room, path) for room, folder in ROOMS.items() for path in sorted(folder.rglob("*.py"))]


def imported_packages(nodes):
    """Give the top-level packages that import statements name; relative imports are of the module's own."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module.partition(".")[0]


def at_module_level(tree):
    """Give all statements that run when a module is imported, bodies of `if`, `try` and classes among them."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            for statement in node.orelse:
                yield statement
                yield from at_module_level(statement)
            continue
        yield node
        yield from at_module_level(node)


def parse(path):
    return ast.parse(path.read_text(encoding="utf-8"), path)


def test_every_room_has_modules():
    assert {room for room, _ in SOURCES} == set(ROOMS)


@pytest.mark.parametrize(("room", "path"), SOURCES, ids=lambda value: value if isinstance(value, str) else value.stem)
def test_no_module_imports_against_the_way(room, path):
    assert FORBIDDEN[room].isdisjoint(imported_packages(ast.walk(parse(path))))


@pytest.mark.parametrize("path", sorted(ROOMS["bindings"].glob("*.p*")), ids=lambda path: path.name)
def test_no_cython_module_names_the_rooms_above(path):
    if path.suffix in (".pyx", ".pxd", ".pyi"):
        statements = [line for line in path.read_text(encoding="utf-8").splitlines() if "import" in line.split()]
        assert not any(
            package in line.replace(PACKAGES["bindings"], "")
            for line in statements
            for package in FORBIDDEN["bindings"]
        )


def test_core_is_pure_python():
    files = [path for path in ROOMS["core"].rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert {path.name for path in files if path.suffix not in (".py", ".pyi")} == {"py.typed"}


@pytest.mark.parametrize("path", sorted(ROOMS["cli"].rglob("*.py")), ids=lambda path: path.stem)
def test_command_line_modules_import_nothing_but_the_standard_library_at_first(path):
    allowed = set(sys.stdlib_module_names) | {PACKAGES["cli"]}
    assert set(imported_packages(at_module_level(parse(path)))) <= allowed


def test_a_parser_is_built_without_numpy_and_h5py():
    script = (
        "import sys; from ptychoproduct_cli.main import build_parser; build_parser().format_help();"
        "print(*sorted({'numpy', 'h5py', 'hdf5plugin', 'rich', 'ptychoproduct'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.split() == []
