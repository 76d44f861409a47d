"""Stability by bond lookup: molecules by hand, a loop over pairs, the figure of QM9."""

import math
import time

import numpy as np
import pytest
import torch

from rapidash.data import CloudDataset, Field, seeded
from rapidash.datasets import qm9_dataset
from rapidash.generate.metrics import Stability, stability, wilson_interval
from rapidash.generate.metrics._atoms import Atoms, atoms_of
from rapidash.generate.metrics._bond_lengths import LENGTHS
from rapidash.generate.metrics._bonds import bonds_of, is_connected
from rapidash.groups import Position, Scalar
from tests.generate.metrics.conftest import SHARED_DATA

VALENCE = {"H": 1, "C": 4, "N": 3, "O": 2, "F": 1}
SYMBOL = {1: "H", 6: "C", 7: "N", 8: "O", 9: "F"}
SINGLE = "HH 74 HC 109 HN 101 HO 96 HF 92 CC 154 CN 147 CO 143 CF 135 NN 145 NO 140 NF 136 OO 148 OF 142 FF 142"
DOUBLE = "CC 134 CN 129 CO 120 NN 125 NO 121 OO 121"
TRIPLE = "CC 120 CN 116 CO 113 NN 110"


def table(text: str) -> dict[str, int]:
    words = text.split()
    return {"".join(sorted(pair)): int(length) for pair, length in zip(words[::2], words[1::2])}


def stable_by_loops(z: list[int], pos: list[list[float]]) -> list[bool]:
    """The definition, pair by pair."""
    orders = [0] * len(z)
    for i in range(len(z)):
        for j in range(i):
            pair = "".join(sorted(SYMBOL[z[i]] + SYMBOL[z[j]]))
            distance, order = 100 * math.dist(pos[i], pos[j]), 0
            for lengths, margin in ((SINGLE, 10), (DOUBLE, 5), (TRIPLE, 3)):
                if distance >= table(lengths).get(pair, -math.inf) + margin:
                    break
                order += 1
            orders[i] += order
            orders[j] += order
    return [order == VALENCE[SYMBOL[one]] for order, one in zip(orders, z)]


def test_methane_and_water_are_stable(by_hand) -> None:
    found = stability(by_hand("methane", "water"))
    assert found.atoms.all()
    assert found.molecules.tolist() == [True, True]
    assert found.owner.tolist() == [0] * 5 + [1] * 3


def test_benzene_has_carbons_of_order_3_and_nitromethane_a_nitrogen_of_order_5(by_hand) -> None:
    data = by_hand("benzene", "nitromethane")
    found = stability(data)
    assert found.atoms.tolist() == [False] * 6 + [True] * 6 + [False] + [True] * 6
    assert found.molecules.tolist() == [False, False]
    bonds = bonds_of(atoms_of(data))
    orders = np.bincount(np.concatenate([bonds.i, bonds.j]), np.tile(bonds.order, 2))
    assert orders.tolist() == [3] * 6 + [1] * 6 + [5, 2, 2, 4, 1, 1, 1]


@pytest.mark.parametrize(
    ("pair", "distance", "order"),
    [
        ((6, 6), 1.63, 1), ((6, 6), 1.65, 0), ((6, 6), 1.38, 2), ((6, 6), 1.40, 1), ((6, 6), 1.22, 3),
        ((6, 7), 1.18, 3), ((6, 7), 1.20, 2), ((6, 8), 1.15, 3), ((7, 7), 1.12, 3), ((7, 8), 1.10, 2),
        ((1, 6), 1.18, 1), ((1, 6), 1.20, 0), ((1, 6), 0.30, 1), ((9, 9), 1.51, 1), ((6, 9), 1.46, 0),
    ],
)  # fmt: skip
def test_orders_by_hand(by_hand, pair: tuple[int, int], distance: float, order: int) -> None:
    bonds = bonds_of(atoms_of(by_hand([(pair[0], (0, 0, 0)), (pair[1], (0, 0, distance))])))
    assert bonds.order.tolist() == ([order] if order else [])


