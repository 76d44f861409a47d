"""How far renaming the classes changes the answers of a network in context: a measure of every run that asks for it."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rapidash._seed import seeded
from rapidash.data import Batch, Field
from rapidash.groups import Permutation, Permutations
from rapidash.methods import Measurement, Subject
from rapidash.symmetrize.tabular._fixed_head import FixedHeadPFN
from rapidash.symmetrize.tabular._task import NO_CLASS, InContext, SyntheticTablesTask
from rapidash.symmetry import Haar, Symmetrized

CLASS_COUNTS = (2, 3, 5, 8, 12)
RELABELLING_AVERAGES = (4, 16)  # relabellings
ACCURACY, CHANGED, GAP = "accuracy", "changed by relabelling", "largest gap of probabilities"
_TABLES = 64
_OUTPUT = Field(Permutation(-1), level="cloud")
_BETTER: dict[str, Literal["lower", "higher"]] = {ACCURACY: "higher", CHANGED: "lower", GAP: "lower"}
Answer = Callable[[Batch], Tensor]


class Probabilities(nn.Module):
    """The softmax of a model's logits: batch -> (B, Q, C).

    Args:
        model: batch -> logits.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Batch) -> Float[Tensor, "B Q C"]:
        """Probabilities of the classes."""
        logits: Tensor = self.model(batch)
        return logits.softmax(dim=-1)


def relabelling_average(model: nn.Module, num_classes: int, num_samples: int) -> Symmetrized:
    """The mean of a model's probabilities over random relabellings of C classes, drawn for each table, turned back.

    Args:
        model: batch of tables that all have C classes -> logits.
        num_classes: C.
        num_samples: relabellings.
    """
    law = Haar(Permutations(num_classes))
    return Symmetrized(Probabilities(model), _OUTPUT, law, num_samples=num_samples)


@dataclass(frozen=True)
class Relabelling:
    """Changes under one random relabelling of each table.

    Args:
        accuracy: share of the queries whose most probable class is theirs, before it; queries without class left out.
        changed: share of the queries whose most probable class, named as before, is another one afterwards.
        gap: largest difference of a probability.
    """

    accuracy: float
    changed: float
    gap: float


def relabelling(answer: Answer, batch: Batch, num_classes: int, generator: torch.Generator) -> Relabelling:
    """Ask for the probabilities (B, Q, C) of tables of C classes, and again with their classes renamed.

    Args:
        answer: batch -> probabilities.
        batch: tables that all have C classes.
        num_classes: C.
        generator: of the permutations, one for each table.
    """
    g = Permutations(num_classes).sample(batch.num_samples, generator=generator)
    with torch.no_grad():
        here, there = answer(batch), answer(batch.transform(g))
    expected, label = batch.act(_OUTPUT, g, here), batch["label"]
    is_right = (here.argmax(dim=-1) == label)[label != NO_CLASS]
    return Relabelling(
        float(is_right.double().mean()),
        float((there.argmax(dim=-1) != expected.argmax(dim=-1)).double().mean()),
        float((there - expected).abs().max()),
    )


def measure_relabelling(subject: Subject) -> Iterator[Measurement]:
    """`relabelling` of the model in float64 on 64 new tables of 2, 3, 5, 8 and 12 classes each.

    A network with a head of fixed width is asked as far as its head goes; beside it stand the averages of its
    probabilities over 4 and 16 random relabellings, for as many classes as it has outputs. Nothing is measured for
    other tasks than synthetic tables.
    """
    task = subject.task
    if not isinstance(task, SyntheticTablesTask):
        return
    model = copy.deepcopy(subject.model).to(device="cpu", dtype=torch.float64).eval()
    network = next(part for part in model.modules() if isinstance(part, InContext)).network
    head = network.max_classes if isinstance(network, FixedHeadPFN) else None
    for count in CLASS_COUNTS:
        if head is not None and count > head:
            continue
        tables = task.tables(torch.full((_TABLES,), count), seeded("relabelling", task.prior, count))
        batch = tables.batch(torch.arange(_TABLES)).to(dtype=torch.float64)
        answers: dict[str, Answer] = {"": Probabilities(model)}
        if count == head:
            answers |= {
                f", average of {num}": _averaged(model, count, num, subject.seed) for num in RELABELLING_AVERAGES
            }
        for suffix, answer in answers.items():
            found = relabelling(answer, batch, count, seeded(subject.seed, "relabelling", count))
            values = {ACCURACY: found.accuracy, CHANGED: found.changed, GAP: found.gap}
            for name, value in values.items():
                yield Measurement(
                    figure_name(name, count) + suffix,
                    value,
                    "1",
                    f"S({count})",
                    subject.moment,
                    subject.view,
                    _BETTER[name],
                )


def figure_name(what: str, num_classes: int) -> str:
    """The name of a figure, e.g. ``"accuracy, 5 classes"``."""
    return f"{what}, {num_classes} classes"


def _averaged(model: nn.Module, num_classes: int, num_samples: int, seed: int) -> Answer:
    """Every call draws relabellings of its own."""
    average = relabelling_average(model, num_classes, num_samples).eval()
    generator = seeded(seed, "relabellings", num_classes, num_samples)
    return lambda batch: average(batch, generator)
