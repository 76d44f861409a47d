"""torch.compile and torch.export of whole networks."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rapidash.models import Rapidash
from tests.models.conftest import random_inputs, small_network

pytestmark = pytest.mark.usefixtures("unwrapped")

NETWORKS: dict[str, dict[str, Any]] = {
    "R3xS2": {"in_vectors": 1, "out_vectors": 1},
    "R3, vectors from edges": {"space": "R3", "out_vectors": 1},
    "chiral": {"symmetry": "SE(3)", "level": "graph"},
    "two scales": {"edges": ["knn-1", "fc"], "num_layers": [1, 1], "in_vectors": 1, "out_vectors": 1},
    "exact": {"symmetry": "T(3)", "kernel": "exact"},
    "cutoff": {"edges": "radius-1.5", "kernel": "exact", "recompute": True},
}


def arguments(case: str) -> tuple[Any, tuple[torch.Tensor, ...], dict[str, Any]]:
    inputs = random_inputs(3, 0, dtype=torch.float32)
    model = small_network(**NETWORKS[case]).float()
    vectors = inputs.vectors if model.in_vectors else None
    hierarchy = model.connect(inputs.pos, inputs.batch)
    return model, (inputs.pos, inputs.batch), {"scalars": inputs.scalars, "vectors": vectors, "hierarchy": hierarchy}


@pytest.mark.parametrize("case", NETWORKS)
def test_the_whole_network_compiles_without_a_graph_break(case: str) -> None:
    model, positional, named = arguments(case)
    torch._dynamo.reset()
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    wanted, got = model(*positional, **named), compiled(*positional, **named)
    torch.testing.assert_close(got.scalars, wanted.scalars)
    torch.testing.assert_close(got.vectors, wanted.vectors)
    first, second = (torch.autograd.grad(o.scalars.square().sum(), model.embedding.weight)[0] for o in (wanted, got))
    torch.testing.assert_close(second, first)


@pytest.mark.parametrize("case", NETWORKS)
def test_an_exported_network_gives_the_same_outputs(case: str) -> None:
    model, positional, named = arguments(case)
    exported = torch.export.export(model, positional, named, strict=False).module()
    with torch.no_grad():
        wanted, got = model(*positional, **named), exported(*positional, **named)
    torch.testing.assert_close(got.scalars, wanted.scalars)
    torch.testing.assert_close(got.vectors, wanted.vectors)


def test_gradients_of_the_definition_compile() -> None:
    """A network whose backend is "reference" is made of torch's operations, which compilers differentiate."""
    model, (pos, batch), named = arguments("exact")
    definition = model.with_kernel("exact", backend="reference")
    torch._dynamo.reset()
    gradient = torch.func.grad(lambda pos: definition(pos, batch, **named).scalars.square().sum())
    compiled = torch.compile(gradient, fullgraph=True, backend="aot_eager")
    assert gradient(pos).abs().max() > 1e-3
    torch.testing.assert_close(compiled(pos), gradient(pos))


class Scalars(nn.Module):
    """A network as a function of positions alone."""

    def __init__(self, network: Rapidash, batch: Tensor, **named: Any) -> None:
        super().__init__()
        self.network, self.batch, self.named = network, batch, named

    def forward(self, pos: Tensor) -> Tensor:
        found: Tensor = self.network(pos, self.batch, **self.named).scalars
        return found


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")  # torch's own
def test_torch_jit_traces_the_definition() -> None:
    """Its check traces a second time, without gradients, and compares the graphs."""
    model, (pos, batch), named = arguments("exact")
    scalars = Scalars(model.with_kernel("exact", backend="reference"), batch, **named)
    torch.testing.assert_close(torch.jit.trace(scalars, pos)(2 * pos), scalars(2 * pos))
