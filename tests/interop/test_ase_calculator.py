"""A trained model as a calculator of ASE: values by hand and by ASE's own potential, derivatives, averages, errors."""

from pathlib import Path
from typing import Any

import ase
import ase.io
import numpy as np
import pytest
import torch
from ase.build import bulk
from ase.calculators.calculator import PropertyNotImplementedError
from ase.calculators.lj import LennardJones
from ase.md.verlet import VelocityVerlet
from ase.optimize import BFGS
from ase.units import fs
from torch import Tensor, nn

from rapidash.data import CloudBatch
from rapidash.geometry import Cell, periodic_radius_edges
from rapidash.groups import SO
from rapidash.interop.ase import RapidashCalculator, from_ase
from rapidash.methods import Variant
from rapidash.models import RapidashConfig
from rapidash.predict import Potential, TrainedModel
from rapidash.tasks import get_task
from tests.test_layout import run_without

KCAL = 0.0433641153087705  # eV in 1 kcal/mol, CODATA 2018
SIGMA, EPSILON, RADIUS = 2.5, 0.3, 5.5  # of argon-like atoms, kcal/mol and angstrom
FORCES = {"files": ["x.xyz"], "target": "energy", "forces": "forces", "kind": "forces", "target_unit": "kcal/mol"}
SMALL = {"space": "R3", "channels": 8, "num_layers": 2, "basis_dim": 8, "basis_hidden_dim": 8}
REFERENCE = {"mean": 0.0, "scale": 2.0, "offsets": [-10.0, -20.0]}


class PairEnergy(nn.Module):
    """Half the Lennard-Jones energy of every atom's pairs, 0 at the radius."""

    def energies(self, batch: CloudBatch) -> Tensor:
        cell = Cell(batch["cell"], batch["periodic"].bool())
        found = periodic_radius_edges(batch.pos, batch.batch, RADIUS, cell)
        (source, target), shift = found.edges, found.shift
        other = (source != target) | shift.any(dim=1)
        source, target, shift = source[other], target[other], shift[other]
        offset = batch.pos[source] - batch.pos[target] + cell.displacement(shift, batch.batch[target])
        six, at_end = (SIGMA / offset.norm(dim=1)) ** 6, (SIGMA / RADIUS) ** 6
        pair = 4 * EPSILON * (six**2 - six - (at_end**2 - at_end))
        return pair.new_zeros(len(batch.pos)).index_add(0, target, pair / 2)[:, None]

    def forward(self, batch: CloudBatch) -> Tensor:
        raise AssertionError("the energies are enough")


def pair_model(**options: Any) -> TrainedModel:
    options = {**FORCES, "elements": [18, 36], "is_periodic": True, **options}
    variant = Variant("E(3)", RapidashConfig(edges="radius-5.5", **SMALL))
    return TrainedModel("own-data", options, variant, PairEnergy(), {**REFERENCE, "scale": 1.0})


def network(symmetry: str = "E(3)", *, is_periodic: bool = True, kind: str = "forces", **config: Any) -> TrainedModel:
    """A network with fresh weights, in float64."""
    torch.manual_seed(0)
    options = {**FORCES, "elements": [8, 14], "is_periodic": is_periodic, "kind": kind}
    options |= {} if kind == "forces" else {"forces": "", "is_extensive": True}
    variant = Variant(symmetry, RapidashConfig(**{"symmetry": symmetry, "edges": "radius-4.0", **SMALL, **config}))
    model = get_task("own-data", **options).build(variant).double().eval()
    return TrainedModel("own-data", options, variant, model, REFERENCE)


def quartz(num: int = 5, *, pbc: Any = True) -> ase.Atoms:
    """Silicon and oxygen anywhere in a slanted cell, smaller than the radius of the networks."""
    rng = np.random.default_rng(3)
    cell = np.array([[3.6, 0.0, 0.2], [0.9, 3.3, 0.0], [-0.4, 0.3, 3.8]])
    return ase.Atoms(["Si", "O"] * 2 + ["O"] * (num - 4), rng.random((num, 3)) @ cell, cell=cell, pbc=pbc)


def with_calculator(atoms: ase.Atoms, model: TrainedModel | Path | str, **options: Any) -> ase.Atoms:
    atoms.calc = RapidashCalculator(model, **options)
    return atoms


