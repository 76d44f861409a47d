"""Three problems with weights to share: means, the sum of a function over positions, and a linear map."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rapidash.learn.sharing._problem import QuadraticProblem, SharingProblem, Split


class MeansProblem(QuadraticProblem):
    r"""K means of a Gaussian of unit variance, some of which may be equal.

    The training loss is the mean over i of :math:`(\bar x_i - \theta_i)^2`, where :math:`\theta_i` is the parameter
    :math:`\psi_c` with probability :math:`A_{ic}`; its minimizers are the weighted means of the columns of A. The
    validation loss is the mean of :math:`(\bar x_i - (A \psi)_i)^2`.

    Args:
        train, val: samples (n, K).
    Raises: ValueError for two numbers of means, or no sample.
    """

    def __init__(self, train: Float[Tensor, "n K"], val: Float[Tensor, "m K"]) -> None:
        if train.dim() != 2 or val.dim() != 2 or train.shape[1] != val.shape[1] or min(len(train), len(val)) < 1:
            raise ValueError(
                f"train (n, K) and val (m, K) need samples of the same K, got {tuple(train.shape)}, {tuple(val.shape)}"
            )
        super().__init__(train.shape[1])
        both = torch.cat([train, val])
        self.means = {
            "train": train.double().mean(dim=0),
            "val": val.double().mean(dim=0),
            "both": both.double().mean(0),
        }

    def quadratic(
        self, assignment: Float[Tensor, "*C K M"], split: Split
    ) -> tuple[Float[Tensor, "*C M M"], Float[Tensor, "*C M"], Float[Tensor, "*C"]]:
        """See the class; "both" is a training loss."""
        mean, scale = self.means[split], 2 / self.num_weights
        matrix = assignment.mT @ assignment if split == "val" else assignment.sum(dim=-2).diag_embed()
        constant = mean.square().sum() / self.num_weights
        return scale * matrix, -scale * (mean @ assignment), constant.expand(assignment.shape[:-2])


class LinearProblem(QuadraticProblem):
    r"""A linear map y = W x whose out x in weights may share parameters: mean squared error, and a small ridge.

    The training loss is the mean over maps of which each weight uses parameter :math:`\psi_c` with probability
    :math:`A_{ic}`, one independently of the other; validation takes :math:`W = A \psi`. For a hard A these agree.
    (With :math:`A \psi` in training too, a search ends far from the best sharing: parameters of opposite sign can
    imitate any map.)

    Args:
        x_train, y_train, x_val, y_val: samples (n, in) and (n, out).
        ridge: factor of the squared parameters in training, above 0.
    Raises: ValueError for sizes that do not fit, or a ridge that is not positive.
    """

    def __init__(
        self,
        x_train: Float[Tensor, "n In"],
        y_train: Float[Tensor, "n Out"],
        x_val: Float[Tensor, "m In"],
        y_val: Float[Tensor, "m Out"],
        *,
        ridge: float = 1e-4,
    ) -> None:
        _check_pairs(x_train, y_train, x_val, y_val)
        if not ridge > 0:
            raise ValueError(f"ridge must be above 0, got {ridge}")
        self.shape = y_train.shape[1], x_train.shape[1]
        super().__init__(self.shape[0] * self.shape[1])
        self.ridge = ridge
        self.moments = {
            "train": _moments(x_train, y_train),
            "val": _moments(x_val, y_val),
            "both": _moments(torch.cat([x_train, x_val]), torch.cat([y_train, y_val])),
        }

    def quadratic(
        self, assignment: Float[Tensor, "*C K M"], split: Split
    ) -> tuple[Float[Tensor, "*C M M"], Float[Tensor, "*C M"], Float[Tensor, "*C"]]:
        """Mean squared error over samples and outputs, with the ridge unless it is for validation."""
        (xx, yx, yy), (num_out, _) = self.moments[split], self.shape
        products = torch.block_diag(*[xx] * num_out)  # of the inputs that two weights see, 0 for two outputs
        hessian = assignment.mT @ products @ assignment
        if split != "val":
            size = products.diagonal()[:, None]
            variance = (assignment * size).sum(dim=-2).diag_embed() - assignment.mT @ (assignment * size)
            hessian = hessian + variance + num_out * self.ridge * torch.eye(hessian.shape[-1], dtype=hessian.dtype)
        hessian, slope = hessian * (2 / num_out), (yx.flatten() @ assignment) * (-2 / num_out)
        return hessian, slope, (yy / num_out).expand(assignment.shape[:-2])


class PositionsProblem(SharingProblem):
    r"""A sum of a small network over K positions, :math:`y = u \cdot \sum_k \tanh(W_{a(k)}[x_k]) + b`.

    Each position k has a symbol :math:`x_k`. :math:`W_c` is a table with a row for each symbol (an embedding followed
    by a linear layer), and the tables are what positions may share. Mean squared error, and a ridge.

    Args:
        x_train, y_train, x_val, y_val: symbols (n, K), from 0 to ``num_symbols`` - 1, and targets (n,).
        num_symbols: S, at least 1.
        hidden: width H of the tables.
        ridge: factor of the squared parameters in training, above 0.
    Raises: ValueError for sizes that do not fit, symbols outside the range, or a ridge that is not positive.
    """

    def __init__(
        self,
        x_train: Int[Tensor, "n K"],
        y_train: Float[Tensor, " n"],
        x_val: Int[Tensor, "m K"],
        y_val: Float[Tensor, " m"],
        *,
        num_symbols: int,
        hidden: int = 4,
        ridge: float = 1e-3,
    ) -> None:
        _check_pairs(x_train, y_train[:, None], x_val, y_val[:, None])
        if min(int(x_train.min()), int(x_val.min())) < 0 or max(int(x_train.max()), int(x_val.max())) >= num_symbols:
            raise ValueError(f"symbols must be from 0 to num_symbols - 1 = {num_symbols - 1}")
        if hidden < 1 or not ridge > 0:
            raise ValueError(f"hidden must be at least 1 and ridge above 0, got {hidden} and {ridge}")
        super().__init__(x_train.shape[1])
        self.num_symbols, self.hidden, self.ridge = num_symbols, hidden, ridge
        self.data = {
            "train": (x_train, y_train.double()),
            "val": (x_val, y_val.double()),
            "both": (torch.cat([x_train, x_val]), torch.cat([y_train, y_val]).double()),
        }

    def start(self, num_params: int, generator: torch.Generator) -> Float[Tensor, " P"]:
        """Small random numbers: M tables of S x H, the outputs' weights, and the bias."""
        size = num_params * self.num_symbols * self.hidden + self.hidden + 1
        return 0.3 * torch.randn(size, generator=generator, dtype=torch.float64)

    def untied(self, assignment: Int[Tensor, " K"], params: Float[Tensor, " P"]) -> Float[Tensor, " Q"]:
        """A table for each position."""
        width = self.num_symbols * self.hidden
        tables, rest = params[: -self.hidden - 1], params[-self.hidden - 1 :]
        return torch.cat([tables.reshape(-1, width)[assignment].flatten(), rest])

    def loss(self, assignment: Float[Tensor, "K M"], params: Float[Tensor, " P"], split: Split) -> Float[Tensor, ""]:
        """Mean squared error, with the ridge unless it is for validation."""
        x, y = self.data[split]
        tables, rest = params[: -self.hidden - 1], params[-self.hidden - 1 :]
        tied = assignment @ tables.reshape(assignment.shape[1], -1)
        error = (sum_over_positions(torch.cat([tied.flatten(), rest]), x, self.hidden) - y).square().mean()
        return error if split == "val" else error + self.ridge * params.square().sum()


