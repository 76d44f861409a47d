"""Small molecules, generated: the positions and the elements of their atoms."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from importlib.util import find_spec
from typing import Literal, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from rapidash.data import CloudDataset, Field
from rapidash.datasets import ELEMENT_SYMBOLS, OnError, Qm9Source, qm9_dataset
from rapidash.generate import (
    Asked,
    DenoisingTask,
    HeunSampler,
    SizeLaw,
    StateSpace,
    density_ledger,
    placeholder,
)
from rapidash.generate.metrics import Figure, molecule_figures, near_pairs, rotational_constants, smiles
from rapidash.groups import Scalar
from rapidash.methods import Measurement, Split, Variant
from rapidash.symmetry import Ledger
from rapidash.tasks._cloud_denoiser import CloudDenoiser
from rapidash.tasks._point_inputs import network_ledger
from rapidash.tasks._split_sizes import check_split_sizes, split_sizes

Condition = Literal["none", "rotational-constant"]
Solver = Literal["heun", "heun-without-noise", "released"]
_ELEMENTS: Mapping[str, tuple[int, ...]] = {"geometry": (1, 6, 7, 8), "b3lyp": (1, 6, 7, 8, 9)}  # by source
_LARGEST = 29  # atoms of a molecule of QM9
_CONSTANT = Field(Scalar(), "GHz", "cloud")
_WANTED = ("sound (perceived)", "sound and unique (perceived)")  # the more the better, whatever real molecules have
_READ = (
    *("valid (classic)", "unique of valid (classic)", "valid and unique (classic)", "sound (lookup)"),
    *("sound (perceived)", "unique of sound (perceived)", "sound and unique (perceived)"),
    "novel of unique (perceived)",
)
_STRAINED = {
    "strain energy of sound ones (MMFF94)": "kcal/mol",
    "motion of sound ones in relaxation (MMFF94)": "angstrom",
}
"""Figures that need RDKit: shares, and those with a unit."""


@dataclass(frozen=True)
class Qm9GenTask(DenoisingTask):
    r"""Molecules of QM9 with at most ``max_atoms`` atoms: positions and elements are generated.

    The elements are a scalar field of the state, :math:`h = s\,(e - p) / r` with one-hot vectors e, their mean p over
    the atoms of the training molecules, and their root mean square deviation r, so that s is the standard deviation of
    h; a sample has the elements of the largest entries of :math:`r h / s + p`. The number of atoms is drawn from that
    of the training molecules, with a condition from that of the tenth of them whose condition is nearest.

    Figures of samples, against all test molecules of the size: those of `rapidash.generate.metrics.molecule_figures`,
    with 95 % intervals over samples. Those that need RDKit (extra ``mol``) have no value without it. With a condition
    also the median relative difference of the rotational constant C of a sample from what was asked for, and from what
    was asked of another sample; it is computed from the generated atoms, without any model.

    Args:
        source: "geometry" (no fluorine) or "b3lyp", see `rapidash.datasets.qm9_dataset`.
        max_atoms: 3 to 29.
        type_spread: s, positive; the smaller, the later in sampling elements are settled.
        condition: ``"rotational-constant"``: networks are told C in GHz, and asked for it.
        solver: of the figures: ``"heun"``, ``"heun-without-noise"`` (churn 0), or ``"released"``, see `HeunSampler`.
        num_train: training molecules, at most; None: all.
        num_val, num_test: molecules of validation and test that are noised, at most, each at 4 levels.
        num_samples: generated for the figures.
        sampling_steps: of the sampler that generates them; the released one has 50.
        data_dir: folder or file; default: RAPIDASH_DATA.
        on_error: "skip" leaves bad molecules out, counted and reported; "raise" stops at the first.
        verify: compare the checksum of the file.
    Raises: ValueError for values outside the above, or fewer than two steps.
    Source: Ramakrishnan et al., Scientific Data 1, 140022 (2014); Hoogeboom et al., "Equivariant Diffusion for Molecule
        Generation in 3D", ICML 2022 (elements as scalars beside positions).
    """

    source: Qm9Source = "geometry"
    max_atoms: int = 13
    type_spread: float = 0.4
    condition: Condition = "none"
    solver: Solver = "heun"
    num_train: int | None = None
    num_val: int = 250
    num_test: int = 500
    num_samples: int = 1000
    sampling_steps: int = 25
    data_dir: str | None = None
    on_error: OnError = "raise"
    verify: bool = True

    name: str = field(default="qm9-gen", init=False)
    dim: int = field(default=3, init=False)
    has_atoms = True

    def __post_init__(self) -> None:
        check_split_sizes(self)
        self.sampler  # noqa: B018  (which checks the steps)
        for option, allowed in (
            ("source", _ELEMENTS),
            ("condition", get_args(Condition)),
            ("solver", get_args(Solver)),
        ):
            if getattr(self, option) not in allowed:
                raise ValueError(f"{option} must be one of {tuple(allowed)}, got {getattr(self, option)!r}")
        if not 3 <= self.max_atoms <= _LARGEST or self.num_samples < 1:
            raise ValueError(
                f"max_atoms must be from 3 to {_LARGEST} and num_samples at least 1, got {self.max_atoms} and "
                f"{self.num_samples}"
            )
        if not 0 < self.type_spread < math.inf:
            raise ValueError(f"type_spread must be positive and finite, got {self.type_spread}")

    @property
    def atomic_numbers(self) -> tuple[int, ...]:
        """The elements of the data."""
        return _ELEMENTS[self.source]

    @property
    def space(self) -> StateSpace:
        """Positions, and a scalar for each element."""
        return StateSpace(3, len(self.atomic_numbers), scalar_spread=self.type_spread)

    @property
    def sampler(self) -> HeunSampler:
        """That of the figures."""
        if self.solver == "released":
            return HeunSampler.released()
        return HeunSampler(self.sampling_steps, churn=0.4 if self.solver == "heun" else 0.0)

    def clouds(self, split: Split) -> CloudDataset:
        """The molecules of a split with pos, z and, where it is asked for, their rotational constant C as condition.

        Raises: FileNotFoundError; DataError for a damaged file; ValueError for a source without C, another element, or
            no molecule of the size.
        """
        data = _molecules(split, self.source, self.data_dir, self.on_error, self.verify, self.max_atoms)
        if unknown := {*data.tensors["z"].unique().tolist()} - {*self.atomic_numbers}:
            raise ValueError(f"{self.name} with source={self.source!r} has no elements {sorted(unknown)}")
        tensors = {name: data.tensors[name] for name in ("pos", "z")}
        fields = {name: data.fields[name] for name in tensors}
        if self.condition != "none":
            if "c" not in data.tensors:
                raise ValueError(f"source={self.source!r} has no rotational constant 'c' for this data")
            tensors["condition"], fields["condition"] = data.tensors["c"].float(), _CONSTANT
        found, size = CloudDataset(tensors, fields, data.num_points), split_sizes(self)[split]
        if split == "train" and size is not None and size < len(found):
            return found.subset(torch.arange(size))
        return found

    @property
    def num_own_constants(self) -> int:
        """Shares and spread of the elements, and the law of the number of atoms."""
        has_condition = self.condition != "none"
        return len(self.atomic_numbers) + 1 + SizeLaw.num_numbers(self.max_atoms, has_condition=has_condition)

    def constants(self) -> Float[Tensor, " K"]:
        """The common ones, p, r and the law of the number of atoms."""
        train = self.clouds("train")
        types = self._one_hot(train.tensors["z"])
        mean = types.mean(0)
        spread = (types - mean).square().mean().sqrt()
        given = train.tensors["condition"][:, 0] if self.condition != "none" else None
        law = SizeLaw.of(train.num_points, self.max_atoms, given)
        return torch.cat([super().constants(), mean, spread[None], law.numbers()])

    def states(self, clouds: CloudDataset, constants: Float[Tensor, " K"]) -> Float[Tensor, "N W"]:
        """Positions and elements."""
        mean, spread, _ = self._own(constants)
        types = self.type_spread * (self._one_hot(clouds.tensors["z"]) - mean) / spread
        return torch.cat([super().states(clouds, constants), types], dim=1)

    def templates(
        self, indices: Int[Tensor, " B"], seed: int, constants: Float[Tensor, " K"], asked: Asked
    ) -> CloudDataset:
        """Numbers of atoms, and conditions, as likely as in the training molecules."""
        law = SizeLaw.from_numbers(self._own(constants)[2], self.max_atoms)
        wanted: list[float | None] = [None] * len(indices)
        if asked.condition is not None:
            wanted = list(asked.condition[:, 0].tolist())
        drawn = [law.draw(seed, index, given) for index, given in zip(indices.tolist(), wanted, strict=True)]
        num_points = asked.num_points
        if num_points is None:
            num_points = torch.tensor([count for count, _ in drawn])
        if self.condition == "none":
            return placeholder(num_points, 3, "angstrom", {}, {})
        condition = torch.tensor([[given] for _, given in drawn], dtype=torch.float32)
        return placeholder(num_points, 3, "angstrom", {"condition": condition}, {"condition": _CONSTANT})

    def decoded(self, samples: CloudDataset, constants: Float[Tensor, " K"]) -> CloudDataset:
        """The atomic number of every atom as field z."""
        mean, spread, _ = self._own(constants)
        types = samples.tensors["features"].double() * spread / self.type_spread + mean
        z = torch.tensor(self.atomic_numbers)[types.nan_to_num(0.0).argmax(1)]
        return CloudDataset({**samples.tensors, "z": z}, {**samples.fields, "z": Field(Scalar())}, samples.num_points)

    def elements(self, samples: CloudDataset) -> list[str]:
        """The symbol of every atom."""
        return [ELEMENT_SYMBOLS[z - 1] for z in samples.tensors["z"].tolist()]

    def bonds(self, samples: CloudDataset) -> Int[Tensor, "K 2"]:
        """By length."""
        return near_pairs(samples)

    def figures(self, clouds: CloudDataset) -> Iterable[Measurement]:
        """Figures of molecules against test molecules; of those that need RDKit None without it."""
        test, has_rdkit = self.clouds("test"), find_spec("rdkit") is not None
        known = self._known if has_rdkit else None
        found = {figure.name: figure for figure in molecule_figures(clouds, test, known=known, perception=has_rdkit)}
        if not has_rdkit:
            units = dict.fromkeys(_READ, "%") | _STRAINED
            found |= {name: Figure(name, math.nan, None, None, len(clouds), unit) for name, unit in units.items()}
        yield from (_measurement(figure) for figure in found.values())
        if self.condition == "none":
            return
        constant = torch.from_numpy(rotational_constants(clouds)[:, 1])
        asked = clouds.tensors["condition"][:, 0].double()
        for name, other in (("asked for", asked), ("asked of another sample", asked.roll(1))):
            middle = 100 * float(((constant - other).abs() / other).nan_to_num(torch.inf).median())
            value = middle if middle < torch.inf else None
            yield Measurement(f"median difference from the rotational constant {name}", value, "%", better="")

    def build(self, variant: Variant) -> nn.Module:
        """The network of a variant with fresh weights from torch's global generator."""
        return CloudDenoiser(
            variant,
            self.space,
            is_conditional=self.condition != "none",
            num_own_constants=self.num_own_constants,
        )

    def ledger(self, variant: Variant) -> Ledger:
        """Effective symmetry of a variant, and what it says of samples."""
        with torch.random.fork_rng():
            return density_ledger(network_ledger(self.build(variant)), variant)

    @cached_property
    def _known(self) -> frozenset[str]:
        """SMILES of the training molecules."""
        return frozenset(text for text in smiles(self.clouds("train")) if text is not None)

    def _one_hot(self, z: Int[Tensor, " N"]) -> Float[Tensor, "N F"]:
        return (z[:, None] == torch.tensor(self.atomic_numbers)).double()

    def _own(self, constants: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """p (F,), r, and the numbers of the law of sizes."""
        own, num = constants[-self.num_own_constants :].double(), len(self.atomic_numbers)
        return own[:num], own[num], own[num + 1 :]


def _measurement(figure: Figure) -> Measurement:
    value = None if math.isnan(figure.value) else figure.value
    better: Literal["lower", "higher", ""] = "higher" if figure.name in _WANTED else ""
    if figure.name.startswith(("W1", "total variation")):
        better = "lower"
    return Measurement(figure.name, value, figure.unit, better=better, low=figure.low, high=figure.high)


@lru_cache(maxsize=12)
def _molecules(
    split: Split, source: Qm9Source, data_dir: str | None, on_error: OnError, verify: bool, max_atoms: int
) -> CloudDataset:
    data = qm9_dataset(split, source=source, data_dir=data_dir, on_error=on_error, verify=verify)
    kept = torch.nonzero(data.num_points <= max_atoms).flatten()
    if not len(kept):
        raise ValueError(f"no {split} molecule has at most max_atoms={max_atoms} atoms")
    return data.subset(kept)
