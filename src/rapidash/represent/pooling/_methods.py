"""Methods on the columns of several sites: a correction by ComBat, and learning from one site alone."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

from rapidash.methods import Method
from rapidash.represent.pooling._combat import ComBat
from rapidash.represent.pooling._rows import pooled_model

if TYPE_CHECKING:
    from rapidash.methods import Task


@dataclass(frozen=True)
class CombatColumns(Method):
    """Corrects the columns by `ComBat`, fitted to the training rows with the covariates of the task.

    Rows of other sites come as they are. Labels are not used: at test time nobody has them.
    """

    def modify(self, model: nn.Module, task: "Task") -> nn.Module:
        """The model with a correction in front. Raises: ValueError for a task without sites, and as `ComBat.fit`."""
        pooled = pooled_model(model)
        data = task.dataset("train")
        rows = data.batch(torch.arange(len(data)))
        covariate = rows["covariate"].reshape(len(data), -1)
        pooled.correction = ComBat(rows["x"].shape[1], pooled.num_sites, covariate.shape[1]).fit(
            rows["x"], rows["site"].long(), covariate
        )
        return model


@dataclass(frozen=True)
class LargestSite(Method):
    """Learns from the training rows of the largest site alone: what pooling is compared with."""

    def modify(self, model: nn.Module, task: "Task") -> nn.Module:
        """The model, which names the site. Raises: ValueError for a task without sites."""
        pooled = pooled_model(model)
        data = task.dataset("train")
        sites, counts = data.batch(torch.arange(len(data)))["site"].long().unique(return_counts=True)
        pooled.only_site.fill_(int(sites[counts.argmax()]))
        return model
