"""Gathers the files of ``changes`` for the changelog: shows them, or with ``--release`` writes them as its entry."""

import argparse
import re
import sys
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

from rapidash import __version__
from rapidash._files import atomic_write

ROOT = Path(__file__).resolve().parents[1]
KINDS = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")
LONGEST_LINE = 120
UNRELEASED = re.compile(r"^## \[Unreleased\].*\n", re.MULTILINE)
NEXT = "## [Unreleased]\n\nChanges since the last release are in [changes](changes/README.md), one file each.\n"

Changes = dict[str, list[str]]  # by kind, the points, each of one or several lines


def parse(text: str, name: str) -> Changes:
    """The points below the headings of a text.

    Raises: ValueError naming the line, for a heading that is none of `KINDS` or comes twice, for text outside of a
        point, and for a heading without points.
    """
    found: Changes = {}
    points: list[str] | None = None
    for number, line in enumerate(text.splitlines(), start=1):
        where = f"{name}:{number}"
        if line.startswith("### "):
            kind = line.removeprefix("### ")
            if kind not in KINDS or kind in found:
                raise ValueError(f"{where}: expected one of {', '.join(KINDS)}, each once, got {kind!r}")
            points = found[kind] = []
        elif line.startswith("- ") and points is not None:
            points.append(line)
        elif line.startswith("  ") and points:
            points[-1] += f"\n{line}"
        elif line.strip():
            raise ValueError(f"{where}: expected '### KIND', then '- ' and lines indented by two, got {line!r}")
    if empty := [kind for kind, points in found.items() if not points]:
        raise ValueError(f"{name}: nothing below {empty[0]}")
    return found


def read_fragment(path: Path) -> Changes:
    """The changes in one file. Raises: ValueError as `parse`, and for none, or a line that is too long."""
    text = path.read_text(encoding="utf-8")
    found = parse(text, path.name)
    if not found:
        raise ValueError(f"{path.name}: it says no change; its form is in changes/README.md")
    for number, line in enumerate(text.splitlines(), start=1):
        if len(line) > LONGEST_LINE:
            raise ValueError(f"{path.name}:{number}: the line has {len(line)} characters, at most {LONGEST_LINE}")
    return found


def fragments(root: Path) -> dict[Path, Changes]:
    """Every file of ``changes`` but its README, by name."""
    paths = sorted(path for path in (root / "changes").glob("*.md") if path.name != "README.md")
    return {path: read_fragment(path) for path in paths}


def unreleased(text: str) -> tuple[str, str, str]:
    """A changelog in three: what is above the unreleased section, its body, what is below."""
    head = UNRELEASED.search(text)
    if head is None:
        raise ValueError("CHANGELOG.md has no section '## [Unreleased]'")
    body, mark, below = text[head.end() :].partition("\n## ")
    return text[: head.start()], body, mark.removeprefix("\n") + below


def merged(parts: Sequence[Mapping[str, Sequence[str]]]) -> str:
    """Changes as text, in the order of `KINDS`."""
    by_kind = {kind: [point for part in parts for point in part.get(kind, ())] for kind in KINDS}
    return "\n\n".join(f"### {kind}\n\n" + "\n".join(points) for kind, points in by_kind.items() if points) + "\n"


def next_entry(root: Path) -> str:
    """What the next release says: the unreleased section of the changelog, then the fragments.

    Raises: ValueError as `parse`; also for a point above the first heading, which would be lost with the words there.
    """
    _, body, _ = unreleased((root / "CHANGELOG.md").read_text(encoding="utf-8"))
    start = body.find("### ")
    words = body if start < 0 else body[:start]
    if lost := [line for line in words.splitlines() if line.lstrip().startswith(("- ", "* "))]:
        raise ValueError(f"CHANGELOG.md: expected '### KIND' above {lost[0]!r}")
    written = parse(body[start:], "CHANGELOG.md") if start >= 0 else {}
    return merged([written, *fragments(root).values()])


def release(root: Path, version: str, day: str) -> Path:
    """Give the changelog the entry of a version, and remove the fragments that are in it.

    Returns: the changelog, written whole before a fragment is removed.
    Raises: ValueError for a version that is in preparation or has an entry, and where nothing has changed.
    """
    path = root / "CHANGELOG.md"
    text = path.read_text(encoding="utf-8")
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        raise ValueError(f"a release needs a version such as 0.2.0, rapidash/_version.py says {version!r}")
    if f"## [{version}]" in text:
        raise ValueError(f"CHANGELOG.md has an entry of {version} already: raise the version in rapidash/_version.py")
    entry = next_entry(root)
    if not entry.strip():
        raise ValueError("nothing has changed: neither CHANGELOG.md nor changes/ has an entry")
    above, _, below = unreleased(text)
    done = list(fragments(root))
    atomic_write(path, f"{above}{NEXT}\n## [{version}] - {day}\n\n{entry}" + (f"\n{below}" if below else ""))
    for fragment in done:
        fragment.unlink()
    return path


def main(words: Sequence[str] | None = None) -> int:
    """Print the next entry, or write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--release", action="store_true", help="write it as the entry of rapidash.__version__")
    parser.add_argument("--date", default=date.today().isoformat(), help="of the release (default: today)")
    options = parser.parse_args(words)
    try:
        print(release(ROOT, __version__, options.date) if options.release else next_entry(ROOT))
    except ValueError as error:
        print(f"changelog: error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
