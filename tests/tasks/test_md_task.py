import pytest
import torch
from task_checks import calibrated, check_gradients, check_ledger, few_steps, first_clouds, small

from rapidash.groups import E, T
from rapidash.methods import evaluate
from rapidash.study.designs.md import make_design
from rapidash.tasks.md import MdTask

VARIANTS = {variant.name: small(variant) for variant in make_design(full=False).variants}


def test_splits_and_energies(shared_data) -> None:
    task = MdTask(num_test=50)
    train, val, test = (task.dataset(split) for split in ("train", "val", "test"))
    assert (len(train), len(val), len(test)) == (900, 100, 50)
    assert train.tensors["energy"].abs().max() < 5  # eV, of a total of -4200
    assert float(train.tensors["energy"].mean()) == pytest.approx(0, abs=1e-9)
    assert abs(float(test.tensors["energy"].mean())) < 1
    assert len(MdTask().dataset("test")) == 1000
    assert len(MdTask(test_molecule=None, num_train=800, num_val=50).dataset("test")) == 150


@pytest.mark.parametrize("name", VARIANTS)
def test_variants_are_as_symmetric_as_their_ledger(shared_data, name: str) -> None:
    task = MdTask()
    batch = first_clouds(task, 2)
    check_ledger(task, VARIANTS[name], batch)
    check_gradients(task, VARIANTS[name], batch)
    assert task.ledger(VARIANTS[name]).effective == (E(3) if name.startswith(("E(3)", "EGNN")) else T(3))


@pytest.mark.parametrize("name", ["E(3) on R3xS2", "T(3) on R3"])
def test_forces_are_the_slope_of_the_energy(shared_data, name: str) -> None:
    task = MdTask()
    batch = first_clouds(task, 2)
    model = calibrated(task, VARIANTS[name], batch)
    forces, step = model(batch)[:, 1:], 1e-4
    for atom, axis in ((0, 0), (5, 2), (10, 1)):
        energies = []
        for sign in (1, -1):
            pos = batch.pos.clone()
            pos[atom, axis] += sign * step
            energies.append(float(model(batch.with_tensor("pos", pos))[:, 0].detach().sum()))
        slope = (energies[0] - energies[1]) / (2 * step)
        assert float(forces[atom, axis].detach()) == pytest.approx(-slope, rel=1e-5, abs=1e-7)


def test_forces_without_gradients_outside_are_the_same_and_hold_no_graph(shared_data) -> None:
    task = MdTask()
    batch = first_clouds(task, 2)
    model = calibrated(task, VARIANTS["E(3) on R3"], batch)
    with torch.no_grad():
        plain = model(batch)
    assert not plain.requires_grad
    with_graph = model(batch)
    assert with_graph.requires_grad
    torch.testing.assert_close(plain, with_graph.detach())
    with_graph[:, 1:].square().sum().backward()  # a loss of the forces alone reaches the kernels
    assert model.backbone.blocks[0].conv.kernel.weight.grad.abs().max() > 0
    assert not batch.pos.requires_grad


def test_energy_is_learned_in_the_unit_of_the_data(shared_data) -> None:
    task = MdTask()
    batch = first_clouds(task, 8)
    model = calibrated(task, VARIANTS["E(3) on R3"], batch)
    assert float(model.energy_unit) == pytest.approx(float(batch["forces"].square().mean().sqrt()))
    assert "energy_unit" in model.state_dict()


def test_metrics_by_hand(shared_data) -> None:
    forces, energy = MdTask(), MdTask(reported="energy")
    assert (forces.metric, forces.unit) == ("MAE of force components", "meV/angstrom")
    assert (energy.metric, energy.unit) == ("MAE of the energy", "meV")
    batch = first_clouds(forces, 2)
    perfect = torch.cat([(batch["energy"] / 9).repeat_interleave(9, 0), batch["forces"]], dim=1)
    assert forces.errors(perfect, batch).abs().max() < 1e-9
    assert energy.errors(perfect, batch).abs().max() < 1e-9
    assert float(forces.loss(perfect, batch)) < 1e-20
    off = perfect.clone()
    off[0, 0] += 0.5  # eV at one atom of the first molecule
    off[9:, 2] += 0.3  # eV/angstrom, one component of every atom of the second
    torch.testing.assert_close(energy.errors(off, batch), torch.tensor([500.0, 0.0]).double())
    torch.testing.assert_close(forces.errors(off, batch), torch.tensor([0.0, 100.0]).double())
    beside = {"MAE of the energy (meV)": forces, "MAE of force components (meV/angstrom)": energy}
    for (name, task), other in zip(beside.items(), (energy, forces)):
        assert set(task.details(off, batch)) == {name}
        torch.testing.assert_close(task.details(off, batch)[name], other.errors(off, batch))
    assert float(forces.loss(off, batch)) == pytest.approx((0.5 / 9) ** 2 / 2 + 0.3**2 / 6)


def test_a_few_steps_of_training_lower_the_loss(shared_data, tmp_path) -> None:
    rows = few_steps(MdTask(), VARIANTS["E(3) on R3"], tmp_path, steps=8)
    assert rows[-1]["train_loss"] < rows[0]["train_loss"]


def test_evaluation_and_rotated_data(shared_data) -> None:
    task = MdTask(num_test=6, reported="energy")
    batch = first_clouds(task, 2)
    data = task.dataset("test")
    model = calibrated(task, VARIANTS["E(3) on R3"], batch)
    plain, turned = (evaluate(model, task, data, batch_size=4, rotate=g).mean for g in (None, E(3)))
    assert plain == pytest.approx(turned, rel=1e-5)


def test_wrong_data_and_options_teach(shared_data, tmp_path) -> None:
    with pytest.raises(ValueError, match="another molecule"):
        MdTask(test_molecule="acac_test_MD_300K").dataset("test")
    with pytest.raises(ValueError, match="no forces"):
        MdTask(molecule="C2H6", test_molecule=None).dataset("train")
    with pytest.raises(FileNotFoundError, match="molecular dynamics"):
        MdTask(data_dir=str(tmp_path)).dataset("train")
    with pytest.raises(ValueError, match="reported must be one of"):
        MdTask(reported="charges")
    with pytest.raises(ValueError, match="not both 0"):
        MdTask(energy_weight=0, force_weight=0)
    with pytest.raises(ValueError, match=r"at least 1, got \{'num_val': 0\}"):
        MdTask(num_val=0)
    task = MdTask()
    batch = first_clouds(task, 1)
    with pytest.raises(ValueError, match=r"elements \[26\] are not among"):
        task.build(VARIANTS["E(3) on R3"])(batch.with_tensor("z", batch["z"] * 0 + 26))


def test_molecules_of_rmd17_are_tested_on_their_published_part(shared_data) -> None:
    task = MdTask("aspirin", num_train=950, num_val=50)
    assert [len(task.dataset(split)) for split in ("train", "val", "test")] == [950, 50, 1000]
    assert MdTask().test_molecule == "auto"
    with pytest.raises(ValueError, match=r"fold=2: .* has the published split 1 alone"):
        MdTask("aspirin", fold=2).dataset("train")
