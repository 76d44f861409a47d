"""The directive ``deprecations``: a table of the ``names`` that go, or of the ``files`` of earlier versions."""

from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive, directives
from docutils.statemachine import StringList

from rapidash._deprecated import DEPRECATIONS, EARLIER_FORMS


def table(what: str) -> list[str]:
    """The lines of a table: ``names`` or ``files``."""
    if what == "names":
        head = ("name", "use instead", "deprecated since", "gone in")
        rows = [(f"``{old.name}``", f"``{old.instead}``", old.since, old.gone_in) for old in DEPRECATIONS]
    else:
        head = ("file", "what earlier versions wrote", "read by")
        rows = [tuple(form) for form in EARLIER_FORMS]
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for row in (head, *rows):
        lines += [f"   {'* -' if not place else '  -'} {cell}" for place, cell in enumerate(row)]
    return lines


class Deprecations(Directive):
    """One of the two tables."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        what = directives.choice(self.arguments[0], ("names", "files"))
        node = nodes.Element()
        self.state.nested_parse(StringList(table(what), source="rapidash/_deprecated.py"), 0, node)
        return node.children


def setup(app: Any) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("deprecations", Deprecations)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
