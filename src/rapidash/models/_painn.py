"""PaiNN: messages of scalars and vectors, of the package itself."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from rapidash.geometry import safe_norm
from rapidash.models._baseline_config import BaselineConfig
from rapidash.models._network import Interface, Takes
from rapidash.models._radial_baseline import RadialBaseline

LARGEST_CHANGE = 1.0  # of a channel by a layer that has not been trained, root mean square
MOST_HALVINGS = 100  # of the weights of a layer


@dataclass(frozen=True)
class PaiNNConfig(BaselineConfig):
    """Polarizable atom interaction network: scalars and vectors at every point, see `PaiNN`.

    Args:
        num_radial: functions of the distance, at least 1.
    """

    choices: ClassVar[dict[str, tuple[str, ...]]] = {**BaselineConfig.choices, "symmetry": ("E(3)", "E(2)")}
    counts: ClassVar[dict[str, int]] = {**BaselineConfig.counts, "num_radial": 1}

    symmetry: str = "E(3)"
    num_radial: int = 20

    @property
    def takes(self) -> Takes:
        """Norms and inner products: what comes in are scalars."""
        return "invariants"

    def build(self, io: Interface) -> "PaiNN":
        """A `PaiNN` with fresh weights."""
        self.check_sizes(io)
        return PaiNN(self, io)


class PaiNN(RadialBaseline):
    r"""Scalars s and vectors v at every point, which start as an embedding and as 0.

    A layer takes in the other points j over the edges j -> i, and then mixes the channels of each point:

    .. math:: s_i \mathrel{+}= \sum_j \phi_s(s_j) \circ W_s(r_{ij}), \quad
        v_i \mathrel{+}= \sum_j v_j \circ \phi_v(s_j) \circ W_v(r_{ij})
        + \frac{x_j - x_i}{r_{ij}} \phi_r(s_j) \circ W_r(r_{ij})

    .. math:: s_i \mathrel{+}= a_{ss} + a_{sv} \langle U v_i, V v_i \rangle, \quad v_i \mathrel{+}= a_{vv} \circ U v_i,
        \quad a = \mathrm{MLP}(s_i, |V v_i|)

    W are linear maps of sin(n pi r / r_c) / r for n = 1, ..., num_radial, and of the products of pair scalars. With
    edges ``"radius-R"`` r_c is R, and W falls to 0 there as (1 + cos(pi r / R)) / 2; otherwise r_c is 1.5 times the
    largest distance that `calibrate` saw. Vectors that come out are mixtures of channels, times factors of the scalars.

    Symmetry: E(D), exact.
    Args:
        config: the knobs.
        io: sizes of inputs and outputs.
    Source: Schuett, Unke and Gastegger, "Equivariant message passing for the prediction of tensorial properties and
        molecular spectra", ICML 2021, arXiv:2102.03150.
    """

    def __init__(self, config: PaiNNConfig, io: Interface) -> None:
        super().__init__(config, io)
        width = config.channels
        self.num_radial = config.num_radial
        self.embedding = nn.Linear(io.in_scalars, width)
        self.layers = nn.ModuleList(
            PaiNNLayer(width, config.num_radial + io.in_pairs) for _ in range(config.num_layers)
        )
        self.vector_mix = nn.Linear(width, io.out_vectors, bias=False) if io.out_vectors else None
        self.head = self.make_head(width, io.out_scalars + io.out_vectors)

    def features(self, pos: Tensor, batch: Tensor, scalars: Tensor, pairs: Tensor) -> tuple[Tensor, Tensor]:
        """Scalars (N, C) and vectors (N, C, D) after the last layer."""
        s, v = self.embedding(scalars), pos.new_zeros(len(pos), self.config.channels, pos.shape[1])
        seen = self.seen(pos, batch, pairs)
        for layer in self.layers:
            s, v = layer(s, v, *seen)
        return s, v

    def seen(self, pos: Tensor, batch: Tensor, pairs: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """All that a layer sees of the edges, see `PaiNNLayer`."""
        source, target = edges = self.edges_of(pos, batch)
        offset = pos[source] - pos[target]
        r = safe_norm(offset)
        direction = offset / (r + (r == 0))[:, None]
        window = ((math.pi / self.reach * r).cos() + 1) / 2 if self.has_cutoff else torch.ones_like(r)
        seen = torch.cat([self.radial(r), pairs[source] * pairs[target]], dim=1)
        return seen, window, direction, edges

    def radial(self, r: Float[Tensor, " E"]) -> Float[Tensor, "E R"]:
        """sin(n pi r / r_c) / r, whose limit at 0 is n pi / r_c; in units of 1 / r_c."""
        n = torch.arange(1, self.num_radial + 1).to(r)
        return math.pi * n * torch.sinc(n * (r / self.reach)[:, None])

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
        """Set r_c, and halve the last weights of layers until none adds more than 1 (root mean square) to a channel.

        What a layer adds grows with the third power of what comes in: inputs of 10 become 1e30 in three layers. Layers
        that add less are left as they are.
        """
        super().calibrate(pos, batch, scalars=scalars, vectors=vectors, pairs=pairs)
        if len(pos) == 0:
            return
        s = self.embedding(pos.new_zeros(len(pos), 0) if scalars is None else scalars)
        v = pos.new_zeros(len(pos), self.config.channels, pos.shape[1])
        seen = self.seen(pos, batch, pos.new_zeros(len(pos), 0) if pairs is None else pairs)
        for layer in self.layers:
            assert isinstance(layer, PaiNNLayer)
            for _ in range(MOST_HALVINGS):
                new_s, new_v = layer(s, v, *seen)
                if max(rms(new_s - s), rms(new_v - v)) <= LARGEST_CHANGE:  # not so for one that is not finite
                    break
                for parameter in (*layer.message[-1].parameters(), *layer.update[-1].parameters()):
                    parameter.mul_(0.5)
            s, v = layer(s, v, *seen)


def rms(values: Tensor) -> float:
    """Root mean square."""
    return float(values.square().mean().sqrt())


class PaiNNLayer(nn.Module):
    """One layer: messages, and mixing at every point.

    Args:
        channels: C.
        num_seen: R, numbers of an edge that the filters see.
    Shape: s (N, C), v (N, C, D), seen (E, R), window (E,), direction (E, D), edges (2, E) -> s and v.
    """

    def __init__(self, channels: int, num_seen: int) -> None:
        super().__init__()
        self.message = nn.Sequential(nn.Linear(channels, channels), nn.SiLU(), nn.Linear(channels, 3 * channels))
        self.filter = nn.Linear(num_seen, 3 * channels)
        self.mix = nn.Linear(channels, 2 * channels, bias=False)
        self.update = nn.Sequential(nn.Linear(2 * channels, channels), nn.SiLU(), nn.Linear(channels, 3 * channels))

    def forward(
        self,
        s: Float[Tensor, "N C"],
        v: Float[Tensor, "N C D"],
        seen: Float[Tensor, "E R"],
        window: Float[Tensor, " E"],
        direction: Float[Tensor, "E D"],
        edges: Int[Tensor, "2 E"],
    ) -> tuple[Float[Tensor, "N C"], Float[Tensor, "N C D"]]:
        """Scalars and vectors after the layer."""
        source, target = edges
        messages = self.message(s)[source] * self.filter(seen) * window[:, None]
        to_s, along_v, along_r = messages.chunk(3, dim=1)
        to_v = along_v[:, :, None] * v[source] + along_r[:, :, None] * direction[:, None]
        s, v = s.index_add(0, target, to_s), v.index_add(0, target, to_v)
        u, w = self.mix(v.transpose(1, 2)).transpose(1, 2).chunk(2, dim=1)
        a_ss, a_sv, a_vv = self.update(torch.cat([s, safe_norm(w)], dim=1)).chunk(3, dim=1)
        return s + a_ss + a_sv * (u * w).sum(dim=2), v + a_vv[:, :, None] * u
