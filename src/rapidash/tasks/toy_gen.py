"""Four particles in the plane whose density is known, generated."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from rapidash.data import CloudDataset, Field
from rapidash.generate import (
    Asked,
    DenoisingTask,
    DoubleWell,
    StateSpace,
    density_ledger,
    double_well_samples,
    placeholder,
)
from rapidash.generate.metrics import wasserstein
from rapidash.groups import Position, Scalar
from rapidash.methods import Measurement, Split, Variant
from rapidash.symmetry import Ledger
from rapidash.tasks._cloud_denoiser import CloudDenoiser
from rapidash.tasks._point_inputs import network_ledger
from rapidash.tasks._split_sizes import check_split_sizes

Condition = Literal["none", "energy"]
_PARTICLES, _NORMAL = 4, 1.96
_ENERGY = Field(Scalar(), "k_B T", "cloud")


@dataclass(frozen=True)
class ToyGenTask(DenoisingTask):
    """Four particles in the plane with a double well between any two, see `rapidash.generate.DoubleWell`.

    The data are made on the fly, each the end of a Markov chain of its own. Figures of samples: the Wasserstein
    distance of their energies from those of test data, their mean energy with its interval, and with the condition
    "energy" the median difference of the energy of a sample from what was asked for, and from what was asked of another
    sample.

    Args:
        condition: ``"energy"``: networks are told the energy of a configuration, and asked for it.
        num_train, num_val, num_test: configurations of each split.
        num_samples: generated for the figures.
        sampling_steps: of the sampler that generates them.
    Raises: ValueError for an unknown condition, sizes below 1, or fewer than two steps.
    Source: Köhler, Klein, Noé, "Equivariant Flows", ICML 2020.
    """

    condition: Condition = "none"
    num_train: int = 2000
    num_val: int = 250
    num_test: int = 1000
    num_samples: int = 1000
    sampling_steps: int = 24

    name: str = field(default="toy-gen", init=False)
    dim: int = field(default=2, init=False)

    def __post_init__(self) -> None:
        check_split_sizes(self)
        self.sampler  # noqa: B018  (which checks the steps)
        if self.condition not in get_args(Condition) or self.num_samples < 1:
            raise ValueError(
                f"condition must be one of {get_args(Condition)} and num_samples at least 1, got {self.condition!r} "
                f"and {self.num_samples}"
            )

    @property
    def space(self) -> StateSpace:
        """Positions alone."""
        return StateSpace(2)

    def clouds(self, split: Split) -> CloudDataset:
        """Configurations of a split, made on the first call."""
        size = {"train": self.num_train, "val": self.num_val, "test": self.num_test}[split]
        pos = double_well_samples(split, size)
        tensors, fields = {"pos": pos.flatten(0, 1).float()}, {"pos": Field(Position(), "length")}
        if self.condition == "energy":
            tensors["condition"] = DoubleWell().energy(pos)[:, None].float()
            fields["condition"] = _ENERGY
        return CloudDataset(tensors, fields, torch.full((size,), _PARTICLES))

    def templates(
        self, indices: Int[Tensor, " B"], seed: int, constants: Float[Tensor, " K"], asked: Asked
    ) -> CloudDataset:
        """Four particles each; the energies are those asked for, or those of test configurations."""
        asked.check_sizes(_PARTICLES, "configurations")
        num_points = torch.full((len(indices),), _PARTICLES)
        if self.condition == "none":
            return placeholder(num_points, 2, "length", {}, {})
        energy = asked.condition
        if energy is None:
            of_test = self.clouds("test").tensors["condition"]
            energy = of_test[indices % len(of_test)]
        return placeholder(num_points, 2, "length", {"condition": energy.float()}, {"condition": _ENERGY})

    def energies(self, clouds: CloudDataset) -> Float[Tensor, " B"]:
        """Of the double wells."""
        return DoubleWell().energy(clouds.tensors["pos"].double().view(-1, _PARTICLES, 2))

    def figures(self, clouds: CloudDataset) -> Iterable[Measurement]:
        """Figures of configurations against test configurations; means and distances need finite energies."""
        energy, test = self.energies(clouds), self.energies(self.clouds("test"))
        is_good = bool(torch.isfinite(energy).all())
        distance = wasserstein(energy.numpy(), test.numpy()) if is_good else None
        yield Measurement("W1 of energies", distance, "k_B T", better="lower")
        mean, half = float(energy.mean()), _NORMAL * float(energy.std()) / len(energy) ** 0.5
        value, low, high = (mean, mean - half, mean + half) if is_good else (None, None, None)
        yield Measurement("mean energy", value, "k_B T", better="", low=low, high=high)
        if self.condition == "none":
            return
        asked = clouds.tensors["condition"][:, 0].double()
        for name, other in (("asked for", asked), ("asked of another sample", asked.roll(1))):
            middle = float((energy - other).abs().nan_to_num(torch.inf).median())
            value = middle if middle < torch.inf else None
            yield Measurement(f"median difference from the energy {name}", value, "k_B T", better="")

    def build(self, variant: Variant) -> nn.Module:
        """The network of a variant with fresh weights from torch's global generator."""
        return CloudDenoiser(variant, self.space, is_conditional=self.condition != "none")

    def ledger(self, variant: Variant) -> Ledger:
        """Effective symmetry of a variant, and what it says of samples."""
        with torch.random.fork_rng():
            return density_ledger(network_ledger(self.build(variant)), variant)
