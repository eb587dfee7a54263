"""The structure of the package: import order, where compiled code lives, and ratchets."""

import ast
import pathlib
from collections import Counter

import skprune
from tests import planted_faults

PACKAGE = pathlib.Path(skprune.__file__).parent

# A module imports only from modules above it.
IMPORT_ORDER = [
    "exceptions",
    "_support.version",
    "_support.compat",
    "_support.options",
    "_support.stored",
    "_support.downloads",
    "_support.threads",
    "_support.random",
    "_support.ranges",
    "_support.tables",
    "_support.validation",
    "_kernels.compile",
    "_kernels.simd",
    "_kernels.emit",
    "_kernels.records",
    "_kernels.blas",
    "_kernels.team",
    "_kernels.draws",
    "_kernels.normal",
    "_kernels.dense",
    "_kernels.edges",
    "_kernels.packing",
    "_kernels.units",
    "_kernels.fields",
    "_kernels.scores",
    "_kernels.chains",
    "_kernels.loading",
    "_kernels.contrastive_steps",
    "_kernels.wake_sleep_steps",
    "_kernels.backprop_steps",
    "connectivity",
    "schedules",
    "_machine.initial",
    "_machine.level_list",
    "_machine.levels",
    "_machine.inference",
    "_machine.visible",
    "_machine.annealing",
    "_machine.labels",
    "samplers",
    "_machine.fisher",
    "criteria",
    "likelihood",
    "_machine.directed",
    "_machine.belief",
    "_machine.generative",
    "_training.passes",
    "_training.variances",
    "_training.contrastive",
    "_training.up_down",
    "_training.backprop",
    "_training.unrolling",
    "_training.doubling",
    "_machine.layered",
    "_machine.base",
    "_machine.restricted",
    "rbm",
    "_training.stacking",
    "dbm",
    "dbn",
    "_network.pretraining",
    "_network.base",
    "autoencoder",
    "classifier",
    "_pruning.protocol",
    "_pruning.plan",
    "_pruning.rounds",
    "_pruning.memory",
    "_pruning.early",
    "_pruning.metadata",
    "_pruning.training",
    "_pruning.loop",
    "_pruning.cross_validation",
    "_pruning.delegation",
    "pruning",
    "metrics",
    "datasets",
    "plotting",
]

# What there may be of each, at most. These numbers only ever fall.
LONG_SIGNATURES = 11  # functions with ten or more arguments
LONG_FUNCTIONS = 6  # functions whose body has more than 60 lines
LONG_FILES = ()  # modules of more than 700 lines
MANY_ARGUMENTS, LONG_BODY, LONG_FILE = 10, 60, 700
MOST_POSITIONAL = 12  # positional arguments of a function that is not a kernel

# The only uses of a private member of another object, and why each is needed.
PRIVATE_ACCESSES = {
    "_kernels.compile dispatcher._cache": "numba has no public way to set where code is kept",
    "_kernels.compile self._codegen._data_layout": "an override needs what numba's own method reads",
    "_kernels.compile _KernelLibrary._optimize_functions": "two libraries share one override",
    "_machine.base machine._keep_units": "a machine prepares a copy of itself before returning it",
}


def module_name(path):
    """Dotted name of a file below the package, such as ``_kernels.edges``."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


MODULES = {
    module_name(path): ast.parse(path.read_text())
    for path in sorted(PACKAGE.rglob("*.py"))
    if path.name != "__init__.py"
}


def imports(name, tree):
    """Names of the package's own modules that a module imports, wherever in it."""
    found = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom) or not node.level:
            continue
        parents = name.split(".")[: -node.level]
        parts = [*parents, *(node.module.split(".") if node.module else [])]
        target = ".".join(parts)
        if target in MODULES:
            found.add(target)
        else:
            found |= {".".join([*parts, alias.name]) for alias in node.names}
    return found


def functions():
    """(module, node) of every function, methods and inner functions included."""
    for name, tree in MODULES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                yield name, node


def check_ratchet(found, limit, name):
    """Fail where there is more than before, and where the limit can be lowered."""
    places = "\n".join(sorted(found))
    assert len(found) <= limit, f"{len(found)} where {name} allows {limit}:\n{places}"
    assert len(found) == limit, f"Good: lower {name} to {len(found)}."


def test_every_module_has_its_place_in_the_import_order():
    assert set(IMPORT_ORDER) == set(MODULES)
    assert max(Counter(IMPORT_ORDER).values()) == 1


def test_a_module_imports_only_from_modules_above_it():
    for position, name in enumerate(IMPORT_ORDER):
        below = imports(name, MODULES[name]) - set(IMPORT_ORDER[:position])
        assert not below, f"{name} imports {below}"


def test_private_packages_have_empty_init_files():
    for path in PACKAGE.glob("_*/__init__.py"):
        assert not path.read_text(), path


