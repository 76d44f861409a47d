"""Layers of images with one table of weights for every orbit of a subgroup: convolutions, normalization and head.

All features stay functions on the whole group G and pixels, (B, C, G, H, W), so that layers of different subgroups
follow each other. Orbits are those of the subgroup H acting on G from the left, the cosets H g.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import batch_norm

from rapidash.groups import MatrixGroup
from rapidash.nn._fiber_head import FiberHead, FiberPool
from rapidash.nn._image_group_conv import ImageGroupConv, Padding, moved_conv
from rapidash.nn._orbit_tables import OrbitTables, untied


class ImageSubgroupConv(nn.Module):
    r"""`ImageGroupConv`, or `ImageLifting`, with a table of its own for every orbit of a subgroup H of the group G.

    .. math:: y(g, p) = \sum_{h, q} w_{Hg}(g^{-1} h,\, g^{-1} q)\, x(h, p + q) + b_{Hg}

    Every linear map that is equivariant to H has this form; where all tables are equal it is equivariant to G.

    Symmetry: equivariant to H, as `ImageGroupConv` is to G.
    Args:
        conv: the convolution, also one of a larger subgroup, whose function the new one has.
        orbits: for every element of G the number of its coset H g.
        can_tie: tables can be tied, and a saved layer has its ties, see `OrbitTables`.
    Shape: as the given one.
    Raises: ValueError for orbits that join tables that differ.
    Source: Maile et al., "Equivariance-aware architectural optimization of neural networks", ICLR 2023, arXiv
        2210.05484. From the equations.
    """

    group: MatrixGroup
    padding: Padding
    lifts: bool
    places: Tensor
    tables: OrbitTables
    bias: OrbitTables | None

    def __init__(
        self, conv: "ImageGroupConv | ImageSubgroupConv", orbits: Int[Tensor, " G"], *, can_tie: bool = False
    ) -> None:
        super().__init__()
        self.group, self.padding, self.lifts = conv.group, conv.padding, conv.lifts
        self.tables = untied(conv.tables if isinstance(conv, ImageSubgroupConv) else conv.weight, orbits, can_tie)
        self.bias = None if conv.bias is None else untied(conv.bias, orbits, can_tie)
        self.register_buffer("places", conv.places.clone(), persistent=False)

    def draw(self) -> None:
        """Fresh weights for the table of every orbit; offsets stay."""
        self.tables.draw(self.tables.weight[0, 0].numel())

    def tie(self, orbits: Int[Tensor, " G"]) -> None:
        """Tie the tables of the orbits of a larger subgroup, see `OrbitTables.tie`."""
        self.tables.tie(orbits)
        if self.bias is not None:
            self.bias.tie(orbits)

    def forward(self, x: Float[Tensor, "B C *GHW"]) -> Float[Tensor, "B C2 G H W"]:
        """See the class."""
        of_elements = self.tables.of_things()
        channels, on_group, size = of_elements.shape[2:5]
        x = x[:, :, None] if self.lifts and x.dim() == 4 else x
        if x.dim() != 5 or x.shape[1:3] != (channels, on_group):
            kind = f"images (B, {channels}, H, W)" if self.lifts else f"(B, {channels}, {on_group}, H, W)"
            raise ValueError(f"x must be {kind} for {self.group.name}, got shape {tuple(x.shape)}")
        kernel = of_elements.flatten(3).take_along_dim(self.places[:, None, None], dim=3).transpose(0, 1)
        bias = None if self.bias is None else self.bias.of_things().T.flatten()
        return moved_conv(x, kernel, size, bias, padding=self.padding)


class SubgroupBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch normalization over samples, pixels and each orbit of a subgroup of the group, with weights of every orbit.

    Symmetry: equivariant to the subgroup, in training and in eval mode.
    Args:
        norm: of the whole group, or of a larger subgroup: in eval mode the new one has its function.
        orbits: for every element of the group the number of its coset H g.
        can_tie: orbits can be tied; they then share weights and statistics.
    Shape: x (B, C, G, H, W) -> the same.
    Raises: ValueError for orbits that join weights that differ.
    """

    scale: OrbitTables
    shift: OrbitTables
    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(
        self, norm: "nn.BatchNorm3d | SubgroupBatchNorm", orbits: Int[Tensor, " G"], *, can_tie: bool = False
    ) -> None:
        if isinstance(norm, SubgroupBatchNorm):
            scale, shift = norm.scale, norm.shift
            channels = scale.weight.shape[1]
            of_orbits = [buffer.unflatten(0, (-1, channels)) for buffer in (norm.running_mean, norm.running_var)]
            statistics = [untied(_tables(rows, scale.orbits), orbits, False).weight.detach() for rows in of_orbits]
            scale, shift = untied(scale, orbits, can_tie), untied(shift, orbits, can_tie)
        else:
            scale, shift = untied(norm.weight, orbits, can_tie), untied(norm.bias, orbits, can_tie)
            num = len(scale.weight)
            statistics = [norm.get_buffer(name).expand(num, -1) for name in ("running_mean", "running_var")]
        num, channels = scale.weight.shape
        super().__init__(num * channels, norm.eps, norm.momentum, affine=False)
        self.scale, self.shift = scale, shift
        self.running_mean = statistics[0].flatten().clone()
        self.running_var = statistics[1].flatten().clone()
        self.num_batches_tracked = norm.get_buffer("num_batches_tracked").clone()
        self.train(norm.training)

    def tie(self, orbits: Int[Tensor, " G"]) -> None:
        """Tie the orbits of a larger subgroup, their statistics too: each becomes the mean."""
        with torch.no_grad():
            self.scale.tie(orbits)
            self.shift.tie(orbits)
            for name in ("running_mean", "running_var"):
                rows = _tables(self.get_buffer(name).unflatten(0, self.scale.weight.shape), self.scale.orbits)
                rows.tie(orbits)
                self.get_buffer(name).copy_(rows.expanded().flatten())

    def forward(self, x: Float[Tensor, "B C G H W"]) -> Float[Tensor, "B C G H W"]:
        """See the class."""
        (scale, orbits), (shift, _) = self.scale(), self.shift()
        num, channels = scale.shape
        order = orbits.argsort(stable=True)
        by_orbit = x[:, :, order].unflatten(2, (num, -1)).transpose(1, 2)  # (B, L, C, G / L, H, W)
        ties = self.scale.ties if num < len(self.scale.weight) else None
        statistics = [self.get_buffer(name).unflatten(0, (-1, channels)) for name in ("running_mean", "running_var")]
        found = [rows if ties is None else rows[_first(ties)] for rows in statistics]
        mean, var = [rows.flatten().clone() for rows in found]  # which training changes
        count = int(self.num_batches_tracked) + 1 if self.momentum is None else 0
        rate = 1 / count if self.momentum is None else self.momentum
        flat = by_orbit.flatten(1, 2)
        y = batch_norm(flat, mean, var, scale.flatten(), shift.flatten(), self.training, rate, self.eps)
        if self.training:
            with torch.no_grad():
                self.num_batches_tracked.add_(1)
                for rows, new in zip(statistics, (mean, var)):
                    new = new.unflatten(0, (num, channels))
                    rows.copy_(new if ties is None else new[ties])
        return y.unflatten(1, (num, channels)).transpose(1, 2).flatten(2, 3)[:, :, order.argsort()]

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() != 5:
            raise ValueError(f"x must be functions on a group and pixels (B, C, G, H, W), got {tuple(input.shape)}")


