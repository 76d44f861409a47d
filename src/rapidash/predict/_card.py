"""The card of a saved model: what it was trained for, how good it is, which symmetry it has, how it is used."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from rapidash._plain import to_plain
from rapidash._pretrained import front_matter
from rapidash.methods import AVERAGED, FULL, HOW_IT_READS, Task, Variant, view_ledger
from rapidash.tasks import FileTask

_CARD = """{head}# {title}

{facts}
{notes}{command}
```python
from rapidash.predict import TrainedModel

trained = TrainedModel.from_pretrained("DIR")  # this folder
```
"""


def model_card(
    task: Task,
    variant: Variant,
    options: Mapping[str, Any],
    results: Mapping[str, Any],
    view: str = FULL,
    *,
    license: str | None = None,
    notes: str = "",
) -> str:
    """The text of ``README.md``, from what is known, with the license and the results as a hub reads them.

    Args:
        task, variant, options, results, view: as in `rapidash.predict.TrainedModel`.
        license: identifier of a license as the hub has it, e.g. ``"mit"``.
        notes: a paragraph on the data.
    """
    average = variant.average if view == variant.primary_view else None
    ledger = view_ledger(task, variant, view if average is None else AVERAGED)
    known: dict[str, Any] = (
        {entry.name: getattr(task, entry.name) for entry in fields(task) if entry.init} if is_dataclass(task) else {}
    )
    shown = {name: value for name, value in {**known, **options}.items() if name not in HOW_IT_READS}
    chosen = ", ".join(f"{name}={value}" for name, value in shown.items() if value is not None)
    facts = [f"Task: {task.name}" + (f" ({chosen})" if chosen else "")]
    command = ""
    if isinstance(task, FileTask):
        needed = (f"{name} ({spec.field.unit})" for name, spec in task.needs.items())
        facts.append(f"Needs of every cloud: {', '.join(needed)}")
        file = "FILE.xyz" if "z" in task.needs else "FILE.ply" if set(task.needs) <= {"pos", "label"} else "FILE.npz"
        file += " --category NAME" if "label" in task.needs else ""
        command = f"\n```console\nrapidash predict DIR {file}\n```\n"
    for name, words in (("test_error", "on test data"), ("test_error_tta", "the same, averaged over motions")):
        if results.get(name) is not None:
            metric, unit = results.get("metric", task.metric), results.get("unit", task.unit)
            facts.append(f"{metric} {words}: {results[name]:.4g} {unit}")
    if average is not None:
        facts.append(f"Predictions: averaged over {average}; `--average none` gives those of the network alone")
    exactly = "" if ledger.exact else " (approximately)"
    because = f": {'; '.join(ledger.reasons)}" if ledger.reasons else ""
    facts.append(f"Effective symmetry: {ledger.effective.name}{exactly}{because}")
    if variant.methods:
        facts.append(f"Methods: {', '.join(method.kind for method in variant.methods)}; view: {view}")
    title = f"{task.name}: {variant.name}"
    head = front_matter(
        library_name="rapidash",
        license=license,
        tags=[task.name],
        model_index=_model_index(task, title, options, results),
    )
    listed = "\n".join(f"- {fact}" for fact in facts)
    return _CARD.format(
        head=head, title=title, facts=listed, command=command, notes=f"\n## Data\n\n{notes}\n" if notes else ""
    )


def _model_index(
    task: Task, title: str, options: Mapping[str, Any], results: Mapping[str, Any]
) -> list[dict[str, Any]] | None:
    """The test errors in the form of the hub; None where there are none."""
    metric, unit = results.get("metric", task.metric), results.get("unit", task.unit)
    found = {
        f"{metric}{words} ({unit})": results.get(name)
        for name, words in (("test_error", ""), ("test_error_tta", ", averaged over motions"))
    }
    metrics = [
        {"type": "error", "name": name, "value": float(value)} for name, value in found.items() if value is not None
    ]
    if not metrics:
        return None
    dataset: dict[str, Any] = {"type": task.name, "name": task.name, "split": "test"}
    if given := {name: to_plain(value) for name, value in options.items() if name not in HOW_IT_READS}:
        dataset["args"] = given
    kind = {"type": "graph-ml", "name": "clouds of points"}
    return [{"name": title, "results": [{"task": kind, "dataset": dataset, "metrics": metrics}]}]
