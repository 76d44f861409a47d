"""A measure: how large the weights are."""

from collections.abc import Iterator

from rapidash.methods import Measurement, Subject


def size_of_weights(subject: Subject) -> Iterator[Measurement]:
    size = sum(float(parameter.detach().square().sum()) for parameter in subject.model.parameters()) ** 0.5
    yield Measurement("norm of the weights", size, moment=subject.moment, view=subject.view)
