"""The kernel basis: an MLP on all monomials of the pair attributes, one for all layers."""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from rapidash.nn._check_types import check_types
from rapidash.ops import Backend, gelu, tensor_powers
from rapidash.ops.tensor_powers import num_powers


class KernelBasis(nn.Module):
    r"""phi(a) = GELU(L2 GELU(L1 poly(a))), with poly all tensor powers of the attributes of order 1..max_degree.

    Args:
        attr_dim: number of attributes A, at least 1.
        hidden_dim: width after L1.
        basis_dim: number of basis functions.
        max_degree: highest order of the monomials, at least 1.
    Shape: attributes (..., A) -> (..., basis_dim).
    Raises: ValueError for a size below 1, or attributes of another type than the weights.
    Source: Bekkers et al., "Fast, Expressive SE(n) Equivariant Networks" (PONITA), ICLR 2024.
    """

    def __init__(self, attr_dim: int, hidden_dim: int = 128, basis_dim: int = 256, max_degree: int = 3) -> None:
        super().__init__()
        if min(attr_dim, hidden_dim, basis_dim, max_degree) < 1:
            raise ValueError(
                f"KernelBasis needs sizes >= 1, got {attr_dim=}, {hidden_dim=}, {basis_dim=}, {max_degree=}"
            )
        self.max_degree = max_degree
        self.linear_1 = nn.Linear(num_powers(attr_dim, max_degree), hidden_dim)
        self.linear_2 = nn.Linear(hidden_dim, basis_dim)

    def forward(self, attributes: Float[Tensor, "*B A"], backend: Backend = "auto") -> Float[Tensor, "*B basis"]:
        """Values of all basis functions at the given attributes; by torch alone with the backend ``"reference"``."""
        check_types("kernel basis", self.linear_1.weight, {"attributes": attributes})
        if backend == "reference":
            powers = tensor_powers(attributes, self.max_degree, backend=backend)
            return functional.gelu(self.linear_2(functional.gelu(self.linear_1(powers))))
        return gelu(self.linear_2(gelu(self.linear_1(tensor_powers(attributes, self.max_degree)))))
