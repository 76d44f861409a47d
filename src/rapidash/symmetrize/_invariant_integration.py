"""Invariant integration: the mean over a group and all places of a function of a few features beside each other."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from rapidash.groups import MatrixGroup
from rapidash.nn import ImageGroupConv, Padding, fiber_conv
from rapidash.symmetrize._integrands import Integrand, Linear, Mlp, Monomial, WeightedSum

_DEGREE = 2.0  # of the monomials at first, on average


class InvariantIntegration(nn.Module):
    r"""Invariants of functions on a finite group, and on pixels or points: the mean of psi over all moves.

    .. math:: A[\psi](f) = \frac{1}{|G|\,|\Omega|} \sum_{g \in G} \sum_{p \in \Omega} \psi(L_{g, p} f)

    psi sees the features on the group within k x k pixels, or at one point; L_{g, p} turns them by g about p. That is a
    group convolution between two pointwise maps, with K = ``num_invariants`` tables k:

    - `WeightedSum`: mean of relu(k * f + b);
    - `Monomial`: mean of exp(k * log(relu(f) + eps)), k >= 0;
    - `Mlp`: mean of relu(V relu(k * f + b) + c);
    - `Linear`: mean of k * f + b, a control: it is average pooling and a linear map, up to the border of images.

    Pooling keeps the mean of every feature and forgets which stood beside which; these keep it.

    Symmetry: invariant to G in floating point, where the fiber moves by its regular representation (on images together
    with the pixels, about the center); with circular padding also to shifts of pixels.

    Args:
        group: G, of as many elements as the fiber has on its group axis, in the order of
            `rapidash.groups.finite_table`. On images C1, C2, C4, D1, D2 or D4, unless ``kernel_size`` is 1.
        channels: C of the fiber, at least 1.
        num_invariants: K, at least 1.
        function: psi.
        kernel_size: k, odd; 1 for clouds.
        padding: ``"zeros"`` or ``"circular"``: what lies outside an image.
        batch_norm: normalize the invariants over a batch: products of many features have very different sizes.
    Shape: images fiber (B, C, O, H, W) -> (B, K), a ring of O places without pixels has H = W = 1; clouds
        fiber (N, O, C), with batch (N,) and num_clouds B -> (B, K).
    Raises: ValueError for a size outside the above, a group that does not fit, or a fiber of another shape.
    Source: Rath and Condurache, arXiv 2303.01567 and 2202.03967. From the equations.
    """

    def __init__(
        self,
        group: MatrixGroup,
        channels: int,
        num_invariants: int,
        function: Integrand | None = None,
        *,
        kernel_size: int = 1,
        padding: Padding = "zeros",
        batch_norm: bool = False,
    ) -> None:
        super().__init__()
        if num_invariants < 1:
            raise ValueError(f"num_invariants must be at least 1, got {num_invariants}")
        function = Monomial() if function is None else function
        if not isinstance(function, Integrand):
            raise ValueError(
                f"function must be Monomial, WeightedSum, Mlp or Linear with its settings, got {function!r}"
            )
        self.function, self.num_invariants = function, num_invariants
        width = function.hidden if isinstance(function, Mlp) else num_invariants
        has_bias = not isinstance(function, Monomial)
        self.conv = ImageGroupConv(group, channels, width, kernel_size=kernel_size, use_bias=has_bias, padding=padding)
        if isinstance(function, Monomial):
            entries = self.conv.weight[0].numel()
            with torch.no_grad():
                self.conv.weight.uniform_(-2 * _DEGREE / entries, 2 * _DEGREE / entries)
        self.mix = nn.Linear(width, num_invariants) if isinstance(function, Mlp) else None
        self.norm = nn.BatchNorm1d(num_invariants) if batch_norm else None

    @property
    def exponents(self) -> Float[Tensor, "K C O k k"]:
        """The exponents of the monomials, absolute values of the table.

        Raises: ValueError for another function.
        """
        if not isinstance(self.function, Monomial):
            raise ValueError(f"{self.function} has no exponents: only Monomial() has")
        return self.conv.weight.abs()

    def set_exponents(self, exponents: Float[Tensor, "K C O k k"]) -> None:
        """Take exponents from outside.

        Raises: ValueError for another function or shape, or one that is negative or not finite.
        """
        if exponents.shape != self.exponents.shape:
            raise ValueError(f"exponents must be {tuple(self.exponents.shape)}, got shape {tuple(exponents.shape)}")
        if not bool((exponents >= 0).all()) or not bool(exponents.isfinite().all()):
            raise ValueError(
                f"exponents must be finite and at least 0: a feature of 0 has no negative power, got {exponents.min()}"
            )
        with torch.no_grad():
            self.conv.weight.copy_(exponents)

    def forward(
        self,
        fiber: Float[Tensor, "B C O H W"] | Float[Tensor, "N O C"],
        batch: Int[Tensor, " N"] | None = None,
        num_clouds: int | None = None,
    ) -> Float[Tensor, "B K"]:
        """The invariants.

        Args:
            fiber: of images, or of the points of clouds.
            batch: the cloud of each point; None: all are of one.
            num_clouds: B; needed with ``batch``.
        """
        if fiber.dim() == 5:
            if batch is not None or num_clouds is not None:
                raise ValueError("batch and num_clouds are for points (N, O, C); images (B, C, O, H, W) have none")
            values = self.integrand(fiber).mean(dim=(2, 3, 4))
        elif fiber.dim() == 3:
            if self.conv.weight.shape[-1] != 1:
                raise ValueError("points have no pixels around them: make the layer with kernel_size=1")
            per_point = self.integrand(fiber.transpose(1, 2)[..., None, None]).mean(dim=(2, 3, 4))
            values = _cloud_means(per_point, batch, num_clouds)
        else:
            raise ValueError(f"fiber must be (B, C, O, H, W) or (N, O, C), got shape {tuple(fiber.shape)}")
        return values if self.norm is None else self.norm(values)

    def integrand(self, fiber: Float[Tensor, "B C O H W"]) -> Float[Tensor, "B K O H W"]:
        """Psi at every element of the group and pixel: what is averaged."""
        channels, order = self.conv.weight.shape[1:3]
        if fiber.shape[1:3] != (channels, order):
            raise ValueError(
                f"the fiber has {fiber.shape[1]} channels on {fiber.shape[2]} elements, expected {channels} channels "
                f"on the {order} elements of {self.conv.group.name}"
            )
        match self.function:
            case Monomial(eps=eps, low=low, high=high):
                logarithm = (fiber.relu() + eps).log()
                power = fiber_conv(logarithm, self.exponents, self.conv.places, padding=self.conv.padding)
                return power.clamp(low, high).exp()
            case Linear():
                found: Tensor = self.conv(fiber)
                return found
            case WeightedSum():
                return torch.relu(self.conv(fiber))
        assert self.mix is not None
        hidden = torch.relu(self.conv(fiber))
        return torch.relu(self.mix(hidden.movedim(1, -1))).movedim(-1, 1)


def _cloud_means(
    values: Float[Tensor, "N K"], batch: Int[Tensor, " N"] | None, num_clouds: int | None
) -> Float[Tensor, "B K"]:
    """The mean over the points of each cloud, 0 for one without points."""
    if batch is None:
        if num_clouds not in (None, 1):
            raise ValueError(f"num_clouds={num_clouds} needs batch, the cloud of each point")
        return values.mean(dim=0, keepdim=True)
    if num_clouds is None or len(batch) != len(values):
        raise ValueError(
            f"batch names the cloud of every point, and num_clouds how many there are: got {len(batch)} entries for "
            f"{len(values)} points and num_clouds={num_clouds}"
        )
    sums = values.new_zeros(num_clouds, values.shape[1]).index_add(0, batch, values)
    return sums / torch.bincount(batch, minlength=num_clouds).clamp(min=1)[:, None]
