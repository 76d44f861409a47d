"""The directive ``.. claims:: FILE FOLDER``: every claim of a file, tested by the published tables of a folder.

``python docs/_ext/claims.py`` prints the same from the root of the repository.
"""

import re
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

LEVEL = 0.05  # of the p-values in the tables, which allow for the number of comparisons
OUTCOMES = ("holds", "does not hold", "not clear")
KEYS = {"claim", "test", "where", "pairs"}
_SUPERSCRIPTS = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")
_NUMBER = r"[−+-]?[\d.]+(?:\s?×\s?10[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)?"


class Row(NamedTuple):
    """A variant of a published table: its letter, mean error with interval, and difference to its neighbor."""

    letter: str
    mean: float
    low: float | None
    high: float | None
    difference: float | None = None
    bounds: tuple[float, float] | None = None
    neighbor: str = ""
    p: float | None = None


class Found(NamedTuple):
    """A comparison: its place, the ratio of the mean errors, and which of `OUTCOMES` it is."""

    place: str
    ratio: float
    outcome: str


class Verdict(NamedTuple):
    """A claim with all comparisons that test it."""

    claim: str
    test: str
    found: Sequence[Found]

    @property
    def result(self) -> str:
        """The outcomes, counted, in words."""
        if not self.found:
            return "no table has both yet"
        counts = [f"{name} at {len(self.at(name))}" for name in OUTCOMES if self.at(name)]
        return f"{', '.join(counts)} of {len(self.found)}"

    def at(self, outcome: str) -> list[Found]:
        """The comparisons of one outcome."""
        return [one for one in self.found if one.outcome == outcome]


def read_table(text: str) -> dict[str, Row]:
    """The rows of a table that `rapidash.report.publish` wrote, by the name of the variant.

    Rows without a finished run, and those of other views, are left out.
    """
    text = text.split(".. list-table::")[1] if ".. list-table::" in text else ""
    found = {}
    for block in re.split(r"^   \* - ", text, flags=re.MULTILINE)[2:]:
        cells = [_plain(cell) for cell in re.split(r"\n     - ", block)]
        named = re.fullmatch(r"([A-Z]+) (.+?)(?: \[\w+\])?", cells[0].splitlines()[0])
        error = _interval(cells[2]) if len(cells) > 4 else None
        if named is None or error is None:
            continue
        found[named[2]] = Row(named[1], *error)._replace(**_difference(cells[4]))
    return found


def _plain(cell: str) -> str:
    """A cell without escapes and special spaces."""
    return re.sub(r"[\u00a0\u202f]", " ", re.sub(r"\\(.)", r"\1", cell)).strip()


def _number(text: str) -> float:
    digits, _, power = text.replace("−", "-").partition("×")
    return float(digits) * 10 ** float(power.strip()[2:].translate(_SUPERSCRIPTS) or 0)


def _interval(text: str) -> tuple[float, float | None, float | None] | None:
    text = re.sub(r"(?<=\d) (?=\d{3}\b)", "", text)
    known = re.match(rf"({_NUMBER})(?: \[({_NUMBER}), ({_NUMBER})\])?", text)
    if known is None:
        return None
    mean, low, high = known.groups()
    return _number(mean), None if low is None else _number(low), None if high is None else _number(high)


def _difference(text: str) -> dict[str, Any]:
    found, neighbor = _interval(text), re.search(r" to ([A-Z]+)", text)
    if found is None or neighbor is None:
        return {}
    p = re.search(r"p ([=<]) ([\d.]+)", text)
    value, low, high = found
    bounds = None if low is None or high is None else (low, high)
    return {"difference": value, "bounds": bounds, "neighbor": neighbor[1], "p": float(p[2]) if p else None}


def compare(first: Row, second: Row) -> tuple[float, str]:
    """The ratio of the mean errors, and whether the first is clearly lower ("holds"), clearly higher, or neither.

    Where one is the neighbor of the other the published difference decides: by its p-value, or by its interval where it
    has none. Otherwise a difference is clear where the intervals of the errors are apart.
    """
    sign = None
    for one, other, direction in ((first, second, 1), (second, first, -1)):
        if one.neighbor == other.letter and one.difference is not None:
            is_clear = one.p <= LEVEL if one.p is not None else bool(one.bounds and one.bounds[0] * one.bounds[1] > 0)
            sign = direction * one.difference if is_clear else 0.0
            break
    if sign is None:
        known = None not in (first.low, first.high, second.low, second.high)
        is_apart = known and (first.high < second.low or second.high < first.low)  # type: ignore[operator]
        sign = first.mean - second.mean if is_apart else 0.0
    ratio = first.mean / second.mean if second.mean else float("nan")
    return ratio, OUTCOMES[0] if sign < 0 else OUTCOMES[1] if sign > 0 else OUTCOMES[2]


