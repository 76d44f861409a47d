"""Imports point one way, kernels stay in their places, and nothing optional is needed to import the package."""

import ast
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "rapidash"

SHARED = {  # at the root, for all
    "_allocation_limit",
    "_compilers",
    "_deprecated",
    "_files",
    "_hub",
    "_machine",
    "_names",
    "_plain",
    "_pretrained",
    "_registry",
    "_seed",
    "_training_folder",
    "_version",
    "registry",
}
BELOW_MODELS = {"groups", "geometry", "ops", "nn"}
BELOW_METHODS = {*BELOW_MODELS, "models", "data", "datasets", "symmetry", "measure"}
BELOW_VERBS = {*BELOW_METHODS, "methods"}  # the packages of methods: none imports another
BELOW_TASKS = {*BELOW_VERBS, "relax", "symmetrize", "learn", "generate", "represent"}
BELOW_PREDICT = {*BELOW_TASKS, "tasks", "train"}
BELOW_ADVISE = {*BELOW_PREDICT, "predict", "scale", "study", "report"}
BELOW_CLI = {*BELOW_ADVISE, "advise"}
MAY_IMPORT: dict[str, set[str]] = {
    "_allocation_limit": set(),
    "_compilers": set(),
    "_deprecated": set(),
    "_files": set(),
    "_hub": set(),
    "_machine": set(),
    "_names": set(),
    "_plain": set(),
    "_pretrained": set(),
    "_registry": set(),
    "_seed": set(),
    "_training_folder": set(),
    "_version": set(),
    "registry": set(),
    "groups": set(),
    "geometry": {"groups"},
    "ops": {"groups", "geometry"},
    "nn": {"groups", "geometry", "ops"},
    "models": BELOW_MODELS,
    "data": {"groups", "geometry"},
    "datasets": {"groups", "geometry", "data"},
    "symmetry": {*BELOW_MODELS, "models", "data", "datasets"},
    "measure": {*BELOW_MODELS, "models", "data", "datasets", "symmetry"},
    "methods": BELOW_METHODS,
    "relax": BELOW_VERBS,
    "symmetrize": BELOW_VERBS,
    "learn": BELOW_VERBS,
    "represent": BELOW_VERBS,
    "generate": BELOW_VERBS,
    "scale": {"data", "ops"},
    "tasks": BELOW_TASKS,
    "train": BELOW_VERBS,
    "testing": BELOW_PREDICT,
    "predict": BELOW_PREDICT,
    "study": {*BELOW_PREDICT, "predict", "scale"},
    "report": {*BELOW_PREDICT, "predict", "study", "scale"},
    "advise": BELOW_ADVISE,
    "interop": {*BELOW_PREDICT, "predict"},
    "bench": {*BELOW_MODELS, "models", "data", "interop"},
    "_cli_settings": set(),
    "_cli_usage": set(),
    "_cli_own": {"_cli_usage", "study", "tasks", "train"},
    "_cli_parser": {"_cli_settings"},
    "_cli_options": {"_cli_own", "_cli_parser", "groups", "methods", "models", "study", "tasks", "train"},
    "_cli_predict": {"_cli_options", "_cli_parser", "groups", "methods", "ops", "predict", "study", "train"},
    "_cli_measure": {"_cli_options", "_cli_own", "_cli_parser", "datasets", "report", "study", "tasks"},
    "_cli_design": {"_cli_options", "_cli_own", "_cli_settings", "_cli_usage", "study"},
    "_cli_advise": {
        *("_cli_design", "_cli_options", "_cli_own", "_cli_parser", "_cli_usage", "advise", "study", "tasks"),
    },
    "_cli_report": {"_cli_options", "_cli_parser", "report", "study"},
    "_cli_study": {
        *("_cli_design", "_cli_options", "_cli_own", "_cli_report", "_cli_usage"),
        *("generate", "report", "study", "tasks", "train"),
    },
    "_cli_train": {
        *("_cli_design", "_cli_options", "_cli_own", "_cli_usage"),
        *("methods", "report", "represent", "study", "tasks", "train"),
    },
    "_cli_bench": {"_cli_parser", "bench", "train"},
    "_cli_sample": {"_cli_options", "_cli_parser", "generate", "predict", "study", "train"},
    "cli": {
        *BELOW_CLI,
        *("_cli_advise", "_cli_bench", "_cli_measure", "_cli_predict", "_cli_report", "_cli_sample", "_cli_study"),
        *("_cli_train", "_cli_usage"),
        *("bench", "interop"),
    },
}
COMPILERS = {"numba", "llvmlite", "triton"}
KERNEL_PLACES = (
    "ops/**/*.py",  # the kernels of the network, a folder per operation
    "datasets/_*_numba.py",  # the simulator of the n-body benchmark, super-pixels
    "geometry/_*_numba.py",  # neighbor search and sampling on the CPU
    "geometry/_*_triton.py",  # and on the GPU
)
CORE = {"torch", "numpy", "scipy", "jaxtyping", "safetensors"}
DISTRIBUTION_OF = {"pyyaml": "yaml", "h5py": "h5py", "scikit-learn": "sklearn"}  # where the import has another name
PACKAGES = [name for name in MAY_IMPORT if not name.startswith("_") and name not in ("cli", "bench")]


