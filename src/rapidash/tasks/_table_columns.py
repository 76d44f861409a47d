"""The columns of a table as networks take them: scaled numbers, categories apart, flags where values are missing."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import one_hot

from rapidash.datasets import Table


@dataclass(frozen=True)
class ColumnScales:
    """For each column mean and deviation over the observed training values, and whether none is missing anywhere."""

    columns: tuple[tuple[float, float, bool], ...]

    @classmethod
    def of(cls, train: Mapping[str, Tensor], every: Mapping[str, Tensor]) -> "ColumnScales":
        """From the tensors of the training rows and of all rows of a table."""
        complete = _observed(every).all(dim=0).tolist()
        scales = []
        for values, there, is_complete in zip(train["x"].T, _observed(train).T, complete):
            known = values[there]
            deviation = float(known.std(correction=0)) if len(known) else 0.0
            scales.append((float(known.mean()) if len(known) else 0.0, deviation or 1.0, bool(is_complete)))
        return cls(tuple(scales))

    def prepared(self, table: Table) -> Float[Tensor, "B d"]:
        """Numbers scaled, categories a column each, missing values 0, and a flag for each column that misses any."""
        x, observed = table.tensors["x"], _observed(table.tensors)
        columns: list[Tensor] = []
        for index, column in enumerate(table.columns):
            there = observed[:, index]
            mean, deviation, is_complete = self.columns[index]
            if column.categories:
                values = torch.tensor(column.categories, dtype=torch.float64)
                place = (x[:, index, None] - values).abs().argmin(dim=1)
                columns.append(one_hot(place, len(values)) * there[:, None])
            else:
                columns.append(((x[:, index] - mean) / deviation * there)[:, None])
            if not is_complete:
                columns.append(there[:, None])
        return torch.cat([part.double() for part in columns], dim=1)


def _observed(tensors: Mapping[str, Tensor]) -> Tensor:
    return tensors["observed"] if "observed" in tensors else torch.ones(tensors["x"].shape, dtype=torch.bool)
