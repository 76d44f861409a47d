"""The report on molecules: values by hand, denominators, geometry, and the floor between training and test data."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from rapidash.data import CloudDataset, seeded
from rapidash.generate.metrics import Figure, figures_table, molecule_figures
from rapidash.generate.metrics._atoms import atoms_of
from rapidash.generate.metrics._bonds import bonds_of
from rapidash.generate.metrics._geometry import Described, describe


def named(figures: tuple[Figure, ...]) -> dict[str, Figure]:
    assert len({figure.name for figure in figures}) == len(figures)
    return {figure.name: figure for figure in figures}


def described(data: CloudDataset) -> dict[str, Described]:
    atoms = atoms_of(data)
    return describe(atoms, bonds_of(atoms))


def test_shares_by_hand(by_hand) -> None:
    """Methane twice, water, nitromethane, and a water that is not finite."""
    samples = by_hand("methane", "methane", "water", "nitromethane", "water")
    samples.tensors["pos"][-1, 0] = math.nan
    found = named(molecule_figures(samples, by_hand("methane", "water"), known=["C", "CC"], num_resamples=2))
    values = {name: (figure.value, figure.real, figure.num) for name, figure in found.items() if figure.unit == "%"}
    assert values["finite"] == (80, 100, 5)
    assert values["stable (bond lookup)"] == (60, 100, 5)
    assert values["atom stable (bond lookup)"] == (pytest.approx(100 * 19 / 23), 100, 5)
    assert values["connected (bond lookup)"] == (80, 100, 5)
    assert values["valid (classic)"] == (80, 100, 5)
    assert values["sound (lookup)"] == (80, 100, 5)
    assert values["sound (perceived)"] == (80, 100, 5)
    assert values["unique of sound (perceived)"] == (75, None, 4)
    assert values["sound and unique (perceived)"] == (60, None, 5)
    assert values["unique of valid (classic)"] == (75, None, 4)
    assert values["valid and unique (classic)"] == (60, None, 5)
    assert values["novel of unique (perceived)"] == (pytest.approx(100 * 2 / 3), None, 3)


def test_composition_by_hand(by_hand) -> None:
    """Elements of methane (1 C, 4 H) against water (1 O, 2 H): half of |4/5 - 2/3| + 1/5 + 1/3; sizes are disjoint."""
    found = named(molecule_figures(by_hand("methane"), by_hand("water"), perception=False, num_resamples=2))
    assert found["total variation of elements"].value == pytest.approx(100 * (2 / 15 + 1 / 5 + 1 / 3) / 2)
    assert found["total variation of number of atoms"].value == pytest.approx(100)
    assert found["total variation of number of atoms"].low is None  # one sample has no spread
    assert math.isnan(found["W1 of bond length C-H (bond lookup)"].value)  # the reference has none
    assert found["W1 of bond length C-H (bond lookup)"].low is None


def test_longer_bonds_show_in_picometers(by_hand) -> None:
    longer = by_hand("methane")
    longer.tensors["pos"] = longer.tensors["pos"] * (1.10 / 1.09)
    found = named(molecule_figures(longer, by_hand("methane"), perception=False, num_resamples=2))
    assert found["W1 of bond length C-H (bond lookup)"].value == pytest.approx(1.0)
    assert found["W1 of angle at C (bond lookup)"].value == pytest.approx(0, abs=1e-9)
    assert found["W1 of rms radius"].value == pytest.approx(0.01 * math.sqrt(4 / 5))


def test_geometry_by_hand(by_hand) -> None:
    numbers = described(by_hand("methane", "water"))
    assert numbers["bond length C-H"].values == pytest.approx([109] * 4)
    assert numbers["bond length O-H"].values == pytest.approx([96, 100 * math.hypot(0.24, 0.93)])
    assert numbers["angle at C"].values == pytest.approx([math.degrees(math.acos(-1 / 3))] * 6)
    assert numbers["angle at O"].values == pytest.approx([90 + math.degrees(math.atan2(0.24, 0.93))])
    assert numbers["rms radius"].values[0] == pytest.approx(1.09 * math.sqrt(4 / 5))
    assert len(numbers["dihedral"].values) == 0


def test_dihedrals_are_signed_and_each_chain_counts_once(by_hand) -> None:
    """A chain of carbons turned by 60 degrees, its mirror image, a ring of three and a straight chain."""
    turn = math.radians(60)
    end = (2.0, 1.4 * math.cos(turn), 1.4 * math.sin(turn))
    chain = [(6, (-0.5, 1.4, 0.0)), (6, (0.0, 0.0, 0.0)), (6, (1.5, 0.0, 0.0)), (6, end)]
    mirror = [(z, (x, y, -w)) for z, (x, y, w) in chain]
    ring = [(6, (0, 0, 0)), (6, (1.5, 0, 0)), (6, (0.75, 1.3, 0))]
    straight = [(6, (1.3 * k, 0, 0)) for k in range(4)]
    numbers = described(by_hand(chain, mirror, ring, straight))["dihedral"]
    assert numbers.owner.tolist() == [0, 1]
    assert np.abs(numbers.values) == pytest.approx([60, 60])
    assert numbers.values[0] == -numbers.values[1]
    backwards = described(by_hand(chain[::-1]))["dihedral"]
    assert backwards.values == pytest.approx(numbers.values[:1])


def test_rotational_constants_are_those_of_the_data(qm9_test: CloudDataset) -> None:
    part = qm9_test.subset(torch.arange(100))
    numbers = described(part)
    for name in "BC":
        expected = part.tensors[name.lower()].flatten().numpy()
        assert numbers[f"rotational constant {name}"].values == pytest.approx(expected, rel=1e-3)


def test_real_molecules_lie_at_the_floor_and_noise_shows(qm9_test: CloudDataset) -> None:
    order = torch.randperm(len(qm9_test), generator=seeded("order"))
    samples, reference, training = (qm9_test.subset(order[k * 300 : (k + 1) * 300]) for k in range(3))
    found = named(molecule_figures(samples, reference, training=training, perception=False, num_resamples=30))
    noisy = samples.subset(torch.arange(300))
    noisy.tensors["pos"] = noisy.tensors["pos"] + 0.02 * torch.randn(noisy.tensors["pos"].shape, generator=seeded("n"))
    moved = named(molecule_figures(noisy, reference, training=training, perception=False, num_resamples=30))
    name = "W1 of bond length C-H (bond lookup)"
    figure = found[name]
    assert figure.low <= figure.value <= figure.high
    assert figure.value < 4 * figure.real
    assert moved[name].low > 10 * figure.high
    assert moved["W1 of rms radius"].value < 2 * found["W1 of rms radius"].value + 0.01


def test_dropping_bad_molecules_raises_no_share(qm9_test: CloudDataset) -> None:
    """Half of the samples diverge: every share of all samples is half of what the others alone have."""
    whole = qm9_test.subset(torch.arange(60))
    broken = qm9_test.subset(torch.arange(60))
    broken.tensors["pos"] = broken.tensors["pos"].clone()
    broken.tensors["pos"][: int(broken.num_points[:30].sum())] = math.nan
    good = named(molecule_figures(whole.subset(torch.arange(30, 60)), whole, num_resamples=2))
    bad = named(molecule_figures(broken, whole, num_resamples=2))
    for name, figure in good.items():
        if figure.unit == "%" and figure.num == 30 and not name.startswith(("total", "unique", "atom")):
            assert bad[name].value == pytest.approx(figure.value / 2), name
            assert bad[name].num == 60
    assert bad["atom stable (bond lookup)"].value < 60


def test_all_samples_diverged(by_hand) -> None:
    samples = by_hand("water", "water")
    samples.tensors["pos"][:] = math.nan
    found = named(molecule_figures(samples, by_hand("water"), known=[], num_resamples=2))
    assert found["finite"].value == found["sound (perceived)"].value == 0
    assert math.isnan(found["unique of sound (perceived)"].value)
    assert math.isnan(found["W1 of rms radius"].value)
    assert "W1 of rms radius" in figures_table(tuple(found.values()))


def test_the_table_has_a_line_for_each_figure_and_its_notes(by_hand) -> None:
    figures = molecule_figures(by_hand("methane"), by_hand("methane"), num_resamples=2)
    text = figures_table(figures)
    assert "a molecule without one of its hydrogens, and two molecules far apart, are valid" in " ".join(text.split())
    lines = text.splitlines()
    assert lines[0].split() == ["figure", "value", "95", "%", "interval", "real", "samples", "unit"]
    notes = [line for line in lines if line.startswith("[")]
    assert len(notes) == len({figure.note for figure in figures if figure.note})
    assert lines.index(notes[0]) == 1 + len(figures)
    assert lines[1].split() == ["finite", "100.00", "20.65", "to", "100.00", "100.00", "1", "%"]
    assert dataclasses.is_dataclass(figures[0])


def test_bad_arguments_are_named(by_hand) -> None:
    with pytest.raises(ValueError, match="num_resamples must be at least 2 for an interval, got 1"):
        molecule_figures(by_hand("water"), by_hand("water"), num_resamples=1)
    with pytest.raises(ValueError, match="known needs perception=True"):
        molecule_figures(by_hand("water"), by_hand("water"), known=["O"], perception=False)
    with pytest.raises(ValueError, match="reference has no molecules"):
        molecule_figures(by_hand("water"), by_hand())