def sum_over_positions(params: Float[Tensor, " Q"], x: Int[Tensor, "B K"], hidden: int) -> Float[Tensor, " B"]:
    """The network of `PositionsProblem` with a table for each position.

    Args:
        params: tables (K, S, H), the weights of the output (H), and the bias.
        x: symbols.
        hidden: H.
    """
    tables, out, bias = params.split([params.numel() - hidden - 1, hidden, 1])
    rows = tables.reshape(x.shape[1], -1, hidden)[torch.arange(x.shape[1]), x]  # (B, K, H)
    return rows.tanh().sum(dim=1) @ out + bias


def _moments(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The means of x x^T, y x^T and |y|^2."""
    x, y = x.double(), y.double()
    return x.T @ x / len(x), y.T @ x / len(x), y.square().sum() / len(x)


def _check_pairs(x_train: Tensor, y_train: Tensor, x_val: Tensor, y_val: Tensor) -> None:
    for name, x, y in (("train", x_train, y_train), ("val", x_val, y_val)):
        if x.dim() != 2 or y.dim() != 2 or len(x) != len(y) or len(x) == 0:
            raise ValueError(
                f"x_{name} and y_{name} need a row for each of the same samples, got {tuple(x.shape)}, {tuple(y.shape)}"
            )
    if x_train.shape[1] != x_val.shape[1] or y_train.shape[1] != y_val.shape[1]:
        raise ValueError("training and validation data must have the same columns")
