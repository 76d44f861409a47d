"""The search for shared weights, asked which turns labels stand: a linear layer on angular bins about an axis."""

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rapidash.data import CloudDataset
from rapidash.geometry import centroids
from rapidash.learn.sharing import SharingProblem

Split = Literal["train", "val", "both"]

BINS = 8  # 4,140 partitions
_RIDGE = 1e-4
_PLANES = {"x": (1, 2, 0), "z": (0, 1, 2)}


def ring_features(data: CloudDataset, axis: str) -> Float[Tensor, "B 8 F"]:
    """Every cloud as a signal on a ring of 8 bins about an axis through its centroid.

    A point goes to the two bins beside its angle, by nearness, with the moments r^a h^b of its distance r from the axis
    and its height h, a = 1, 2, 3 and b = 0, 1, 2, so that a turn by a bin shifts the signal; the mean over the points.
    """
    pos, sizes = data.tensors["pos"].double(), data.num_points
    batch = torch.repeat_interleave(torch.arange(len(data)), sizes)
    first, second, height = (pos - centroids(pos, batch, len(data))[batch])[:, _PLANES[axis]].T
    place = torch.atan2(second, first) / (2 * torch.pi) * BINS % BINS
    low, share = place.floor(), place - place.floor()
    radius = torch.hypot(first, second)
    moments = torch.stack([radius**a * height**b for a in (1, 2, 3) for b in (0, 1, 2)], dim=1)
    signal = moments.new_zeros(len(data) * BINS, moments.shape[1])
    for offset, weight in ((0, 1 - share), (1, share)):
        bins = (low.long() + offset) % BINS
        signal = signal.index_add(0, batch * BINS + bins, weight[:, None] * moments)
    return signal.unflatten(0, (len(data), BINS)) / sizes[:, None, None]


