"""Everything that is imported is installed by the core or by an extra, and the error without it names that extra."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.test_layout import CORE, DISTRIBUTION_OF, SOURCE, imports, relative, run_without, sources, third_party

ROOT = Path(__file__).resolve().parents[1]
ELSEWHERE = {  # what the package imports where it is there, and installs with nothing
    "hypothesis": "of users who test with rapidash.testing.strategies",
    "llvmlite": "comes with numba",
    "markupsafe": "comes with jinja2",
    "triton": "comes with torch, where it was built for CUDA",
}
NOT_IMPORTED = {  # what an extra installs, and is used without an import that the search finds
    "egnn_pytorch": "imported by a name in the configuration of the baseline",
    "tensorboard": "imported by torch.utils.tensorboard",
}
NAMED = re.compile(r"rapidash\[([^\]]*)\]")


def distribution(requirement: str) -> str:
    return re.split(r"[\[<>=!~; ]", requirement, maxsplit=1)[0]


def import_name(requirement: str) -> str:
    name = distribution(requirement)
    return DISTRIBUTION_OF.get(name, name.replace("-", "_"))


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def extras() -> dict[str, set[str]]:
    """The distributions of every extra."""
    optional = project()["optional-dependencies"]
    return {extra: {distribution(entry) for entry in entries} for extra, entries in optional.items()}


def imported() -> set[str]:
    """Every package of others that the package imports anywhere."""
    found = (imports(path.read_text(encoding="utf-8"), "rapidash") for path in sources())
    return {name for of_file in found for one in of_file if (name := third_party(one)) is not None}


def texts(source: str) -> Iterator[str]:
    """The texts of a file, those with values in braces in one piece."""
    tree = ast.parse(source)
    pieces = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = (part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
            yield "".join(str(part) for part in parts)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in pieces:
            yield node.value


def wrong_extras(text: str, known: dict[str, set[str]]) -> list[str]:
    """What a text says of extras and is not so: one that does not exist, or that lacks the package it is named for."""
    wrong = []
    for names in NAMED.findall(text):
        wrong += [f"no extra {name!r}: {text}" for name in names.split(",") if name not in known]
        inside = set().union(*(known.get(name, set()) for name in names.split(",")))
        words = {word.lower() for word in re.findall(r"[\w-]+", NAMED.sub("", text))}
        needed = {package for packages in known.values() for package in packages if package in words}
        wrong += [f"{package} is not in {names!r}: {text}" for package in sorted(needed - inside)]
        if not needed and "{}" not in text:
            wrong.append(f"no package is named: {text}")
    return wrong


def test_the_extras_are_these() -> None:
    assert extras().keys() == {"data", "fast", "hub", "mesh", "mol", "rl", "study", "tables", "tabular"}
    assert {distribution(entry) for entry in project()["dependencies"]} == CORE
    assert extras()["mol"] == {"ase", "rdkit"}
    assert {"egnn-pytorch", "torch-geometric"} <= extras()["study"]


def test_what_is_imported_is_installed_by_the_core_or_an_extra() -> None:
    optional = project()["optional-dependencies"]
    installed = CORE | {import_name(entry) for entries in optional.values() for entry in entries}
    assert imported() - installed == set(ELSEWHERE)


def test_what_an_extra_installs_is_used() -> None:
    optional = project()["optional-dependencies"]
    installed = {import_name(entry) for entries in optional.values() for entry in entries}
    assert installed - imported() == set(NOT_IMPORTED)
    code = "\n".join(path.read_text(encoding="utf-8") for path in sources())
    assert all(re.search(rf"\b{name}\b", code) for name in NOT_IMPORTED)


def test_messages_name_an_extra_that_has_the_package() -> None:
    found = {
        relative(path): said
        for path in sources()
        if (said := [text for text in texts(path.read_text(encoding="utf-8")) if NAMED.search(text)])
    }
    assert not [wrong for said in found.values() for text in said for wrong in wrong_extras(text, extras())]
    assert {"_cli_parser.py", "_cli_settings.py", "datasets/_h5.py", "ops/_backend.py"} <= found.keys()


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("the report needs Jinja2: pip install 'rapidash[study]'", 0),
        ("numba is not installed (pip install 'rapidash[fast]')", 0),
        ("{} needs {}: pip install 'rapidash[study]'", 0),
        ("the report needs Jinja2: pip install 'rapidash[reports]'", 2),
        ("{} needs h5py: pip install 'rapidash[study]'", 1),
        ("this needs more: pip install 'rapidash[study]'", 1),
    ],
)
def test_a_wrong_message_is_noticed(text: str, number: int) -> None:
    assert len(wrong_extras(text, extras())) == number


@pytest.mark.parametrize("name", ["README.md", *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.rst"))])
def test_pages_name_extras_that_exist(name: str) -> None:
    said = re.findall(r"(?:rapidash|\.)\[([a-z,]+)\]", (ROOT / name).read_text(encoding="utf-8"))
    assert {extra for names in said for extra in names.split(",")} <= extras().keys()


FEATURES = {  # code that needs an extra, and what it says without it
    "_hub.upload(None, 'someone/model', private=True)": (
        "push_to_hub needs huggingface_hub: pip install 'rapidash[hub]'"
    ),
    "_hub.model_folder('someone/model')": "on the hub needs huggingface_hub: pip install 'rapidash[hub]'",
    "tabular.EquiTabPFNClassifier()": "EquiTabPFNClassifier needs scikit-learn: pip install 'rapidash[tabular]'",
    "read_h5(Path('x.h5'), ('data',))": "x.h5 needs h5py: pip install 'rapidash[data]'",
    "select_backend('edge_conv', 'numba', torch.ones(1))": "numba is not installed: pip install 'rapidash[fast]'",
    "import rapidash._cli_parser": 'the command line needs PyYAML: pip install "rapidash[study]"',
    "_page.render(None, None)": "the report needs Jinja2: pip install 'rapidash[study]'",
    "_measurement.measurement_page(None)": "the page needs Jinja2: pip install 'rapidash[study]'",
    "figure(Path('tests/study/earlier'), Path('x.svg'))": "the figure needs matplotlib: pip install 'rapidash[study]'",
    "_render._plot(Path('x.svg'), [])": 'the plot of growth needs matplotlib: pip install "rapidash[study]"',
    "_log._tqdm()": 'a progress bar needs tqdm: pip install "rapidash[study]", or pass progress=False',
    "_log._summary_writer()": "log_tensorboard=True needs tensorboard",
    "EGNNConfig().check_libraries()": 'EGNN needs torch_geometric and egnn-pytorch: pip install "rapidash[study]"',
    "dci(torch.eye(9, 2), torch.arange(9)[:, None] % 2, torch.Generator())": (
        "dci needs scikit-learn: pip install 'rapidash[tabular]'"
    ),
    "digits_images()": "the digits come with scikit-learn: pip install 'rapidash[tabular]'",
    "list(read_valued_clouds(empty('.extxyz')))": "files of atoms with values need ASE: pip install 'rapidash[mol]'",
    "list(read_valued_clouds(empty('.sdf')))": "sdf files need RDKit: pip install 'rapidash[mol]'",
    "list(read_valued_clouds(empty('.stl')))": "obj and stl files need trimesh: pip install 'rapidash[mesh]'",
    "list(read_valued_clouds(empty('.parquet')))": "parquet files need pyarrow: pip install 'rapidash[tables]'",
    "_perception.find_rdkit()": "validity of molecules needs RDKit: pip install 'rapidash[mol]'",
    "DGCNNConfig().check_libraries()": 'the baseline DGCNN needs torch_geometric: pip install "rapidash[study]"',
}
TRY_ALL = """
import tempfile
from pathlib import Path
import torch
from rapidash import _hub
from rapidash.bench import _render
from rapidash.datasets import digits_images, read_valued_clouds
from rapidash.datasets._h5 import read_h5
from rapidash.generate.metrics import _perception
from rapidash.measure import dci
from rapidash.models import DGCNNConfig, EGNNConfig
from rapidash.ops._backend import select_backend
from rapidash.report import _measurement, _page, figure
from rapidash.symmetrize import tabular
from rapidash.train import _log
def empty(suffix):
    return tempfile.NamedTemporaryFile(suffix=suffix, delete=False).name
for code in CODES:
    try:
        exec(code)
    except (ImportError, OSError, RuntimeError) as error:
        print(str(error))
    else:
        print("no error")
"""


def test_every_feature_says_without_its_extra_what_to_install() -> None:
    packages = {import_name(one) for entries in project()["optional-dependencies"].values() for one in entries}
    ended = run_without(packages, TRY_ALL.replace("CODES", repr(list(FEATURES))))
    assert ended.returncode == 0, ended.stderr
    said = ended.stdout.splitlines()
    assert len(said) == len(FEATURES)
    for (code, expected), message in zip(FEATURES.items(), said, strict=True):
        assert expected in message, code


def test_every_module_of_the_source_is_searched() -> None:
    assert len(sources()) > 300
    assert SOURCE.name == "rapidash"
