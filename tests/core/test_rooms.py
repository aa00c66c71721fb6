"""Imports run one way: cli to core to bindings, and inside core from room to room; a parser is built without NumPy."""

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "bindings": ROOT / "bindings" / "ptychoproduct_native",
    "core": ROOT / "core" / "ptychoproduct",
    "cli": ROOT / "cli" / "ptychoproduct_cli",
}
FORBIDDEN = {
    "bindings": {"ptychoproduct", "ptychoproduct_cli"},
    "core": {"ptychoproduct_cli"},
    "cli": set(),
}
# Each room imports from itself and from those before it; `benchmark` uses the front door, too, as a user does.
ROOMS = (
    *("errors", "aliases", "system", "model", "npz", "compression", "hdf5", "streaming", "scan", "validation"),
    *("plots", "tuning", "product", "convert", "batch", "benchmark"),
)
FRONT_DOOR = {"benchmark"}
MOST_LINES = 400
MODULES = {
    ".".join(path.relative_to(folder.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for folder in PACKAGES.values()
    for path in sorted(folder.rglob("*.py"))
}
SOURCES = [
    path for folder in PACKAGES.values() for path in sorted(folder.rglob("*")) if path.suffix in (".py", ".pyx", ".c")
]
IN_ROOMS = [name for name in MODULES if name.startswith("ptychoproduct.") and name != "ptychoproduct.__main__"]


def parse(path):
    return ast.parse(path.read_text(encoding="utf-8"), path)


def statements(node, *, lazy=True):
    """Give all statements below a node that run; of functions only where lazy ones are asked for."""
    for child in ast.iter_child_nodes(node):
        if not lazy and isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        yield child
        yield from statements(child, lazy=lazy)


def imported(nodes):
    """Give the modules that import statements name, the names from them included: one of them may be a module."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def modules_of_ours(name):
    """Return the modules of ours that a module imports, at its start or later."""
    found = set()
    for target in imported(statements(parse(MODULES[name]))):
        is_package = target in MODULES and MODULES[target].name == "__init__.py"
        if target in MODULES and not is_package:
            found.add(target)
    return found


def room(module):
    return module.split(".")[1]


@pytest.mark.parametrize("package", PACKAGES)
def test_no_module_imports_against_the_way(package):
    for path in sorted(PACKAGES[package].rglob("*.py")):
        named = {module.partition(".")[0] for module in imported(ast.walk(parse(path)))}
        assert FORBIDDEN[package].isdisjoint(named), path


@pytest.mark.parametrize("path", sorted(PACKAGES["bindings"].glob("*.p*")), ids=lambda path: path.name)
def test_no_cython_module_names_the_packages_above(path):
    if path.suffix in (".pyx", ".pxd", ".pyi"):
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if "import" in line.split()]
        assert not any(
            package in line.replace("ptychoproduct_native", "") for line in lines for package in FORBIDDEN["bindings"]
        )


def test_core_has_these_rooms_and_at_most_four_modules_beside_them():
    folder = PACKAGES["core"]
    modules = {path.name for path in folder.iterdir() if path.is_file()}
    rooms = {path.parent.name for path in folder.glob("*/__init__.py")}
    assert modules == {"__init__.py", "__init__.pyi", "__main__.py", "py.typed", "errors.py", "aliases.py"}
    assert rooms | {"errors", "aliases"} == set(ROOMS)


@pytest.mark.parametrize("module", IN_ROOMS)
def test_a_module_imports_from_its_own_room_and_those_before_it(module):
    allowed = ROOMS[: ROOMS.index(room(module)) + 1]
    later = {
        target
        for target in modules_of_ours(module)
        if target.startswith("ptychoproduct.") and room(target) not in allowed
    }
    assert not later
    front_door = {target for target in imported(statements(parse(MODULES[module]))) if target == "ptychoproduct"}
    assert not front_door or room(module) in FRONT_DOOR


def test_no_modules_import_each_other_in_a_circle():
    try:
        TopologicalSorter({name: modules_of_ours(name) for name in MODULES}).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_a_file_is_read_in_one_sitting(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MOST_LINES


@pytest.mark.parametrize("name", ROOMS[2:])
def test_a_room_says_what_it_is_for_and_what_it_may_import(name):
    text = ast.get_docstring(parse(PACKAGES["core"] / name / "__init__.py"))
    assert len(text.splitlines()) >= 3
    assert "Imports " in text


def test_core_is_pure_python():
    files = [path for path in PACKAGES["core"].rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert {path.name for path in files if path.suffix not in (".py", ".pyi")} == {"py.typed", "page.html"}


@pytest.mark.parametrize("path", sorted(PACKAGES["cli"].rglob("*.py")), ids=lambda path: path.stem)
def test_command_line_modules_import_nothing_but_the_standard_library_at_first(path):
    allowed = set(sys.stdlib_module_names) | {"ptychoproduct_cli"}
    named = {module.partition(".")[0] for module in imported(statements(parse(path), lazy=False))}
    assert named <= allowed


def test_a_parser_is_built_without_numpy_and_h5py():
    script = (
        "import sys; from ptychoproduct_cli.main import build_parser; build_parser().format_help();"
        "print(*sorted({'numpy', 'h5py', 'hdf5plugin', 'rich', 'ptychoproduct'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.split() == []
