"""The origin of each number: configurations, their differences, and the definitions of the measures."""

import json
from collections.abc import Mapping
from typing import Any, Final

from rapidash.report import _format as fmt
from rapidash.study import Run, Study, StudySummary

_NOT_SETTINGS: Final = ("seed", "fraction", "variant.name", "variant.neighbor", "variant.knob")

RUN_COLUMNS: Final = (
    "variant",
    "seed",
    "fraction",
    "status",
    "test error",
    "best step",
    "training time",
    "parameters",
    "device",
    "threads",
    "commit",
    "versions",
    "started",
    "key",
)

DEFINITIONS: Final = (
    (
        "Test error",
        "Mean over the test set of the task's metric per cloud. The weights are those of the step with the lowest "
        "validation error; test data are used after training only.",
    ),
    (
        "95 % interval",
        "Student's t-interval of the mean over seeds. It assumes values that are normal over seeds, and covers what a "
        "seed changes (initial weights, order and subset of the data, augmentation), not a change of the task. It "
        "ends where errors do: at 0, and of an error rate or another share at 100 %. With one seed there is none.",
    ),
    (
        "Difference to the neighbor, and p",
        "Differences are taken seed by seed; the interval is that of the paired t-test. Every comparison, with a "
        "neighbor or with the best variant, has one p, adjusted for all of them together (false-discovery rate, "
        "Benjamini and Hochberg); a difference is called clear if it is at most 0.05. It is of the exact sign-flip "
        "test, which needs no normality, where that could find a single difference among so many: its least value for "
        "n seeds is 2^(1 - n), 0.25 with three. Otherwise it is of the paired t-test; the note above the table says "
        "which.",
    ),
    (
        "Not distinguishable from the best",
        "The best has the lowest mean over the seeds that all variants with the most seeds share; a variant with fewer "
        "seeds, or an oracle, cannot be the best. Every other variant is compared with it over their shared seeds, and "
        "is not distinguishable unless it is clearly worse.",
    ),
    (
        "Factor",
        "Ratio of the mean errors over the shared seeds, with Fieller's 95 % interval. Comparisons with the best "
        "variant are optimistic for the best, since it was chosen by the same values.",
    ),
    (
        "Error under rotated test data",
        "The test error after every cloud, with its target, was moved by its own random rotation. A clear difference "
        "to the plain error says that the model prefers the pose of the data, where the metric itself does not depend "
        "on the pose. Mean absolute errors of components do, a little: on few clouds an invariant model has another "
        "one after a rotation.",
    ),
    (
        "Corruption error",
        "Each test cloud is brought to the size and place that the benchmark of the corruption wants, corrupted at the "
        "severities 1 to 5, and brought back; targets that are positions or vectors move along. The sum of the errors "
        "over the severities is divided by that of the reference variant with the same seed; the mean over "
        "corruptions is the mean corruption error. The clouds are drawn here: do not compare with published numbers.",
    ),
    (
        "Equivariance error",
        "Mean over random elements g of the group of ||f(g x) - g f(x)|| / ||f(x)||: 0 for an exactly equivariant "
        "model, about 1.4 for outputs that have nothing to do with each other. It is measured before the first and "
        "after the last training step, in float64. For a model whose layers keep the group it shows rounding, or the "
        "coarseness of the orientation grid; for an average over random elements, how much their draw matters. What "
        "a ledger claims to hold exactly is measured by itself: the largest "
        "error over a few rotations, reflections and translations, which above 10⁻⁶ refutes the claim.",
    ),
    (
        "Symmetry of the layers, of the whole model",
        "The first is the constraint that the layers obey. The second takes the inputs into account: a fixed frame, or "
        "coordinates given as scalars, break what the layers keep. On a grid of orientations it is exact for the "
        "rotations of the grid only, and training may break it for the others: a model has lost it where its "
        "equivariance error is above 0.1, or rotated test data have more than 1.1 times its error. An oracle is a "
        "model that sees the pose of the test data; it is shown and cannot win.",
    ),
    (
        "Time per step, peak memory, parameters",
        "Median seconds of one training step, and the largest memory of the process above its start, as measured in "
        "the run; median over seeds. Runs that shared a machine with others are slower than alone, so compare them "
        "within one study only.",
    ),
)


_OF_SEVERAL_SEEDS: Final = (
    "95 % interval",
    "Difference to the neighbor, and p",
    "Not distinguishable from the best",
    "Factor",
)


def definitions(*, has_intervals: bool = True) -> tuple[tuple[str, str], ...]:
    """The definitions of the numbers on a page; those of several seeds only where there are such."""
    return tuple(one for one in DEFINITIONS if has_intervals or one[0] not in _OF_SEVERAL_SEEDS)


def run_cells(run: Run) -> list[str]:
    """One row of the table of runs."""
    versions = run.get("versions")
    return [
        run.row,
        str(run.seed),
        f"{run.fraction:g}",
        "done" if run.is_done else run.problem,
        fmt.number(run.number("test_error"), 5),
        fmt.count(run.number("best_step")),
        fmt.seconds(run.number("train_seconds")),
        fmt.count(run.number("parameters")),
        run.text("device"),
        run.text("threads"),
        commit_text(run.text("commit")),
        ", ".join(f"{name} {version}" for name, version in versions.items()) if isinstance(versions, Mapping) else "",
        run.text("started"),
        run.text("key"),
    ]


def commit_text(commit: str) -> str:
    """The first digits of a commit, and whether files differed from it."""
    return commit[:12] + ("+dirty" if commit.endswith("+dirty") else "")


def settings(run: Run) -> dict[str, str]:
    """The configuration of a run as dotted keys and values in words, without its names and its seed."""
    config = run.get("config")
    flat = _flatten(config) if isinstance(config, Mapping) else {}
    return {key: value for key, value in flat.items() if key not in _NOT_SETTINGS and not key.startswith("level.")}


def compare_settings(summary: StudySummary) -> tuple[list[str], list[tuple[str, list[str]]], list[tuple[str, str]]]:
    """(names of the configured variants, keys that differ with one value per variant, keys that all share)."""
    by_variant = {variant.name: settings(variant.runs[0]) for variant in summary.variants if variant.runs}
    keys = dict.fromkeys(key for values in by_variant.values() for key in values)
    differing, shared = [], []
    for key in keys:
        values = [own.get(key, fmt.NOTHING) for own in by_variant.values()]
        if len(set(values)) > 1:
            differing.append((key, values))
        else:
            shared.append((key, values[0]))
    return list(by_variant), differing, shared


def records_json(study: Study) -> str:
    """Design and records as JSON that may stand inside a script element: no `<`, no NaN."""
    content = {"schema": 1, "study": _finite(study.design), "records": [_finite(run.raw) for run in study.runs]}
    return json_in_page(content)


def json_in_page(content: Any) -> str:
    """Plain values as JSON that ends no script element, whatever they hold."""
    return json.dumps(content, separators=(",", ":"), ensure_ascii=True).replace("<", "\\u003c").replace("&", "\\u0026")


def _flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{key}.")
        elif isinstance(value, list):
            flat[f"{prefix}{key}"] = ", ".join(map(str, value)) or "none"
        else:
            flat[f"{prefix}{key}"] = _in_words(value)
    return flat


def _in_words(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)


def _finite(value: Any) -> Any:
    """``value`` with NaN and infinities as None, which JSON can hold."""
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return value
