"""The toy task of the training tests."""

from tests.train.conftest import toy

__all__ = ["toy"]
