"""What holds the house up: import order, one kernel file, no leftovers."""

import ast
import pathlib

import skprune

ROOMS = [
    "_structures", "_options", "_compat", "_threads", "_kernels", "connectivity", "inference",
    "samplers", "likelihood", "criteria", "schedules", "_training", "_base", "rbm", "dbm", "dbn", "network", "pruning", "metrics",
    "datasets", "plotting",
]  # fmt: skip
PACKAGE = pathlib.Path(skprune.__file__).parent


def imports(path):
    """Names of the package's own modules that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level == 1:
            found |= {node.module} if node.module else {alias.name for alias in node.names}
    return found


def test_every_file_is_a_room():
    assert {p.stem for p in PACKAGE.glob("*.py")} == {*ROOMS, "__init__"}


def test_a_room_imports_only_from_rooms_above():
    for position, room in enumerate(ROOMS):
        below = imports(PACKAGE / f"{room}.py") - set(ROOMS[:position])
        assert not below, f"{room} imports {below}"


def test_numba_only_in_the_kernels():
    for path in PACKAGE.glob("*.py"):
        if path.stem != "_kernels":
            assert "numba" not in {
                name.split(".")[0]
                for node in ast.walk(ast.parse(path.read_text()))
                if isinstance(node, ast.Import | ast.ImportFrom)
                for name in (
                    [node.module or ""]
                    if isinstance(node, ast.ImportFrom)
                    else [a.name for a in node.names]
                )
            }


def test_pruning_imports_no_machine():
    assert not imports(PACKAGE / "pruning.py") & {"rbm", "_base", "_training", "inference"}


def test_public_functions_are_typed_and_documented():
    for path in PACKAGE.glob("*.py"):
        if path.stem in ("_kernels", "_compat"):
            continue
        for node in ast.parse(path.read_text()).body:
            nodes = [node, *(node.body if isinstance(node, ast.ClassDef) else [])]
            for item in nodes:
                if isinstance(item, ast.FunctionDef | ast.ClassDef) and not item.name.startswith(
                    "_"
                ):
                    composed = any(  # __doc__ = f"..."
                        isinstance(line, ast.Assign) and line.targets[0].id == "__doc__"
                        for line in item.body
                        if isinstance(line, ast.Assign) and isinstance(line.targets[0], ast.Name)
                    )
                    documented = composed or ast.get_docstring(item)
                    assert documented, f"{path.name}: {item.name} has no docstring"


def test_version_is_the_installed_one():
    from importlib.metadata import PackageNotFoundError, version

    try:
        assert version("skprune") == skprune.__version__
    except PackageNotFoundError:
        assert skprune.__version__.count(".") == 2
