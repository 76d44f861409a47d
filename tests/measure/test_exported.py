"""Graphs made by torch.export, torch.fx and torch.jit are measured as the networks they were made of."""

import pytest
import torch
from torch import Tensor, nn

from rapidash._seed import seeded
from rapidash.groups import SO, Vector
from rapidash.measure import Action, equivariance_error

VECTORS = Action(SO(3), Vector(), Vector())
X = torch.randn(9, 3, generator=seeded(0))
MAKERS = {
    "export": lambda net: torch.export.export(net, (X,)).module(),
    "unflatten": lambda net: torch.export.unflatten(torch.export.export(net, (X,))),
    "fx": torch.fx.symbolic_trace,
    "containers": lambda net: Listed(net),
}
WRAPS = {"module": lambda m: m, "adapter": lambda m: lambda v: m(v)}


class Listed(nn.Module):
    """Containers made after eval() are in training mode themselves; their parts are not."""

    def __init__(self, net: nn.Sequential) -> None:
        super().__init__()
        self.eval()
        self.parts = nn.ModuleList(net)
        self.named = nn.ModuleDict({"first": net[0]})
        self.bare = nn.Module()

    def forward(self, x: Tensor) -> Tensor:
        for part in self.parts:
            x = part(x)
        return x


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.5), nn.BatchNorm1d(3), nn.Tanh()).eval()


@pytest.mark.filterwarnings("ignore:.*treespec, LeafSpec:FutureWarning")  # torch's own
@pytest.mark.parametrize("wrap", WRAPS)
@pytest.mark.parametrize("maker", MAKERS)
def test_a_traced_network_has_the_error_of_the_network(maker: str, wrap: str) -> None:
    net = network()
    expected = equivariance_error(net, X, VECTORS).mean
    assert expected > 0.1
    assert equivariance_error(WRAPS[wrap](MAKERS[maker](net)), X, VECTORS).mean == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("wrap", WRAPS)
def test_a_graph_exported_in_training_mode_is_refused(wrap: str) -> None:
    exported = torch.export.export(nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.5)).train(), (X,)).module()
    with pytest.raises(ValueError, match=r"exported graph was made in training mode, aten\.dropout"):
        equivariance_error(WRAPS[wrap](exported), X, VECTORS)


def test_the_parts_of_a_symbolic_trace_have_a_mode() -> None:
    with pytest.raises(ValueError, match="training mode"):
        equivariance_error(torch.fx.symbolic_trace(network().train()), X, VECTORS)
    traced = torch.fx.symbolic_trace(network())
    traced.get_submodule("1").train()
    with pytest.raises(ValueError, match=r"training mode \(its part '1'\)"):
        equivariance_error(traced, X, VECTORS)
