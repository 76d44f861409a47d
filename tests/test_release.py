"""The version stands in one place, and what builds the packages says what is wrong with them."""

import re
import sys
import tomllib
from pathlib import Path

import pytest

import rapidash
from rapidash import cli
from rapidash.study._environment import versions
from tests.test_changelog import load

ROOT = Path(__file__).resolve().parents[1]
release = load("release")


def pyproject() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_everything_that_names_the_version_names_this_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+(\.dev0)?", rapidash.__version__)
    assert "version" not in pyproject()["project"]
    assert pyproject()["tool"]["hatch"]["version"]["path"] == "src/rapidash/_version.py"
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"rapidash {rapidash.__version__}\n"
    assert versions()["rapidash"] == rapidash.__version__
    cited = re.findall(r"^version: (\S+)$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE)
    assert cited == [rapidash.__version__.removesuffix(".dev0")]
    places = [path.name for path in (ROOT / "src").rglob("*.py") if "importlib.metadata import" in path.read_text()]
    assert places == ["_registry.py"], "the metadata of what is installed may be of another version than the code"


def test_files_missing_from_a_package_and_surplus_ones_are_named() -> None:
    release._compare("x.whl", {"a.py", "b.j2"}, {"b.j2", "a.py"})
    with pytest.raises(release.BuildError, match=r"^x\.whl: missing \['b\.j2'\], not expected \['a\.pyc'\]$"):
        release._compare("x.whl", {"a.py", "a.pyc"}, {"a.py", "b.j2"})


def test_a_command_that_fails_says_why() -> None:
    with pytest.raises(release.BuildError, match=r"(?s)ended with 3:\nno backend$"):
        release.run(sys.executable, "-c", "import sys; print('no backend', file=sys.stderr); sys.exit(3)")
