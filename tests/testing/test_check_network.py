"""Every network of the package passes the check, and a broken one of each sort is seen."""

import itertools
from dataclasses import dataclass
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn

from rapidash.geometry import centroids
from rapidash.groups import parse_group
from rapidash.models import (
    DGCNNConfig,
    EGNNConfig,
    GraphNetworkConfig,
    Interface,
    MessagePassingConfig,
    MLPConfig,
    NetworkConfig,
    OrderedMLPConfig,
    PaiNNConfig,
    RapidashConfig,
    RapidashOutput,
    RenderedCNNConfig,
    SchNetConfig,
    Takes,
    TransformerConfig,
)
from rapidash.registry import NETWORKS
from rapidash.testing import check_network

SMALL = {"channels": 8, "num_layers": 2, "basis_dim": 8, "basis_hidden_dim": 8}
FLAT = {**SMALL, "space": "R3", "num_orientations": 1}
NETWORK_CASES = {
    "E(3) on R3xS2": RapidashConfig(grid="platonic", num_orientations=12, **SMALL),
    "SE(3) on R3xS2, a spiral": RapidashConfig(symmetry="SE(3)", **SMALL),
    "E(2) on R2xS1": RapidashConfig(symmetry="E(2)", space="R2xS1", num_orientations=8, **SMALL),
    "E(3) on R3": RapidashConfig(**FLAT),
    "SO2(z) on R3": RapidashConfig(symmetry="SO2(z)", **FLAT),
    "T(3) on R3": RapidashConfig(symmetry="T(3)", **FLAT),
    "nearest neighbors": RapidashConfig(grid="platonic", num_orientations=8, edges="knn-2", **SMALL),
    "EGNN": EGNNConfig(channels=8, num_layers=2, num_fourier=2),
    "EGNN in the plane": EGNNConfig(symmetry="E(2)", channels=8, num_layers=2),
    "DGCNN": DGCNNConfig(channels=8, num_layers=2),
    "DGCNN, dynamic": DGCNNConfig(channels=8, num_layers=2, edges="knn-2", is_dynamic=True, norm="batch"),
    "PaiNN": PaiNNConfig(channels=8, num_layers=2, num_radial=4),
    "PaiNN in the plane": PaiNNConfig(symmetry="E(2)", channels=8, num_layers=1, edges="radius-1.5"),
    "SchNet": SchNetConfig(channels=8, num_layers=2, num_radial=6),
    "SchNet in the plane": SchNetConfig(symmetry="E(2)", channels=8, num_layers=1, edges="radius-1.5"),
    "transformer": TransformerConfig(channels=8, num_layers=2, num_heads=2),
    "transformer in the plane": TransformerConfig(symmetry="T(2)", channels=8, num_layers=1),
    "messages": MessagePassingConfig(channels=8, num_layers=2),
    "messages in the plane": MessagePassingConfig(symmetry="T(2)", channels=8, edges="radius-1.5", aggregate="sum"),
}


@pytest.mark.parametrize("name", NETWORK_CASES)
def test_all_of_the_package_pass(name: str) -> None:
    check_network(NETWORK_CASES[name])


@pytest.mark.parametrize(
    ("config", "io"),
    [
        (NETWORK_CASES["E(3) on R3xS2"], Interface(in_vectors=2, out_scalars=3)),
        (NETWORK_CASES["E(3) on R3"], Interface(in_scalars=2, out_scalars=2, pool="mean")),
        (DGCNNConfig(channels=8, pools_features=True, dropout=0.2), Interface(in_scalars=2, out_scalars=3)),
        (
            TransformerConfig(channels=8, pools_features=True, dropout=0.2),
            Interface(in_scalars=2, out_scalars=3),
        ),
        (
            MessagePassingConfig(channels=8, edges="knn-3", aggregate="max"),
            Interface(in_scalars=1, in_pairs=1, out_vectors=1),
        ),
    ],
)
def test_outputs_of_clouds_pass(config: NetworkConfig, io: Interface) -> None:
    check_network(config, io)


def test_a_network_of_several_scales_passes_but_for_the_order() -> None:
    """The points that it keeps are sampled from the first of a cloud on."""
    config = RapidashConfig(
        grid="platonic", channels=(8, 8), num_layers=(1, 1), edges=("knn-4", "fc"), basis_dim=8, basis_hidden_dim=8
    )
    check_network(config, sizes=(9, 7), is_ordered=True)
    with pytest.raises(AssertionError, match="sees the order of the points"):
        check_network(config, sizes=(9, 7))


