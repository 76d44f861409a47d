"""Every file of ``changes`` has the form of the changelog, and a release puts them into it once."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


changelog = load("changelog")
ABOVE = "# Changelog\n\nForm.\n\n"
OLDER = "## [0.0.1] - 2026-01-01\n\n### Added\n\n- All.\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A changelog with an entry of its own, and two changes."""
    (tmp_path / "changes").mkdir()
    section = "### Added\n\n- One.\n\n### Fixed\n\n- Two,\n  longer.\n\n"
    head = "## [Unreleased]: 0.1.0\n\nFurther changes are elsewhere.\n\n"
    (tmp_path / "CHANGELOG.md").write_text(ABOVE + head + section + OLDER)
    (tmp_path / "changes" / "README.md").write_text("How to write them.\n")
    (tmp_path / "changes" / "b.md").write_text("### Fixed\n\n- Four.\n")
    (tmp_path / "changes" / "a.md").write_text("### Removed\n\n- Five.\n\n### Added\n\n- Three,\n  and more.\n")
    return tmp_path


ENTRY = (
    "### Added\n\n- One.\n- Three,\n  and more.\n\n### Removed\n\n- Five.\n\n### Fixed\n\n- Two,\n  longer.\n- Four.\n"
)


def test_changes_of_this_repository_have_the_form() -> None:
    assert (ROOT / "changes" / "README.md").is_file()
    changelog.fragments(ROOT)
    assert changelog.next_entry(ROOT).startswith("### Added\n\n- ")


def test_the_next_entry_by_hand(project: Path) -> None:
    assert changelog.next_entry(project) == ENTRY


def test_a_release_writes_the_entry_and_removes_the_changes(project: Path) -> None:
    path = changelog.release(project, "0.1.0", "2026-12-01")
    assert path.read_text() == f"{ABOVE}{changelog.NEXT}\n## [0.1.0] - 2026-12-01\n\n{ENTRY}\n{OLDER}"
    assert sorted(file.name for file in (project / "changes").iterdir()) == ["README.md"]
    with pytest.raises(ValueError, match=r"entry of 0\.1\.0 already"):
        changelog.release(project, "0.1.0", "2026-12-01")
    with pytest.raises(ValueError, match="nothing has changed"):
        changelog.release(project, "0.1.1", "2026-12-02")
    (project / "changes" / "c.md").write_text("### Fixed\n\n- Six.\n")
    changelog.release(project, "0.1.1", "2026-12-02")
    assert "## [0.1.1] - 2026-12-02\n\n### Fixed\n\n- Six.\n\n## [0.1.0] - 2026-12-01\n\n### Added" in path.read_text()


def test_a_release_that_cannot_be_written_keeps_the_changes(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError("no space left")

    before = (project / "CHANGELOG.md").read_text()
    monkeypatch.setattr(changelog, "atomic_write", full)
    with pytest.raises(OSError, match="no space left"):
        changelog.release(project, "0.1.0", "2026-12-01")
    assert (project / "changes" / "a.md").is_file()
    assert (project / "CHANGELOG.md").read_text() == before


@pytest.mark.parametrize("version", ["0.1.0.dev0", "0.1", "next"])
def test_a_version_in_preparation_is_not_released(project: Path, version: str) -> None:
    with pytest.raises(ValueError, match="a release needs a version"):
        changelog.release(project, version, "2026-12-01")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a.md: it says no change"),
        ("- No heading.\n", "a.md:1: expected '### KIND'"),
        ("### New\n\n- Kind.\n", "a.md:1: expected one of Added, Changed, Deprecated, Removed, Fixed, Security"),
        ("### Added\n\n- One.\n\n### Added\n\n- Two.\n", "a.md:5: expected one of"),
        ("### Added\n\nA sentence.\n", "a.md:3: expected '### KIND'"),
        ("### Added\n\n- One\nwithout indent.\n", "a.md:4: expected"),
        ("### Added\n\n### Fixed\n\n- One.\n", "a.md: nothing below Added"),
        ("### Added\n\n- " + "x" * 119 + "\n", "a.md:3: the line has 121 characters, at most 120"),
    ],
)
def test_another_form_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "a.md"
    path.write_text(text)
    with pytest.raises(ValueError, match="^" + message):
        changelog.read_fragment(path)


def test_a_point_above_the_headings_is_not_lost(project: Path) -> None:
    path = project / "CHANGELOG.md"
    path.write_text(path.read_text().replace("Further changes are elsewhere.", "- A point without its heading."))
    with pytest.raises(ValueError, match=r"expected '### KIND' above '- A point without its heading\.'"):
        changelog.release(project, "0.1.0", "2026-12-01")


def test_a_changelog_without_its_section_is_refused(project: Path) -> None:
    (project / "CHANGELOG.md").write_text(ABOVE + OLDER)
    with pytest.raises(ValueError, match="no section"):
        changelog.next_entry(project)