class SubgroupHead(FiberHead):
    r"""`FiberHead` whose first linear map has columns of its own for every orbit of a subgroup.

    .. math:: y = \tfrac{1}{|G|} \sum_g A_{Hg}\, \bar x(g) + A' \max_{g, p} x(g, p) + b

    with the mean over pixels; the parts are there as the pooling says. Maxima are over the whole group: one over an
    orbit is no linear part of it.

    Symmetry: invariant to the subgroup.
    Args:
        head: of the whole group, or of a larger subgroup, whose function the new one has.
        orbits: for every element of the group the number of its coset H g.
        can_tie: tables can be tied, see `OrbitTables`.
    Shape: fiber (B, C, G, H, W) -> (B, num_outputs).
    Raises: ValueError for a head of other invariants, or whose pooling has no mean, or orbits that join tables that
        differ.
    """

    tables: OrbitTables
    others: nn.Parameter | None
    offset: nn.Parameter

    def __init__(self, head: FiberHead, orbits: Int[Tensor, " G"], *, can_tie: bool = False) -> None:
        nn.Module.__init__(self)
        self.channels, self.num_outputs, self.invariants = head.channels, head.num_outputs, head.invariants
        if isinstance(head, SubgroupHead):
            means: OrbitTables | Tensor = head.tables
            others: Tensor | None = head.others
            offset: Tensor = head.offset
        elif has_mean(head) and isinstance(first := head.readout[0], nn.Linear):
            means, others, offset = first.weight[:, : head.channels], first.weight[:, head.channels :], first.bias
        else:
            raise ValueError("only a head that pools by mean, alone or beside others, has columns for every orbit")
        self.tables = untied(means, orbits, can_tie)
        self.others = None if others is None or not others.numel() else nn.Parameter(others.detach().clone())
        self.offset = nn.Parameter(offset.detach().clone())
        self.readout = nn.Sequential(*list(head.readout)[0 if isinstance(head, SubgroupHead) else 1 :])

    def draw(self) -> None:
        """Fresh columns for every orbit."""
        self.tables.draw(self.channels + (0 if self.others is None else self.others.shape[1]))

    def tie(self, orbits: Int[Tensor, " G"]) -> None:
        """Tie the tables of the orbits of a larger subgroup, see `OrbitTables.tie`."""
        self.tables.tie(orbits)

    def replace_invariants(self, invariants: nn.Module, num_invariants: int) -> None:
        """Raise ValueError: the columns belong to the mean."""
        raise ValueError("the head of a subgroup pools by mean: replace the invariants of the network before")

    def forward(self, fiber: Float[Tensor, "B C G H W"]) -> Float[Tensor, "B num_outputs"]:
        """See the class."""
        means = fiber.mean(dim=(3, 4))
        first = torch.einsum("bcg,goc->bo", means, self.tables.of_things()) / fiber.shape[2] + self.offset
        if self.others is not None:
            first = first + fiber.flatten(2).amax(dim=2) @ self.others.T
        out: Tensor = self.readout(first)
        return out


def has_mean(head: FiberHead) -> bool:
    """Whether the invariants of a head begin with means over the group, which a subgroup splits into orbits."""
    return isinstance(head.invariants, FiberPool) and head.invariants.pooling.startswith("mean")


def _tables(rows: Tensor, orbits: Tensor) -> OrbitTables:
    return OrbitTables(rows, orbits)


def _first(ties: Int[Tensor, " K"]) -> Int[Tensor, " L"]:
    """The first table of each tie."""
    return (ties == torch.arange(int(ties.max()) + 1, device=ties.device)[:, None]).long().argmax(dim=1)