def full(stress: np.ndarray) -> np.ndarray:
    """The matrix of Voigt's six numbers, by hand."""
    xx, yy, zz, yz, xz, xy = stress
    return np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])


def energies_of_ends(atoms: ase.Atoms, step: float, move: Any) -> float:
    """The central difference of the energy along a motion of the atoms."""
    ends = []
    for sign in (1, -1):
        moved = atoms.copy()
        moved.calc = atoms.calc
        move(moved, sign * step)
        ends.append(moved.get_potential_energy())
    return (ends[0] - ends[1]) / (2 * step)


def test_a_pair_by_hand() -> None:
    """At sigma 2^(1/6) the pair has -epsilon, less its value at the radius; each argon atom costs -10 kcal/mol."""
    pair = ase.Atoms("Ar2", [[0, 0, 0], [0, 0, SIGMA * 2 ** (1 / 6)]])
    with_calculator(pair, pair_model())
    at_end = 4 * EPSILON * ((SIGMA / RADIUS) ** 12 - (SIGMA / RADIUS) ** 6)
    assert pair.get_potential_energy() == pytest.approx((-20 - EPSILON - at_end) * KCAL, rel=1e-7)
    assert pair.get_potential_energies() == pytest.approx(np.full(2, pair.get_potential_energy() / 2))
    assert pair.get_potential_energy(force_consistent=True) == pair.get_potential_energy()
    assert np.abs(pair.get_forces()).max() < 1e-7
    pair.positions[1, 2] = SIGMA  # the slope there is -24 epsilon / sigma: the atoms push each other away
    assert pair.get_forces()[:, 2] == pytest.approx(np.array([-1, 1]) * 24 * EPSILON / SIGMA * KCAL, rel=1e-6)
    assert pair.calc.units == "1 kcal/mol of the model = 0.043364115 eV"


def test_energy_forces_and_stress_are_those_of_the_potential_of_ase() -> None:
    """A cell shorter than the radius, slanted and squeezed; ASE's code knows nothing of ours."""
    argon = bulk("Ar", "fcc", a=4.1) * (1, 1, 2)
    argon.rattle(0.1, seed=1)
    argon.set_cell(np.asarray(argon.cell) @ [[1.1, 0.05, 0.0], [0.0, 0.9, 0.1], [0.0, 0.0, 1.0]], scale_atoms=True)
    argon.symbols[1] = "Kr"
    theirs = argon.copy()
    theirs.calc = LennardJones(sigma=SIGMA, epsilon=EPSILON * KCAL, rc=RADIUS)
    with_calculator(argon, pair_model(), dtype=torch.float64)
    offsets = np.array([-10, -20]) * KCAL
    assert argon.get_potential_energies() == pytest.approx(theirs.get_potential_energies() + offsets, rel=1e-9)
    assert argon.get_potential_energy() == pytest.approx(theirs.get_potential_energy() + offsets.sum(), rel=1e-9)
    np.testing.assert_allclose(argon.get_forces(), theirs.get_forces(), atol=1e-10)
    np.testing.assert_allclose(argon.get_stress(), theirs.get_stress(), atol=1e-10)
    assert np.abs(argon.get_stress()).min() > 1e-4  # every one of the six is tested
    found = Potential(pair_model())(argon.numbers, argon.positions, argon.cell.array)
    assert found.unit == "kcal/mol"
    np.testing.assert_allclose(KCAL * found.stress.numpy(), full(theirs.get_stress()), atol=1e-6)


@pytest.mark.parametrize("pbc", [True, False, (True, False, True)])
def test_forces_are_minus_the_gradient_and_their_jacobian_is_symmetric(pbc: Any) -> None:
    atoms = with_calculator(quartz(pbc=pbc), network())
    forces, step = atoms.get_forces(), 1e-4
    numbers = np.zeros((5, 3))
    for atom, axis in np.ndindex(5, 3):

        def move(moved: ase.Atoms, by: float, where: tuple[int, int] = (atom, axis)) -> None:
            moved.positions[where] += by

        numbers[atom, axis] = -energies_of_ends(atoms, step, move)
    np.testing.assert_allclose(forces, numbers, atol=1e-7)
    jacobian = np.zeros((15, 15))
    for column in range(15):
        ends = []
        for sign in (1, -1):
            moved = atoms.copy()
            moved.positions.reshape(-1)[column] += sign * step
            moved.calc = atoms.calc
            ends.append(moved.get_forces().reshape(-1))
        jacobian[:, column] = (ends[0] - ends[1]) / (2 * step)
    np.testing.assert_allclose(jacobian, jacobian.T, atol=1e-6)
    assert np.abs(jacobian).max() > 1e-3
    assert np.abs(forces.sum(axis=0)).max() < 1e-12