LEAVES = ast.Name | ast.Constant | ast.expr_context | ast.operator  # nothing is imported below


class Import(NamedTuple):
    """One imported module: its absolute name, the line, whether it is imported when the importing module is, or never.

    What only type checkers import is imported never.
    """

    module: str
    line: int
    at_import: bool
    never: bool = False


@cache
def imports(text: str, package: str) -> list[Import]:
    """Every import of a module of a package, also those in functions, in type-checking blocks and by name."""
    return list(_imports(ast.parse(text), package, at_import=True, never=False))


def _imports(node: ast.AST, package: str, *, at_import: bool, never: bool) -> Iterator[Import]:
    never |= isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
    at_import &= not never and not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
    if isinstance(node, ast.Import):
        yield from (Import(alias.name, node.lineno, at_import, never) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
        module = ".".join([*base, *filter(None, [node.module])])
        yield from (Import(f"{module}.{alias.name}", node.lineno, at_import, never) for alias in node.names)
    elif isinstance(node, ast.Call) and _called_name(node.func) == "import_module" and node.args:
        first = node.args[0].values[0] if isinstance(node.args[0], ast.JoinedStr) else node.args[0]
        if isinstance(first, ast.Constant) and isinstance(first.value, str):
            yield Import(first.value, node.lineno, at_import, never)
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, LEAVES):
            yield from _imports(child, package, at_import=at_import, never=never)


def _called_name(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def part_of(module: str) -> str | None:
    """The part of the package, e.g. ``nn``, that a module belongs to; None for the package itself and for others."""
    names = module.split(".")
    return names[1] if names[0] == "rapidash" and len(names) > 1 else None


def violations(text: str, path: str) -> list[str]:
    """Imports of a file of the package (by its path in it) that point the wrong way, in words."""
    own = path.split("/")[0].removesuffix(".py")
    package = ".".join(["rapidash", *path.split("/")[:-1]])
    allowed = MAY_IMPORT.get(own, set()) | SHARED | {own}
    return [
        f"{path}:{found.line} imports rapidash.{part}, but {own} may import {sorted(allowed)}"
        for found in imports(text, package)
        if (part := part_of(found.module)) is not None and own != "__init__" and part not in allowed
    ]


def sources() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def relative(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


def third_party(found: Import) -> str | None:
    name = found.module.split(".")[0]
    return None if name in sys.stdlib_module_names or name == "rapidash" else name


def test_every_part_has_its_place() -> None:
    parts = {relative(path).split("/")[0].removesuffix(".py") for path in sources()}
    assert parts - set(MAY_IMPORT) == {"__init__"}


def test_imports_point_one_way() -> None:
    found = [line for path in sources() for line in violations(path.read_text(encoding="utf-8"), relative(path))]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("import rapidash.train", "nn/_block.py"),
        ("from rapidash.models import Rapidash", "ops/edge_conv/reference.py"),
        ("from rapidash import study", "train/_loop.py"),
        ("from ..report import figure", "study/_run.py"),
        ("from ...nn import lift", "ops/edge_conv/__init__.py"),
        ("def f():\n    from rapidash.cli import main", "report/_page.py"),
        (
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from rapidash.data import Field",
            "groups/_group.py",
        ),
        ("from importlib import import_module\nimport_module('rapidash.study')", "measure/_check.py"),
        ("import importlib\nx = 'a'\nimportlib.import_module(f'rapidash.tasks.{x}')", "datasets/_nbody.py"),
        ("from rapidash.testing import assert_parity", "ops/__init__.py"),
        ("from rapidash.testing import assert_parity", "cli.py"),
    ],
)
def test_the_rule_rejects_a_planted_import(text: str, path: str) -> None:
    assert len(violations(text, path)) == 1


def test_the_rule_accepts_the_right_direction() -> None:
    assert not violations("from rapidash.geometry import Graph\nfrom .._backend import Backend", "ops/edge_conv/x.py")
    assert not violations("from rapidash.measure import Action", "testing/__init__.py")


def test_the_order_of_the_parts_has_no_cycle() -> None:
    """Sorting by the number of parts that may be imported, directly or not, gives an order in which imports go back."""
    reach = {part: set(allowed) for part, allowed in MAY_IMPORT.items()}
    for _ in reach:
        reach = {part: seen | {deep for near in seen for deep in reach[near]} for part, seen in reach.items()}
    assert not [part for part, seen in reach.items() if part in seen]


