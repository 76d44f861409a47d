"""The table of a study for a terminal."""

import textwrap
from collections.abc import Mapping, Sequence

from rapidash.study._claims import EXACT_LIMIT, refutation
from rapidash.study._comparison import VariantRow, compare_variants, find_winner
from rapidash.study._one_metric import metric_faults
from rapidash.study._statistics import Interval, smallest_p_value
from rapidash.study._store import Record

_HEADER = (
    "variant",
    "symmetry",
    "test error",
    "rotated",
    "minus neighbor",
    "over neighbor",
    "equivariance error",
    "parameters",
    "s/step",
    "memory",
)
TABLE_WIDTH = 120
_MISSING = "-"


def study_table(records: Sequence[Record]) -> str:
    """The table of a study with its verdict and notes, in aligned text; the largest data fraction with a result.

    Args:
        records: of one study; unfinished studies and failed runs are shown as what they are.
    """
    rows = compare_variants(records)
    if not rows:
        return "no run has ended yet\n"
    letters = {row.name: letter(index) for index, row in enumerate(rows)}
    cells = [_HEADER, *(_cells(row, letters) for row in rows)]
    notes = [textwrap.fill(note, TABLE_WIDTH) for note in _notes(records, rows)]
    return "\n".join([*aligned(cells), "", *notes]) + "\n"


def verdict_sentence(rows: Sequence[VariantRow]) -> str:
    """Which variant is best and which cannot be told from it, in words."""
    verdict = find_winner(rows)
    if verdict is None:
        return "No run has a result yet."
    row = next(row for row in rows if row.name == verdict.best)
    assert row.test is not None
    found = f"{verdict.best} has the lowest mean test error, {interval_text(row.test)}"
    if len(row.errors) == len([other for other in rows if other.errors]) == 1 or not verdict.p_values:
        return found + "; there is nothing to compare it with."
    if all(p_value is None for p_value in verdict.p_values.values()):
        return found + "; one seed cannot tell whether another run would rank the variants alike."
    if not verdict.tied:
        return found + f", and every other variant is distinguishably worse over {verdict.num_seeds} seeds."
    return found + f"; not distinguishable from it over {verdict.num_seeds} seeds: {', '.join(verdict.tied)}."


def letter(index: int) -> str:
    """A, B, ..., Z, AA, AB: the short name of a row."""
    return (letter(index // 26 - 1) if index >= 26 else "") + chr(ord("A") + index % 26)


def _cells(row: VariantRow, letters: Mapping[str, str]) -> tuple[str, ...]:
    failed = f" ({row.num_failed} failed)" if row.num_failed else ""
    difference = _MISSING
    if row.difference is not None and row.neighbor is not None:
        difference = f"{letters[row.neighbor]}: {_signed(Interval(*row.difference[:3]))}"
    before, after = (_MISSING if value is None else f"{value:.1e}" for value in (row.before, row.after))
    return (
        f"{letters[row.name]} {row.name}{failed}",
        (row.effective or _MISSING) + (" (not kept)" if row.refuted else "") + (" (oracle)" if row.oracle else ""),
        _MISSING if row.test is None else interval_text(row.test),
        _MISSING if row.rotated is None else f"{row.rotated.mean:.4g}",
        difference,
        _MISSING if row.ratio is None else _range(row.ratio),
        f"{before} to {after}",
        _MISSING if row.parameters is None else f"{row.parameters:,}",
        _MISSING if row.seconds_per_step is None else f"{row.seconds_per_step:.3g}",
        _MISSING if row.peak_memory_bytes is None else f"{row.peak_memory_bytes / 1e6:.0f} MB",
    )


def _notes(records: Sequence[Record], rows: Sequence[VariantRow]) -> list[str]:
    faults = dict(zip((str(record["key"]) for record in records), metric_faults(records), strict=True))
    done = [record for record in records if record["status"] == "done" and not faults[str(record["key"])]]
    seeds = {record["config"]["seed"] for record in done}
    notes = [verdict_sentence(rows)]
    notes += [
        f"Read with care: {row.name} claims a symmetry to rounding that it has not: equivariance error in float64 "
        f"{refutation(row.refuted)}; rounding would be below {EXACT_LIMIT:.0e}."
        for row in rows
        if row.refuted
    ]
    notes += [f"records/{key}.json is left out: {fault}." for key, fault in faults.items() if fault]
    if done:
        metric, unit = done[0].get("metric") or "not stated", done[0].get("unit") or "no unit"
        notes.append(
            f"Test error: {metric} ({unit}), mean over {len(seeds)} seed(s) "
            "± half of the 95 % t-interval; rotated: on rotated test data. Difference and ratio to the neighbor, from "
            "which a variant differs in one knob, are paired by seed, with 95 % intervals. Equivariance error: "
            "relative, under rotations, before and after training. Memory: growth of the process during training."
        )
    for name in dict.fromkeys(name for row in rows for name in row.details):
        known = [f"{row.name} {interval_text(row.details[name])}" for row in rows if name in row.details]
        notes.append(f"Also on test data, {name}: {'; '.join(known)}.")
    if 1 < len(seeds) < 6:
        notes.append(
            f"With {len(seeds)} seeds the intervals rest on normality; an exact sign-flip test cannot go below "
            f"p = {smallest_p_value(len(seeds)):.3g}, so significance without that assumption needs 6 seeds or more."
        )
    known = [f"{row.name} p = {row.p_adjusted:.3g}" for row in rows if row.p_adjusted is not None]
    if len(seeds) >= 6 and known:
        notes.append("Sign-flip tests against the neighbor, adjusted for their number: " + "; ".join(known) + ".")
    failed = sum(record["status"] != "done" for record in records)
    if failed:
        notes.append(f"{failed} run(s) failed and are left out; their records hold the traceback. Run again to retry.")
    if len(commits := {str(record.get("commit")) for record in done}) > 1:
        notes.append(f"The runs come from {len(commits)} states of the code; delete old records to run them again.")
    return notes


def interval_text(value: Interval) -> str:
    """``0.123 ± 0.004``: half of the interval."""
    return f"{value.mean:.4g}" + ("" if value.high is None else f" ± {value.high - value.mean:.2g}")


def _signed(value: Interval) -> str:
    bounds = "" if value.low is None else f" [{value.low:+.3g}, {value.high:+.3g}]"
    return f"{value.mean:+.3g}{bounds}"


def _range(value: Interval) -> str:
    bounds = "" if value.low is None else f" [{value.low:.3g}, {value.high:.3g}]"
    return f"{value.mean:.3g}{bounds}"


def aligned(cells: Sequence[tuple[str, ...]]) -> list[str]:
    """Rows of equally many cells as lines with straight columns, the first row as their head."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in cells]
    return [lines[0], "-" * len(lines[0]), *lines[1:]]
