"""All figures of generated molecules in one report, beside those of real ones."""

from collections.abc import Collection
from dataclasses import replace

import numpy as np
import torch

from rapidash.data import CloudDataset
from rapidash.generate.metrics._atoms import Atoms, Floats, Ints, atoms_of
from rapidash.generate.metrics._bond_lengths import ELEMENTS
from rapidash.generate.metrics._bonds import Bonds, bonds_of, is_connected
from rapidash.generate.metrics._figure import Figure, median_ends, normal_ends, share_figure
from rapidash.generate.metrics._geometry import Described, describe
from rapidash.generate.metrics._perception import smiles_of
from rapidash.generate.metrics._stability import stability_of
from rapidash.generate.metrics._strain import Strain, strain_of
from rapidash.generate.metrics._wasserstein import wasserstein, wasserstein_error

CLASSIC_NOTE = (
    "RDKit fills missing valences with hydrogens and only the largest fragment counts: a molecule without one of its "
    "hydrogens, and two molecules far apart, are valid"
)
UNIQUE_NOTE = "falls with the number of samples: compare at the same number only"
NOVEL_NOTE = "QM9 enumerates its molecules, so a high share is no virtue there: to be shown, not to rank by"
STRAIN_NOTE = (
    "median of what relaxation by MMFF94 takes, of at most 500 sound ones: the fewer are sound, the easier they may "
    "be; real molecules are not at 0, since the force field is not the theory of the data"
)
DISTANCE_NOTE = (
    "of what the finite samples have: bonds that are not found have no length; 'real' is the distance between training "
    "data and reference"
)

_RELAXED = 500  # molecules at most, for the strain


def molecule_figures(
    samples: CloudDataset,
    reference: CloudDataset,
    *,
    training: CloudDataset | None = None,
    known: Collection[str] | None = None,
    perception: bool = True,
    num_resamples: int = 100,
    seed: int = 0,
) -> tuple[Figure, ...]:
    """The figures of generated molecules: shares, strain, and distances of distributions from those of real ones.

    Shares are of all samples, in %, with Wilson's interval: finite; "stable" and "connected" by the bond lookup; "valid
    (classic)"; "sound (lookup)" and "sound (perceived)", see `smiles`; distinct SMILES, of the sound ones and of all;
    novel ones, of the distinct. Strain: the median energy and motion of relaxing at most 500 sound ones, see `strain`,
    with an interval by ranks. Distances: half the sum of |p - q| over elements and over sizes, and the Wasserstein
    distances of bond lengths, angles, dihedrals, rms radius and rotational constants, with normal intervals whose
    error is that of drawing the samples again (the part below 0 is cut off).

    A sample that is not finite is never stable, connected, valid or sound, and stays in the denominators; it has no
    geometry to compare. Every figure is named with its protocol, and ``real`` is the same figure of real molecules.

    Args:
        samples: molecules with fields pos (N, 3) in angstrom and z (N,).
        reference: real molecules, the test set.
        training: real molecules of the training set, for the distances between it and the reference.
        known: SMILES of the training molecules by the same perception, `smiles`, for the share of novel ones.
        perception: also what needs RDKit (extra ``mol``).
        num_resamples: draws for the intervals of distances.
        seed: of these draws, and of the training molecules that are compared, as many as there are samples.
    Returns: the figures; `figures_table` prints them.
    Raises: ValueError for no molecules, elements other than H, C, N, O, F, fewer than 2 draws, or ``known`` without
        perception; ImportError without RDKit.
    """
    if num_resamples < 2:
        raise ValueError(f"num_resamples must be at least 2 for an interval, got {num_resamples}")
    if known is not None and not perception:
        raise ValueError("known needs perception=True: novel molecules are told by their SMILES")
    rng = np.random.default_rng(seed)
    if training is not None and len(training) > len(samples):
        training = _drawn(training, len(samples), rng)
    made, real = _Measured(samples, "samples"), _Measured(reference, "reference")
    past = None if training is None else _Measured(training, "training")
    figures = [*_lookup_figures(made, real)]
    if perception:
        figures += _read_figures(made, real, known)
    weights = _draws(len(samples), num_resamples, rng)
    return (*figures, *_composition_figures(made, real, past, weights), *_distances(made, real, past, weights))


class _Measured:
    """Molecules, with their bonds by length."""

    def __init__(self, data: CloudDataset, name: str) -> None:
        self.atoms: Atoms = atoms_of(data, name)
        self.bonds: Bonds = bonds_of(self.atoms)

    def __len__(self) -> int:
        return len(self.atoms.sizes)


def _drawn(data: CloudDataset, num: int, rng: np.random.Generator) -> CloudDataset:
    return data.subset(torch.from_numpy(np.sort(rng.permutation(len(data))[:num])))


def _draws(num: int, num_resamples: int, rng: np.random.Generator) -> Ints:
    """(R, B) how often each molecule is drawn when all are drawn again, with replacement."""
    return np.stack([np.bincount(rng.integers(num, size=num), minlength=num) for _ in range(num_resamples)])


def _lookup_figures(made: _Measured, real: _Measured) -> list[Figure]:
    """Shares that need no RDKit, with those of real molecules."""
    columns = []
    for one in (made, real):
        connected = int(is_connected(one.atoms, one.bonds).sum())
        columns.append(
            (
                share_figure("finite", int(one.atoms.is_finite.sum()), len(one)),
                *stability_of(one.atoms, one.bonds).figures(),
                share_figure("connected (bond lookup)", connected, len(one)),
            )
        )
    return [replace(own, real=other.value) for own, other in zip(*columns)]