def test_stress_is_the_slope_of_the_energy_under_strain_and_turns_with_the_cell() -> None:
    atoms = with_calculator(quartz(), network())
    stress = full(atoms.get_stress())
    np.testing.assert_allclose(atoms.get_stress(voigt=False), stress)
    for a, b in ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)):

        def stretch(moved: ase.Atoms, by: float, at: tuple[int, int] = (a, b)) -> None:
            strain = np.zeros((3, 3))
            strain[at] += by / 2
            strain[at[::-1]] += by / 2
            moved.set_cell(np.asarray(moved.cell) @ (np.eye(3) + strain), scale_atoms=True)

        assert stress[a, b] == pytest.approx(energies_of_ends(atoms, 1e-4, stretch) / atoms.get_volume(), abs=1e-8)
    turn = SO(3).sample(1, generator=torch.Generator().manual_seed(0))[0, :3, :3].double().numpy()
    turned = atoms.copy()
    turned.set_cell(np.asarray(atoms.cell) @ turn.T, scale_atoms=True)
    turned.calc = atoms.calc
    np.testing.assert_allclose(full(turned.get_stress()), turn @ stress @ turn.T, atol=1e-10)
    np.testing.assert_allclose(turned.get_forces(), atoms.get_forces() @ turn.T, atol=1e-10)
    assert turned.get_potential_energy() == pytest.approx(atoms.get_potential_energy(), abs=1e-10)


def test_a_model_of_energies_alone_gives_forces_and_stress_too() -> None:
    """Another network, whose energies of the atoms nobody knows, by the way through the outputs of the task."""
    atoms = with_calculator(quartz(), network(kind="number"))
    one = atoms.get_forces()[2, 1]
    assert atoms.get_stress().shape == (6,)

    def move(moved: ase.Atoms, by: float) -> None:
        moved.positions[2, 1] += by

    assert one == pytest.approx(-energies_of_ends(atoms, 1e-4, move), abs=1e-7)
    with pytest.raises(PropertyNotImplementedError, match="energies not present"):
        atoms.get_potential_energies()


def test_both_ways_to_the_energy_agree() -> None:
    """The energies of the atoms, and the outputs that predictions of files have."""
    trained, atoms = network(), quartz()
    named = with_calculator(atoms.copy(), trained, energy="energy")
    with_calculator(atoms, trained)
    assert atoms.get_potential_energy() == pytest.approx(named.get_potential_energy(), abs=1e-12)
    np.testing.assert_allclose(atoms.get_forces(), named.get_forces(), atol=1e-12)
    np.testing.assert_allclose(atoms.get_stress(), named.get_stress(), atol=1e-12)
    assert "energies" not in named.calc.results


def test_an_average_over_a_group_has_its_symmetry_and_says_how_far_it_moves() -> None:
    """All 24 rotations of the cube, of a network without rotations; each value by a loop over them."""
    trained, atoms = network("T(3)"), quartz()
    with_calculator(atoms, trained, average="O")
    turns = list(atoms.calc.potential.average.elements(1, 0))
    values: dict[str, list[np.ndarray]] = {"energy": [], "energies": [], "forces": [], "stress": []}
    for turn in (element[0, :3, :3].double().numpy() for element in turns):
        moved = quartz()
        moved.set_cell(np.asarray(moved.cell) @ turn.T, scale_atoms=True)
        with_calculator(moved, trained)
        values["energy"].append(np.array(moved.get_potential_energy()))
        values["energies"].append(moved.get_potential_energies())
        values["forces"].append(moved.get_forces() @ turn)
        values["stress"].append(turn.T @ full(moved.get_stress()) @ turn)
    atoms.get_potential_energy()
    results = atoms.calc.results
    every = {name: np.stack(parts) for name, parts in values.items()}
    assert len(turns) == 24
    assert results["energy"] == pytest.approx(every["energy"].mean(), abs=1e-10)
    np.testing.assert_allclose(results["forces"], every["forces"].mean(axis=0), atol=1e-10)
    np.testing.assert_allclose(full(results["stress"]), every["stress"].mean(axis=0), atol=1e-10)
    assert results["energy_spread"] == pytest.approx(every["energy"].std(), abs=1e-10)
    assert results["energy_spread"] > 1e-4
    np.testing.assert_allclose(results["energies_spread"], every["energies"].std(axis=0), atol=1e-10)
    away = every["forces"] - every["forces"].mean(axis=0)
    np.testing.assert_allclose(results["forces_spread"], np.sqrt((away**2).sum(-1).mean(0)), atol=1e-10)
    away = every["stress"] - every["stress"].mean(axis=0)
    assert results["stress_spread"] == pytest.approx(np.sqrt((away**2).sum((1, 2)).mean()), abs=1e-10)
    assert set(atoms.calc.export_properties()) >= {"energy", "forces", "stress"}
    swapped = atoms.copy()  # turned by a quarter about z
    quarter = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    swapped.set_cell(np.asarray(atoms.cell) @ quarter.T, scale_atoms=True)
    with_calculator(swapped, trained, average="O")
    assert swapped.get_potential_energy() == pytest.approx(results["energy"], abs=1e-10)


