"""Reads the project's docstring pattern: sections in one line, mathematics in plain text.

A docstring may say ``Shape: x (N, C) -> (N, C).`` in a line; Napoleon knows sections only with their text below. In
plain text ``|d|`` is a length and ``a * b`` a product; in reStructuredText they would be a substitution and emphasis.
"""

import re
from typing import Any

SECTIONS = ("Args", "Shape", "Symmetry", "Raises", "Returns", "Source", "Fields", "Attributes")
ONE_LINE = re.compile(r"^([A-Z][a-z]+(?:,[^:]+)?): +(\S.*)$")
HEADER = re.compile(rf"^({'|'.join(SECTIONS)}):\s*$")
LITERAL = re.compile(r"(``.+?``|:[\w:]+:`[^`]+`|`[^`]+`_?)")


def process(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Rewrite a docstring in place."""
    lines[:] = one_line_sections(plain_mathematics(lines))


def one_line_sections(lines: list[str]) -> list[str]:
    """Turn ``Name: text`` with its continuation lines into a field ``:Name: text``."""
    out: list[str] = []
    in_field = False
    for line, following in zip(lines, [*lines[1:], ""]):
        continued = following.startswith(" ") and following.strip() != ""
        if (found := ONE_LINE.match(line)) and (found[1] in SECTIONS or continued):
            if out and out[-1].strip() and not in_field:
                out.append("")
            out.append(f":{found[1]}: {found[2]}")
            in_field = True
        elif in_field and line.strip() and not HEADER.match(line):
            out.append("    " + line.strip())
        else:
            if in_field and line.strip():
                out.append("")
            in_field = False
            out.append(line)
    return out


def plain_mathematics(lines: list[str]) -> list[str]:
    """Escape bars and asterisks outside of literals, mathematics and code."""
    out = []
    block: int | None = None  # indentation of the directive or literal block that is copied as it is
    for line in lines:
        indent = len(line) - len(line.lstrip())
        if block is not None and line.strip() and indent <= block:
            block = None
        is_directive = re.match(r"^\s*\.\. (math|code-block|code)::", line) is not None
        if block is not None or is_directive or line.lstrip().startswith(">>>"):
            out.append(line)
        else:
            parts = LITERAL.split(line)
            out.append("".join(part if index % 2 else _escaped(part) for index, part in enumerate(parts)))
        if is_directive or (block is None and line.rstrip().endswith("::")):
            block = indent
    return out


def _escaped(text: str) -> str:
    return re.sub(r"(?<!\\)([|*])", r"\\\1", text)


def setup(app: Any) -> dict[str, bool]:
    """Connect, ahead of Napoleon."""
    app.connect("autodoc-process-docstring", process, priority=100)
    return {"parallel_read_safe": True}
