"""Tables and figures from the records of a study: one self-contained page, one Markdown table, one picture."""

from rapidash.report._chart_types import Drawing
from rapidash.report._contents import export
from rapidash.report._figure import figure
from rapidash.report._measured_data import MeasuredData, measure_data
from rapidash.report._measured_run import measure_run
from rapidash.report._measurement import measurement_page, write_measurement
from rapidash.report._page import MEASUREMENT_PAGE
from rapidash.report._publish import publish
from rapidash.report._sections import Section
from rapidash.report._terminal import terminal_table
from rapidash.report._terminal_robustness import robustness_table
from rapidash.report._verdict import Finding, Verdict, symmetry_of_run, verdict
from rapidash.report._write import write_report

__all__ = [
    "MEASUREMENT_PAGE",
    "Drawing",
    "Finding",
    "MeasuredData",
    "Section",
    "Verdict",
    "export",
    "figure",
    "measure_data",
    "measure_run",
    "measurement_page",
    "publish",
    "robustness_table",
    "symmetry_of_run",
    "terminal_table",
    "verdict",
    "write_measurement",
    "write_report",
]