def ethanol() -> tuple[TrainedModel, ase.Atoms]:
    """A fresh model of the task `md`, and ethanol far from the origin."""
    torch.manual_seed(0)
    variant = Variant("T(3)", RapidashConfig(symmetry="T(3)", **SMALL))
    model = get_task("md").build(variant).eval()
    reference = {"atoms": [1] * 6 + [6, 6, 8], "elements": [1, 6, 8], "mean_energy_eV": -4209.5}
    from ase.build import molecule

    atoms = molecule("CH3CH2OH")
    atoms.positions += [300.0, 0.0, 0.0]
    return TrainedModel("md", {}, variant, model, reference), atoms


@pytest.mark.parametrize("options", [{"average": "none"}, {"average": "SO(3)", "num_elements": 5, "seed": 3}])
def test_a_model_of_md_predicts_the_same_as_for_files(options: dict[str, Any], tmp_path: Path) -> None:
    trained, atoms = ethanol()
    trained.save_pretrained(tmp_path)
    made = trained.predict(from_ase(atoms, dtype=torch.float64), **options)
    with_calculator(atoms, tmp_path, **options)
    assert atoms.get_potential_energy() == pytest.approx(float(made["energy"]), rel=1e-7)
    assert atoms.get_potential_energies().sum() == pytest.approx(atoms.get_potential_energy(), rel=1e-12)
    np.testing.assert_allclose(atoms.get_forces(), made["forces"].numpy(), atol=1e-5)
    assert atoms.calc.units == "1 eV of the model = 1 eV"
    if options["average"] == "none":
        assert not [name for name in atoms.calc.results if "spread" in name]
    else:
        assert atoms.calc.results["energy_spread"] == pytest.approx(float(made["energy_spread"]), rel=1e-3)
        np.testing.assert_allclose(atoms.calc.results["forces_spread"], made["forces_spread"].numpy(), rtol=1e-3)


def test_relaxation_and_dynamics_run(tmp_path: Path) -> None:
    atoms = ase.Atoms("Ar3", [[0, 0, 0], [2.5, 0, 0], [1.2, 2.4, 0]])
    with_calculator(atoms, pair_model(), dtype=torch.float64)
    assert BFGS(atoms, logfile=None).run(fmax=1e-6, steps=100)
    assert atoms.get_all_distances()[np.triu_indices(3, 1)] == pytest.approx(SIGMA * 2 ** (1 / 6), abs=1e-4)
    atoms.set_momenta(0.1 * np.random.default_rng(0).normal(size=(3, 3)))
    energy = atoms.get_total_energy()
    with VelocityVerlet(atoms, timestep=1 * fs, trajectory=str(tmp_path / "a.traj")) as dynamics:
        dynamics.run(50)
    assert atoms.get_kinetic_energy() > 1e-5
    assert atoms.get_total_energy() == pytest.approx(energy, abs=1e-6)
    last = ase.io.read(tmp_path / "a.traj")
    assert last.get_potential_energy() == pytest.approx(atoms.get_potential_energy())
    ase.io.write(tmp_path / "a.xyz", atoms)
    np.testing.assert_allclose(ase.io.read(tmp_path / "a.xyz").get_forces(), atoms.get_forces(), atol=1e-7)


