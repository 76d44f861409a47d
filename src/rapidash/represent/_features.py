"""Networks whose outputs are features: scalars, and vectors that turn with the cloud, whatever their task asks for."""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rapidash._plain import check_fields
from rapidash.models import Interface, NetworkConfig, RapidashOutput, Takes


class SplitFeatures(NamedTuple):
    """Features of some samples: those that a motion should leave, and those that should follow it."""

    invariant: Float[Tensor, "B I"]
    equivariant: Float[Tensor, "B E"]

    @property
    def both(self) -> Float[Tensor, "B F"]:
        """All of them, the invariant ones first."""
        return torch.cat([self.invariant, self.equivariant], dim=1)


@dataclass(frozen=True)
class FeatureConfig(NetworkConfig):
    """A network with features per sample in place of the outputs that a task asks for.

    Its output is one row of numbers per cloud or row of data: the scalars, and behind them the components of the
    vectors. Its parameters have the names that they have in the network of the task, so that its weights fit there.

    Args:
        network: what is built.
        scalars: features that the layers keep as they keep any scalar, at least 1.
        vectors: features that are vectors of space, at least 0; more than 0 only of a network of clouds that has them.
    Raises: ValueError for numbers outside the above.
    """

    network: NetworkConfig
    scalars: int
    vectors: int = 0

    def __post_init__(self) -> None:
        check_fields(self)
        if self.scalars < 1 or self.vectors < 0:
            raise ValueError(
                f"features need scalars >= 1 and vectors >= 0, got {self.scalars} scalars and {self.vectors} vectors"
            )

    def __getattr__(self, name: str) -> Any:
        """All else that a task looks at is that of the network."""
        if name.startswith("__") or name == "network":
            raise AttributeError(name)
        return getattr(self.network, name)

    @property
    def kind(self) -> str:
        """That of the network."""
        return self.network.kind

    @property
    def symmetry(self) -> str:  # type: ignore[override]
        """That of the network."""
        return self.network.symmetry

    @property
    def space(self) -> str:  # type: ignore[override]
        """That of the network."""
        return self.network.space

    @property
    def takes(self) -> Takes:
        """As the network."""
        return self.network.takes

    def check_libraries(self) -> None:
        """As of the network."""
        self.network.check_libraries()

    def build(self, io: Interface) -> nn.Module:
        """The network with fresh weights; of a cloud its features are the mean over the points.

        Raises: ValueError for vectors of data without positions; and as the network.
        """
        if io.dim == 0:
            if self.vectors:
                raise ValueError(f"data without positions have no vectors: {self.vectors} were asked for")
            return self.network.build(replace(io, out_scalars=self.scalars, out_vectors=0))
        sizes = replace(io, out_scalars=self.scalars, out_vectors=self.vectors, level="graph", pool="mean")
        network = self.network.build(sizes)
        network.register_forward_hook(_side_by_side)
        return network


def _side_by_side(network: nn.Module, inputs: Any, output: RapidashOutput) -> RapidashOutput:
    """Scalars and the components of vectors in the place of the scalars."""
    return RapidashOutput(torch.cat([output.scalars, output.vectors.flatten(1)], dim=1), output.vectors)
