"""Phrases about the studies of a user's own files: what they are about, and whether anything was learned."""

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any, Final

from rapidash.report import _format as fmt
from rapidash.study import Study, StudySummary
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
    target = f"{target}, {options['forces']}" if options.get("forces") else target
    others = f" and {len(files) - 1} more" if len(files) > 1 else ""
    return f"{target} of {PurePath(str(files[0])).name}{others}"


def constant_caution(summary: StudySummary) -> str:
    """A caution where variants are no better than a constant; else empty."""
    bad, constant = [], None
    for variant in summary.variants:
        found = next((figure for figure in variant.figures if figure.name == CONSTANT), None)
        if found is None or variant.test is None:
            continue
        constant = next(iter(found.moments.values())).mean
        if variant.test.mean >= constant:
            bad.append(variant.name)
    if not bad or constant is None:
        return ""
    return (
        f"No better than a constant, whose test error is {fmt.number(constant)}: {fmt.listed(bad)}. They have learned "
        "nothing that shows: train longer (--full, or --train.steps), or with more data, before comparing symmetries."
    )
