"""Is the data symmetric? Train a classifier to tell x from a randomly moved x."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from rapidash._seed import seeded
from rapidash.data import CloudBatch, CloudDataset
from rapidash.groups import MatrixGroup, Representation
from rapidash.measure._norms import refuse_not_finite
from rapidash.measure._report import Report

Samples = Tensor | CloudBatch


@dataclass(frozen=True)
class SymmetryBreakingScore:
    """Accuracy at telling samples from randomly moved samples, on samples that were not trained on.

    Args:
        accuracy: 0.5 for data that look the same after a random element, up to 1 for canonicalized data.
        standard_error: binomial, sqrt(accuracy (1 - accuracy) / n), at least that of one error.
        p_value: one-sided binomial test of accuracy 0.5.
        num_test: n.
        steps: training budget; the score is a lower bound that grows with it, so report both.
        group: name of the group.
    """

    accuracy: float
    standard_error: float
    p_value: float
    num_test: int
    steps: int
    group: str

    def report(self) -> Report:
        """One row."""
        row = {
            "accuracy": self.accuracy,
            "stderr": self.standard_error,
            "p": self.p_value,
            "test": self.num_test,
        }
        return Report("distributional symmetry breaking", (row,), {"group": self.group, "steps": self.steps})


class PointNet(nn.Module):
    """A small network on clouds that is not equivariant: per-point MLP of the raw coordinates, mean and max, MLP.

    Shape: (B, N, F) clouds of one size, or a `CloudBatch` whose point fields have F numbers -> (B,).
    """

    def __init__(self, features: int, hidden: int = 64) -> None:
        super().__init__()
        self.point = nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU())
        self.head = nn.Sequential(nn.Linear(2 * hidden, hidden), nn.ReLU(), nn.Linear(hidden, 1))

    def forward(self, x: Samples) -> Float[Tensor, " B"]:
        """Logits."""
        if isinstance(x, Tensor):
            hidden = self.point(x)
            return self.head(torch.cat([hidden.mean(dim=1), hidden.amax(dim=1)], dim=-1)).squeeze(-1)
        hidden = self.point(point_features(x))
        index = x.batch[:, None].expand_as(hidden)
        empty = hidden.new_zeros(x.num_clouds, hidden.shape[1])
        pools = [empty.scatter_reduce(0, index, hidden, how, include_self=False) for how in ("mean", "amax")]
        return self.head(torch.cat(pools, dim=-1)).squeeze(-1)


def symmetry_breaking_score(
    data: Shaped[Tensor, "B ..."] | CloudDataset,
    group: MatrixGroup,
    representation: Representation | None = None,
    *,
    classifier: Callable[[], nn.Module] | None = None,
    steps: int = 500,
    batch_size: int = 64,
    learning_rate: float = 3e-3,
    test_fraction: float = 0.5,
    seed: int = 0,
) -> SymmetryBreakingScore:
    """Measure how well a classifier tells data from data moved by random elements of a group, one for each sample.

    Half of the training and half of the test samples are moved; no sample is in both sets, and none is seen both moved
    and in place.

    Args:
        data: samples (B, ...), for instance clouds of one size (B, N, D); or a `CloudDataset`, which declares its
            fields.
        group: the group; random elements as its ``sample`` draws them.
        representation: how a sample transforms; for a `CloudDataset` None.
        classifier: makes a module that maps a batch of samples to logits (B,). None: a `PointNet` for clouds, an MLP
            for rows (B, F). An invariant classifier scores 0.5 on anything.
        steps: optimizer steps (Adam).
        batch_size: samples per step.
        learning_rate: of Adam, decayed to 0 on a cosine.
        test_fraction: share of the samples that are tested on.
        seed: of everything.
    Raises: ValueError for fewer than 8 samples, a fraction outside (0, 1), tensor data without a representation, data
        that are not finite in float32, or a classifier whose logits are not finite or not (B,).
    Source: Lawrence, Hofgard, Portilheiro, Chen, Smidt, Walters, "To Augment or Not to Augment?", arXiv 2510.01349.
    """
    num = len(data)
    if num < 8 or not 0 < test_fraction < 1 or steps < 1 or batch_size < 1:
        raise ValueError(
            f"need at least 8 samples, a test_fraction in (0, 1), steps and batch_size >= 1, got {num} samples, "
            f"{test_fraction=}, {steps=}, {batch_size=}"
        )
    if isinstance(data, Tensor) == (representation is None):
        raise ValueError("give a representation for tensor data, none for a CloudDataset: it declares its fields")
    order = torch.randperm(num, generator=seeded(seed, "split"))
    num_test = min(max(2, round(test_fraction * num)), num - 4)
    elements = group.sample(num, generator=seeded(seed, "elements"))
    is_moved = torch.zeros(num, dtype=torch.bool)
    is_moved[order[: num_test // 2]] = True
    is_moved[order[num_test : num_test + (num - num_test) // 2]] = True
    test, train = order[:num_test], order[num_test:]

    for name, values in (("data", data),) if isinstance(data, Tensor) else data.tensors.items():
        narrow = values.detach().to(torch.complex64 if values.is_complex() else torch.float32)
        refuse_not_finite(f"{name!r} in float32", narrow, "leave out samples that failed, or choose another unit")
    eye = torch.eye(elements.shape[-1], dtype=elements.dtype)
    moved = _moved(data, torch.where(is_moved[:, None, None], elements, eye), representation)

    def batch(indices: Tensor) -> Samples:
        if isinstance(moved, Tensor):
            picked = moved[indices]
            return torch.view_as_real(picked).float() if picked.is_complex() else picked.float()
        return moved.batch(indices).to(dtype=torch.float32)

    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(seed)
        first = batch(test[:1])
        model = _default_classifier(first) if classifier is None else classifier()
        model.train()
        optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate) if list(model.parameters()) else None
        for step in range(steps if optimizer else 0):
            picked = train[torch.randint(len(train), (batch_size,), generator=seeded(seed, "step", step))]
            loss = nn.functional.binary_cross_entropy_with_logits(model(batch(picked)), is_moved[picked].float())
            assert optimizer is not None
            optimizer.param_groups[0]["lr"] = learning_rate * 0.5 * (1 + math.cos(math.pi * step / steps))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            logits = torch.cat([model(batch(part)) for part in test.split(256)])
        refuse_not_finite("a logit of the classifier", logits, "choose a smaller learning rate or another unit")
        if logits.shape != test.shape:
            raise ValueError(
                f"the classifier returned logits of shape {tuple(logits.shape)} for {len(test)} samples, expected one "
                "each: squeeze the last axis"
            )
    from scipy.stats import binomtest  # slow to import

    correct = int(((logits > 0) == is_moved[test]).sum())
    accuracy = correct / num_test
    spread = max(accuracy * (1 - accuracy), (1 - 1 / num_test) / num_test)
    return SymmetryBreakingScore(
        accuracy=accuracy,
        standard_error=math.sqrt(spread / num_test),
        p_value=float(binomtest(correct, num_test, alternative="greater").pvalue),
        num_test=num_test,
        steps=steps,
        group=group.name,
    )


def _moved(
    data: Tensor | CloudDataset, elements: Float[Tensor, "B n n"], representation: Representation | None
) -> Tensor | CloudDataset:
    """Every sample moved by its own element."""
    if isinstance(data, Tensor):
        assert representation is not None
        return torch.cat([representation.act(g, sample[None]) for g, sample in zip(elements, data)])
    whole = data.batch(torch.arange(len(data))).transform(elements)
    return CloudDataset(whole.tensors, whole.fields, data.num_points)


def point_features(batch: CloudBatch) -> Float[Tensor, "N F"]:
    """All fields of the points that are numbers, side by side; whole ones (elements, indices) are left out."""
    columns = []
    for name, tensor in batch.tensors.items():
        if batch.fields[name].level == "point" and (tensor.is_floating_point() or tensor.is_complex()):
            real = torch.view_as_real(tensor).float() if tensor.is_complex() else tensor
            columns.append(real.reshape(len(tensor), -1))
    return torch.cat(columns, dim=-1)


def _default_classifier(sample: Any) -> nn.Module:
    if isinstance(sample, CloudBatch):
        return PointNet(point_features(sample).shape[1])
    if sample.dim() == 3:
        return PointNet(sample.shape[-1])
    layers = [nn.Flatten(), nn.Linear(sample[0].numel(), 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1)]
    return nn.Sequential(*layers, nn.Flatten(0))
