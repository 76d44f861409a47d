"""Prior fitting: training a network in context on new random tables in every step."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

from rapidash._plain import check_fields
from rapidash.data import Batch, Dataset
from rapidash.methods import Objective, OrbitAverage, Score, Step, evaluate, in_eval_mode, refuse_average
from rapidash.symmetrize.tabular._task import InContext, SyntheticTablesTask, as_tensors, cross_entropy

if TYPE_CHECKING:
    from rapidash.methods import Task


@dataclass(frozen=True)
class PriorFitting(Objective):
    r"""Cross-entropy of the queries of random tables, :math:`-\log f(x_*, x, y)_{y_*}`, new ones in every step.

    All tables of a step have one number C of classes, uniform from 2 to the task's most, and T context rows, uniform in
    the logarithm from ``min_context`` to ``max_context``. There are as many tables as ``tokens`` allow, (1 + C) of them
    a row, or as many as the batch has where ``tokens`` is 0. The samples of the training set are not used.

    Args:
        min_context, max_context: context rows of a table, at least 1.
        num_queries: further rows, at least 1.
        tokens: of a step, at most (one table may have more); 0: as many tables as the batch has samples.
    Raises: ValueError for values outside the above, or a task without a prior.
    Source: Müller et al., "Transformers Can Do Bayesian Inference", ICLR 2022.
    """

    min_context: int = 40
    max_context: int = 40
    num_queries: int = 24
    tokens: int = 0

    def __post_init__(self) -> None:
        check_fields(self)
        if not 1 <= self.min_context <= self.max_context or self.num_queries < 1 or self.tokens < 0:
            raise ValueError(
                "min_context must be at least 1 and at most max_context, num_queries at least 1, tokens at least 0, "
                f"got {self}"
            )

    def modify(self, model: nn.Module, task: "Task") -> nn.Module:
        """The model itself. Raises: ValueError for a task without a prior."""
        if not isinstance(task, SyntheticTablesTask):
            raise ValueError(f"prior-fitting draws tables: use the task 'synthetic-tables', not {task.name!r}")
        return model

    def step(self, model: nn.Module, task: "Task", batch: Batch, rng: torch.Generator) -> Step:
        """The cross-entropy of new tables."""
        assert isinstance(task, SyntheticTablesTask)
        num_classes = int(torch.randint(2, task.max_classes + 1, (), generator=rng))
        place = float(torch.rand((), generator=rng))
        num_context = round(self.min_context * (self.max_context / self.min_context) ** place)
        rows = num_context + self.num_queries
        size = max(1, self.tokens // (rows * (1 + num_classes))) if self.tokens else batch.num_samples
        tasks = task.make_prior().sample(size, num_classes, rng, rows)
        tensors = as_tensors(tasks.x, tasks.y, num_classes, num_context)
        network = next(part for part in model.modules() if isinstance(part, InContext)).network
        like = next(model.parameters())
        logits = network(tensors["x"].to(like), tensors["context_label"].to(like.device), num_classes)
        return Step(cross_entropy(logits, tensors["label"].to(like.device)))

    def score(
        self,
        model: nn.Module,
        task: "Task",
        data: Dataset,
        *,
        train: Dataset,
        batch_size: int,
        seed: int = 0,
        average: OrbitAverage | None = None,
    ) -> Score:
        """The task's error rate, and the cross-entropy beside it."""
        refuse_average(average, "tables have no motion to average over")
        found = evaluate(model, task, data, batch_size=batch_size, seed=seed)
        with in_eval_mode(model), torch.no_grad():
            like = next(model.parameters())
            parts = torch.arange(len(data)).split(batch_size)
            batches = [data.batch(part).to(like.device, like.dtype) for part in parts]
            losses = [len(part) * float(task.loss(model(batch), batch)) for part, batch in zip(parts, batches)]
        return Score(found.mean, {**found.details, "cross-entropy (nats)": sum(losses) / len(data)})
