"""Schedules of a gate over a run: frozen values with a name."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from rapidash._plain import check_fields
from rapidash.registry import SCHEDULES, Registry


class Schedule(ABC):
    """A number for every share of a run: a frozen dataclass, registered in `rapidash.registry.SCHEDULES`."""

    registry: ClassVar[Registry[type["Schedule"]]] = SCHEDULES

    @abstractmethod
    def __call__(self, share: float) -> float:
        """The value after this share of the run, in [0, 1]."""


@dataclass(frozen=True)
class Triangle(Schedule):
    """Up from 0 to 1 at the peak, and down to 0 at the end.

    Args:
        peak: share of the run, above 0 and below 1.
    Raises: ValueError for another one.
    """

    peak: float = 0.5

    def __post_init__(self) -> None:
        check_fields(self)
        if not 0 < self.peak < 1:
            raise ValueError(f"peak must be above 0 and below 1, got {self.peak}")

    def __call__(self, share: float) -> float:
        """See the class."""
        return share / self.peak if share <= self.peak else (1 - share) / (1 - self.peak)


@dataclass(frozen=True)
class Decay(Schedule):
    """Down from 1 to 0 in a straight line."""

    def __call__(self, share: float) -> float:
        """See the class."""
        return 1 - share


@dataclass(frozen=True)
class Constant(Schedule):
    """1 all the time: what is never brought back."""

    def __call__(self, share: float) -> float:
        """See the class."""
        return 1.0
