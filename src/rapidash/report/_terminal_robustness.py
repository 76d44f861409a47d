"""Errors under corruptions for a terminal."""

from collections.abc import Mapping

from rapidash.report._aligned import aligned, filled
from rapidash.study import Interval, Robustness, StudySummary, mean_interval


def robustness_table(found: Robustness, summary: StudySummary) -> str:
    """Errors under corruptions in aligned text: a column per variant, a line per corruption.

    Args:
        found: of a study.
        summary: of the same study; it gives the variants their letters, and the unit.
    """
    if not found.rows:
        return f"no run has been tested under all of {', '.join(found.corruptions)} yet\n"
    unit = summary.unit
    lines = [
        ("under corruptions", *(summary[row.name].letter for row in found.rows)),
        ("mean corruption error", *(_over_seeds(row.mce) for row in found.rows)),
        *((name, *(_over_seeds(row.ce[name]) for row in found.rows)) for name in found.corruptions),
        (f"error, clean ({unit})", *(_over_seeds(row.clean) for row in found.rows)),
        (f"error, corrupted ({unit})", *(_over_seeds(row.corrupted) for row in found.rows)),
    ]
    notes = [
        f"Corruption error: test error over five severities divided by that of {found.reference} with the same seed, "
        "mean over seeds ± half of the 95 % t-interval; lower is better."
    ]
    notes += [f"Left out: {name}, because {why}." for name, why in found.skipped.items()]
    if found.num_untested:
        notes.append(f"{found.num_untested} finished run(s) lack a result: --corruptions once more tests them.")
    return "\n".join([*aligned(lines), "", *(filled(note) for note in notes)]) + "\n"


def _over_seeds(by_seed: Mapping[int, float]) -> str:
    values = list(by_seed.values())
    if values and min(values) == max(values):  # the reference itself
        return f"{values[0]:.4g}"
    return _interval_text(mean_interval(values)) if values else "-"


def _interval_text(value: Interval) -> str:
    """``0.123 ± 0.004``: half of the interval."""
    return f"{value.mean:.4g}" + ("" if value.high is None else f" ± {value.high - value.mean:.2g}")
