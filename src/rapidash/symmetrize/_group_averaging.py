"""Group averaging: a network is trained and tested as its average over random elements of a group, or all of them."""

from dataclasses import dataclass

from rapidash.groups import parse_matrix_group
from rapidash.methods import SymmetrizingMethod, Task
from rapidash.symmetry import Enumerated, GroupDistribution, Haar


@dataclass(frozen=True)
class GroupAveraging(SymmetrizingMethod):
    r"""Trains and tests E_g [rho(g) f(rho(g)^-1 x)] with g uniform on a group, whatever the sample.

    Args:
        group: name of a compact group, e.g. ``"O(3)"``.
        num: elements for each sample and step; with 1 this is augmentation, and an average in the test. 0: all
            elements of a finite group, in training and test, which makes the average exactly equivariant.
        num_test: elements for each sample in evaluation.
    Raises: ValueError for an unknown group, one that is not compact, negative numbers, or 0 with a group that is not
        finite.
    """

    num: int = 8
    num_test: int = 20

    def __post_init__(self) -> None:
        super().__post_init__()
        check_counts(self.num, self.num_test, least=0)
        self._law()

    @property
    def counts(self) -> tuple[int, int]:
        """As said."""
        return max(self.num, 1), self.num_test

    def _law(self) -> GroupDistribution:
        group = parse_matrix_group(self.group)
        return Haar(group) if self.num else Enumerated(group)

    def law(self, task: Task) -> GroupDistribution:
        """Uniform."""
        return self._law()

    @property
    def is_exact(self) -> bool:
        """With all elements."""
        return self.num == 0

    def in_words(self) -> str:
        """Which elements."""
        if self.num == 0:
            return f"all elements of {self.group}"
        return f"random elements of {self.group}, {self.num} in training and {self.num_test} in the test"


def check_counts(num: int, num_test: int, *, least: int = 1) -> None:
    """Raise ValueError for fewer elements than that."""
    if num < least or num_test < 1:
        raise ValueError(f"num must be at least {least} and num_test at least 1, got {num} and {num_test}")
