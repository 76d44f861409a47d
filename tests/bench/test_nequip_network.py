"""NequIP as a network of the benchmarks."""

import sys
from pathlib import Path

import pytest
import torch

pytest.importorskip("nequip")
sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))

from nequip_network import NequIPConfig

from rapidash.models import Interface


@pytest.mark.parametrize("degree", [1, 2])
def test_energies_are_invariant_and_nothing_of_torch_is_changed(degree: int) -> None:
    """Beside invariance: an edge beyond the cutoff counts for nothing, and equal points have equal energies."""
    torch.manual_seed(0)
    network = NequIPConfig(edges="radius-2.0", l_max=degree).build(Interface(in_scalars=3, out_scalars=1, level="node"))
    pos, batch = 0.7 * torch.randn(18, 3), torch.arange(2).repeat_interleave(9)
    scalars = torch.eye(3)[torch.arange(18) % 3]
    drawn = torch.rand(1)
    torch.manual_seed(0)
    NequIPConfig(edges="radius-2.0", l_max=degree).build(network.io)
    torch.randn(18, 3)
    assert torch.equal(torch.rand(1), drawn)  # the library seeds all generators, and sets the default type
    assert torch.get_default_dtype() == torch.float32

    network.calibrate(pos, batch, scalars=scalars)
    (energies, vectors) = network(pos, batch, scalars=scalars)
    assert (energies.shape, energies.dtype, vectors.shape) == ((18, 1), torch.float32, (18, 0, 3))
    turn, _ = torch.linalg.qr(torch.randn(3, 3))
    torch.testing.assert_close(network(pos @ turn, batch, scalars=scalars).scalars, energies, rtol=1e-4, atol=1e-4)

    pair = torch.tensor([[0.0, 0, 0], [2.5, 0, 0], [9.0, 0, 0]])
    alone, _ = network(pair, torch.zeros(3, dtype=torch.long), scalars=scalars[[0, 0, 0]])
    assert alone[0] == alone[1] == alone[2]


def test_a_network_without_cutoff_is_refused() -> None:
    with pytest.raises(ValueError, match="expected edges 'radius-R', got 'fc'"):
        NequIPConfig().build(Interface(in_scalars=3, out_scalars=1, level="node"))
