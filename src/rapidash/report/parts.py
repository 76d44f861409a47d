"""The parts that a page of another package is drawn with: numbers, axes, charts, the style, and the templates."""

from importlib import resources
from typing import Any

from rapidash.report._chart_types import Mark, Point, Row, RowChart, Series, Span, XYChart
from rapidash.report._charts import apart, path_data
from rapidash.report._format import count, interval, listed, number, percent, plural, seconds
from rapidash.report._provenance import json_in_page
from rapidash.report._scale import Scale, scale_for
from rapidash.report._svg import row_svg, xy_svg
from rapidash.report._symbols import group_meaning

__all__ = [
    "Mark",
    "Point",
    "Row",
    "RowChart",
    "Scale",
    "Series",
    "Span",
    "XYChart",
    "apart",
    "count",
    "group_meaning",
    "interval",
    "json_in_page",
    "listed",
    "number",
    "page_environment",
    "path_data",
    "percent",
    "plural",
    "row_svg",
    "scale_for",
    "seconds",
    "template_text",
    "xy_svg",
]


def page_environment(package: str) -> Any:
    """A Jinja2 environment whose templates are those of a package, then those of the report.

    Raises: ImportError naming the extra to install.
    """
    try:
        from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
    except ImportError as error:
        raise ImportError("the page needs Jinja2: pip install 'rapidash[study]'") from error
    loader = ChoiceLoader([PackageLoader(package), PackageLoader("rapidash.report")])
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)


def template_text(name: str) -> str:
    """The style (``style.css``) or the script (``script.js``) of the report, which is written into a page."""
    return resources.files("rapidash.report").joinpath("templates", name).read_text(encoding="utf-8")