def read_claims(path: Path) -> dict[str, Any]:
    """The file of claims.

    Raises: ValueError naming a claim with a key that is missing or unknown, or of data that no place keeps.
    """
    plain = tomllib.loads(path.read_text(encoding="utf-8"))
    for number, claim in enumerate(plain["claim"], start=1):
        if claim.keys() != KEYS:
            raise ValueError(f"{path.name}: claim {number} must have the keys {sorted(KEYS)}, got {sorted(claim)}")
        if claim["where"] not in plain["places"].values():
            raise ValueError(f"{path.name}: claim {number} is of {claim['where']!r}, which no place keeps")
    return plain


def verdicts(plain: Mapping[str, Any], tables: Mapping[str, Mapping[str, Row]]) -> list[Verdict]:
    """Every claim with its comparisons, by the tables of their names without ``_table``."""
    found = []
    for claim in plain["claim"]:
        results = []
        for place, kept in plain["places"].items():
            table, comma, level = place.partition(", ")
            rows = tables.get(table, {})
            for pair in claim["pairs"] if kept == claim["where"] else ():
                first, second = (rows.get(f"{name}{comma}{level}") for name in pair)
                if first is not None and second is not None:
                    named = f"{place}, {pair[0]}" if len(claim["pairs"]) > 1 else place
                    results.append(Found(named, *compare(first, second)))
        found.append(Verdict(claim["claim"], claim["test"], results))
    return found


def read_tables(folder: Path) -> dict[str, dict[str, Row]]:
    """All published tables of a folder, by name without ``_table``."""
    paths = sorted(folder.glob("*_table.rst"))
    return {path.stem.removesuffix("_table"): read_table(path.read_text(encoding="utf-8")) for path in paths}


def in_words(found: Sequence[Found]) -> str:
    """The places with the ratio of the errors at each."""
    return "; ".join(f"{one.place} ({one.ratio:.2f}×)" for one in found) or "–"


def table(rows: Sequence[Verdict]) -> Iterator[str]:
    """The lines of the table."""
    yield from (".. list-table::", "   :header-rows: 1", "   :widths: 20 20 12 16 16 16", "")
    head = ("claim", "test", "result", *("where it holds", "where it does not", "where it is not clear"))
    cells = [(row.claim, row.test, row.result, *(in_words(row.at(name)) for name in OUTCOMES)) for row in rows]
    for line in (head, *cells):
        yield from (f"   {'*' if place == 0 else ' '} - {cell}" for place, cell in enumerate(line))


def setup(app: Any) -> dict[str, bool]:
    """Register the directive."""
    from docutils import nodes
    from docutils.parsers.rst import Directive
    from docutils.statemachine import StringList

    class Claims(Directive):
        """Draws the claims of a file and a folder of tables, both given from the root of the documentation."""

        required_arguments = 2

        def run(self) -> list[nodes.Node]:
            env = self.state.document.settings.env
            path, folder = (Path(env.srcdir) / argument for argument in self.arguments)
            for used in (path, *folder.glob("*_table.rst")):
                env.note_dependency(str(used))
            env.note_reread()
            content = StringList(list(table(verdicts(read_claims(path), read_tables(folder)))), source=str(path))
            node = nodes.section()
            node.document = self.state.document
            self.state.nested_parse(content, 0, node)
            return node.children

    app.add_directive("claims", Claims)
    return {"parallel_read_safe": True}


def main(docs: Path) -> None:
    """Print every claim with its result."""
    for row in verdicts(read_claims(docs / "claims.toml"), read_tables(docs / "results")):
        print(f"{row.claim}\n  test: {row.test}\n  result: {row.result}")
        for outcome in OUTCOMES:
            if places := row.at(outcome):
                print(f"  {outcome}: {in_words(places)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parents[1])
