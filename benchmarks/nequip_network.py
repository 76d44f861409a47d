"""NequIP as a network of the benchmarks, where `nequip` is installed: `pip install -c constraints.txt nequip`."""

import warnings
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from rapidash.geometry import Radius
from rapidash.models import BaselineConfig, Interface
from rapidash.models._baseline import Baseline
from rapidash.models._network import RapidashOutput, Takes
from rapidash.registry import NETWORKS


@NETWORKS.register("NequIP")
@dataclass(frozen=True)
class NequIPConfig(BaselineConfig):
    """Tensor products of spherical harmonics, by the library `nequip`, see `NequIP`.

    Args:
        l_max: highest degree of features and harmonics, at least 0.
    """

    libraries: ClassVar[tuple[str, ...]] = ("nequip",)
    choices: ClassVar[dict[str, tuple[str, ...]]] = {**BaselineConfig.choices, "symmetry": ("E(3)",)}
    counts: ClassVar[dict[str, int]] = {**BaselineConfig.counts, "l_max": 0}

    symmetry: str = "E(3)"
    channels: int = 32
    num_layers: int = 3
    l_max: int = 1

    @property
    def takes(self) -> Takes:
        """Elements only."""
        return "invariants"

    def build(self, io: Interface) -> "NequIP":
        """A `NequIP` with fresh weights, of the global generator's seed."""
        self.check_sizes(io)
        if io.out_vectors or io.in_pairs or io.out_scalars != 1:
            raise ValueError(f"this NequIP has one scalar output and no pairs, got {io}")
        return NequIP(self, io)


class NequIP(Baseline):
    """The network of energies of `nequip`, in its own eager mode; the point's element is its largest scalar.

    Features have parity, radial functions one hidden layer of 128, and the mean number of neighbors is measured on the
    batch of `calibrate`: the defaults of the library. The cutoff is the radius of the edges.

    Symmetry: E(3), exact.
    Source: Batzner et al., arXiv:2101.03164; `nequip`.
    """

    joined = (("pos",), ("scalars",))

    def __init__(self, config: NequIPConfig, io: Interface) -> None:
        super().__init__(config, io)
        (rule,) = self.rules
        if not isinstance(rule, Radius):
            raise ValueError(f"a NequIP has a cutoff: expected edges 'radius-R', got {config.edges!r}")
        self.reach = rule.r
        self.seed = int(torch.randint(2**31, ()))
        self.layers = nn.ModuleList([self._make(neighbors=1.0)])

    def _make(self, neighbors: float) -> nn.Module:
        from nequip.model import NequIPGNNModel
        from nequip.utils.global_state import set_global_state

        own_type = torch.get_default_dtype()
        with warnings.catch_warnings(), torch.random.fork_rng(devices=()):
            warnings.simplefilter("ignore")  # energies have no scale, it says: the task has given them one
            set_global_state()  # sets torch's default type and seeds all generators
            torch.set_default_dtype(own_type)
            made: nn.Module = NequIPGNNModel(
                seed=self.seed,
                model_dtype="float32",
                type_names=[f"X{number}" for number in range(self.io.in_scalars)],
                r_max=self.reach,
                l_max=self.config.l_max,  # type: ignore[attr-defined]
                num_layers=self.config.num_layers,
                num_features=self.config.channels,
                avg_num_neighbors=neighbors,
                do_derivatives=False,
            )
        return made

    def features(self, pos: Tensor, batch: Tensor, scalars: Tensor, pairs: Tensor) -> tuple[Tensor, Tensor]:
        """The energy (N, 1) of every point."""
        data = {"pos": pos, "edge_index": self.edges_of(pos, batch), "batch": batch}
        data |= {"atom_types": scalars.argmax(dim=1), "num_atoms": batch.bincount()}
        return self.layers[0](data)["atomic_energy"].to(pos), pos

    def outputs(self, features: Float[Tensor, "N 1"], moved: Float[Tensor, "N 3"]) -> RapidashOutput:
        """The energies as they are."""
        return RapidashOutput(features, moved.new_zeros(len(moved), 0, 3))

    @torch.no_grad()
    def calibrate(self, pos: Tensor, batch: Int[Tensor, " N"], **features: Tensor | None) -> None:
        """Measure the mean number of neighbors."""
        super().calibrate(pos, batch, **features)
        self.layers[0] = self._make(neighbors=self.edges_of(pos, batch).shape[1] / len(pos))
