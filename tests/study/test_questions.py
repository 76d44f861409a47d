"""The designs of the Rapidash paper's questions: their arms, sizes, and what an axis as an input keeps."""

import pytest
import torch

from rapidash.groups import parse_group
from rapidash.methods import Variant
from rapidash.models import RapidashConfig, TransformerConfig
from rapidash.study import get_design
from rapidash.tasks import get_task
from rapidash.tasks._point_inputs import point_inputs

NAMES = ("qm9-b3lyp", "rmd17", "modelnet10-poses")
ARMS = [
    "E(3) on R3xS2",
    "E(3) on R3",
    "T(3) on R3",
    "T(3) on R3 + rotations",
    "E(3) on R3xS2 + global frame",
    "SE(3) on R3xS2",
    "E(3) on R3xS2 + z axis",
    "SO2(x) on R3",
    "E(3) on R3xS2 + RPP",
    "T(3) on R3, frames",
    "T(3) on R3, learned ranges",
    "T(3) on R3, twice as wide",
    "EGNN",
    "PaiNN",
    "transformer",
]


@pytest.mark.parametrize("name", NAMES)
def test_arms_have_12_orientations_and_the_same_time(name: str) -> None:
    design = get_design(name, full=True)
    names = [variant.name for variant in design.variants]
    assert [one for one in names if one != "SO2(z) on R3"] == ARMS
    assert ("SO2(z) on R3" in names) == (name == "modelnet10-poses")
    assert design.equal == "time"
    assert design.budget_runs()[0].variant.name == "E(3) on R3xS2"
    assert {v.model.num_orientations for v in design.variants if v.model.space == "R3xS2"} == {12}
    quick = get_design(name)
    assert len(quick.variants) == 6
    assert {variant.name for variant in quick.variants} < set(names)
    assert len(quick.runs()) == 18


def test_sizes_and_splits() -> None:
    qm9, md, shapes = (get_design(name, full=True) for name in NAMES)
    assert [round(share * qm9.task_options["num_train"]) for share in qm9.fractions] == [1000, 3000, 10_000]
    assert (md.task_options["num_train"], md.task_options["num_val"], md.task_options["fold"]) == (950, 50, 1)
    assert md.factors["task.molecule"] == ("ethanol", "toluene", "aspirin")
    assert shapes.factors["task.protocol"] == ("z/z", "SO(3)/SO(3)")
    assert len(shapes.fractions) == 3


def test_the_wide_network_has_twice_the_channels_on_every_scale() -> None:
    for name, width in (("qm9-b3lyp", 64), ("modelnet10-poses", (32, 64))):
        arms = {variant.name: variant for variant in get_design(name, full=True).variants}
        assert arms["T(3) on R3, twice as wide"].model.channels == width


def test_another_target_is_a_number() -> None:
    """As the docstring of the study says: the polarizability, with the same arms."""
    design = get_design("qm9-b3lyp")
    options = {**design.task_options, "target": "alpha", "from_vector": False}
    task = get_task("qm9", **options)
    assert (task.unit, task.is_vector) == ("bohr^3", False)
    with pytest.raises(ValueError, match="from_vector is for the target 'mu'"):
        get_task("qm9", **{**options, "from_vector": True})


def test_an_axis_as_an_input_keeps_the_turns_about_it() -> None:
    arms = {variant.name: variant for variant in get_design("modelnet10-poses", full=True).variants}
    task = get_task("modelnet10", num_points=64)
    assert task.ledger(arms["E(3) on R3xS2 + z axis"]).effective == parse_group("O2(z)", 3)
    assert task.ledger(arms["E(3) on R3xS2 + global frame"]).effective == parse_group("T(3)")


def test_the_constant_vectors_are_the_axes() -> None:
    """z is the third axis, "vertical" the second; every point has the same."""
    for token, axis in (("z axis", [0.0, 0.0, 1.0]), ("vertical", [0.0, 1.0, 0.0])):
        inputs = point_inputs(Variant("A", RapidashConfig(), inputs=(token,)), ())
        _, vectors, _ = inputs.features(torch.zeros(2, 3), torch.zeros(2, 0, 3), torch.ones(2, 1))
        assert vectors is not None
        assert vectors.tolist() == [[axis], [axis]]
        assert inputs.entries[-1].name == f"the {token}"
    flat = Variant("A", RapidashConfig(symmetry="E(2)", space="R2xS1"), inputs=("z axis",))
    with pytest.raises(ValueError, match=r"\['vertical', 'z axis', 'height'\] need 3 dimensions, got 2"):
        point_inputs(flat, ())
    with pytest.raises(ValueError, match=r"one of \['vertical', 'z axis'\], got \('z axis',\) on R3"):
        point_inputs(Variant("A", TransformerConfig(), inputs=("z axis",)), ())


def test_trainings_are_those_of_their_sizes() -> None:
    """Steps, a validation every so many, steps to warm up, samples of a batch, weight decay."""
    found = {}
    for name in NAMES:
        for full in (True, False):
            train = get_design(name, full=full).train
            assert (train.optimizer, train.checkpoint_every) == ("muon", train.eval_every)
            found[name, full] = (
                train.steps,
                train.eval_every,
                train.warmup_steps,
                train.batch_size,
                train.weight_decay,
            )
    assert found == {
        ("qm9-b3lyp", True): (1200, 400, 100, 50, 1e-4),
        ("qm9-b3lyp", False): (300, 100, 30, 50, 1e-4),
        ("rmd17", True): (1000, 250, 100, 5, 1e-5),
        ("rmd17", False): (300, 100, 30, 5, 1e-5),
        ("modelnet10-poses", True): (600, 200, 60, 16, 1e-2),
        ("modelnet10-poses", False): (300, 100, 30, 16, 1e-2),
    }
