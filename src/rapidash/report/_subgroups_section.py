"""The section on subgroups: the group that every layer keeps, stated or found, and how often it was found."""

from collections import Counter
from collections.abc import Mapping

from rapidash.report import _format as fmt
from rapidash.report._phrases import estimate_text
from rapidash.report._sections import Section
from rapidash.study import Run, StudySummary

_SEARCHES = ("subgroup-evolution", "subgroup-mixing")
_FOUND = "the layers keep "  # how a reason of the ledger begins
_HEAD = ("variant", "groups of the layers, first to last", "seeds", "parameters", "test error")


def subgroups_section(summary: StudySummary) -> Section | None:
    """The section of a study whose variants state or search subgroups of layers; None for any other."""
    found = {variant.name: runs for variant in summary.variants if (runs := list(variant.finished))}
    if not any(_stated(run) or _is_searched(run) for runs in found.values() for run in runs):
        return None
    rows, notes = [], []
    for name, runs in found.items():
        variant = summary[name]
        counts = Counter(_groups(run) for run in runs)
        for place, (groups, count) in enumerate(counts.most_common()):
            of_these = [run for run in runs if _groups(run) == groups]
            first = place == 0
            rows.append(
                (
                    f"{variant.letter} {variant.name}" if first else "",
                    groups,
                    f"{count} of {len(runs)}",
                    _parameters(of_these),
                    estimate_text(variant.test) if first and variant.test is not None else fmt.NOTHING,
                )
            )
        if any(_is_searched(run) for run in runs):
            kept = sum(_keeps_all(run) for run in runs)
            notes.append(f"{name}: {kept} of {len(runs)} runs keep the whole group in every layer.")
    return Section(
        "Subgroups of layers",
        "Each layer keeps the group that stands there, and the network what all of them keep. A search begins with the "
        "whole group in every layer; its groups are those of the weights that validation chose. Test errors are means "
        "over all seeds of a variant, parameters those of the runs in the row.",
        _HEAD,
        rows,
        notes,
    )


def _stated(run: Run) -> list[str]:
    """The groups in the configuration of the network."""
    groups = run.get("config", "variant", "model", "subgroups")
    return [str(name) for name in groups] if isinstance(groups, list) else []


def _is_searched(run: Run) -> bool:
    methods = run.get("config", "variant", "methods")
    return any(isinstance(method, Mapping) and method.get("kind") in _SEARCHES for method in methods or ())


def _found(run: Run) -> str:
    """The groups that a search has found, as the ledger of its record says."""
    reasons = run.get("symmetry", "reasons")
    texts = [str(reason) for reason in reasons] if isinstance(reasons, list) else []
    last = next((text for text in reversed(texts) if text.startswith(_FOUND)), "")
    return last.removeprefix(_FOUND).rpartition(":")[0]


def _groups(run: Run) -> str:
    if _is_searched(run):
        return _found(run) or fmt.NOTHING
    return ", ".join(_stated(run)) or f"all {run.text('config', 'variant', 'model', 'symmetry')}"


def _keeps_all(run: Run) -> bool:
    """Whether nothing is lost in any layer of a search."""
    reasons = run.get("symmetry", "reasons")
    return isinstance(reasons, list) and any(
        str(reason).startswith(_FOUND) and str(reason).endswith("nothing is lost") for reason in reasons
    )


def _parameters(runs: list[Run]) -> str:
    counts = sorted(int(value) for run in runs if (value := run.number("parameters")) is not None)
    if not counts:
        return fmt.NOTHING
    return f"{counts[0]:,}" if counts[0] == counts[-1] else f"{counts[0]:,} to {counts[-1]:,}"
