"""The section on the split of a user's data: do test clouds stand much nearer to training clouds than others do?"""

from typing import Final

from rapidash.report import _format as fmt
from rapidash.report._sections import Section
from rapidash.study import StudySummary
from rapidash.study.measures.split_distance import ACROSS, COPIES, FIGURES, NUM_TEST, WITHIN

MUCH_NEARER: Final = 0.5  # of the distance within the training set
_FEWEST: Final = 20  # test clouds
_MOST_COPIES: Final = 0.01
_HEAD = ("test to training", "training to training, elsewhere", "ratio", "copies", "what it says")
_TEXT = (
    "Medians of the distance from a cloud to its nearest one, where the distance is the root mean square difference of "
    "32 quantiles of the distances between points. A test cloud may have any training cloud for its nearest, a "
    "training cloud only one that stands elsewhere: in another group where the split is by one, else outside of its "
    "own twentieth of the file and the two beside it; of classes, one of the same class. Test clouds leak if the ratio "
    f"is below {MUCH_NEARER}, or more than 1 % of them have a copy in the training set (nearer than 1e-5 of the "
    "distance within). Random frames of one trajectory do; then split in time, by a group or by files."
)


def split_section(summary: StudySummary) -> Section | None:
    """The distances of a study that measured them; None for any other."""
    found = split_figures(summary)
    if found is None:
        return None
    across, within, ratio = found.get(ACROSS), found.get(WITHIN), _ratio(found)
    row = (
        fmt.number(across),
        fmt.number(within),
        fmt.number(ratio),
        fmt.NOTHING if found.get(COPIES) is None else f"{100 * found[COPIES]:.3g} %",
        split_verdict(found),
    )
    return Section("How near the test clouds are", _TEXT, _HEAD, [row])


def split_figures(summary: StudySummary) -> dict[str, float] | None:
    """The measured figures by name; None where there are none."""
    for variant in summary.variants:
        found = {
            figure.name: next(iter(figure.moments.values())).mean
            for figure in variant.figures
            if figure.name in FIGURES
        }
        if found:
            return found
    return None


def split_verdict(found: dict[str, float]) -> str:
    """The sentence of the rule."""
    if found.get(NUM_TEST, 0) < _FEWEST:
        return f"cannot tell: fewer than {_FEWEST} test clouds"
    if found.get(COPIES, 0.0) > _MOST_COPIES:
        return "test clouds leak: some are copies of training clouds"
    ratio = _ratio(found)
    if ratio is None:
        return "cannot tell: there is nothing to compare with"
    return "test clouds leak: much nearer than elsewhere" if ratio < MUCH_NEARER else "no sign of a leak"


def split_caution(summary: StudySummary) -> str:
    """A caution where test clouds leak; else empty."""
    found = split_figures(summary)
    if found is None or not (said := split_verdict(found)).startswith("test clouds leak"):
        return ""
    ratio = _ratio(found)
    shown = "" if ratio is None else f" (nearest training cloud at {fmt.number(ratio)} of the distance within that set)"
    return (
        f"{said[:1].upper()}{said[1:]}{shown}: the test error is that of clouds between those that were learned, and "
        "too low for new ones. Split in time, by a group or by files: --split time, group:NAME or files."
    )


def _ratio(found: dict[str, float]) -> float | None:
    across, within = found.get(ACROSS), found.get(WITHIN)
    return across / within if across is not None and within else None
