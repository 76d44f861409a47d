"""A study for the documentation: its table and provenance as reStructuredText, beside its figure."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rapidash._files import atomic_write
from rapidash.report import _format as fmt
from rapidash.report._figure import figure
from rapidash.report._learning_section import learning_section
from rapidash.report._phrases import (
    difference_text,
    equality_note,
    estimate_text,
    fraction_note,
    fraction_text,
    metric_with_unit,
    p_note,
    p_text,
    test_text,
    variant_title,
    view_title,
    views_note,
)
from rapidash.report._published_section import published_section
from rapidash.report._robustness import TableCell, robustness_section
from rapidash.report._sections import Section
from rapidash.report._symbols import symbols, symbols_text
from rapidash.report._verdict import verdict
from rapidash.study import StudySummary, VariantSummary, read_study, summarize

_HEAD: Final = ("variant", "symmetry", "test error", "rotated", "difference to neighbor", "parameters", "per step")
_WIDTHS: Final = (22, 12, 22, 8, 22, 8, 8)
_SPECIAL: Final = "\\*`|_"
_STARTS: Final = tuple(".-+:=#>[('\"~^")


def publish(study_dir: Path, path: Path, *, command: str | None = None) -> tuple[Path, Path]:
    """Write the table of a study to ``path`` (``.rst``, for an include) and its figure beside it (``.svg``).

    The text holds every variant that has finished runs with its 95 % interval over seeds, the paired difference to its
    neighbor, and where the numbers come from: command, commit, seeds, data sizes, steps, time and machine; the
    corruption errors where the models were tested under corruptions; the errors at every size of the training set, and
    published values, each in a table of its own. No record is left out: runs without a result are counted, and below
    the table stand the variants without a finished run at the levels of the factors that have any run.

    Args:
        study_dir: directory with ``study.json`` and ``records/*.json``.
        path: the ``.rst`` file; the figure takes its name.
        command: what to type to run the study again; None: the plain command of the study and its setting, of the task
            where ``study.json`` has no name of the study.
    Returns: paths of the text and of the figure.
    Raises: ValueError for another ending than ``.rst``, or if no run has a finite test error; FileNotFoundError if
        ``study_dir`` is no study; ImportError if matplotlib is missing.
    """
    path = Path(path)
    if path.suffix != ".rst":
        raise ValueError(f"path must end in .rst, got {path.name!r}")
    summary = summarize(read_study(Path(study_dir)))
    picture = figure(Path(study_dir), path.with_suffix(".svg"))
    atomic_write(path, _text(summary, picture.name, command))
    return path, picture


def _text(summary: StudySummary, picture: str, command: str | None) -> str:
    caption = f"{metric_with_unit(summary)[:1].upper()}{metric_with_unit(summary)[1:]}; lower is better."
    caption = f"{caption} {fraction_note(summary)}".strip()
    found = verdict(summary)
    lines = [f"**{escape(found.headline)}**", "", *(f"{escape(line)}\n" for line in found.lead)]
    lines += [f"{escape(named)}.\n"] if (named := symbols_text(symbols(summary))) else []
    alt = "   :alt: Test error, error on rotated test data and equivariance error of every variant"
    lines += [f".. figure:: {picture}", alt, "   :width: 100%", "", f"   {escape(caption)}", ""]
    finished = [variant for variant in summary.variants if variant.test is not None]
    lines += _table([_HEAD, *(row for variant in finished for row in _rows(summary, variant))], _WIDTHS)
    notes = (
        _unfinished_note(summary),
        fraction_note(summary),
        equality_note(summary),
        views_note(summary),
        p_note(summary),
    )
    lines += [f"\n{escape(note)}" for note in notes if note]
    lines += _robustness(summary)
    for section in (learning_section(summary), published_section(summary)):
        lines += _section(section) if section is not None else []
    lines += ["", *(f":{name}: {value}" for name, value in _provenance(summary, command)), ""]
    return "\n".join(lines)


def _table(rows: Sequence[Sequence[str]], widths: Sequence[int]) -> list[str]:
    """A list-table, its head first."""
    lines = [".. list-table::", "   :header-rows: 1", f"   :widths: {' '.join(map(str, widths))}", ""]
    for cells in rows:
        lines += [f"   {'*' if index == 0 else ' '} - {escape(cell)}" for index, cell in enumerate(cells)]
    return lines


def _section(section: Section) -> list[str]:
    """A section under its name in bold, with a table of columns as wide as each other and its notes."""
    lines = ["", f"**{escape(section.title)}.** {escape(section.text)}", ""]
    lines += _table([section.head, *section.rows], [100 // len(section.head)] * len(section.head))
    return [*lines, "", *(f"- {escape(note)}" for note in section.notes)]


def _robustness(summary: StudySummary) -> list[str]:
    """Corruption errors with a column per variant; empty where no model was tested under corruptions."""
    section = robustness_section(summary)
    if section is None or not section.variants:
        return []
    head = ("corruption error", *(f"{variant.letter} {variant.name}" for variant in section.variants))
    lines = list(enumerate(section.lines))
    rows = [(title, *(_robustness_cell(cell, is_mean=place == 0) for cell in cells)) for place, (title, cells) in lines]
    table = _table([head, *rows], (20, *(80 // len(section.variants) for _ in section.variants)))
    return ["", escape(section.lead), "", *table, "", *(f"- {escape(note)}" for note in section.notes)]


def _robustness_cell(cell: TableCell, *, is_mean: bool) -> str:
    if cell.value == fmt.NOTHING:  # test data as they are
        return cell.error
    return " ".join(filter(None, (cell.value, cell.interval if is_mean else "", f"({cell.error})")))


def _rows(summary: StudySummary, variant: VariantSummary) -> list[tuple[str, ...]]:
    difference = fmt.NOTHING
    if (comparison := variant.to_neighbor) is not None:
        difference = f"{difference_text(comparison)} to {summary[comparison.other].letter}"
        difference += f", {p_text(comparison)}" if p_text(comparison) else ""
    row = (
        variant_title(variant),
        variant.symmetry_text or fmt.NOTHING,
        test_text(summary, variant),
        fmt.number(variant.rotated.mean) if variant.rotated is not None else fmt.NOTHING,
        difference,
        fmt.count(variant.parameters),
        fmt.seconds(variant.seconds_per_step),
    )
    views = (
        (
            view_title(view.name),
            view.effective or fmt.NOTHING,
            estimate_text(view.test) if view.test is not None else fmt.NOTHING,
            fmt.number(view.rotated.mean) if view.rotated is not None else fmt.NOTHING,
            *(fmt.NOTHING,) * 3,
        )
        for view in variant.views
    )
    return [row, *views]


def _unfinished_note(summary: StudySummary) -> str:
    """The rows without a finished run at levels that any run has: what was begun, and neither is in the table."""
    begun = {variant.level_text for variant in summary.variants if variant.runs}
    missing = [v for v in summary.variants if v.test is None and v.level_text in begun]
    if not missing:
        return ""
    where = f" at {fraction_text(summary)}" if len(summary.study.fractions) > 1 else ""
    return f"Without finished runs{where}: {'; '.join(map(variant_title, missing))}."


def _provenance(summary: StudySummary, command: str | None) -> list[tuple[str, str]]:
    runs = summary.study.runs
    done = [run for run in runs if run.is_done]

    def values(*path: str) -> str:
        """The different values of a key over the finished runs, in the order of the first."""
        return escape(", ".join(dict.fromkeys(run.text(*path) for run in done if run.text(*path)))) or fmt.NOTHING

    def train(name: str) -> str:
        return values("config", "train", name)

    full = " --full" if str(summary.study.design.get("setting")).startswith("full") else ""
    command = command or f"rapidash study {summary.study.design.get('name') or summary.study.task}{full}"
    total = sum(run.number("seconds") or 0.0 for run in done)
    options = summary.study.design.get("task_options") or {}
    cost = (
        f"{fmt.plural(len(done), 'run')}, {fmt.seconds(total)} of run time in all, threads of each: {values('threads')}"
    )
    if len(done) < len(runs):
        cost += f"; {fmt.plural(len(runs) - len(done), 'run')} without a result"
    return [
        ("Command", f"``{command}``"),
        ("Commit", values("commit")),
        ("Seeds", values("config", "seed")),
        ("Training", f"{train('steps')} steps of {train('batch_size')} samples"),
        ("Data", f"{values('num_train')} training samples; options {escape(str(options)) if options else 'none'}"),
        ("Cost", cost),
        ("Machine", f"{values('device')}; torch {values('versions', 'torch')}"),
    ]


def escape(text: str) -> str:
    """Text that reStructuredText shows as it is, on one line: no list or directive begins in it, no block after it."""
    text = fmt.one_line(text).strip()
    for sign in _SPECIAL:
        text = text.replace(sign, f"\\{sign}")
    text = f"{text[:-1]}\\:" if text.endswith("::") else text
    return f"\\{text}" if text[:1] in _STARTS else text
