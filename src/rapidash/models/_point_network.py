"""The base of networks of points that take scalars only: the interface of `Rapidash`, and checks of what comes in."""

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from rapidash.geometry import check_cloud
from rapidash.groups import Group, parse_group
from rapidash.models._network import Interface, NetworkConfig, RapidashOutput
from rapidash.nn import check_types


class PointNetwork(nn.Module, ABC):
    """A network with the inputs and outputs of `Rapidash` but vectors: a backbone for any task.

    Symmetry: ``symmetry``, exact but for ``tie_exception``.
    Args:
        config: the knobs.
        io: sizes of inputs and outputs.
    Shape: pos (N, D), batch (N,) sorted, scalars (N, in_scalars), pairs (N, in_pairs) -> `RapidashOutput`.
    Raises: ImportError naming the package to install; ValueError for inputs of another shape.
    """

    layers: nn.ModuleList
    reads_whole_clouds: ClassVar[bool] = False  # outputs of a cloud are then no mean or sum over its points
    joined: ClassVar[tuple[tuple[str, ...], ...]] = (("pos", "scalars", "pairs"),)
    """Arguments that are joined before they meet weights: their common type must be that of the network."""

    def __init__(self, config: NetworkConfig, io: Interface) -> None:
        super().__init__()
        config.check_libraries()
        self.kind, self.io = config.kind, io
        self.symmetry = parse_group(config.symmetry, io.dim)

    @property
    def blocks(self) -> nn.ModuleList:
        """The layers."""
        return self.layers

    @property
    def exact_symmetry(self) -> Group:
        """The whole symmetry: there is no grid."""
        return self.symmetry

    @property
    def tie_exception(self) -> str:
        """On which clouds the symmetry does not hold exactly, in words; empty if there are none."""
        return ""

    def forward(
        self,
        pos: Float[Tensor, "N D"],
        batch: Int[Tensor, " N"] | None = None,
        *,
        scalars: Float[Tensor, "N Cs"] | None = None,
        vectors: Float[Tensor, "N Cv D"] | None = None,
        pairs: Float[Tensor, "N P"] | None = None,
    ) -> RapidashOutput:
        """Scalars and vectors per point or cloud; ``vectors`` must be None: features are scalars."""
        if batch is None:
            batch = torch.zeros(len(pos), dtype=torch.long, device=pos.device)
        self._check_inputs(pos, batch, scalars, vectors, pairs)
        scalars, pairs = (pos.new_zeros(len(pos), 0) if values is None else values for values in (scalars, pairs))
        return self.compute(pos, batch, scalars, pairs)

    @abstractmethod
    def compute(self, pos: Tensor, batch: Tensor, scalars: Tensor, pairs: Tensor) -> RapidashOutput:
        """The outputs, for inputs that are all there and checked."""

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
        """Measure on one batch what the network wants to know of the scale of the data; by default nothing."""
        self._check_inputs(pos, batch, scalars, vectors, pairs)

    def _check_inputs(
        self, pos: Tensor, batch: Tensor, scalars: Tensor | None, vectors: Tensor | None, pairs: Tensor | None
    ) -> None:
        check_cloud(pos, batch)
        io = self.io
        given = {"pos": pos, "scalars": scalars, "vectors": vectors, "pairs": pairs}
        check_types("network", self, *({name: given[name] for name in names} for names in self.joined))
        widths = {"pos": io.dim, "scalars": io.in_scalars, "vectors": 0, "pairs": io.in_pairs}
        for name, expected in widths.items():
            tensor = given[name]
            if tensor is not None and (tensor.dim() < 2 or len(tensor) != len(pos)):
                raise ValueError(f"{name} has shape {tuple(tensor.shape)}, expected ({len(pos)}, {expected})")
            found = 0 if tensor is None else tensor.shape[1]
            if found != expected:
                raise ValueError(f"{name} has {found} columns, this {self.kind} was made for {expected}")


def scalars_and_vectors(values: Float[Tensor, "R F"], io: Interface) -> RapidashOutput:
    """Rows of numbers split into the scalars of an interface and the components of its vectors."""
    vectors = values[:, io.out_scalars :].unflatten(1, (io.out_vectors, io.dim))
    return RapidashOutput(values[:, : io.out_scalars], vectors)
