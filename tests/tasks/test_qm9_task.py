import pytest
import torch
from task_checks import calibrated, check_gradients, check_ledger, few_steps, first_clouds, small

from rapidash.datasets import qm9_dataset
from rapidash.groups import E, Scalar, T, Vector
from rapidash.methods import evaluate
from rapidash.study.designs.qm9 import make_design
from rapidash.tasks.qm9 import INTENSIVE, Qm9Task

VARIANTS = {variant.name: small(variant) for variant in make_design(full=False).variants}
SIZES = {"num_train": 40, "num_val": 8, "num_test": 12}


@pytest.mark.parametrize("target", ["dipole", "homo", "energy_mp2"])
@pytest.mark.parametrize("name", VARIANTS)
def test_variants_are_as_symmetric_as_their_ledger(shared_data, name: str, target: str) -> None:
    task = Qm9Task(target, **SIZES)
    batch = first_clouds(task, 2)
    check_ledger(task, VARIANTS[name], batch)
    broken = name.startswith(("T(3)", "DGCNN")) or name.endswith("frame")
    assert task.ledger(VARIANTS[name]).effective == (T(3) if broken else E(3))
    if target != "energy_mp2":
        check_gradients(task, VARIANTS[name], batch)


@pytest.mark.parametrize(
    "target", ["energy_hf", "energy_mp2", "atomization_mp2", "homo", "lumo", "dipole", "dipole_hf"]
)
def test_every_target_of_the_mp2_set(shared_data, target: str) -> None:
    task = Qm9Task(target, num_val=7)
    train, val = task.dataset("train"), task.dataset("val")
    assert (len(train), len(val), len(task.dataset("test"))) == (8000, 7, 1000)
    assert task.unit == ("mD" if task.is_vector else "meV")
    values = train.tensors["target"]
    assert values.shape == (8000, 3 if task.is_vector else 1)
    assert values.dtype == torch.float64
    batch = first_clouds(task, 3, "val")
    off = batch["target"].clone()
    off[1, 0] += 0.25
    assert task.errors(off, batch).tolist() == pytest.approx([0, 250, 0])
    assert float(task.loss(off, batch)) == pytest.approx(0.25 / 3)
    assert isinstance(task.output.representation, Vector if task.is_vector else Scalar)


def test_targets_of_the_benchmark_are_found_by_name(shared_data) -> None:
    """Errors are in the units in which the field reports them."""
    units = {"mu": "D", "alpha": "bohr^3", "r2": "bohr^2", "cv": "cal/mol/K", "gap": "meV", "zpve": "meV"}
    units |= dict.fromkeys(("u0", "u298", "h298", "g298", "u0_atom"), "meV")
    assert {name: Qm9Task(name).unit for name in units} == units
    task = Qm9Task("mu", num_val=3)
    batch = first_clouds(task, 3, "val")
    assert task.errors(batch["target"] + 0.25, batch).tolist() == pytest.approx([0.25] * 3)
    raw = qm9_dataset("train", source="b3lyp").tensors["mu"]
    whole = qm9_dataset("val", source="b3lyp").tensors["mu"][:3]
    torch.testing.assert_close(batch["target"], whole - raw.mean())
    with pytest.raises(
        ValueError, match=r"qm9_b3lyp_targets\.npz \('b3lyp'\) has no target 'energy_mp2', it has \['mu'"
    ):
        Qm9Task("energy_mp2", source="b3lyp").dataset("val")


def test_a_dipole_moment_may_be_the_length_of_a_vector(shared_data) -> None:
    """Nothing is taken off it, it is never negative, and it is that of the vector of the network for dipoles."""
    task = Qm9Task("mu", from_vector=True, num_train=8, num_val=4)
    raw = qm9_dataset("val", source="b3lyp").tensors["mu"][:4]
    batch = first_clouds(task, 4, "val")
    torch.testing.assert_close(batch["target"], raw)
    assert task.reference() == {"elements": [1, 6, 7, 8, 9]}
    model = calibrated(task, VARIANTS["E(3) on R3"], batch)
    lengths = model(batch)
    model.is_length = False
    vectors = model(batch)
    assert vectors.shape == (4, 3)
    torch.testing.assert_close(lengths[:, 0], vectors.square().sum(dim=1).sqrt())
    check_ledger(task, VARIANTS["E(3) on R3"], first_clouds(task, 2))
    with pytest.raises(ValueError, match="from_vector is for the target 'mu'"):
        Qm9Task("alpha", from_vector=True)


def test_numbers_are_relative_to_what_the_elements_tell(shared_data) -> None:
    raw = qm9_dataset("train", source="mp2")
    homo, energy = (Qm9Task(name).dataset("train").tensors["target"] for name in ("homo", "energy_mp2"))
    torch.testing.assert_close(homo, raw.tensors["homo"] - raw.tensors["homo"].mean())
    assert "homo" in INTENSIVE
    # a fit of elements takes the total energies of thousands of eV to the spread of the bonds
    assert float(raw.tensors["energy_mp2"].std()) > 500
    assert float(energy.std()) < 2
    torch.testing.assert_close(Qm9Task("dipole").dataset("train").tensors["target"], raw.tensors["dipole"])


def test_validation_is_relative_to_the_training_set(shared_data) -> None:
    """The fit must not see the molecules that it is tested on."""
    raw = qm9_dataset("val", source="mp2").tensors["homo"]
    reference = raw - Qm9Task("homo").dataset("val").tensors["target"]
    torch.testing.assert_close(reference, qm9_dataset("train", source="mp2").tensors["homo"].mean().expand_as(raw))


@pytest.mark.parametrize(("target", "name"), [("dipole", "E(3) on R3"), ("atomization_mp2", "T(3) on R3")])
def test_a_few_steps_of_training_lower_the_loss(shared_data, tmp_path, target: str, name: str) -> None:
    rows = few_steps(Qm9Task(target, **SIZES), VARIANTS[name], tmp_path, steps=8)
    assert rows[-1]["train_loss"] < rows[0]["train_loss"]


def test_the_dipole_turns_with_the_molecule(shared_data) -> None:
    task = Qm9Task(**SIZES)
    model = calibrated(task, VARIANTS["E(3) on R3"], first_clouds(task, 8))
    plain, turned = (evaluate(model, task, task.dataset("test"), batch_size=5, rotate=g).mean for g in (None, E(3)))
    assert plain == pytest.approx(turned, rel=1e-5)


def test_wrong_options_teach(shared_data, tmp_path) -> None:
    with pytest.raises(ValueError, match=r"unknown target of qm9 'hommo'.*did you mean 'homo'"):
        Qm9Task("hommo")
    with pytest.raises(ValueError, match=r"has no target 'alpha', it has \['homo'"):
        Qm9Task("alpha", source="mp2").dataset("val")
    with pytest.raises(ValueError, match="unknown source of qm9"):
        Qm9Task(source="mp3")
    with pytest.raises(ValueError, match="at least 1"):
        Qm9Task(num_val=0)
    with pytest.raises(FileNotFoundError, match="QM9"):
        Qm9Task(data_dir=str(tmp_path)).dataset("val")
