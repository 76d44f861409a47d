"""Ready-made equivariant networks that choose elements."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rapidash.data import Batch, CloudBatch
from rapidash.geometry import centroids
from rapidash.groups import Group, MatrixGroup, Scalar, Vector, enumerated
from rapidash.models import Rapidash
from rapidash.symmetrize._canonical import NOISE
from rapidash.symmetrize._points import rotations_of


class FrameNetwork(nn.Module):
    r"""D equivariant vectors of each cloud, from a `Rapidash` on R^D: for `Canonical` and `Conditional`.

    .. math:: q_i = \mathrm{mean}_p\, w_{ip} / \mathrm{rms}_p\, w_{ip}, \quad w_{ip} = v_{ip} + \sum_a s_{iap}\, u_{ap}

    u are the vectors of point p: its position (about the mean where the group has translations), its input vectors and
    its noise; the network sees their inner products and its input scalars, and returns the weights s and vectors v.
    The length of q is at most 1, and 0 to rounding where the vectors of a symmetric cloud cancel.

    Symmetry: exactly equivariant to O(D), in floating point, and unchanged by translations where the group has them.
    On a cloud in a plane all vectors lie in the plane, without noise: no frame can be made of them.

    Args:
        group: O(n), SO(n), E(n) or SE(n).
        scalars, vectors: names and numbers of the input fields of points, (N, C) or (N, V, D).
        noise: whether a vector of noise belongs to each point; a batch without one has zeros.
        channels, num_layers, edges: of the Rapidash.
    """

    def __init__(
        self,
        group: MatrixGroup,
        scalars: dict[str, int],
        vectors: dict[str, int],
        *,
        noise: bool,
        channels: int,
        num_layers: int,
        edges: str,
    ) -> None:
        super().__init__()
        self.dim, _ = rotations_of(group)
        assert isinstance(group, Group)
        self.group, self.scalars, self.vectors, self.noise = group, scalars, vectors, noise
        self.num_vectors = 1 + sum(vectors.values()) + int(noise)
        self.network = Rapidash(
            dim=self.dim,
            symmetry=f"E({self.dim})",
            space=f"R{self.dim}",
            in_scalars=sum(scalars.values()) + self.num_vectors * (self.num_vectors + 1) // 2,
            out_scalars=self.dim * self.num_vectors,
            out_vectors=self.dim,
            level="node",
            channels=channels,
            num_layers=num_layers,
            edges=edges,
            basis_dim=32,
            basis_hidden_dim=32,
            kernel="exact",  # a table of distances depends on the other clouds of a batch
        )

    def forward(self, batch: Batch) -> Float[Tensor, "B D D"]:
        """The vectors, vector first."""
        if not isinstance(batch, CloudBatch):
            raise ValueError(f"small_frame_network is for clouds, got {type(batch).__name__}")
        place = batch.pos
        if self.group.translations:
            place = place - centroids(place, batch.batch, batch.num_clouds)[batch.batch]
        parts = [place[:, None], *(self._input(batch, name, num, Vector) for name, num in self.vectors.items())]
        if self.noise:
            parts.append(batch[NOISE] if NOISE in batch.fields else torch.zeros_like(place)[:, None])
        u = torch.cat(parts, dim=1)
        first, second = torch.triu_indices(self.num_vectors, self.num_vectors, device=u.device)
        products = (u[:, first] * u[:, second]).sum(dim=-1)
        scalars = [self._input(batch, name, num, Scalar) for name, num in self.scalars.items()]
        out = self.network(batch.pos, batch.batch, scalars=torch.cat([*scalars, products], dim=1))
        weights = out.scalars.unflatten(1, (self.dim, self.num_vectors))
        each = out.vectors + torch.einsum("nia,nad->nid", weights, u)
        size = centroids(each.detach().square().sum(dim=-1), batch.batch, batch.num_clouds).sqrt()[..., None]
        mean = centroids(each.flatten(1), batch.batch, batch.num_clouds).unflatten(1, (self.dim, self.dim))
        return mean / torch.where(size > 0, size, 1.0)

    def _input(self, batch: CloudBatch, name: str, num: int, kind: type[Scalar] | type[Vector]) -> Tensor:
        found = _inputs(batch, name)
        values = found[kind is Vector]
        if values is None or values.shape[1] != num:
            raise ValueError(f"field {name!r} must have {num} {kind.__name__.lower()}s per point, as in the example")
        return values.to(batch.pos)


def small_frame_network(
    group: MatrixGroup,
    example: CloudBatch,
    *,
    inputs: Sequence[str] = (),
    noise: bool = True,
    channels: int = 16,
    num_layers: int = 2,
    edges: str = "fc",
) -> FrameNetwork:
    """A small `FrameNetwork` with fresh weights from torch's global generator.

    Args:
        group: O(n), SO(n), E(n) or SE(n).
        example: a batch that shows how wide the inputs are.
        inputs: names of the scalars and vectors of points that it sees beside positions; never those of a target.
        noise: whether it takes the noise of `Conditional`.
        channels, num_layers, edges: of the `Rapidash` inside.
    Raises: ValueError for another group, or an input that the example does not have as scalars or vectors of points.
    """
    scalars, vectors = {}, {}
    for name in inputs:
        as_scalars, as_vectors = _inputs(example, name)
        if as_scalars is not None:
            scalars[name] = as_scalars.shape[1]
        elif as_vectors is not None:
            vectors[name] = as_vectors.shape[1]
        else:
            raise ValueError(f"input {name!r} must be scalars (N, C) or vectors (N, D) or (N, V, D) of points")
    return FrameNetwork(group, scalars, vectors, noise=noise, channels=channels, num_layers=num_layers, edges=edges)


def _inputs(batch: CloudBatch, name: str) -> tuple[Tensor | None, Tensor | None]:
    """The scalars (N, C) or the vectors (N, V, D) of a field of points."""
    if name not in batch.fields:
        raise ValueError(f"input {name!r} is not in the batch, which has {sorted(batch.fields)}")
    field, values = batch.fields[name], batch[name]
    if field.level != "point":
        return None, None
    if isinstance(field.representation, Scalar):
        return values.flatten(1) if values.dim() > 1 else values[:, None], None
    if isinstance(field.representation, Vector) and values.dim() in (2, 3):
        return None, values[:, None] if values.dim() == 2 else values
    return None, None


class GroupActivations(nn.Module):
    """a_x(g) = s(g^-1 x) for every element of a finite group: activations that move with it, from any network s.

    Symmetry: a_{h x}(h g) = a_x(g), as far as the data move exactly.

    Args:
        net: s, a score of each sample (B,) or (B, 1).
        group: finite.
    Raises: ValueError for a group that is not finite or too large to list; in use for another output.
    Source: the energies of Kaba et al., "Equivariance with Learned Canonicalization Functions", ICML 2023.
    """

    def __init__(self, net: nn.Module, group: MatrixGroup) -> None:
        super().__init__()
        elements = enumerated(group)
        if elements is None:
            raise ValueError(f"{group.name} is not finite, or too large to list: activations need its elements")
        self.net, self.group, self._elements = net, group, elements

    def forward(self, batch: Batch) -> Float[Tensor, "B G"]:
        """The activations, in the order of the group's elements."""
        order = len(self._elements)
        back = self.group.inverse(self._elements).repeat_interleave(batch.num_samples, dim=0)
        scores = self.net(batch.repeat(order).transform(back))
        if scores.numel() != order * batch.num_samples:
            raise ValueError(f"net must return one score for each sample, got shape {tuple(scores.shape)}")
        return scores.reshape(order, batch.num_samples).T
