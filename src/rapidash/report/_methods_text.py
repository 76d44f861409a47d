"""Text about a study for a paper: a paragraph for its section on methods, and citations, from the records alone."""

import re
from collections.abc import Sequence
from typing import Any, Final

from rapidash.ops import LARGEST_FLOAT32_ERROR
from rapidash.report import _format as fmt
from rapidash.report._latex import escape
from rapidash.report._phrases import equality_note, family_text, metric_with_unit, tests_by_level
from rapidash.report._provenance import commit_text
from rapidash.study import Run, StudySummary

PAPER: Final = {
    "title": "Probing Equivariance and Symmetry Breaking in Convolutional Networks",
    "author": (
        "Vadgama, Sharvaree and Islam, Mohammad Mohaiminul and Buracas, Domas and Shewmake, Christian and "
        "Moskalev, Artem and Bekkers, Erik"
    ),
    "booktitle": "Advances in Neural Information Processing Systems (NeurIPS)",
    "year": "2025",
    "eprint": "2501.01999",
    "archiveprefix": "arXiv",
    "url": "https://arxiv.org/abs/2501.01999",
}
SOFTWARE: Final = {
    "title": "rapidash: how much symmetry should a model of geometric data have?",
    "author": "{The rapidash developers}",
}
NOT_INSTALLED: Final = "not installed"  # what a record has for the version of a source tree
_OPTIMIZERS: Final = {"adamw": "AdamW", "adam": "Adam", "sgd": "SGD"}
_SIZES: Final = (("num_val", "validation"), ("num_test", "test"))
_TESTS: Final = {"t-test": "paired t-test over seeds", "sign-flip test": "exact paired sign-flip test over seeds"}


def methods_text(summary: StudySummary) -> str:
    """The paragraph: what was trained, on which data, how it was chosen and compared, and where.

    What no record says is left out. Without a finished run it says so and describes nothing.
    """
    done = summary.study.done
    if not done:
        return "No run of this study has finished, so there is nothing to describe yet.\n"
    sentences = (
        _trained(summary, done),
        _data(done),
        _training(done),
        equality_note(summary) if len({run.variant for run in done}) > 1 else "",
        _chosen(done),
        _counted(summary),
        _statistics(summary),
        _machine(done),
    )
    return " ".join(sentence for sentence in sentences if sentence) + "\n"


def bibtex(summary: StudySummary) -> str:
    """BibTeX of the paper behind the architecture, and of the version of this package that the runs were made with."""
    commits = _texts(summary.study.done, "commit")
    versions = [text for text in _texts(summary.study.done, "versions", "rapidash") if text != NOT_INSTALLED]
    software = dict(SOFTWARE)
    if versions:
        software["version"] = escape(", ".join(versions))
    if commits:
        software["note"] = f"commit {escape(', '.join(commits))}"
    years = {text[:4] for text in _texts(summary.study.done, "started") if re.match(r"\d{4}-", text)}
    if years:
        software["year"] = max(years)
    return _entry("inproceedings", "vadgama2025probing", PAPER) + "\n" + _entry("software", "rapidash", software)


def _trained(summary: StudySummary, done: Sequence[Run]) -> str:
    names = [variant.name for variant in summary.variants if variant.test is not None]
    kinds = _texts(done, "config", "variant", "model", "kind")
    source = "" if kinds and "rapidash" not in kinds else " (Vadgama et al., arXiv 2501.01999)"
    which = "; ".join(names) if any("," in name for name in names) else fmt.listed(names)
    which = which if len(names) < 9 else f"{len(names)} variants"
    text = f"With rapidash{source} we trained {which} on the task {summary.study.task}"
    seeds = ", ".join(map(str, summary.seeds))
    is_many = len(summary.seeds) > 1
    text += f", each with {fmt.plural(len(summary.seeds), 'seed')} ({seeds})" if is_many else f", with seed {seeds}"
    every = {name: {run.seed for run in done if run.row == name} for name in names}
    if is_many and len({frozenset(seeds) for seeds in every.values()}) > 1:
        text += " or some of these"
    return f"{text}."


def _data(done: Sequence[Run]) -> str:
    train = sorted({size for run in done if (size := run.number("num_train")) is not None})
    parts = [f"{fmt.listed([_count(size) for size in train])} training samples"] if train else []
    for key, word in _SIZES:
        values = _common(done, "config", "task_options", key)
        if isinstance(values, int) and not isinstance(values, bool):
            parts.append(f"{_count(values)} {word} samples")
    return f"Data: {fmt.listed(parts)}." if parts else ""