def test_without_ase_the_error_names_the_extra() -> None:
    ended = run_without({"ase"}, "from rapidash.interop.ase import from_ase, RapidashCalculator")
    assert ended.returncode == 1
    assert 'ImportError: RapidashCalculator needs ase: pip install "rapidash[mol]"' in ended.stderr


def test_what_cannot_be_computed_is_told() -> None:
    trained, atoms = ethanol()
    other = atoms.copy()
    other.symbols[0] = "F"
    for wrong, message in (
        (other, "element F was not in the training data: H, C, O"),
        (atoms[:8], "its atoms are .*, the model was trained on 6 H, 2 C, 1 O"),
        (ase.Atoms(atoms, cell=[9, 9, 9], pbc=True), r"repeats along a cell, pbc = \[True, True, True\]"),
    ):
        with pytest.raises(ValueError, match=message):
            with_calculator(wrong, trained).get_potential_energy()
    lost = with_calculator(atoms.copy(), trained)
    lost.get_forces()
    lost.positions[0, 0] = np.nan
    with pytest.raises(ValueError, match="'pos' has values that are not finite"):
        lost.get_forces()
    with pytest.raises(PropertyNotImplementedError, match=r"three vectors, got pbc = \[False, False, False\]"):
        with_calculator(atoms, trained).get_stress()
    for cell in (np.zeros((3, 3)), np.ones((3, 3))):
        flat = quartz()
        flat.set_cell(cell)
        with pytest.raises(ValueError, match="cell has no volume along its periodic vectors"):
            with_calculator(flat, network()).get_potential_energy()
    with pytest.raises(PropertyNotImplementedError, match="three vectors"):
        with_calculator(quartz(pbc=(True, True, False)), network()).get_stress()


def test_models_that_are_no_potential_are_told() -> None:
    solids = TrainedModel("solids", {}, Variant("a", RapidashConfig(**SMALL)), nn.Identity(), {"class_names": ["a"]})
    with pytest.raises(ValueError, match="of clouds without elements"):
        RapidashCalculator(solids)
    gap = network(kind="number")
    gap = TrainedModel("own-data", {**gap.task_options, "target": "gap"}, gap.variant, gap.model, REFERENCE)
    with pytest.raises(ValueError, match=r"predicts gap \(kcal/mol\), which has no one energy of the structure"):
        with_calculator(quartz(), gap).get_potential_energy()
    assert np.isfinite(with_calculator(quartz(), gap, energy="gap").get_potential_energy())
    with pytest.raises(ValueError, match="number 'gapp' of the structure"):
        with_calculator(quartz(), gap, energy="gapp").get_potential_energy()


def test_units_that_are_not_known_are_told() -> None:
    unknown = pair_model(target_unit="")
    pair = ase.Atoms("Ar2", [[0, 0, 0], [0, 0, 3.0]])
    with pytest.raises(ValueError, match="says 'unit of energy' for the unit of its energies: give energy_unit"):
        with_calculator(pair, unknown).get_potential_energy()
    said = with_calculator(pair.copy(), unknown, energy_unit="hartree").get_potential_energy()
    known = with_calculator(pair.copy(), pair_model()).get_potential_energy()
    assert said / known == pytest.approx(27.211386245988 / KCAL)
    with pytest.raises(
        ValueError, match=r"'eV', the record of the model says 'kcal/mol': where .*; train with --unit eV"
    ):
        with_calculator(pair, pair_model(), energy_unit="eV").get_potential_energy()
    with pytest.raises(ValueError, match="says 'D', which is no unit of energy"):
        with_calculator(pair.copy(), pair_model(target_unit="D"), energy_unit="eV").get_potential_energy()
    with pytest.raises(ValueError, match="energy_unit must be one of eV, hartree"):
        RapidashCalculator(unknown, energy_unit="cal")


def test_numbers_of_half_precision_are_refused_before_the_first_energy() -> None:
    for dtype in (torch.float16, torch.bfloat16, torch.int32):
        with pytest.raises(ValueError, match=rf"computed in float32 or float64, got dtype {dtype}: give dtype"):
            RapidashCalculator(network(), dtype=dtype)
    half = network()
    half.model.to(torch.bfloat16)
    with pytest.raises(ValueError, match=r"got dtype of the weights torch.bfloat16: give dtype"):
        RapidashCalculator(half)
    assert np.isfinite(with_calculator(quartz(), half, dtype=torch.float32).get_potential_energy())