def private_imports(text: str, path: str) -> list[str]:
    """Imports of private modules of other packages, and private attributes of their public ones, in words."""
    own, package = path.split("/")[0].removesuffix(".py"), ".".join(["rapidash", *path.split("/")[:-1]])
    return [
        f"{path}:{found.line} imports {found.module}"
        for found in (*imports(text, package), *attributes(text))
        if part_of(found.module) not in (None, own)
        and any(name.startswith("_") and not name.startswith("__") for name in found.module.split(".")[2:])
    ]


def attributes(text: str) -> Iterator[Import]:
    """Attributes of packages that are imported whole, as if they were imported."""
    tree = ast.parse(text)
    packages: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            packages |= {alias.asname: alias.name for alias in node.names if alias.asname}
        elif isinstance(node, ast.ImportFrom) and node.module == "rapidash":
            packages |= {alias.asname or alias.name: f"rapidash.{alias.name}" for alias in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            first, _, rest = ast.unparse(node).partition(".")
            yield Import(f"{packages.get(first, first)}.{rest}", node.lineno, False, False)


def test_nobody_imports_a_private_module_of_another_package() -> None:
    found = [line for path in sources() for line in private_imports(path.read_text(encoding="utf-8"), relative(path))]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("from rapidash.datasets._reading import OnError", "tasks/md.py"),
        ("from rapidash.data import _rounding", "interop/ase.py"),
        ("def f():\n    import rapidash.predict._trained", "_cli_predict.py"),
        ("from ..geometry._graph import Graph", "ops/_batching.py"),
        ("from rapidash import study\nstudy._budget", "report/_page.py"),
        ("import rapidash.study as records\nrecords._budget", "report/_page.py"),
        ("import rapidash.study\nrapidash.study._budget", "report/_page.py"),
    ],
)
def test_a_planted_private_import_is_found(text: str, path: str) -> None:
    assert len(private_imports(text, path)) == 1
    assert not private_imports("from rapidash._plain import to_plain\nfrom ._h5 import read_h5", "datasets/_md.py")


BACK = {  # imports that lead back, and why
    ("models._config", "models._rapidash"): "a configuration builds its network, which is imported when it is built",
    ("models._baseline_config", "models._egnn"): "the same",
    ("models._baseline_config", "models._dgcnn"): "the same",
}
FIRST_RUN = {"study._pool", "study._cluster", "study"}  # what starts runs, and the package, which exports `run_one`


def import_graph(texts: dict[str, str]) -> dict[str, set[str]]:
    """By module without ``rapidash.``, the modules of its own package that it imports, now or in a function.

    Args:
        texts: the files by their paths in the package.
    """
    names = {path.removesuffix(".py").removesuffix("/__init__").replace("/", "."): path for path in texts}
    graph: dict[str, set[str]] = {name: set() for name in names}
    for name, path in names.items():
        package = ".".join(["rapidash", *path.split("/")[:-1]])
        for found in imports(texts[path], package):
            target = found.module.removeprefix("rapidash.")
            while target and target not in names:
                target = target.rpartition(".")[0]
            if not found.never and target != name and target.split(".")[0] == name.split(".")[0]:
                graph[name].add(target)
    return graph


def cycle_in(graph: dict[str, set[str]]) -> list[str]:
    """The modules that are left when those without imports are taken away again and again; empty without a cycle."""
    left = {name: set(targets) for name, targets in graph.items()}
    while leaves := {name for name, targets in left.items() if not targets & left.keys()}:
        left = {name: targets for name, targets in left.items() if name not in leaves}
    return sorted(left)


def whole_graph() -> dict[str, set[str]]:
    return import_graph({relative(path): path.read_text(encoding="utf-8") for path in sources()})


def test_inside_a_package_imports_have_no_cycle() -> None:
    graph = whole_graph()
    assert {pair for pair in BACK if pair[1] in graph[pair[0]]} == set(BACK), "an exception that is none any more"
    for start, end in BACK:
        graph[start].discard(end)
    assert not cycle_in(graph)


def test_a_cycle_is_found_also_a_lazy_one() -> None:
    lazy = {"nn/_a.py": "from rapidash.nn._b import B", "nn/_b.py": "def f():\n    from rapidash.nn._a import A"}
    assert cycle_in(import_graph(lazy)) == ["nn._a", "nn._b"]
    typed = {**lazy, "nn/_b.py": "if TYPE_CHECKING:\n    from rapidash.nn._a import A"}
    assert cycle_in(import_graph(typed)) == []
    assert import_graph(typed) == {"nn._a": {"nn._b"}, "nn._b": set()}


def test_only_launchers_import_the_way_of_a_run() -> None:
    assert {name for name, targets in whole_graph().items() if "study._run" in targets} == FIRST_RUN