def test_limits_are_strict_and_each_counts_only_within_the_one_before(by_hand) -> None:
    atoms = atoms_of(by_hand([(6, (0, 0, 0)), (6, (1.5, 0, 0))]))
    assert len(bonds_of(atoms, (-4.0, 0, 0)).i) == 0  # limit 150 pm, distance 150 pm
    assert bonds_of(atoms, (-3.9, 0, 0)).order.tolist() == [1]
    assert len(bonds_of(atoms, (-10.0, 30.0, 50.0)).i) == 0  # below the limits of both other orders
    assert bonds_of(atoms, (10.0, 10.0, 50.0)).order.tolist() == [1]


def test_a_limit_that_is_not_the_longest_is_strict_too(by_hand) -> None:
    atoms = atoms_of(by_hand([(6, (0, 0, 0)), (8, (1.5, 0, 0))]))
    assert len(bonds_of(atoms, (7.0, 0, 0)).i) == 0  # 143 + 7 pm
    assert bonds_of(atoms, (7.1, 0, 0)).order.tolist() == [1]


def test_the_table_has_these_lengths_and_no_others() -> None:
    numbers = {symbol: z for z, symbol in SYMBOL.items()}
    for lengths, text in zip(LENGTHS, (SINGLE, DOUBLE, TRIPLE)):
        expected = np.full((10, 10), -math.inf)
        for (a, b), length in table(text).items():
            expected[numbers[a], numbers[b]] = expected[numbers[b], numbers[a]] = length
        assert np.array_equal(lengths, expected)


def random_molecules(num: int) -> CloudDataset:
    """Ragged heaps of atoms, many of them bonded."""
    rng = seeded("heaps")
    sizes = torch.randint(1, 12, (num,), generator=rng)
    elements = torch.tensor([1, 6, 7, 8, 9])[torch.randint(5, (int(sizes.sum()),), generator=rng)]
    pos = torch.randn(len(elements), 3, generator=rng, dtype=torch.float64)
    fields = {"pos": Field(Position(), "angstrom"), "z": Field(Scalar())}
    return CloudDataset({"pos": pos, "z": elements}, fields, sizes)


def assert_agrees_with_loops(data: CloudDataset) -> None:
    found, end = stability(data), 0
    for index, size in enumerate(data.num_points.tolist()):
        rows = slice(end, end + size)
        end += size
        expected = stable_by_loops(data.tensors["z"][rows].tolist(), data.tensors["pos"][rows].double().tolist())
        assert found.atoms[rows].tolist() == expected
        assert found.molecules[index] == all(expected)


def test_all_molecules_at_once_agree_with_the_loop_over_pairs() -> None:
    data = random_molecules(300)
    assert_agrees_with_loops(data)
    assert 0 < stability(data).atoms.mean() < 1


def test_qm9_agrees_with_the_loop_over_pairs(qm9_test: CloudDataset) -> None:
    noisy = qm9_test.subset(torch.arange(0, 8000, 40))
    noisy.tensors["pos"] = noisy.tensors["pos"] + 0.03 * torch.randn(noisy.tensors["pos"].shape, generator=seeded("x"))
    assert_agrees_with_loops(noisy)


def test_the_test_molecules_of_qm9(qm9_test: CloudDataset) -> None:
    """The share of all 128,744 molecules is that of a slow test; by number of atoms, small ones fail."""
    begin = time.process_time()
    found = stability(qm9_test)
    assert time.process_time() - begin < 2  # 8,744 molecules take a tenth of a second
    assert 100 * found.molecules.mean() == pytest.approx(95.44, abs=0.005)
    assert found.by_element()[1] > 99.99
    sizes = qm9_test.num_points.numpy()
    small, large = found.molecules[sizes <= 13].mean(), found.molecules[sizes >= 23].mean()
    assert small < 0.87
    assert large > 0.999


@pytest.mark.slow
def test_all_molecules_of_qm9(qm9_test: CloudDataset) -> None:
    atoms, molecules, by_split = [], [], []
    for split in ("train", "val", "test"):
        found = stability(qm9_dataset(split, source="geometry", data_dir=SHARED_DATA))
        atoms.append(found.atoms)
        molecules.append(found.molecules)
        by_split.append(100 * found.molecules.mean())
    assert len(np.concatenate(molecules)) == 128_744
    assert 100 * np.concatenate(atoms).mean() == pytest.approx(99.44, abs=0.005)
    assert 100 * np.concatenate(molecules).mean() == pytest.approx(95.74, abs=0.005)
    assert by_split == pytest.approx([95.74, 95.96, 95.44], abs=0.005)


