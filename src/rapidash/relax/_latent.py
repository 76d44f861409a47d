"""Equivariance of a latent by an action that is known beforehand: no parameters, any architecture."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from rapidash._plain import check_fields
from rapidash.data import Field
from rapidash.groups import (
    GridPermutation,
    Group,
    Image,
    MatrixGroup,
    RegularCopies,
    Representation,
    Scalar,
    finite_table,
    grid_symmetries,
    parse_matrix_group,
)
from rapidash.methods import Control, Method, StepView
from rapidash.models import Rapidash
from rapidash.relax._latent_error import latent_error, latent_variance
from rapidash.relax._latent_layer import LatentWatch, latent_layer, latent_level
from rapidash.relax._moving import DataGroup

LatentActs = Literal["regular", "trivial", "grid", "image"]


@dataclass(frozen=True)
class LatentEquivariance(Method):
    r"""Adds weight times the error of a latent, :math:`\|R(g) E(x) - E(g x)\|^2 / \mathrm{Var}`, g one per sample.

    E is the network up to a layer. R has no parameters: by ``action``

    - ``"regular"``: copies of the regular representation of a finite group, or of a product, side by side on the last
      axis of the latent, with ``num_invariant`` entries that stay at its end;
    - ``"trivial"``: nothing moves, the latent is to be invariant: the control of the first;
    - ``"grid"``: the orientation axis of a Rapidash network, permuted by the motions that map the grid to itself;
    - ``"image"``: a feature map (B, C, H, W) that moves as an image does.

    It takes one more pass of the network a step, and costs nothing afterwards. Without the division (``normalize``) a
    latent can shrink instead of becoming equivariant, which a normalization behind it undoes.

    Args:
        weight: at least 0; 0 is plain training.
        group: its name, e.g. ``"C4"``, ``"C4 x C4"``, ``"octahedral"``; None: the rotations of the grid for
            ``"grid"``, else the group by which the task moves its test data.
        action: R.
        layer: name of the module whose output is the latent; empty: what the model calls its ``latent_layer``, or the
            last block of a Rapidash network.
        num_invariant: entries at the end of a regular latent that do not move.
        normalize: divide by the variance of the latent, with its gradient.
    Raises: ValueError for values outside the above, an unknown group, or one that is not finite where that is needed.
    Source: Ali et al., "Parameter-free Approximate Equivariance for Tasks with Finite Group Symmetry",
        arXiv 2506.08244; the division is ours.
    """

    weight: float = 1.0
    group: str | None = None
    action: LatentActs = "regular"
    layer: str = ""
    num_invariant: int = 0
    normalize: bool = True

    def __post_init__(self) -> None:
        check_fields(self)
        if not 0 <= self.weight < math.inf or self.num_invariant < 0:
            raise ValueError(f"weight and num_invariant must be at least 0, got {self.weight} and {self.num_invariant}")
        if self.action not in get_args(LatentActs):
            raise ValueError(f"action must be one of {get_args(LatentActs)}, got {self.action!r}")
        if self.num_invariant and self.action != "regular":
            raise ValueError(f"num_invariant belongs to action='regular', got action={self.action!r}")
        if self.group is not None:
            _check_finite(parse_matrix_group(self.group), self.action)

    def control(self, model: nn.Module, total_steps: int) -> "LatentControl | None":
        """Adds the term."""
        return LatentControl(self, model) if self.weight else None


class LatentControl(Control):
    """The error of a latent under a known action."""

    def __init__(self, method: LatentEquivariance, model: nn.Module) -> None:
        self.method = method
        self.watch = LatentWatch(model, latent_layer(model, method.layer))
        self.grid = _grid_of(model, self.watch.name) if method.action == "grid" else None
        self.group = DataGroup(method.group, _symmetries(self.grid) if self.grid is not None else None)
        self._field: Field | None = None
        self._last: Mapping[str, Tensor | float] = {"latent error": 0.0, "latent variance": 0.0}  # of the last step

    def before(self, step: int) -> None:
        """Watch the pass of the objective."""
        self.watch.start()

    def terms(self, view: StepView) -> Mapping[str, Tensor]:
        """The error, weighted."""
        z = self.watch.take()
        group = self.group.of(view)
        if self._field is None:
            self._field = Field(self._representation(group, z), level=latent_level(z, view.batch))
        g = group.sample(view.batch.num_samples, generator=view.rng)
        expected = view.batch.act(self._field, g, z)
        with self.watch.watching():
            view.predict(self.group.moved(view, g))
        found = self.watch.take()
        error = latent_error(expected, found, normalize=self.method.normalize)
        with torch.no_grad():
            self._last = {"latent error": latent_error(expected, found), "latent variance": latent_variance(z, found)}
        return {"latent equivariance": self.method.weight * error}

    def values(self) -> Mapping[str, float]:
        """The error of the last step, divided by the variance, and the variance."""
        return {name: float(value) for name, value in self._last.items()}

    def state_dict(self) -> dict[str, Any]:
        """The values."""
        return dict(self.values())

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The values of a saved state."""
        self._last = dict(state)

    def _representation(self, group: MatrixGroup, z: Tensor) -> Representation:
        """R, checked against the shape of the latent."""
        _check_finite(group, self.method.action)
        where = f"the latent {self.watch.name!r} of shape {tuple(z.shape)}"
        match self.method.action:
            case "regular":
                found: Representation = RegularCopies(finite_table(group), self.method.num_invariant)
            case "grid":
                assert self.grid is not None
                found = GridPermutation(self.grid)
            case "image":
                if z.dim() != 4:
                    raise ValueError(f"{where} is no feature map (B, C, H, W): action='image' needs one")
                found = Image()
            case _:
                found = Scalar()
        elements = group.elements() if self.method.action == "grid" else None
        try:
            for g in group.identity()[None] if elements is None else elements:
                found.act(g, z.detach()[:1])
        except ValueError as error:
            raise ValueError(f"{where} does not take action={self.method.action!r} of {group.name}: {error}") from error
        return found


def _check_finite(group: MatrixGroup, action: str) -> None:
    if action in ("regular", "grid") and not group.is_finite:
        raise ValueError(
            f"{group.name} is not finite: action={action!r} needs a finite group, e.g. 'C4' or 'octahedral'"
        )


def _grid_of(model: nn.Module, layer: str) -> Tensor:
    """The orientation grid of the Rapidash network that a layer is in."""
    for name, module in model.named_modules():
        if isinstance(module, Rapidash) and f"{layer}.".startswith(f"{name}." if name else "") and len(module.grid):
            return module.grid.cpu()
    raise ValueError(
        f"action='grid' permutes the orientations of a Rapidash network with them, and {layer!r} is in none"
    )


def _symmetries(grid: Tensor) -> MatrixGroup:
    return Group(grid.shape[1], grid_symmetries(grid), translations=False)
