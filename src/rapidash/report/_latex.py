"""The table of variants for a paper: LaTeX with booktabs, intervals, and the best variant in bold."""

import re
from collections.abc import Sequence
from typing import Final

from rapidash.report import _format as fmt
from rapidash.report._phrases import (
    equality_note,
    estimate_text,
    fraction_note,
    metric_with_unit,
    p_note,
    p_text,
    size_text,
    test_text,
    views_note,
)
from rapidash.study import Judgment, StudySummary, VariantSummary, ViewSummary

_HEAD: Final = ("Variant", "Symmetry", "Test error", "Rotated", "Error over neighbor", "p", "Parameters")
_TIED: Final = r"$^\dagger$"
_SPECIAL: Final = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"{''}", "`": r"\textasciigrave{}",
    fmt.TIMES: r"$\times$", fmt.MINUS: "$-$", fmt.NOTHING: "--", fmt.ARROW: r"$\rightarrow$", fmt.TIE: "~",
    "\N{NARROW NO-BREAK SPACE}": r"\,", "\N{RIGHTWARDS ARROW WITH HOOK}": r"$\hookrightarrow$",
    "\N{PLUS-MINUS SIGN}": r"$\pm$", "\N{DEGREE SIGN}": r"$^\circ$", "\N{MIDDLE DOT}": r"$\cdot$",
    "\N{MICRO SIGN}": r"$\mu$", "\N{LATIN CAPITAL LETTER A WITH RING ABOVE}": r"\AA{}",
    "\N{ANGSTROM SIGN}": r"\AA{}",
}  # fmt: skip
_RAISED: Final = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")


def latex_table(summary: StudySummary) -> str:
    """The variants and the other views of their models as a ``table`` with a caption; needs ``booktabs``.

    Bold is the best variant of each level, where more than one seed says so and there is another; a dagger marks those
    that these runs cannot tell from it.
    """
    chosen = [judged for judged in summary.judgments if judged.num_seeds > 1 and _compares(summary, judged)]
    bold = {judged.best for judged in chosen}
    tied = {name for judged in chosen for name in judged.tied}
    rows = []
    for variant in summary.variants:
        rows.append(_line(_cells(summary, variant, is_bold=variant.name in bold, is_tied=variant.name in tied)))
        rows += [_line(_view_cells(view)) for view in variant.views]
    lines = [
        "% needs \\usepackage{booktabs}",
        r"\begin{table}",
        r"  \centering",
        f"  \\caption{{{_caption(summary, chosen)}}}",
        f"  \\label{{tab:{re.sub('[^A-Za-z0-9]+', '-', summary.study.task).strip('-') or 'study'}}}",
        r"  \begin{tabular}{llllllr}",
        r"    \toprule",
        f"    {_line([escape(title) if title != 'p' else '$p$' for title in _HEAD])}",
        r"    \midrule",
        *(f"    {row}" for row in rows),
        r"    \bottomrule",
        r"  \end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def escape(text: str) -> str:
    r"""Text that LaTeX sets as it is: no command, no comment, no mathematics but signs and powers."""
    text = re.sub(r"\s*\n\s*", " ", text)
    signs = "".join(_SPECIAL.get(sign, sign) for sign in text if sign.isprintable() or sign in _SPECIAL)
    return re.sub("[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+", lambda found: f"$^{{{found[0].translate(_RAISED)}}}$", signs)


def _compares(summary: StudySummary, judged: Judgment) -> bool:
    """Whether there is a best variant and another at its level."""
    if judged.best is None:
        return False
    level = summary[judged.best].level_text
    return len([v for v in summary.ranked if v.level_text == level]) > 1


def _bold(summary: StudySummary, chosen: Sequence[Judgment]) -> str:
    """The meaning of bold, with every reason for which it is not simply the lowest number in sight."""
    text = "Bold: the lowest mean"
    text += " at each level of the factors" if len(summary.judgments) > 1 else ""
    text += ", of the variants with the most seeds" if any(judged.fewer for judged in chosen) else ""
    shared = [(summary[judged.best].test, judged.num_seeds) for judged in chosen if judged.best is not None]
    text += ", over the seeds that they share" if any(test and len(test.by_seed) > n for test, n in shared) else ""
    return text + (", without the oracles" if any(variant.oracle for variant in summary.ranked) else "")


def _caption(summary: StudySummary, chosen: Sequence[Judgment]) -> str:
    seeds = fmt.plural(len(summary.seeds), "seed")
    parts = [f"{metric_with_unit(summary)}, lower is better: mean over {seeds}"]
    parts[0] += " with its 95 % interval" if len(summary.seeds) > 1 else ""
    if any(variant.rotated is not None for variant in summary.variants):
        parts.append("Rotated: on rotated test data")
    if any(variant.to_neighbor is not None for variant in summary.variants):
        parts.append("Neighbor: the variant from which one differs in a single knob, compared by seed")
    if chosen:
        parts.append(_bold(summary, chosen))
    text = escape(". ".join(part.rstrip(".") for part in parts) + ".")
    if any(judged.tied for judged in chosen):
        which = "the one in bold at its level" if len(summary.judgments) > 1 else "it"
        text += f" {_TIED}: not distinguishable from {which}."
    notes = fraction_note(summary), equality_note(summary), views_note(summary), p_note(summary)
    return " ".join([text, *(escape(note) for note in notes if note)])


def _cells(summary: StudySummary, variant: VariantSummary, *, is_bold: bool, is_tied: bool) -> list[str]:
    name = escape(f"{variant.letter} {variant.name}{' (oracle)' if variant.oracle else ''}")
    error = escape(test_text(summary, variant))
    if is_bold:
        name, error = f"\\textbf{{{name}}}", f"\\textbf{{{error}}}"
    compared = variant.to_neighbor
    p = p_text(compared).removeprefix(f"p{fmt.TIE}").removeprefix(f"={fmt.TIE}").replace(fmt.TIE, "")
    return [
        name + (_TIED if is_tied else ""),
        escape(variant.symmetry_text or fmt.NOTHING),
        error,
        escape(fmt.number(variant.rotated.mean) if variant.rotated is not None else fmt.NOTHING),
        escape(fmt.NOTHING if compared is None else f"{summary[compared.other].letter}: {size_text(compared)}"),
        escape(p or fmt.NOTHING),
        escape(fmt.count(variant.parameters)),
    ]


def _view_cells(view: ViewSummary) -> list[str]:
    return [
        escape(f"\N{RIGHTWARDS ARROW WITH HOOK} {view.name}"),
        escape(view.effective or fmt.NOTHING),
        escape(estimate_text(view.test) if view.test is not None else fmt.NOTHING),
        escape(fmt.number(view.rotated.mean) if view.rotated is not None else fmt.NOTHING),
        *("",) * 3,
    ]


def _line(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"
