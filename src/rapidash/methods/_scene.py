"""Clouds that a measure keeps in a record, so that a report can draw them."""

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from rapidash.methods._method import FULL
from rapidash.methods._picture import Moment

MAX_POINTS = 256  # of a cloud in a record


@dataclass(frozen=True)
class SceneCloud:
    """A cloud with its points, their elements, and the pairs of them between which there is a line.

    Args:
        points: three coordinates each.
        elements: a symbol for each point, or nothing.
        bonds: two numbers of points each.
    """

    points: tuple[tuple[float, ...], ...]
    elements: tuple[str, ...] = ()
    bonds: tuple[tuple[int, ...], ...] = ()

    @classmethod
    def of(
        cls, pos: Float[Tensor, "N D"], elements: Sequence[str] = (), bonds: Sequence[Sequence[int]] = ()
    ) -> "SceneCloud":
        """A cloud about its mean, in the plane with a third coordinate 0; of more than 256 points the first 256."""
        pos = (pos - pos.mean(0))[:MAX_POINTS].detach().double().cpu()
        shown = len(pos)
        rows = tuple((*(round(value, 4) for value in row), 0.0)[:3] for row in pos.tolist())
        inside = tuple((int(i), int(j)) for i, j in bonds if max(i, j) < shown)
        return cls(rows, tuple(elements[:shown]), inside)


@dataclass(frozen=True)
class Scene:
    """Clouds of a run; a record has a list of scenes beside its measurements.

    Args:
        name: of what the clouds are.
        clouds: all finite.
        moment: ``"before"`` or ``"after"`` training.
        view: of the model.
    """

    name: str
    clouds: tuple[SceneCloud, ...]
    moment: Moment = "after"
    view: str = FULL