@pytest.mark.parametrize("level", ["node", "graph"])
def test_a_network_of_ordered_points_passes_but_for_the_order(level: Literal["node", "graph"]) -> None:
    config = OrderedMLPConfig(5, hidden_dim=8)
    io = Interface(in_scalars=1, in_pairs=1, out_vectors=1, level=level)
    check_network(config, io, sizes=(5, 5, 5), is_ordered=True)
    with pytest.raises(AssertionError, match="sees the order of the points"):
        check_network(config, io, sizes=(5, 5, 5))


def test_a_network_that_renders_clouds_passes() -> None:
    config = RenderedCNNConfig(size=8, channels=2, hidden_dim=8)
    check_network(config, Interface(in_scalars=1, in_pairs=1, out_scalars=2, out_vectors=1))


def test_all_of_the_package_are_listed() -> None:
    named = {config.kind for config in NETWORK_CASES.values()} | {MLPConfig().kind, OrderedMLPConfig(5).kind}
    named |= {RenderedCNNConfig().kind}
    named |= {"graph-network", "equitabpfn", "fixed-head-pfn"}  # tested with their tasks
    named |= {"vae", "lie-vae", "shared-weights"}  # with their studies
    named |= {"site-columns", "site-encoder", "two-stage-encoder"}  # with theirs
    named |= {"image-gcnn", "signal-gcnn", "scale-stream", "multi-stream"}  # tested with their tasks and streams
    assert named == {name for name in NETWORKS.own_names() if "toy" not in name}


def test_a_network_of_the_package_without_positions() -> None:
    check_network(MLPConfig(hidden_dim=8, num_layers=1), Interface(dim=0, in_scalars=4, out_scalars=2, pool="mean"))


def test_a_network_of_pairs_of_nodes() -> None:
    check_network(GraphNetworkConfig(channels=8, num_layers=2), Interface(dim=0, in_scalars=6, out_scalars=2))


def test_a_network_of_another_package_without_positions(growth: None) -> None:
    from rapidash_growth.network import GrowthMLP

    check_network(GrowthMLP(), Interface(dim=0, in_scalars=4))
    with pytest.raises(AssertionError, match=r"no rapidash.models.Network, it lacks io, .*Interface\(dim=0"):
        check_network(GrowthMLP(), Interface(dim=3, in_scalars=4))


class Toy(nn.Module):
    """A sum over the points of a cloud of distances to the centroid, and vectors along them; with one fault."""

    def __init__(self, io: Interface, fault: str) -> None:
        super().__init__()
        self.io, self.fault, self.scale = io, fault, 1.0
        self.symmetry = self.exact_symmetry = parse_group("E(3)", io.dim)
        self.embedding = nn.Linear(io.in_scalars + 1 + io.in_pairs, 4)
        self.blocks = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)])
        self.head = nn.Linear(4, io.out_scalars + io.out_vectors)
        self.order = nn.Parameter(torch.randn(50, 4))
        self._apply_fault()

    def _apply_fault(self) -> None:
        match self.fault:
            case "counts itself":
                self.head.bias.data[0] = next(_COUNTER)
            case "seeds itself":
                torch.manual_seed(0)
                for parameter in self.parameters():
                    nn.init.normal_(parameter)
            case "lacks blocks":
                del self.blocks
            case "other sizes":
                self.io = Interface()
            case "too small":
                self.symmetry = self.exact_symmetry = parse_group("SO(3)")
            case "too exact":
                self.symmetry = parse_group("T(3)")
            case "strange blocks":
                self.__dict__["blocks"] = nn.ModuleList([nn.Linear(4, 4)])
                del self._modules["blocks"]

    def calibrate(self, pos: Tensor, batch: Tensor, **features: Tensor) -> None:
        match self.fault:
            case "calibrates to nan":
                self.head.bias.data.fill_(torch.nan)
            case "calibrates to infinity":
                self.scale = torch.inf
            case "forgets calibration":
                self.scale = 3.0
            case "grows":
                self.register_buffer("measured", pos.std())

    def forward(
        self,
        pos: Tensor,
        batch: Tensor | None = None,
        *,
        scalars: Tensor | None = None,
        vectors: Tensor | None = None,
        pairs: Tensor | None = None,
    ) -> RapidashOutput:
        batch = torch.zeros(len(pos), dtype=torch.long) if batch is None else batch
        offset = pos - centroids(pos, batch, int(batch[-1]) + 1)[batch]
        length = torch.linalg.vector_norm(offset, dim=-1, keepdim=True)
        x = self.embedding(torch.cat([length, scalars, pairs], dim=1))
        x = self._faulty(x, pos)
        for index, block in enumerate(self.blocks):
            if self.fault == "looks into blocks" and index == 1:
                x = x * block.weight.mean()
            if self.fault != "skips blocks" or index == 0:
                x = torch.tanh(block(x))
        scalars_out, factors = self.head(x).mul(self.scale).split([self.io.out_scalars, self.io.out_vectors], dim=1)
        out = RapidashOutput(scalars_out, factors[..., None] * offset[:, None])
        if self.fault == "zero":
            return RapidashOutput(0 * out.scalars, 0 * out.vectors)
        if self.fault == "wrong shape":
            return RapidashOutput(out.scalars[:, :1], out.vectors)
        return RapidashOutput(out.scalars.double(), out.vectors) if self.fault == "wrong dtype" else out

    def _faulty(self, x: Tensor, pos: Tensor) -> Tensor:
        match self.fault:
            case "draws":
                return x + torch.randn_like(x)
            case "writes":
                pos += 1
            case "sees other clouds":
                return x + x.mean()
            case "sees the order":
                return x + self.order[: len(x)].to(x)
            case "sees directions":
                return x + pos[:, :1]
        return x


