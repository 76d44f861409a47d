"""The section of a study of planted symmetry: what each method says of each truth, and how often it is right."""

from collections import Counter
from collections.abc import Mapping, Sequence

from rapidash.datasets import PLANTED, planted_truth
from rapidash.report import _format as fmt
from rapidash.report._sections import Section
from rapidash.study import StudySummary, VariantSummary
from rapidash.study.measures.planted import ASKED, MEASURES_OF_NETWORK, read
from rapidash.study.measures.sayings import Saying, is_false_alarm, verdict

Said = dict[tuple[str, str], list[Saying]]  # by method and column


def planted_section(summary: StudySummary) -> Section | None:
    """One table: for every method and truth the number of seeds in which it is right, and what it says.

    For data whose truth is not known, what it says. None for a study in which no method was asked.
    """
    said: Said = {}
    for variant in summary.variants:
        for (method, group), sayings in _sayings(variant).items():
            said.setdefault((method, _symmetry(variant) or group), []).extend(sayings)
    if not said:
        return None
    methods = [method for method in ASKED if any(method == asked for asked, _ in said)]
    if all(column in PLANTED for _, column in said):
        return _of_truths(said, methods)
    return _of_axes(said, methods)


def _symmetry(variant: VariantSummary) -> str:
    """The planted symmetry of a row; empty for other data."""
    found = variant.runs[0].get("config", "task_options", "symmetry") if variant.runs else None
    return found if found in PLANTED else ""


def _sayings(variant: VariantSummary) -> dict[tuple[str, str], list[Saying]]:
    """By method and group, the saying of every seed."""
    found: dict[tuple[str, str], list[Saying]] = {}
    for figure in variant.figures:
        after = figure.moments.get("after")
        for value in () if after is None else after.values:
            told = read(figure.name, value)
            if told is not None:
                found.setdefault((told[0], figure.group), []).append(told[1])
    return found


def _of_truths(said: Said, methods: Sequence[str]) -> Section:
    columns = [symmetry for symmetry in PLANTED if any(symmetry == column for _, column in said)]
    head = ("method", *columns, "right", "names it", "false alarms", "abstains")
    rows = [_row(method, {symmetry: said.get((method, symmetry), []) for symmetry in columns}) for method in methods]
    truth = "; ".join(f"{symmetry!r}, {_TRUTHS[symmetry]}" for symmetry in columns)
    return Section(
        "Planted symmetry: what each method says",
        "Every method is asked which turns about z the labels stand. A cell has the number of seeds in which it is "
        "right of those in which it was asked, and what it says, by rules that were fixed before the runs. "
        f"Planted are, for {truth}. A saying such as 'not all turns' is right wherever it is true, so a method that "
        "says nothing else is often right; 'names it' counts right sayings that leave no other kind of symmetry open. "
        "A false alarm is a saying that claims a symmetry about z where none is planted, or one about x. 'Cannot tell' "
        "is an abstention, neither right nor wrong.",
        head,
        rows,
        _notes(said, methods),
    )


_TRUTHS = {
    "full": "all turns",
    "partial": "turns up to 45 degrees",
    "discrete": "steps of 1/4 turn",
    "none": "no turn",
    "wrong axis": "no turn about z, all about x",
}


def _row(method: str, by_truth: Mapping[str, Sequence[Saying]]) -> tuple[str, ...]:
    """The cells of a method."""
    cells, right, named, alarms, could_alarm, abstained, asked = [], 0, 0, 0, 0, 0, 0
    for symmetry, sayings in by_truth.items():
        truth = planted_truth(symmetry)  # type: ignore[arg-type]
        verdicts = [verdict(saying, truth) for saying in sayings]
        hits = verdicts.count("right")
        cells.append(f"{hits}/{len(sayings)} {_words(sayings)}" if sayings else fmt.NOTHING)
        right, asked = right + hits, asked + len(sayings)
        named += sum(v == "right" and saying.names_one for v, saying in zip(verdicts, sayings, strict=True))
        abstained += verdicts.count("abstains")
        if truth.kind == "none":
            alarms += sum(is_false_alarm(saying, truth) for saying in sayings)
            could_alarm += len(sayings)
    shares = (f"{right}/{asked}", f"{named}/{asked}", f"{alarms}/{could_alarm}", f"{abstained}/{asked}")
    return (method, *cells, *shares)


def _words(sayings: Sequence[Saying]) -> str:
    """The sayings, the most frequent first, each with how often unless it is always the same."""
    texts: dict[str, list[Saying]] = {}
    for saying in sayings:
        words = saying.words if saying.words == "turns up to" else saying.text
        texts.setdefault(words, []).append(saying)
    counts = Counter({words: len(found) for words, found in texts.items()})
    parts = [f"{_text(texts[words])}{f' ({num})' if len(texts) > 1 else ''}" for words, num in counts.most_common()]
    return ", ".join(parts)


def _text(sayings: Sequence[Saying]) -> str:
    """Equal sayings as one, angles as their range."""
    if sayings[0].words != "turns up to":
        return sayings[0].text
    low, high = (f"{extreme(saying.amount for saying in sayings):.0f}" for extreme in (min, max))
    return f"turns up to {low if low == high else f'{low} to {high}'} degrees"


def _notes(said: Said, methods: Sequence[str]) -> list[str]:
    """The false alarms by method, and which rows need no training method."""
    alarming = {
        method: sum(
            is_false_alarm(saying, planted_truth(column))  # type: ignore[arg-type]
            for (asked, column), sayings in said.items()
            if asked == method
            for saying in sayings
        )
        for method in methods
    }
    loud = [f"{method} ({num})" for method, num in alarming.items() if num]
    notes = [f"False alarms: {fmt.listed(loud)}." if loud else "No method raises a false alarm."]
    measures = [method for method in methods if method in MEASURES_OF_NETWORK]
    if measures:
        notes.append(
            f"Of the network without a method: {fmt.listed(measures)}. The scores of data and task need no network; "
            "shared weights and subgroup search work on angular bins about the axis."
        )
    return notes


def _of_axes(said: Said, methods: Sequence[str]) -> Section:
    columns = sorted({column for _, column in said}, reverse=True)
    rows = [
        (method, *(_words(said[method, column]) if (method, column) in said else fmt.NOTHING for column in columns))
        for method in methods
    ]
    return Section(
        "What each method says of an axis",
        "Every method is asked which turns about an axis the labels stand, by the same rules as for planted symmetry. "
        "Nobody planted anything here: that z is up is all that is known, so nothing counts as right or wrong.",
        ("method", *columns),
        rows,
    )
