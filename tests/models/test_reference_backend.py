"""A network with backend="reference" is torch's operations alone, in its forward pass and in training of forces."""

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from rapidash.models import Rapidash


class Operations(TorchDispatchMode):
    """Notes the names of this package's operations."""

    def __init__(self) -> None:
        super().__init__()
        self.own: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.namespace == "rapidash":
            self.own.add(func.name())
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("space", ["R3", "R3xS2"])
@pytest.mark.parametrize("kernel", ["exact", "tabulated"])
def test_no_operation_of_this_package_runs(space: str, kernel: str) -> None:
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"channels": 8, "num_layers": 2, "basis_dim": 8, "basis_hidden_dim": 8}
    kernels: dict[str, Any] = {"kernel": kernel, "interpolation": "cubic"}
    model = Rapidash(space=space, num_orientations=6, in_scalars=1, **sizes, **kernels)
    pos, batch, ones = torch.randn(5, 3), torch.zeros(5, dtype=torch.long), torch.ones(5, 1)
    model.calibrate(pos, batch, scalars=ones)
    seen = []
    for backend in ("reference", "auto"):
        at = pos.clone().requires_grad_()
        with Operations() as found:
            energy = model.with_kernel(model.config.kernel, backend=backend).forward(at, batch, scalars=ones).scalars
            (force,) = torch.autograd.grad(energy.sum(), at, create_graph=True)
            force.square().sum().backward()
        seen.append(found.own)
    assert seen[0] == set()
    assert "rapidash::tensor_powers" in seen[1]
