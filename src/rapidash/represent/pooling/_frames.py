"""The rotation of a group coordinate, and maps that are equivariant because they are asked in its frame."""

import torch
from jaxtyping import Float
from torch import Tensor, nn


def cayley(skew_params: Float[Tensor, "B P"], n: int) -> Float[Tensor, "B n n"]:
    r"""Rotations :math:`Q = (1 + A)^{-1} (1 - A)`, with A skew-symmetric: orthogonal, of determinant +1.

    A linear system is solved; zero parameters give the identity. No half turn is reached.

    Args:
        skew_params: the entries of A above its diagonal, row by row, P = n (n - 1) / 2.
        n: size of the matrices, at least 1.
    Raises: ValueError for another number of parameters.
    """
    if n < 1 or skew_params.dim() != 2 or skew_params.shape[1] != n * (n - 1) // 2:
        raise ValueError(
            f"rotations of {n} dimensions need skew_params (B, {n * (n - 1) // 2}), got {tuple(skew_params.shape)}"
        )
    row, column = torch.triu_indices(n, n, 1, device=skew_params.device)
    upper = skew_params.new_zeros(len(skew_params), n, n)
    upper[:, row, column] = skew_params
    skew = upper - upper.mT
    one = torch.eye(n, dtype=skew.dtype, device=skew.device)
    return torch.linalg.solve(one + skew, one - skew)


class CanonicalizedHead(nn.Module):
    r"""Any map b, asked in the frame of a group coordinate: :math:`\Phi(z; Q) = Q\, b(Q^T z)`.

    Symmetry: equivariant to rotations of z whenever its frame turns along, :math:`\Phi(R z; R Q) = R\, \Phi(z; Q)`: a
    canonicalization, or an average over a frame of one element.
    Args:
        b: (B, n) -> (B, n).
    Shape: z (B, n), Q (B, n, n) -> (B, n).
    Source: Lokhande et al., "Equivariance Allows Handling Multiple Nuisance Variables When Analyzing Pooled
        Neuroimaging Datasets", CVPR 2022.
    """

    def __init__(self, b: nn.Module) -> None:
        super().__init__()
        self.b = b

    def forward(self, z: Float[Tensor, "B n"], frame: Float[Tensor, "B n n"]) -> Float[Tensor, "B n"]:
        """The map in the frame, turned back."""
        canonical = (frame.mT @ z[..., None])[..., 0]
        return (frame @ self.b(canonical)[..., None])[..., 0]
