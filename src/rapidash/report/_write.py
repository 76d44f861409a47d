"""The report of a study directory, written to disk."""

from pathlib import Path

from rapidash._files import atomic_write
from rapidash.report._contents import contents
from rapidash.report._markdown import markdown_table
from rapidash.report._page import render
from rapidash.study import read_study, summarize


def write_report(study_dir: Path, out: Path | None = None) -> Path:
    """Write ``report.html`` and ``table.md`` of a study from its records; works on unfinished studies.

    The page holds everything it shows, the records included, and opens without a network.

    Args:
        study_dir: directory with ``study.json`` and ``records/*.json``, as `rapidash study` leaves it.
        out: folder for the two files, created where it is missing; None: the study directory.
    Returns: the path of ``report.html``.
    Raises: FileNotFoundError if ``study_dir`` is no study directory; ImportError if Jinja2 is missing; OSError if the
        files cannot be written, in which case those of an earlier report stay as they are.
    """
    summary = summarize(read_study(Path(study_dir)))
    found = contents(summary)
    page, table = render(summary, found), markdown_table(summary, found)
    folder = Path(study_dir if out is None else out)
    atomic_write(folder / "table.md", table)
    atomic_write(folder / "report.html", page)
    return folder / "report.html"
