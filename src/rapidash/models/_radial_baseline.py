"""The base of baselines that see functions of distances up to a reach, and mix vectors of their channels."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from rapidash.geometry import Radius
from rapidash.models._baseline import Baseline
from rapidash.models._baseline_config import BaselineConfig
from rapidash.models._network import Interface, RapidashOutput
from rapidash.models._point_network import scalars_and_vectors


class RadialBaseline(Baseline):
    """A baseline whose functions of distances end at a reach r_c, with vectors (N, F, D) beside its features (N, F).

    With edges ``"radius-R"`` r_c is R; otherwise it is 1.5 times the largest distance that `calibrate` saw. Vectors
    that come out are mixtures of channels, times factors of the features.

    Args:
        config: the knobs.
        io: sizes of inputs and outputs.
    """

    reach: Tensor
    vector_mix: nn.Linear | None  # from channels to the vectors that come out, None for none

    def __init__(self, config: BaselineConfig, io: Interface) -> None:
        super().__init__(config, io)
        (rule,) = self.rules
        self.has_cutoff = isinstance(rule, Radius)
        self.register_buffer("reach", torch.tensor(rule.r if isinstance(rule, Radius) else 1.0))

    def outputs(self, features: Float[Tensor, "N F"], moved: Float[Tensor, "N F D"]) -> RapidashOutput:
        """Scalars and factors of the vectors from the features."""
        found = self.head(features)
        if self.vector_mix is None:
            return scalars_and_vectors(found, self.io)
        factors = found[:, self.io.out_scalars :, None]
        vectors = factors * self.vector_mix(moved.transpose(1, 2)).transpose(1, 2)
        return RapidashOutput(found[:, : self.io.out_scalars], vectors)

    @torch.no_grad()
    def calibrate(
        self,
        pos: Float[Tensor, "N D"],
        batch: Int[Tensor, " N"],
        *,
        scalars: Float[Tensor, "N Cs"] | None = None,
        vectors: Float[Tensor, "N Cv D"] | None = None,
        pairs: Float[Tensor, "N P"] | None = None,
    ) -> None:
        """Without a cutoff: set r_c to 1.5 times the largest distance over an edge of this batch."""
        super().calibrate(pos, batch, scalars=scalars, vectors=vectors, pairs=pairs)
        source, target = self.rules[0](pos, batch)
        largest = float((pos[source] - pos[target]).norm(dim=1).max()) if len(source) else 0.0
        if not self.has_cutoff and largest > 0:
            self.reach.fill_(1.5 * largest)
