"""The measure of a model of several sites: its report on seen sites, and its heads at the sites of the test."""

import copy
from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor, nn

from rapidash.data import Batch, Dataset
from rapidash.methods import Measurement, Subject
from rapidash.represent.pooling._heads import HEADS, nested_head
from rapidash.represent.pooling._report import (
    ACCURACY,
    ADVERSARY,
    ADVERSARY_C_ONLY,
    ADVERSARY_GIVEN_C,
    CONDITIONAL,
    COVARIATE,
    COVARIATE_ANYHOW,
    DISCREPANCY,
    LEAK,
    SiteRows,
    pooling_report,
)
from rapidash.represent.pooling._rows import PooledModel

OWN = "own classifier"
ANSWERERS = (OWN, *HEADS)
Better = Literal["lower", "higher", ""]
_BETTER: dict[str, Better] = {
    ACCURACY: "higher",
    ADVERSARY: "",
    ADVERSARY_GIVEN_C: "",
    ADVERSARY_C_ONLY: "",
    LEAK: "lower",
    COVARIATE: "higher",
    COVARIATE_ANYHOW: "higher",
    DISCREPANCY: "",
    CONDITIONAL: "lower",
}


def error_name(answerer: str, site: str = "") -> str:
    """The name of a figure: the error rate at the test sites together, or at one of them."""
    return f"error of {answerer} at {site}" if site else f"error of {answerer}"


def measure_pooling(subject: Subject) -> Iterator[Measurement]:
    """After training: `pooling_report` of the representation, and test errors of heads; of other models nothing.

    The report's probes learn from the training rows and answer for the validation rows, which are of the same sites.
    Heads (`nested_head`) learn from the training rows that the model may learn from; they and the model's own
    classifier are asked about the test rows: the error rate in per cent over all, and at each site by the name that the
    task has for it. Nothing is chosen by these figures.

    Raises: ModuleNotFoundError without scikit-learn.
    """
    network = copy.deepcopy(subject.model).to("cpu", torch.float64).eval()
    model = next((part for part in network.modules() if isinstance(part, PooledModel)), None)
    if model is None or subject.moment != "after":
        return
    train, held, test = (
        _all(data) for data in (subject.task.dataset("train"), subject.data, subject.task.dataset("test"))
    )
    names = tuple(getattr(subject.task, "site_names", ()))
    with torch.no_grad():  # not around the yield, where the caller's code runs
        report = pooling_report(
            _rows(model, train), _rows(model, held), accuracy=_accuracy(model, held), seed=subject.seed
        )
        wrong = _wrong(model, train, test, subject.seed)

    def figure(name: str, value: float, unit: str, better: Better) -> Measurement:
        return Measurement(name, value, unit, moment=subject.moment, view=subject.view, better=better)

    for name, better in _BETTER.items():
        yield figure(name, float(report.rows[0][name]), "1", better)
    site = test["site"].long()
    for answerer, errors in wrong.items():
        yield figure(error_name(answerer), float(errors.mean()), "%", "lower")
        for number in site.unique().tolist():
            name = names[number] if names else str(number)
            yield figure(error_name(answerer, name), float(errors[site == number].mean()), "%", "lower")


def _all(data: Dataset) -> Batch:
    return data.batch(torch.arange(len(data))).to("cpu", torch.float64)


def _rows(model: PooledModel, batch: Batch) -> SiteRows:
    return SiteRows(model.represent(batch), batch["label"].long(), batch["site"].long(), batch["covariate"])


def _accuracy(model: nn.Module, batch: Batch) -> float:
    return float((model(batch).argmax(dim=1) == batch["label"]).double().mean())


def _wrong(model: PooledModel, train: Batch, test: Batch, seed: int) -> dict[str, Tensor]:
    """By who answers 100 for every row of the test with a wrong answer, else 0."""
    rows, asked = _rows(model, train), _rows(model, test)
    seen = model.learns_from(train)
    fitted = (rows.representation[seen], rows.label[seen], rows.site[seen])
    answers = {OWN: model(test).argmax(dim=1)}
    answers |= {name: nested_head(name, *fitted, asked.representation, seed=seed) for name in HEADS}
    return {name: 100 * (answer != asked.label).double() for name, answer in answers.items()}
