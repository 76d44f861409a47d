"""Phrases about the studies of a user's own files: what they are about, and whether anything was learned."""

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any, Final

from rapidash.report import _format as fmt
from rapidash.study import Study, StudySummary, VariantSummary
from rapidash.study.measures.constant_error import CONSTANT

_OWN: Final = ("own-data", "own-clouds")


def is_own(study: Study) -> bool:
    """Whether a study is of a user's files."""
    return study.task in _OWN


def subject(study: Study) -> str:
    """The matter of a study: its task, or the target of a user's files."""
    options: Mapping[str, Any] = study.design.get("task_options") or {}
    files = options.get("files")
    if not is_own(study) or not isinstance(files, list | tuple) or not files:
        return study.task
    target = options.get("target") or "the class"
    target = f"{target} and {options['forces']}" if options.get("forces") else target
    others = f" and {len(files) - 1} more" if len(files) > 1 else ""
    return f"{target} of {PurePath(str(files[0])).name}{others}"


def question(study: Study) -> str:
    """The question that a study answers."""
    options: Mapping[str, Any] = study.design.get("task_options") or {}
    do = "do" if is_own(study) and options.get("files") and options.get("forces") else "does"
    return f"Which symmetry {do} {subject(study)} want?"


def constant_caution(summary: StudySummary) -> str:
    """A caution where variants are no better than a constant; else empty."""
    bad, constant = [], None
    details: dict[str, list[str]] = {}
    for variant in summary.variants:
        found = next((figure for figure in variant.figures if figure.name == CONSTANT), None)
        if found is None or variant.test is None:
            continue
        for name, least in _details(variant).items():
            own = next((f.moments["after"] for f in variant.figures if f.name == name and "after" in f.moments), None)
            if own is not None and own.mean >= least:
                details.setdefault(f"{name}, {fmt.number(least)} of a constant", []).append(variant.name)
        constant = next(iter(found.moments.values())).mean
        if variant.test.mean >= constant:
            bad.append(variant.name)
    sentences = []
    if bad and constant is not None:
        sentences.append(
            f"No better than a constant, whose test error is {fmt.number(constant)}: {fmt.listed(bad)}. They have "
            "learned nothing that shows: train longer (--full, or --train.steps), or with more data, before comparing "
            "symmetries."
        )
    for name, names in details.items():
        begin = "Nor are these better" if sentences else "No better"
        sentences.append(f"{begin} than a constant in another figure ({name}): {fmt.listed(names)}.")
    return " ".join(sentences)


def _details(variant: VariantSummary) -> dict[str, float]:
    """By name of a detail of the test, what a constant has of it."""
    start = f"{CONSTANT}, "
    return {
        figure.name.removeprefix(start): next(iter(figure.moments.values())).mean
        for figure in variant.figures
        if figure.name.startswith(start)
    }
