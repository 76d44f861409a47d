"""Tables of text with straight columns that fit a terminal."""

import textwrap
from collections.abc import Sequence
from itertools import zip_longest
from typing import Final

from rapidash.report import _format as fmt

WIDTH: Final = 120
_NARROWEST: Final = 8


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of equally many cells as lines of at most 120 characters, the first row as their head; long cells wrap."""
    cells = [[_plain(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    while sum(widths) + 2 * (len(widths) - 1) > WIDTH and max(widths) > _NARROWEST:
        widths[widths.index(max(widths))] -= 1
    head, *lines = (_lines(row, widths) for row in cells)
    return [*head, "-" * max(map(len, head)), *(line for found in lines for line in found)]


def filled(text: str, indent: str = "") -> str:
    """A text in lines of at most 120 characters, all but the first indented."""
    return textwrap.fill(_plain(text), WIDTH, subsequent_indent=indent, break_on_hyphens=False)


def _plain(text: str) -> str:
    return fmt.one_line(text).replace(fmt.TIE, " ")


def _lines(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    wrapped = [_wrapped(cell, width) for cell, width in zip(row, widths, strict=True)]
    return [
        "  ".join(part.ljust(width) for part, width in zip(parts, widths, strict=True)).rstrip()
        for parts in zip_longest(*wrapped, fillvalue="")
    ]


def _wrapped(cell: str, width: int) -> list[str]:
    return [cell] if len(cell) <= width else textwrap.wrap(cell, width, subsequent_indent="  ")
