"""The functions that invariant integration averages over a group, as values."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Linear:
    """psi = k * f + b: the control. Its mean is (sum k) . (mean of f) + b, which average pooling has already."""


@dataclass(frozen=True)
class WeightedSum:
    """psi = relu(k * f + b)."""


@dataclass(frozen=True)
class Monomial:
    """psi = prod_i (relu(f_i) + eps)^b_i with exponents b_i >= 0, computed as exp(b * log(relu(f) + eps)).

    Features are meant to be at least 0, as behind a ReLU: what is below counts as 0. The logarithm of the product is
    clamped. Outside an image with zero padding the factor is 1.

    Args:
        eps: keeps the logarithm finite, above 0; the smaller, the steeper the gradient at features of 0.
        low, high: least and largest logarithm of a product.
    Raises: ValueError for eps that is not positive, or low that is not below high.
    """

    eps: float = 0.1
    low: float = -20.0
    high: float = 8.0

    def __post_init__(self) -> None:
        if not 0 < self.eps < math.inf:
            raise ValueError(f"eps must be finite and above 0, so that features of 0 have a logarithm, got {self.eps}")
        if not self.low < self.high:
            raise ValueError(f"low must be below high, got {self.low} and {self.high}")


@dataclass(frozen=True)
class Mlp:
    """psi = relu(V relu(k * f + b) + c), hidden features in between.

    The last nonlinearity stands inside the mean: the mean of a linear map is the linear map of the mean, and with it
    left out this would be `WeightedSum` and a linear layer.

    Args:
        hidden: features in between, at least 1.
    Raises: ValueError for fewer.
    """

    hidden: int

    def __post_init__(self) -> None:
        if self.hidden < 1:
            raise ValueError(f"hidden must be at least 1, got {self.hidden}")


Integrand = Linear | WeightedSum | Monomial | Mlp
