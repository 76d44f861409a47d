"""Edge rules: how the points of a scale are connected, as values with a short name."""

import math
import re
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor

from rapidash._names import nearest_name
from rapidash.geometry._check_cloud import check_cloud
from rapidash.geometry._neighbors import fully_connected_edges, knn_edges, radius_edges

__all__ = ["KNN", "EdgeRule", "FullyConnected", "Radius", "check_cloud", "parse_edges"]

_KNN_WORDS: tuple[list[str], ...] = ([], ["reverse"], ["clamp"], ["reverse", "clamp"])


@runtime_checkable
class EdgeRule(Protocol):
    """Connects points: ``rule(pos, batch)`` gives (2, E), rows source and target; `parse_edges` reads ``str(rule)``."""

    def __call__(self, pos: Float[Tensor, "N D"], batch: Int[Tensor, " N"]) -> Int[Tensor, "2 E"]:
        """Edges of a batch of clouds."""


@dataclass(frozen=True)
class FullyConnected:
    """All pairs of a cloud, each point with itself included: "fc"."""

    def __call__(self, pos: Float[Tensor, "N D"], batch: Int[Tensor, " N"]) -> Int[Tensor, "2 E"]:
        """Edges of a batch of clouds."""
        return fully_connected_edges(batch)

    def __str__(self) -> str:
        return "fc"


@dataclass(frozen=True)
class KNN:
    """The k nearest points of its cloud send to each point, itself among them: "knn-16".

    Args:
        k: neighbors per point, at least 1 and, without ``clamp``, at most the size of the smallest cloud.
        reverse: each point sends to its k nearest instead, as in the released network: "knn-16-reverse".
        clamp: take all points of a cloud that has fewer than k, instead of raising: "knn-16-clamp".
    """

    k: int
    reverse: bool = False
    clamp: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.k, bool) or not isinstance(self.k, int) or self.k < 1:
            raise ValueError(f"k must be an integer of at least 1, got {self.k!r}")

    def __call__(self, pos: Float[Tensor, "N D"], batch: Int[Tensor, " N"]) -> Int[Tensor, "2 E"]:
        """Edges of a batch of clouds."""
        return knn_edges(pos, batch, self.k, reverse=self.reverse, clamp=self.clamp)

    def __str__(self) -> str:
        return f"knn-{self.k}" + ("-reverse" if self.reverse else "") + ("-clamp" if self.clamp else "")


@dataclass(frozen=True)
class Radius:
    """All points of the cloud within the distance r, without a cap on their number: "radius-0.5".

    Args:
        r: positive and finite, in units of the positions.
    """

    r: float

    def __post_init__(self) -> None:
        if isinstance(self.r, bool) or not isinstance(self.r, (int, float)) or not 0 < self.r < math.inf:
            raise ValueError(f"r must be a positive, finite number, got {self.r!r}")

    def __call__(self, pos: Float[Tensor, "N D"], batch: Int[Tensor, " N"]) -> Int[Tensor, "2 E"]:
        """Edges of a batch of clouds."""
        return radius_edges(pos, batch, self.r)

    def __str__(self) -> str:
        return f"radius-{self.r}"


def parse_edges(edges: str | EdgeRule) -> EdgeRule:
    """The rule with this name: "fc", "knn-K", "knn-K-reverse", "knn-K-clamp", "radius-R"; a rule is returned as it is.

    Raises: ValueError for a name that is none of these or has a wrong number, with the nearest valid form.
    """
    if not isinstance(edges, str):
        if isinstance(edges, type) or not callable(edges):
            raise ValueError(f"edges must be a name such as 'fc', 'knn-16' or 'radius-0.5', or a rule, got {edges!r}")
        return edges
    kind, _, argument = edges.strip().lower().partition("-")
    if kind == "fc" and not argument:
        return FullyConnected()
    if kind == "knn":
        number, *words = argument.split("-")
        if number.isdecimal() and int(number) > 0 and words in _KNN_WORDS:
            return KNN(int(number), reverse="reverse" in words, clamp="clamp" in words)
    if kind == "radius" and (radius := _positive_number(argument)) is not None:
        return Radius(radius)
    raise ValueError(
        f"unknown edges {edges!r}, expected 'fc' (all pairs), 'knn-K' with K a count of at least 1, 'knn-K-reverse', "
        f"'knn-K-clamp', or 'radius-R' with R a positive length; did you mean {_nearest_form(edges.strip().lower())!r}?"
    )


def _positive_number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if 0 < number < math.inf else None


def _nearest_form(text: str) -> str:
    """The valid form that looks most like the given one, with its number where that can be used."""
    alike = {"full": "fc", "complete": "fc", "all": "fc", "nearest": "knn", "neighbors": "knn", "ball": "radius"}
    word = re.match("[a-z]*", text)
    digits = re.search(r"\d*\.?\d+(e-?\d+)?", text)
    name = nearest_name(word[0] if word else "", ["fc", "knn", "radius", *alike]) or "fc"
    name = alike.get(name, name)
    number = float(digits[0]) if digits else 0.0
    if name == "knn":
        k = max(1, round(number)) if number else 16
        return str(KNN(k, reverse="rev" in text, clamp="clam" in text))
    return str(Radius(number if 0 < number < math.inf else 0.5) if name == "radius" else FullyConnected())
