"""Settings of the tests of measurements."""

from collections.abc import Iterator

import jaxtyping
import pytest


@pytest.fixture
def shape_checks_off() -> Iterator[None]:
    """Error messages are tested without run-time shape checks, which would fire first."""
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", before)
