"""The figures of the tasks that generate, by hand: chains with known internal coordinates, and known energies."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from rapidash.data import CloudDataset, Field
from rapidash.generate import Asked, DoubleWell, double_well_samples
from rapidash.groups import Position, Scalar
from rapidash.methods import Measurement
from rapidash.tasks.ala2_gen import Ala2GenTask
from rapidash.tasks.toy_gen import ToyGenTask


def chain(lengths: tuple[float, ...], angles: tuple[float, ...], dihedrals: tuple[float, ...]) -> Tensor:
    """Five points with these bond lengths, angles and dihedrals in degrees."""
    points = [np.zeros(3), np.array([lengths[0], 0.0, 0.0])]
    turns = np.radians([0.0, *dihedrals])
    for length, angle, turn in zip(lengths[1:], np.radians(angles), turns, strict=True):
        along = points[-1] - points[-2]
        before = points[-2] - points[-3] if len(points) > 2 else np.array([0.0, 1.0, 0.0])
        x = along / np.linalg.norm(along)
        normal = np.cross(before, x)
        normal /= np.linalg.norm(normal)
        y = np.cross(normal, x)
        sine = np.sin(angle)
        points.append(points[-1] + length * (-np.cos(angle) * x + sine * (np.cos(turn) * y + np.sin(turn) * normal)))
    return torch.from_numpy(np.stack(points)).float()


LENGTHS, ANGLES, TORSIONS = (1.3, 1.4, 1.5, 1.35), (110.0, 115.0, 120.0), (-80.0, 70.0)


@pytest.fixture
def one_chain(tmp_path: Path) -> Ala2GenTask:
    """A task all of whose frames are one chain."""
    beads = np.array(["ACE1-C", "ALA2-N", "ALA2-CA", "ALA2-C", "NME3-N"])
    pos = np.repeat(chain(LENGTHS, ANGLES, TORSIONS).numpy()[None], 100, axis=0)
    np.savez(tmp_path / "ala2_cg.npz", pos=pos, forces=np.zeros_like(pos), bead=beads)
    return Ala2GenTask(data_dir=str(tmp_path), verify=False)


def figures_of_chains(task: Ala2GenTask, *chains: Tensor) -> dict[str, float | None]:
    empty = task.templates(torch.arange(len(chains)), 0, torch.ones(1), Asked())
    samples = CloudDataset({**empty.tensors, "pos": torch.cat(chains)}, empty.fields, empty.num_points)
    return {figure.name: figure.value for figure in task.figures(samples)}


def test_chains_like_those_of_the_data_have_no_distance(one_chain: Ala2GenTask) -> None:
    found = figures_of_chains(one_chain, *[chain(LENGTHS, ANGLES, TORSIONS)] * 2)
    assert found == {
        "JS divergence of (phi, psi)": 0,
        "share with phi > 0": 0,
        "W1 of bond lengths": pytest.approx(0, abs=1e-3),
        "W1 of bond angles": pytest.approx(0, abs=1e-3),
    }


def test_changed_coordinates_show_in_their_figures_alone(one_chain: Ala2GenTask) -> None:
    """A bond longer by 20 mA, of four; an angle wider by 6 degrees, of three; phi of one of two chains positive."""
    longer = figures_of_chains(one_chain, chain((1.3, 1.4, 1.5, 1.37), ANGLES, TORSIONS))
    assert longer["W1 of bond lengths"] == pytest.approx(5, abs=1e-2)
    assert longer["W1 of bond angles"] == pytest.approx(0, abs=1e-3)
    wider = figures_of_chains(one_chain, chain(LENGTHS, (110.0, 121.0, 120.0), TORSIONS))
    assert wider["W1 of bond angles"] == pytest.approx(2, abs=1e-3)
    assert wider["W1 of bond lengths"] == pytest.approx(0, abs=1e-3)
    turned = figures_of_chains(one_chain, chain(LENGTHS, ANGLES, (80.0, 70.0)), chain(LENGTHS, ANGLES, (-80.0, 70.0)))
    assert turned["share with phi > 0"] == 50
    half = 0.5 * math.log(1 / 0.75) + 0.25 * math.log(0.5 / 0.75) + 0.25 * math.log(0.5 / 0.25)
    assert turned["JS divergence of (phi, psi)"] == pytest.approx(half)  # of (1/2, 1/2) and (1, 0)
    elsewhere = figures_of_chains(one_chain, chain(LENGTHS, ANGLES, (-80.0, -70.0)))
    assert (elsewhere["share with phi > 0"], elsewhere["JS divergence of (phi, psi)"]) == (
        0,
        pytest.approx(math.log(2)),
    )


def test_bonds_of_pictures_join_neighbors_of_one_chain(one_chain: Ala2GenTask) -> None:
    pairs = one_chain.bonds(one_chain.clouds("val").subset(torch.arange(2))).tolist()
    assert pairs == [[0, 1], [1, 2], [2, 3], [3, 4], [5, 6], [6, 7], [7, 8], [8, 9]]


def configurations(pos: Tensor, condition: Tensor) -> CloudDataset:
    fields = {"pos": Field(Position(), "length"), "condition": Field(Scalar(), "k_B T", "cloud")}
    tensors = {"pos": pos.flatten(0, 1), "condition": condition[:, None]}
    return CloudDataset(tensors, fields, torch.full((len(pos),), 4))


def test_energies_by_hand() -> None:
    """Three configurations, asked for energies 1, 2 and 3 away from theirs."""
    task = ToyGenTask(condition="energy", num_train=20, num_val=4, num_test=30)
    pos = double_well_samples("by hand", 3)
    energy = DoubleWell().energy(pos)
    test = DoubleWell().energy(double_well_samples("test", 30).float().double())
    asked = energy + torch.tensor([1.0, -2.0, 3.0]).double()
    found: dict[str, Measurement] = {one.name: one for one in task.figures(configurations(pos, asked))}
    assert found["median difference from the energy asked for"].value == pytest.approx(2)
    others = [abs(float(energy[k] - asked[k - 1])) for k in range(3)]
    of_others = found["median difference from the energy asked of another sample"].value
    assert of_others == pytest.approx(sorted(others)[1])
    mean = found["mean energy"]
    assert mean.value == pytest.approx(float(energy.mean()))
    assert mean.high == pytest.approx(float(energy.mean()) + 1.96 * float(energy.std()) / math.sqrt(3))
    assert mean.low == pytest.approx(2 * mean.value - mean.high)
    alone = {one.name: one.value for one in task.figures(configurations(pos[:1].repeat(2, 1, 1), asked[:2]))}
    expected = float((energy[0] - test).abs().mean())  # all of the test energies move to one place
    assert alone["W1 of energies"] == pytest.approx(expected, rel=1e-5)
