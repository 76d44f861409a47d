"""The base class of all groups: a name, matrices, random elements and a Lie algebra."""

import warnings
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

MEMBERSHIP_TOLERANCE = 1e-9  # of matrix entries, in float64


class MatrixGroup(ABC):
    """A group whose elements are invertible matrices (n, n), float64.

    A new kind of group needs ``name``, ``size``, ``sample`` and ``generators``; a finite one also ``elements``, and a
    compact one that is not finite ``is_compact``. Measures need no more than a name, ``sample`` and ``generators``, so
    a class of another package that has these works too (``MatrixGroup.register`` makes it an instance).
    """

    if TYPE_CHECKING:  # at run time a field of a dataclass is as good as a property

        @property
        def name(self) -> str:
            """The name printed in reports."""

        @property
        def size(self) -> int:
            """n: the elements are matrices (n, n)."""

    @abstractmethod
    def sample(self, num: int, *, generator: torch.Generator | None = None) -> Float[Tensor, "G n n"]:
        """Random elements: by Haar measure where the group is compact."""

    @abstractmethod
    def generators(self) -> Float[Tensor, "d n n"]:
        """A basis A_1 .. A_d of the Lie algebra; empty for a finite group."""

    def identity(self) -> Float[Tensor, "n n"]:
        """The identity element."""
        return torch.eye(self.size, dtype=torch.float64)

    def compose(self, g: Float[Tensor, "*B n n"], h: Float[Tensor, "*C n n"]) -> Float[Tensor, "*D n n"]:
        """The product g h: first h acts, then g."""
        return g @ h

    def inverse(self, g: Float[Tensor, "*B n n"]) -> Float[Tensor, "*B n n"]:
        """The inverse elements."""
        return torch.linalg.inv(g)

    def exponential(self, coordinates: Float[Tensor, "*B d"]) -> Float[Tensor, "*B n n"]:
        """exp(sum_i c_i A_i), in the dtype and on the device of the coordinates and differentiable in them."""
        return torch.linalg.matrix_exp(torch.einsum("...d,dij->...ij", coordinates, self.generators().to(coordinates)))

    def elements(self) -> Float[Tensor, "G n n"] | None:
        """All elements of a finite group, identity first; None for any other, and for one too large to list."""
        return None

    @property
    def is_finite(self) -> bool:
        """Whether the group has finitely many elements: no generators."""
        return len(self.generators()) == 0

    @property
    def is_compact(self) -> bool:
        """Whether the group has a Haar probability measure, which ``sample`` then draws from."""
        return self.is_finite

    def contains(self, element: Float[Tensor, "n n"]) -> bool:
        """Whether a matrix is an element, to 1e-9: one of those listed, or exp(sum_i c_i A_i) for some c.

        Raises: NotImplementedError for a finite group that neither lists its elements nor overrides this.
        """
        if element.shape != (self.size, self.size):
            return False
        listed = self.elements()
        if listed is not None:
            return bool(((listed - element).abs().amax(dim=(1, 2)) < MEMBERSHIP_TOLERANCE).any())
        if self.is_finite:
            raise NotImplementedError(f"{self.name} does not list its elements: its class must override contains")
        coordinates = self._logarithm(element.double())
        if coordinates is None:
            return False
        return bool((self.exponential(coordinates) - element).abs().max() < MEMBERSHIP_TOLERANCE)

    def _logarithm(self, element: Float[Tensor, "n n"]) -> Float[Tensor, " d"] | None:
        """The coordinates nearest to the principal logarithm; None where there is no real one."""
        from scipy.linalg import logm  # slow to import, rarely needed

        eigenvalues = torch.linalg.eigvals(element)
        if bool((eigenvalues.abs() < 1e-12).any()):
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # about accuracy, which `contains` checks itself
            logarithm = torch.as_tensor(logm(element.numpy(force=True)))
        if logarithm.is_complex() and float(logarithm.imag.abs().max()) > MEMBERSHIP_TOLERANCE:
            return None
        real = logarithm.real if logarithm.is_complex() else logarithm
        return torch.linalg.pinv(self.generators().flatten(1).T, rtol=1e-9) @ real.double().flatten()
