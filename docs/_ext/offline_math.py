"""Formulas as MathML, which browsers draw themselves: the pages need no network, as the reports need none."""

from html import escape
from typing import Any

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.util import logging
from sphinx.util.math import wrap_displaymath

logger = logging.getLogger(__name__)


def visit_inline(writer: Any, node: nodes.Element) -> None:
    """A formula in a line of text."""
    writer.body.append(_mathml(node.astext(), "inline", node))
    raise nodes.SkipNode


def visit_block(writer: Any, node: nodes.Element) -> None:
    """A displayed formula, its lines aligned at the ampersands."""
    text = (
        wrap_displaymath(node.astext(), None, False).replace(r"\begin{equation*}", "").replace(r"\end{equation*}", "")
    )
    writer.body.append(f'<div class="math">{_mathml(text, "block", node)}</div>')
    raise nodes.SkipNode


def _mathml(text: str, display: str, node: nodes.Element) -> str:
    try:
        return convert(text, display=display)
    except Exception as error:  # whatever the converter stumbles over: with -W it fails the build
        logger.warning("cannot convert %r to MathML: %s", text, error, location=node)
        return f"<code>{escape(text)}</code>"


def setup(app: Any) -> dict[str, bool]:
    """Register the renderer."""
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
