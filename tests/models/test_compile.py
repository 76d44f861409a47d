"""torch.compile and torch.export of whole networks."""

from typing import Any

import pytest
import torch

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
