"""The loss and the error of tasks that ask for one class of every sample."""

from dataclasses import dataclass, field

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import cross_entropy

from rapidash.data import Batch, Field
from rapidash.groups import Scalar


class LabelTask:
    """Cross-entropy, and the error rate in per cent, against the field ``label`` (B,)."""

    def loss(self, prediction: Float[Tensor, "B K"], batch: Batch) -> Float[Tensor, ""]:
        """Cross-entropy, nats."""
        return cross_entropy(prediction, batch["label"])

    def errors(self, prediction: Float[Tensor, "B K"], batch: Batch) -> Float[Tensor, " B"]:
        """100 for every sample whose largest logit is not that of its class, else 0."""
        return 100 * (prediction.argmax(dim=1) != batch["label"]).to(prediction.dtype)


@dataclass(frozen=True)
class PlainLabelTask(LabelTask):
    """A label task whose samples have no points in space: images, graphs, words, rows of tables."""

    dim: int = field(default=0, init=False)
    metric: str = field(default="error rate", init=False)
    unit: str = field(default="%", init=False)
    output: Field = field(default=Field(Scalar(), level="cloud"), init=False)