def _training(done: Sequence[Run]) -> str:
    """The settings that all runs share, and the names of those that differ."""

    def common(name: str) -> Any:
        return _common(done, "config", "train", name)

    optimizer, steps, batch = common("optimizer"), common("steps"), common("batch_size")
    rate, decay = common("learning_rate"), common("weight_decay")
    how = []
    if isinstance(optimizer, str) and optimizer:
        how.append(f"with {_OPTIMIZERS.get(optimizer, optimizer)}")
    if _is_number(steps):
        how.append(f"for {_count(steps)} optimizer steps")
    if _is_number(batch):
        how.append(f"with batches of {_count(batch)}")
    details = [
        f"{words} {value:g}"
        for words, value in (
            ("learning rate", rate), ("weight decay", decay), ("warm-up steps", common("warmup_steps")),
            ("gradient clipping at", common("grad_clip")), ("moving average of the weights", common("ema_decay")),
        )
        if _is_number(value)
    ]  # fmt: skip
    dtype = common("dtype")
    details += [dtype] if isinstance(dtype, str) and dtype else []
    text = f"Every model was trained {' '.join(how)}" if how else "Every model was trained" if details else ""
    text += f" ({', '.join(details)})" if details else ""
    text += "." if text else ""
    differing = sorted({key for run in done for key in run.get("config", "train") or {} if common(key) is _DIFFERENT})
    if differing:
        text += f" The variants or runs differ in: {', '.join(differing)}."
    return text


def _chosen(done: Sequence[Run]) -> str:
    if not all(run.number("best_step") is not None and run.number("val_error") is not None for run in done):
        return ""
    return (
        "The weights of the step with the lowest validation error were kept; test data were used after training only."
    )


def _counted(summary: StudySummary) -> str:
    study = summary.study
    failed, missing = len(study.runs) - len(study.done), len(study.missing)
    parts = [f"{fmt.plural(failed, 'run')} failed or diverged"] if failed else []
    parts += [f"{fmt.plural(missing, 'planned run')} had not finished"] if missing else []
    text = fmt.listed(parts)
    return f"{text[:1].upper()}{text[1:]}; no mean holds them." if text else ""


def _statistics(summary: StudySummary) -> str:
    text = f"We report {metric_with_unit(summary)} on the test set"
    if len(summary.seeds) < 2:
        return f"{text} of one seed, without interval or test."
    text += ", as mean over seeds with the 95 % interval of Student's t"
    by_level = tests_by_level(summary)
    if not by_level:
        return f"{text}."
    tests = [_TESTS[test] + (f" at {levels}" if len(by_level) > 1 else "") for test, levels in by_level.items()]
    return (
        f"{text}; ratios of means have Fieller's 95 % interval. Differences are paired by seed; p-values are of the "
        f"{fmt.listed(tests)}, adjusted for {family_text(summary).removesuffix(' of the study')} (Benjamini and "
        "Hochberg), and a difference is called clear at an adjusted p of at most 0.05."
    )


PRODUCTS = {"torch": "PyTorch's default", "onednn": "oneDNN"}


def _products(run: Run) -> str:
    """The matrix products of a run in words; nothing where its record does not say them."""
    kind = run.text("products")
    is_mixed = kind == "bfloat16" and "torch" in (run.get("products_made") or ())
    return f"{PRODUCTS.get(kind, kind)}{' (some of float32)' * is_mixed}"


def _machine(done: Sequence[Run]) -> str:
    devices, threads = _texts(done, "device"), _texts(done, "threads")
    versions = [
        f"{word} {fmt.listed(found)}"
        for word, key in (("rapidash", "rapidash"), ("PyTorch", "torch"), ("Python", "python"), ("NumPy", "numpy"))
        if (found := [text for text in _texts(done, "versions", key) if text != NOT_INSTALLED])
    ]
    commits = [commit_text(commit) for commit in _texts(done, "commit")]
    versions += [f"commit {fmt.listed(commits)}"] if commits else []
    parts = [f"on {fmt.listed(devices)}"] if devices else []
    if threads:
        parts.append(f"with {fmt.listed(threads)} {'thread' if threads == ['1'] else 'threads'} per run")
    if products := [words for words in dict.fromkeys(map(_products, done)) if words]:
        parts.append(f"with matrix products of {fmt.listed(products)}")
    exact = [run for run in done if run.text("products") != "bfloat16"]
    if (error := max((run.number("product_error") or 0.0 for run in exact), default=0.0)) > LARGEST_FLOAT32_ERROR:
        parts.append(f"whose operands a flag of torch rounded (relative error {error:.1e})")
    if versions:
        parts.append(f"with {', '.join(versions)}")
    return f"The runs were made {', '.join(parts)}." if parts else ""


_DIFFERENT: Final = object()


def _common(runs: Sequence[Run], *path: str) -> Any:
    """The value that all runs have; None where none has it, and a sign where they differ."""
    values = [run.get(*path) for run in runs]
    return values[0] if all(value == values[0] for value in values) else _DIFFERENT


def _texts(runs: Sequence[Run], *path: str) -> list[str]:
    """The different values of a key over runs, in the order of the first."""
    return list(dict.fromkeys(text for run in runs if (text := run.text(*path))))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _entry(kind: str, key: str, fields: dict[str, str]) -> str:
    return "\n".join([f"@{kind}{{{key},", *(f"  {name} = {{{value}}}," for name, value in fields.items()), "}"]) + "\n"