def compiled_modules() -> set[str]:
    return {
        relative(path)
        for path in sources()
        if any(third_party(found) in COMPILERS for found in imports(path.read_text(encoding="utf-8"), "rapidash"))
    }


def test_compilers_are_used_in_their_places_only() -> None:
    places = {relative(path) for pattern in KERNEL_PLACES for path in SOURCE.glob(pattern)}
    used = compiled_modules()
    assert used <= places, f"numba or triton is imported outside {KERNEL_PLACES}: {sorted(used - places)}"
    assert "ops/edge_conv/numba.py" in used  # or the search finds nothing at all


def outside_imports(text: str) -> set[str]:
    """Third-party packages that a file needs at the moment it is imported."""
    return {name for found in imports(text, "rapidash") if found.at_import and (name := third_party(found))}


def test_only_named_modules_need_more_than_the_core() -> None:
    """Modules that need an extra: compiled kernels, the command line's parser, an estimator, strategies of tests."""
    allowed = dict.fromkeys(compiled_modules(), COMPILERS)
    allowed |= {
        "_cli_parser.py": {"jsonargparse"},
        "_cli_settings.py": {"yaml"},
        "interop/_ase_calculator.py": {"ase"},
        "symmetrize/tabular/_classifier.py": {"sklearn"},
        "testing/strategies.py": {"hypothesis"},
    }
    needed = {relative(path): outside_imports(path.read_text(encoding="utf-8")) for path in sources()}
    extra = {path: names - CORE - allowed.get(path, set()) for path, names in needed.items()}
    assert not {path: names for path, names in extra.items() if names}
    assert outside_imports("import numba\ndef f():\n    import matplotlib") == {"numba"}


def extras() -> set[str]:
    """Import names of everything that pyproject.toml calls optional or for tests."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    lists = [*project["project"]["optional-dependencies"].values(), project["dependency-groups"]["test"]]
    names = [entry for entries in lists for entry in entries if isinstance(entry, str)]
    distributions = {name.split("[")[0].split(">")[0].split("=")[0].strip() for name in names}
    return {DISTRIBUTION_OF.get(name, name.replace("-", "_")) for name in distributions} | COMPILERS


def run_without(blocked: set[str], code: str) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh process in which some packages cannot be imported, as if they were not installed."""
    block = f"import sys\nfor name in {sorted(blocked)!r}: sys.modules[name] = None\n"
    command = [sys.executable, "-c", block + code]
    environment = os.environ | {"RAPIDASH_CHECK_SHAPES": ""}  # the checks need packages that may be blocked
    return subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=ROOT, env=environment)


USE_EVERYTHING = (
    "".join(f"import rapidash.{name}\n" for name in PACKAGES)
    + """
import torch, rapidash.cli
from rapidash.models import Rapidash
network = Rapidash(num_orientations=4, in_scalars=1, channels=4, num_layers=1, edges="knn-2", basis_dim=4)
out = network(torch.randn(5, 3), scalars=torch.ones(5, 1)).scalars
out.sum().backward()
assert rapidash.cli.main(["--help"]) == 0 and out.shape == (1, 1)
"""
)


def test_importing_the_package_waits_for_nothing_slow() -> None:
    """Every command and every worker starts so: torch's compiler alone takes as long as all modules of the package."""
    slow = {"torch._dynamo", "scipy.stats", "sympy", "matplotlib", "numba"}
    code = "".join(f"import rapidash.{name}\n" for name in PACKAGES) + f"print(sorted({slow} & set(sys.modules)))"
    ended = run_without(set(), code)
    assert ended.stdout == "[]\n", ended.stderr


def test_nothing_optional_is_needed_to_import_and_use_the_package() -> None:
    ended = run_without(extras(), USE_EVERYTHING)
    assert ended.returncode == 0, ended.stderr
    assert "rapidash study nbody" in ended.stdout


def test_the_blocker_blocks() -> None:
    assert {"numba", "matplotlib", "jsonargparse", "yaml", "hypothesis", "beartype"} <= extras()
    for module in ("numba", "jsonargparse", "hypothesis"):
        ended = run_without(extras(), f"import {module}")
        assert ended.returncode == 1
        assert "ModuleNotFoundError" in ended.stderr


def test_the_error_names_the_extra_to_install() -> None:
    ended = run_without({"jsonargparse"}, "import rapidash.cli, sys\nsys.exit(rapidash.cli.main(['study', '--help']))")
    assert ended.returncode == 1
    assert 'pip install "rapidash[study]"' in ended.stderr
    ended = run_without({"numba"}, "import torch\nfrom rapidash.ops._backend import select_backend\n"
                        "select_backend('edge_conv', 'numba', torch.ones(1))")  # fmt: skip
    assert "rapidash[fast]" in ended.stderr
