"""The directive ``.. systems:: FOLDER``: a table of papers and what was measured of each, a TOML file per paper.

A file has the keys of `FIELDS`, all of them texts. So two changes that each add a paper touch no common line.
"""

import re
import textwrap
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList

FIELDS = {  # what a file says, and how the page names it
    "title": "paper",
    "arxiv": "arXiv number",
    "module": "module",
    "study": "study",
    "command": "command",
    "minutes": "minutes",
    "claimed": "Claimed",
    "measured": "Measured here",
    "source": "Where the numbers are from",
    "differs": "How that differs",
}
_DETAIL = ("claimed", "measured", "source", "differs")


def read_rows(folder: Path) -> list[dict[str, str]]:
    """The rows of a folder, by title.

    Raises: ValueError naming the file for no TOML, a key that is missing, unknown or no text, or an arXiv number that
        is none.
    """
    return sorted((read_row(path) for path in folder.glob("*.toml")), key=lambda row: row["title"].casefold())


def read_row(path: Path) -> dict[str, str]:
    """One row, see `read_rows`."""
    try:
        row = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path.name} is not TOML: {error}") from error
    missing, unknown = sorted(FIELDS.keys() - row.keys()), sorted(row.keys() - FIELDS.keys())
    if missing or unknown:
        raise ValueError(f"{path.name} must have the keys {list(FIELDS)}: {missing} are missing, {unknown} unknown")
    empty = [name for name, value in row.items() if not isinstance(value, str) or not value.strip()]
    if empty:
        raise ValueError(f"{path.name}: {empty} must be texts that are not empty")
    if not re.fullmatch(r"\d{4}\.\d{4,5}", row["arxiv"]):
        raise ValueError(f"{path.name}: arxiv must be a number such as 2501.01999, got {row['arxiv']!r}")
    return row


def page(rows: Iterable[Mapping[str, str]]) -> list[str]:
    """The table and a section per paper, as lines of reStructuredText."""
    rows = list(rows)
    lines = [".. list-table::", "   :header-rows: 1", "   :widths: 60 25 15", ""]
    lines += _table_row(FIELDS[name] for name in ("title", "study", "minutes"))
    for row in rows:
        lines += _table_row((f"`{row['title']}`_", f"``{row['study']}``", row["minutes"]))
    for row in rows:
        arxiv = f"`{row['arxiv']} <https://arxiv.org/abs/{row['arxiv']}>`__"
        lines += ["", row["title"], "-" * len(row["title"]), ""]
        lines += [f"arXiv {arxiv} · `{row['module']}` · ``{row['command']}`` · {row['minutes']} minutes", ""]
        for name in _DETAIL:
            text = " ".join(row[name].split())
            lines += [FIELDS[name], *textwrap.wrap(text, 100, initial_indent="    ", subsequent_indent="    "), ""]
    return lines


def _table_row(cells: Iterable[str]) -> list[str]:
    return [f"   {'*' if index == 0 else ' '} - {cell}" for index, cell in enumerate(cells)]


class Systems(Directive):
    """Draws the rows of a folder, given relative to the page."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        env = self.state.document.settings.env
        folder = Path(env.doc2path(env.docname)).parent / self.arguments[0]
        for path in folder.glob("*.toml"):
            env.note_dependency(str(path))
        env.note_reread()  # a file more is no change of a file that was there
        content = StringList(page(read_rows(folder)), source=str(folder))
        node = nodes.section()
        node.document = self.state.document
        self.state.nested_parse(content, 0, node, match_titles=True)
        return node.children


def setup(app: Any) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("systems", Systems)
    return {"parallel_read_safe": True}
