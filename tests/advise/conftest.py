"""A small study of generated solids, and a race of it as if it had been run."""

from dataclasses import replace

import pytest

from rapidash.models import RapidashConfig
from rapidash.study import StudyDesign, get_design


@pytest.fixture
def solids() -> StudyDesign:
    """Two variants of narrow networks on few solids."""
    design = get_design("solids").select(["E(3) on R3", "T(3) on R3"])
    small = {"channels": 4, "num_layers": 1, "basis_dim": 4, "basis_hidden_dim": 4}
    variants = []
    for variant in design.variants:
        assert isinstance(variant.model, RapidashConfig)
        variants.append(replace(variant, model=replace(variant.model, **small), neighbor=None, knob=""))
    sizes = {"num_points": 8, "num_train": 60, "num_val": 40, "num_test": 10}
    return replace(design, variants=tuple(variants), task_options=sizes, train=replace(design.train, batch_size=8))
