"""Assertions for test suites of models and kernels, and checks of what others register.

`rapidash.testing.strategies` draws random clouds and motions. Nothing here needs a test framework, except
`rapidash.testing.strategies`, which needs hypothesis.
"""

from rapidash.measure import assert_equivariant, check_equivariance
from rapidash.testing._dataset import check_dataset
from rapidash.testing._invariant import assert_invariant
from rapidash.testing._method import check_method
from rapidash.testing._network import check_network
from rapidash.testing._parity import assert_parity
from rapidash.testing._representation import check_representation
from rapidash.testing._task import check_task

__all__ = [
    "assert_equivariant",
    "assert_invariant",
    "assert_parity",
    "check_dataset",
    "check_equivariance",
    "check_method",
    "check_network",
    "check_representation",
    "check_task",
]