def _read_figures(made: _Measured, real: _Measured, known: Collection[str] | None) -> list[Figure]:
    """Shares of what RDKit reads, by protocol."""
    own, other = (
        {
            "classic": smiles_of(one.atoms, one.bonds, "classic"),
            "lookup": smiles_of(one.atoms, one.bonds, "lookup"),
            "perceived": smiles_of(one.atoms, None, "perceived"),
        }
        for one in (made, real)
    )
    figures = []
    for protocol, name, note in (
        ("classic", "valid (classic)", CLASSIC_NOTE),
        ("lookup", "sound (lookup)", ""),
        ("perceived", "sound (perceived)", ""),
    ):
        share = 100 * np.mean([text is not None for text in other[protocol]])
        count = sum(text is not None for text in own[protocol])
        figures.append(share_figure(name, count, len(made), real=float(share), note=note))
        if protocol != "lookup":
            distinct = len({*own[protocol]} - {None})
            word, kind = name.split(" ", maxsplit=1)
            all_of = 100 * distinct / len(made)
            of_valid = 100 * distinct / count if count else float("nan")
            figures.append(Figure(f"unique of {word} {kind}", of_valid, None, None, count, "%", None, UNIQUE_NOTE))
            figures.append(Figure(f"{word} and unique {kind}", all_of, None, None, len(made), "%", None, UNIQUE_NOTE))
    if known is not None:
        distinct_sound = {*own["perceived"]} - {None}
        figures.append(_novel(distinct_sound, {*known}))
    return figures + _strain_figures(_strain(made, own["perceived"]), _strain(real, other["perceived"]))


def _strain(one: _Measured, texts: list[str | None]) -> Strain:
    """Of at most 500 sound molecules, evenly spaced."""
    sound = np.flatnonzero([text is not None for text in texts])
    places = np.linspace(0, len(sound) - 1, min(_RELAXED, len(sound))).astype(np.int64)
    found = strain_of(one.atoms, sound[places].tolist())
    has_value = np.isfinite(found.energy)
    return Strain(found.energy[has_value], found.motion[has_value])


def _strain_figures(own: Strain, other: Strain) -> list[Figure]:
    figures = []
    for name, values, real, unit in (
        ("strain energy of sound ones (MMFF94)", own.energy, other.energy, "kcal/mol"),
        ("motion of sound ones in relaxation (MMFF94)", own.motion, other.motion, "angstrom"),
    ):
        middle, of_real = (float(np.median(column)) if len(column) else float("nan") for column in (values, real))
        figures.append(Figure(name, middle, *median_ends(values.tolist()), len(values), unit, of_real, STRAIN_NOTE))
    return figures


def _novel(distinct: set[str | None], known: set[str]) -> Figure:
    name = "novel of unique (perceived)"
    if not distinct:
        return Figure(name, float("nan"), None, None, 0, "%", None, NOVEL_NOTE)
    return share_figure(name, len(distinct - known), len(distinct), note=NOVEL_NOTE)


def _composition_figures(made: _Measured, real: _Measured, past: _Measured | None, weights: Ints) -> list[Figure]:
    """Total variation of the shares of elements, and of the numbers of atoms, over all samples."""
    largest = max(int(one.atoms.sizes.max()) for one in (made, real, past) if one is not None)
    figures = []
    for name, count in (("elements", _element_counts), ("number of atoms", lambda one: _size_counts(one, largest))):
        own, other = count(made), count(real).sum(axis=0)
        value = _total_variation(own.sum(axis=0), other)
        varied = [_total_variation(drawn @ own, other) for drawn in weights]
        error = float(np.std(varied, ddof=1)) if len(made) > 1 else float("nan")
        floor = None if past is None else 100 * _total_variation(count(past).sum(axis=0), other)
        figures.append(_with_error(f"total variation of {name}", 100 * value, 100 * error, len(made), "%", floor))
    return figures


def _element_counts(one: _Measured) -> Ints:
    """(B, elements) atoms of each element in each molecule."""
    return np.stack([np.bincount(one.atoms.owner, one.atoms.z == z) for z in ELEMENTS], axis=1).astype(np.int64)


def _size_counts(one: _Measured, largest: int) -> Ints:
    """(B, largest) 1 at the number of atoms."""
    return (one.atoms.sizes[:, None] == np.arange(1, largest + 1)).astype(np.int64)


def _total_variation(p: Ints, q: Ints) -> float:
    return float(np.abs(p / p.sum() - q / q.sum()).sum() / 2)


def _distances(made: _Measured, real: _Measured, past: _Measured | None, weights: Ints) -> list[Figure]:
    own, other = (describe(one.atoms, one.bonds) for one in (made, real))
    before = None if past is None else describe(past.atoms, past.bonds)
    figures = []
    for name, numbers in own.items():
        value, period = _distance(numbers, other[name].values), numbers.period
        error = wasserstein_error(numbers.values, numbers.owner, other[name].values, weights, period=period)
        floor = None if before is None else _distance(before[name], other[name].values)
        full = f"W1 of {name}" + (" (bond lookup)" if numbers.unit in ("pm", "deg") else "")
        num = len(np.unique(numbers.owner))
        figures.append(_with_error(full, value, error, num, numbers.unit, floor, DISTANCE_NOTE))
    return figures


def _distance(numbers: Described, other: Floats) -> float:
    return wasserstein(numbers.values, other, period=numbers.period)


def _with_error(
    name: str, value: float, error: float, num: int, unit: str, real: float | None, note: str = ""
) -> Figure:
    """A distance, which is never below 0, with its normal interval."""
    low, high = normal_ends(value, error)
    return Figure(name, value, low, high, num, unit, real, note)
