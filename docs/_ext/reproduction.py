"""The directive ``.. reproduction:: FOLDER``: every published table of a folder with its command and what it cost."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList

_HOURS = {"s": 1 / 3600, "min": 1 / 60, "h": 1.0}


class Published(NamedTuple):
    """A table that `rapidash.report.publish` wrote: its page, command, seeds, runs and hours of one core."""

    page: str
    command: str
    seeds: int
    runs: int
    core_hours: float


def read_tables(folder: Path) -> list[Published]:
    """The published tables of a folder, by page.

    Raises: ValueError naming a table without command, seeds or cost, or one that no page includes.
    """
    pages = {path.stem: path.read_text(encoding="utf-8") for path in folder.glob("*.rst")}
    found = []
    for name in sorted(name for name in pages if name.endswith("_table")):
        page = next((page for page, text in pages.items() if f".. include:: {name}.rst" in text), None)
        if page is None:
            raise ValueError(f"{name}.rst is included by no page of {folder.name}")
        found.append(_read(page, name, pages[name]))
    return sorted(found, key=lambda table: table.page)


def _read(page: str, name: str, text: str) -> Published:
    command, seeds, cost = (
        re.search(rf"^:{entry}: (.+)$", text, re.MULTILINE) for entry in ("Command", "Seeds", "Cost")
    )
    spent = cost and re.match(
        r"(\d+) runs?, ([\d.]+)\s(\w+) of run time in all, threads of each: (\d+)(?!, \d)", cost[1]
    )
    if command is None or seeds is None or not spent or spent[3] not in _HOURS:
        raise ValueError(
            f"{name}.rst: expected the entries Command, Seeds and Cost of a published table, with one number of threads"
        )
    hours = float(spent[2]) * _HOURS[spent[3]] * int(spent[4])
    return Published(page, command[1].strip("` "), len(seeds[1].split(",")), int(spent[1]), hours)


def table(folder: str, found: list[Published]) -> Iterator[str]:
    """The lines of the table, with the sum of all below."""
    yield from (".. list-table::", "   :header-rows: 1", "   :widths: 20 60 7 7 6", "")
    rows = [("page", "command", "seeds", "runs", "core-hours")]
    rows += [
        (
            f":doc:`{one.page} </{folder}/{one.page}>`",
            f"``{one.command}``",
            one.seeds,
            one.runs,
            f"{one.core_hours:.2f}",
        )
        for one in found
    ]
    total = sum(one.core_hours for one in found)
    rows += [("all", "", "", sum(one.runs for one in found), f"{total:.1f}")]
    for row in rows:
        yield from (f"   {'*' if place == 0 else ' '} - {cell}" for place, cell in enumerate(row))


class Reproduction(Directive):
    """Draws the published tables of a folder, given from the root of the documentation."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        env = self.state.document.settings.env
        folder = Path(env.srcdir) / self.arguments[0]
        for path in folder.glob("*.rst"):
            env.note_dependency(str(path))
        env.note_reread()
        content = StringList(list(table(self.arguments[0], read_tables(folder))), source=str(folder))
        node = nodes.section()
        node.document = self.state.document
        self.state.nested_parse(content, 0, node)
        return node.children


def setup(app: Any) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("reproduction", Reproduction)
    return {"parallel_read_safe": True}