def test_numba_only_in_the_kernels():
    for name, tree in MODULES.items():
        if name.startswith("_kernels."):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                modules = [alias.name for alias in node.names]
                if isinstance(node, ast.ImportFrom):
                    modules = [node.module or ""]
                assert not {"numba", "llvmlite"} & {module.split(".")[0] for module in modules}


def test_no_kernel_names_an_instruction_set():
    """Instruction sets are classes in ``simd.py``; kernels use the one that was chosen."""
    for path in (PACKAGE / "_kernels").glob("*.py"):
        if path.name != "simd.py":
            text = path.read_text().lower()
            assert not any(word in text for word in ("avx", "neon", "llvm.x86")), path.name


def test_pruning_imports_no_machine():
    """The pruners know a machine by the members of the protocol only."""
    allowed = ("_pruning", "_support", "connectivity", "criteria", "schedules")
    for name, tree in MODULES.items():
        if name == "pruning" or name.startswith("_pruning."):
            for imported in imports(name, tree):
                assert imported.split(".")[0] in allowed, f"{name} imports {imported}"


def test_public_functions_are_documented():
    for name, tree in MODULES.items():
        if name.startswith("_kernels.") or name.endswith("compat"):
            continue
        for node in tree.body:
            nodes = [node, *(node.body if isinstance(node, ast.ClassDef) else [])]
            for item in nodes:
                if not isinstance(item, ast.FunctionDef | ast.ClassDef) or item.name[0] == "_":
                    continue
                if any(ast.unparse(mark).endswith(".setter") for mark in item.decorator_list):
                    continue
                composed = any(  # __doc__ = f"..."
                    isinstance(line, ast.Assign)
                    and isinstance(line.targets[0], ast.Name)
                    and line.targets[0].id == "__doc__"
                    for line in item.body
                )
                assert composed or ast.get_docstring(item), f"{name}: {item.name}"


def test_private_members_of_other_objects():
    found = []
    for name, tree in MODULES.items():
        modules = {
            alias.asname or alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in node.names
        }
        for node in ast.walk(tree):
            if not isinstance(node, ast.Attribute) or not node.attr.startswith("_"):
                continue
            is_special = node.attr.endswith("__") or node.attr in ("_replace", "_fields", "_asdict")
            own = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
            inherited = isinstance(node.value, ast.Call) and ast.unparse(node.value) == "super()"
            external = isinstance(node.value, ast.Name) and node.value.id in modules
            if not (is_special or own or inherited or external):
                found.append(f"{name} {ast.unparse(node)}")
    assert sorted(found) == sorted(PRIVATE_ACCESSES)


def test_functions_with_many_arguments():
    found = []
    for name, node in functions():
        count = len(node.args.posonlyargs) + len(node.args.args) + len(node.args.kwonlyargs)
        if count >= MANY_ARGUMENTS:
            found.append(f"{name}: {node.name} has {count}")
    check_ratchet(found, LONG_SIGNATURES, "LONG_SIGNATURES")


def test_functions_with_many_positional_arguments():
    found = []
    for name, node in functions():
        count = len(node.args.posonlyargs) + len(node.args.args)
        if count > MOST_POSITIONAL and not name.startswith("_kernels."):
            found.append(f"{name}: {node.name} has {count}")
    assert not found


def test_long_functions():
    found = []
    for name, node in functions():
        docstring = ast.get_docstring(node, clean=False)
        first = node.body[min(1, len(node.body) - 1) if docstring else 0].lineno
        length = node.end_lineno - first + 1
        if length > LONG_BODY:
            found.append(f"{name}: {node.name} has {length} lines")
    check_ratchet(found, LONG_FUNCTIONS, "LONG_FUNCTIONS")


def test_long_files():
    found = {name for name in MODULES if lines(name) > LONG_FILE}
    assert found == set(LONG_FILES)


def lines(name):
    """Number of lines of a module."""
    path = PACKAGE.joinpath(*name.split(".")).with_suffix(".py")
    return len(path.read_text().splitlines())


def test_version_is_the_installed_one():
    from importlib.metadata import PackageNotFoundError, version

    try:
        assert version("skprune") == skprune.__version__
    except PackageNotFoundError:
        assert skprune.__version__.count(".") == 2


def test_planted_faults_still_have_their_place():
    """Each fault replaces text that occurs once, and names a test that exists."""
    for fault in planted_faults.FAULTS:
        assert fault.count(PACKAGE) == 1, f"{fault.file}: {fault.old!r}"
        assert fault.new != fault.old
        file, name = fault.test.split("[")[0].split("::")
        tests = ast.parse((planted_faults.ROOT / file).read_text(encoding="utf-8")).body
        assert name in {node.name for node in tests if isinstance(node, ast.FunctionDef)}
