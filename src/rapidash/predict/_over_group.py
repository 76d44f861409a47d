"""Predictions over a group: what they are averaged over, and how far they spread."""

from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor

from rapidash.data import Field
from rapidash.groups import SO, MatrixGroup, Scalar, parse_group
from rapidash.methods import OrbitAverage
from rapidash.tasks import Output

OWN: Final = "own"  # the average that the variant declares
NONE: Final = "none"
SPREAD: Final = "_spread"  # what follows the name of an output


def chosen_average(
    average: OrbitAverage | MatrixGroup | str | None,
    num_elements: int | None,
    *,
    random_frame: bool,
    own: OrbitAverage | None,
    dim: int,
) -> OrbitAverage | None:
    """The average that predictions take; None for plain ones.

    Args:
        average: a group or its name, ``"own"``, ``"none"``, or an average as a value.
        num_elements: random elements; None: all of a finite group, 16 of any other.
        random_frame: one random rotation instead.
        own: the average of the variant.
        dim: D, of the space in which the clouds are.
    Raises: ValueError for an unknown group, one of another dimension or with translations, a number below 1, and for
        arguments that contradict each other.
    """
    is_group = not (average is None or isinstance(average, OrbitAverage) or average in (OWN, NONE))
    if num_elements is not None and not is_group:
        raise ValueError(f"num_elements is {num_elements}, of which group? Name it: average='SO({dim})'")
    if random_frame:
        if average is not None and average not in (OWN, NONE):
            said = f"leave out average={str(average)!r}, or random_frame"
            raise ValueError(f"a random frame is one random rotation, not an average: {said}")
        return OrbitAverage(SO(dim), 1)
    if average == OWN:
        return own
    if average is None or average == NONE or isinstance(average, OrbitAverage):
        return average if isinstance(average, OrbitAverage) else None
    try:
        group = parse_group(average, dim) if isinstance(average, str) else average
    except ValueError as error:
        raise ValueError(f"average: {error}") from error
    if group.size != dim + 1:
        raise ValueError(f"average: {group.name} has matrices of size {group.size}, motions of R^{dim} {dim + 1}")
    if not group.is_compact:
        raise ValueError(
            f"average: {group.name} is not compact, so no average over it is uniform: give a group without "
            f"translations, such as SO({dim}) or O({dim})"
        )
    return OrbitAverage.over(group, num_elements)


def earlier_average(
    tta: int, group: MatrixGroup | str | None, *, own: OrbitAverage | None, dim: int
) -> OrbitAverage | None:
    """The average that ``tta``, a number of random elements or 0, and ``tta_group`` meant; None for 0.

    Without a group it is that of ``own``, or SO(D).

    Raises: ValueError for a negative number, or an unknown group.
    """
    if tta < 0:
        raise ValueError(f"tta must be at least 0, got {tta}")
    group = group or (own.group if own is not None else SO(dim))
    return OrbitAverage(parse_group(group, dim) if isinstance(group, str) else group, tta) if tta else None


def average_text(average: OrbitAverage | None, *, random_frame: bool, seed: int) -> str:
    """In words what predictions are averaged over; empty for plain ones."""
    if average is None:
        return ""
    if random_frame:
        return f"in a random frame of {average.group.name}, seed {seed}"
    return f"averaged over {average}" + (f", seed {seed}" if average.num else "")


class Spread:
    r"""How far outputs o_k move over the elements of a group, k = 1 ... K, in memory that does not grow with K.

    For numbers the standard deviation, with o the mean of the o_k: of each invariant number
    sqrt(sum_k (o_k - o)^2 / n); of a row that turns along (vectors, positions, tensors; moved back before) one number,
    sqrt(sum_k ||o_k - o||^2 / n), the root mean square deviation. n is K for all elements of a finite group and K - 1
    for random ones, which makes the square unbiased. For classes the share of the elements whose class is another than
    that of the average.

    Args:
        average: over what.
    """

    def __init__(self, average: OrbitAverage) -> None:
        self.average = average
        self._count = 0
        self._mean: dict[str, Tensor] = {}
        self._square: dict[str, Tensor] = {}
        self._classes: dict[str, Tensor] = {}

    def add(self, outputs: Mapping[str, Output]) -> None:
        """One more element."""
        self._count += 1
        for name, output in outputs.items():
            if not output.values.is_floating_point():
                self._classes[name] = _counted(self._classes.get(name), output.values)
                continue
            values = output.values.double()
            mean = self._mean.get(name, torch.zeros_like(values))
            offset = values - mean
            self._mean[name] = mean + offset / self._count
            self._square[name] = self._square.get(name, 0) + offset * (values - self._mean[name])

    def outputs(self, averaged: Mapping[str, Output]) -> dict[str, Output]:
        """For each output of the average, ``NAME_spread`` in its unit; none where there is one element only."""
        if self._count < 2:
            return {}
        found = {}
        for name, output in averaged.items():
            if name in self._classes:
                counts = _wide_enough(self._classes[name], output.values)
                same = counts.gather(1, output.values[:, None].long())[:, 0]
                field = Field(Scalar(), "1", output.field.level)
                found[name + SPREAD] = Output(1 - same.double() / self._count, field)
                continue
            variance = self._square[name] / (self._count - 1 if self.average.num else self._count)
            is_invariant = isinstance(output.field.representation, Scalar)
            deviation = variance.sqrt() if is_invariant else variance.reshape(len(variance), -1).sum(dim=1).sqrt()
            field = Field(Scalar(), output.field.unit, output.field.level)
            found[name + SPREAD] = Output(deviation, field, output.labels)
        return found


def _counted(counts: Tensor | None, classes: Tensor) -> Tensor:
    """How often each row had each class (rows, classes), with one more for these."""
    before = _wide_enough(classes.new_zeros(len(classes), 1) if counts is None else counts, classes)
    return before.scatter_add(1, classes[:, None].long(), torch.ones_like(before[:, :1]))


def _wide_enough(counts: Tensor, classes: Tensor) -> Tensor:
    """With a column for each of these classes."""
    missing = int(classes.max()) + 1 - counts.shape[1] if len(classes) else 0
    return torch.nn.functional.pad(counts, (0, max(missing, 0)))