class RingProblem(SharingProblem):
    r"""A linear layer :math:`y = c + \sum_b W_{a(b)} x_b` whose 8 blocks of weights, one a bin, may share parameters.

    Mean squared error of the labels as unit vectors, with a small ridge in training; features have mean 0 and deviation
    1 over training samples and bins.

    Args:
        x_train, x_val: signals (B, 8, F).
        label_train, label_val: classes.
        num_classes: C.
    """

    def __init__(
        self,
        x_train: Float[Tensor, "n K F"],
        label_train: Int[Tensor, " n"],
        x_val: Float[Tensor, "m K F"],
        label_val: Int[Tensor, " m"],
        num_classes: int,
    ) -> None:
        super().__init__(x_train.shape[1])
        mean, deviation = x_train.mean(dim=(0, 1)), x_train.std(dim=(0, 1))
        spread = torch.where(deviation > 0, deviation, 1.0)
        parts = {"train": (x_train, label_train), "val": (x_val, label_val)}
        parts["both"] = (torch.cat([x_train, x_val]), torch.cat([label_train, label_val]))
        targets = torch.nn.functional.one_hot
        self.width, self.num_classes = x_train.shape[2], num_classes
        self.x_val, self.label_val = (x_val - mean) / spread, label_val
        self.moments = {
            split: _moments((x - mean) / spread, targets(label, num_classes).double())
            for split, (x, label) in parts.items()
        }

    def start(self, num_params: int, generator: torch.Generator) -> Float[Tensor, " P"]:
        """Zeros: a minimum is found from anywhere."""
        return torch.zeros((num_params * self.width + 1) * self.num_classes, dtype=torch.float64)

    def untied(self, assignment: Int[Tensor, " K"], params: Float[Tensor, " P"]) -> Float[Tensor, " Q"]:
        """A block for each bin, and the constant."""
        blocks = params[: -self.num_classes].unflatten(0, (-1, self.width * self.num_classes))
        return torch.cat([blocks[assignment].flatten(), params[-self.num_classes :]])

    def loss(self, assignment: Float[Tensor, "K M"], params: Float[Tensor, " P"], split: Split) -> Float[Tensor, ""]:
        """Summed over the entries of a unit vector, a mean over samples."""
        weights = params.unflatten(0, (-1, self.num_classes))
        xx, xy, yy = self._merged(assignment, split)
        value = (weights * (xx @ weights)).sum() - 2 * (weights * xy).sum() + yy
        return value if split == "val" else value + _RIDGE * weights[:-1].square().sum()

    def minimize(
        self, assignment: Float[Tensor, "*C K M"], start: Float[Tensor, " P"], split: Split
    ) -> Float[Tensor, "*C P"]:
        """The normal equations."""
        xx, xy, _ = self._merged(assignment.detach(), split)
        ridge = torch.full((xx.shape[-1],), _RIDGE, dtype=xx.dtype)
        ridge[-1] = 0.0
        return torch.linalg.solve(xx + ridge.diag_embed(), xy).flatten(-2)

    def upper_losses(self, assignments: Float[Tensor, "C K M"], generator: torch.Generator) -> Float[Tensor, " C"]:
        """The validation losses, those with as many clusters at once."""
        found = assignments.new_zeros(len(assignments))
        used = assignments.amax(dim=1) > 0
        for num in used.sum(dim=1).unique().tolist():
            own = (used.sum(dim=1) == num).nonzero()[:, 0]
            columns = used[own].int().argsort(dim=1, descending=True, stable=True)[:, None, :num]
            kept = assignments[own].gather(2, columns.expand(-1, self.num_weights, -1))
            for part, places in zip(kept.split(256), own.split(256)):
                weights = self.minimize(part, self.start(num, generator), "train").unflatten(-1, (-1, self.num_classes))
                xx, xy, yy = self._merged(part, "val")
                found[places] = (weights * (xx @ weights - 2 * xy)).sum(dim=(1, 2)) + yy
        return found

    def error_rate(self, assignment: Int[Tensor, " K"]) -> float:
        """Share of the validation samples whose largest output is not that of their class, percent; trained on the
        training data.
        """
        hard = torch.nn.functional.one_hot(assignment, self.num_weights).double()
        params = self.minimize(hard, self.start(self.num_weights, torch.Generator()), "train")
        weights = params.unflatten(0, (-1, self.num_classes))
        blocks = torch.einsum("km,mfc->kfc", hard, weights[:-1].unflatten(0, (self.num_weights, self.width)))
        outputs = torch.einsum("nkf,kfc->nc", self.x_val, blocks) + weights[-1]
        return 100 * float((outputs.argmax(dim=1) != self.label_val).double().mean())

    def _merged(self, assignment: Float[Tensor, "*C K M"], split: Split) -> tuple[Tensor, Tensor, Tensor]:
        """Second moments of the features of every parameter, with a constant as the last."""
        xx, xy, yy = self.moments[split]
        inner = torch.kron(assignment.contiguous(), torch.eye(self.width, dtype=assignment.dtype))
        spread = torch.nn.functional.pad(inner, (0, 1, 0, 1))
        spread[..., -1, -1] = 1.0
        return spread.mT @ xx @ spread, spread.mT @ xy, yy


def cyclic_order(assignment: Int[Tensor, " K"]) -> int:
    """The largest n that divides K such that a shift by K / n bins changes no block of weights."""
    size = len(assignment)
    orders = [n for n in range(1, size + 1) if size % n == 0 and torch.equal(assignment.roll(size // n), assignment)]
    return max(orders)


def _moments(x: Float[Tensor, "n K F"], y: Float[Tensor, "n C"]) -> tuple[Tensor, Tensor, Tensor]:
    flat = torch.cat([x.flatten(1), torch.ones(len(x), 1, dtype=x.dtype)], dim=1)
    return flat.mT @ flat / len(x), flat.mT @ y / len(x), y.square().sum() / len(x)