_COUNTER = itertools.count()


@dataclass(frozen=True)
class ToyConfig(NetworkConfig):
    fault: str = ""
    symmetry: str = "E(3)"
    space: str = "R3"

    def __post_init__(self) -> None:
        if self.fault == "forgets":
            object.__setattr__(self, "space", self.space + "3")

    @property
    def takes(self) -> Takes:
        words: dict[str, Any] = {"takes components": "components", "takes air": "air", "ignores vectors": "vectors"}
        return words.get(self.fault, "invariants")

    def build(self, io: Interface) -> nn.Module:
        if io.in_vectors and self.fault not in ("takes anything", "ignores vectors"):
            raise ValueError("scalar features hold no vectors")
        return Toy(io, self.fault)


class NoDataclass(ToyConfig):
    """Settings of its own are not among the fields."""


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(NETWORKS._entries, "toy", ToyConfig)
    monkeypatch.setitem(NETWORKS._entries, "toy of no dataclass", NoDataclass)


def test_the_toy_passes_without_a_fault() -> None:
    check_network(ToyConfig())


FAULTS = {
    "forgets": "comes back from its plain form as another one",
    "takes air": "takes is 'air'",
    "counts itself": "gives another head.bias for the same seed",
    "seeds itself": "the same weights for another seed",
    "lacks blocks": "no rapidash.models.Network, it lacks blocks",
    "other sizes": r"Toy.io is Interface\(.*it was built for",
    "too small": r"symmetry is SO\(3\), without all of E\(3\)",
    "strange blocks": "blocks must be the layers of the network",
    "calibrates to nan": "calibrate makes head.bias infinite or NaN",
    "calibrates to infinity": "not finite after calibrate",
    "forgets calibration": "with the state dict of another one gives other outputs",
    "grows": "do not load into a fresh one",
    "wrong shape": r"gives scalars of shape \(14, 1\)",
    "wrong dtype": r"gives scalars of shape \(14, 2\) and torch.float64",
    "draws": "draw random numbers in training mode only",
    "writes": "wrote into its input pos",
    "sees other clouds": "for a cloud alone than in a batch",
    "sees the order": "sees the order of the points",
    "skips blocks": r"a wrapper in the place of block 1.*called 0 times",
    "looks into blocks": "a wrapper in the place of block 1",
    "zero": "gives zero for random weights",
    "sees directions": r"says that E\(3\) holds exactly",
    "takes components": r"takes is 'components', but its layers keep E\(3\)",
    "ignores vectors": "its output does not depend on them",
    "takes anything": "it builds with in_vectors=1",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_seen(fault: str) -> None:
    with pytest.raises(AssertionError, match=FAULTS[fault]):
        check_network(ToyConfig(fault))


def test_a_network_that_is_more_exact_than_it_is_symmetric_is_seen() -> None:
    with pytest.raises(AssertionError, match=r"exact_symmetry E\(3\) is no part of its symmetry T\(3\)"):
        check_network(ToyConfig("too exact", symmetry="T(3)"))


def test_an_unregistered_network_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(NETWORKS._entries, "toy")
    with pytest.raises(AssertionError, match="ToyConfig is not registered as a network"):
        check_network(ToyConfig())


def test_settings_that_are_no_fields_are_seen() -> None:
    with pytest.raises(AssertionError, match="NoDataclass is no frozen dataclass"):
        check_network(NoDataclass())