def test_molecules_that_are_not_finite_stay_in_the_denominators(by_hand) -> None:
    data = by_hand("methane", "water", "methane")
    data.tensors["pos"][6, 1] = math.nan
    found = stability(data)
    assert found.molecules.tolist() == [True, False, True]
    assert found.atoms.tolist() == [True] * 5 + [False] * 3 + [True] * 5
    atoms, molecules = found.figures()
    assert molecules.value == pytest.approx(100 * 2 / 3)
    assert atoms.value == pytest.approx(100 * 10 / 13)
    assert (atoms.num, molecules.num) == (3, 3)
    data.tensors["pos"][6, 1] = 1e200
    assert stability(data).molecules.tolist() == [True, False, True]


def test_atoms_of_a_molecule_fail_together_and_the_interval_knows() -> None:
    """50 molecules of 10 atoms that are stable as a whole or not: as wide as with 50 trials, not 500."""
    molecules = np.arange(50) % 2 == 0
    found = Stability(np.repeat(molecules, 10), molecules, np.repeat(np.arange(50), 10), np.ones(500, dtype=int))
    figure = found.figures()[0]
    low, high = wilson_interval(25, 50)
    assert (figure.low, figure.high) == (pytest.approx(100 * low), pytest.approx(100 * high))


def test_connected(by_hand) -> None:
    far = [(8, (0, 0, 0)), (1, (0.96, 0, 0)), (1, (50.0, 0, 0))]
    data = by_hand("benzene", far, [(6, (0, 0, 0))])
    atoms = atoms_of(data)
    assert is_connected(atoms, bonds_of(atoms)).tolist() == [True, False, True]


def test_pairs_are_all_pairs_once() -> None:
    atoms = Atoms(np.ones(6, dtype=np.int64), np.zeros((6, 3)), np.array([3, 1, 2]))
    found = sorted((int(i), int(j)) for block in atoms.pairs() for i, j in zip(*block))
    assert found == [(0, 1), (0, 2), (1, 2), (4, 5)]


def test_what_cannot_be_measured_is_refused(by_hand) -> None:
    with pytest.raises(
        ValueError, match=r"data has atomic numbers \[16\], bond lengths are known for \(1, 6, 7, 8, 9\)"
    ):
        stability(by_hand([(16, (0, 0, 0)), (1, (1.3, 0, 0))]))
    with pytest.raises(ValueError, match="data has no molecules: there is nothing to measure"):
        stability(by_hand())
    data = by_hand("water")
    flat = CloudDataset({**data.tensors, "pos": data.tensors["pos"][:, :2]}, data.fields, data.num_points)
    with pytest.raises(ValueError, match=r"needs positions \(N, 3\) in angstrom, got \(3, 2\)"):
        stability(flat)
    bare = CloudDataset({"pos": data.tensors["pos"]}, {"pos": data.fields["pos"]}, data.num_points)
    with pytest.raises(ValueError, match="needs the field 'z'"):
        stability(bare)


def test_atoms_count_for_no_more_than_themselves_and_equal_shares_for_their_molecules() -> None:
    """All atoms stable: as 50 trials. 5 of 10 in each molecule, but 4 and 6 in two: as 500, and not as more."""
    owner, z = np.repeat(np.arange(50), 10), np.ones(500, dtype=int)
    whole = Stability(np.ones(500, dtype=bool), np.ones(50, dtype=bool), owner, z).figures()[0]
    assert whole.low == pytest.approx(100 * wilson_interval(50, 50)[0])
    stable = np.tile(np.arange(10) < 5, 50)
    stable[4], stable[15] = False, True
    even = Stability(stable, np.zeros(50, dtype=bool), owner, z).figures()[0]
    assert (even.low, even.high) == pytest.approx(tuple(100 * end for end in wilson_interval(250, 500)))
