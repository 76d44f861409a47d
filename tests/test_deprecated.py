"""Every deprecated name still works, warns once it is used, and is gone in the version that says so."""

import importlib.util
import re
import warnings
from pathlib import Path
from types import ModuleType

import pytest

import rapidash.train
from rapidash._deprecated import DEPRECATIONS, EARLIER_FORMS, Deprecation, overdue, warn_deprecated
from rapidash._version import __version__

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = Deprecation("rapidash.old", "rapidash.new", "0.1.0", "0.3.0")


def attribute(name: str) -> object:
    module, _, last = name.rpartition(".")
    return getattr(importlib.import_module(module), last)


def test_no_name_has_outlived_its_version() -> None:
    assert not overdue(DEPRECATIONS, __version__), "remove these names, and their rows in rapidash/_deprecated.py"


@pytest.mark.parametrize(
    ("version", "found"),
    [
        ("0.1.0", []),
        ("0.2.9", []),
        ("0.3.0", ["rapidash.old"]),
        ("0.3.0.dev0", ["rapidash.old"]),
        ("0.10.0", ["rapidash.old"]),
        ("1.0.0rc1", ["rapidash.old"]),
    ],
)
def test_a_version_that_should_lack_a_name_is_told(version: str, found: list[str]) -> None:
    assert overdue([EXAMPLE], version) == found


@pytest.mark.parametrize("version", ["3", "0.3", "dev"])
def test_a_version_that_is_none_is_refused(version: str) -> None:
    with pytest.raises(ValueError, match=r"expected a version such as 0\.3\.0"):
        overdue([EXAMPLE], version)


@pytest.mark.parametrize("entry", DEPRECATIONS, ids=lambda entry: entry.name)
def test_a_name_is_kept_for_two_minor_versions(entry: Deprecation) -> None:
    since, gone = ([int(part) for part in version.split(".")] for version in (entry.since, entry.gone_in))
    assert gone[2] == 0
    assert gone[0] > since[0] or gone[1] >= since[1] + 2


MOVED = [
    entry for entry in DEPRECATIONS if re.fullmatch(r"[\w.]+", entry.name)
]  # arguments and options: their own tests


@pytest.mark.parametrize("entry", MOVED, ids=lambda entry: entry.name)
def test_a_deprecated_name_works_and_warns_whoever_uses_it(entry: Deprecation) -> None:
    with pytest.warns(DeprecationWarning, match=re.escape(entry.name)) as caught:
        value = attribute(entry.name)
    assert value is attribute(entry.instead)
    assert [str(warning.message) for warning in caught] == [entry.message]
    assert [warning.filename for warning in caught] == [__file__]


def test_the_warning_of_an_import_says_what_to_use() -> None:
    message = r"^rapidash\.train\.Variant goes in rapidash 0\.3\.0 \(deprecated since 0\.1\.0\): use "
    with pytest.warns(DeprecationWarning, match=message + r"rapidash\.methods\.Variant$") as caught:
        from rapidash.train import Variant
    assert Variant.__module__ == "rapidash.methods._variant"
    assert {warning.filename for warning in caught} == {__file__}


def test_names_that_never_were_are_errors_and_current_ones_do_not_warn() -> None:
    with pytest.raises(AttributeError, match=r"module 'rapidash\.train' has no attribute 'Variante'"):
        _ = rapidash.train.Variante
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert rapidash.train.TrainConfig.__name__ == "TrainConfig"


def test_a_warning_needs_a_row() -> None:
    with pytest.raises(KeyError, match=r"rapidash\.train\.train"):
        warn_deprecated("rapidash.train.train")


def extension() -> ModuleType:
    spec = importlib.util.spec_from_file_location("deprecations", ROOT / "docs" / "_ext" / "deprecations.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_tables_of_the_documentation_have_every_row() -> None:
    table = extension().table
    assert table("names")[:10] == [
        ".. list-table::",
        "   :header-rows: 1",
        "",
        "   * - name",
        "     - use instead",
        "     - deprecated since",
        "     - gone in",
        "   * - ``rapidash.train.EvalResult``",
        "     - ``rapidash.methods.EvalResult``",
        "     - 0.1.0",
    ]
    assert len(table("names")) == 7 + 4 * len(DEPRECATIONS)
    assert len(table("files")) == 6 + 3 * len(EARLIER_FORMS)
    page = (ROOT / "docs" / "versions.rst").read_text(encoding="utf-8")
    assert ".. deprecations:: names\n" in page
    assert ".. deprecations:: files\n" in page
