"""Conformations of alanine dipeptide, generated: five beads, whose density is chiral."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from rapidash._seed import seeded
from rapidash.data import CloudDataset, Field
from rapidash.datasets import DataError, OnError, ala2_dataset
from rapidash.generate import (
    Asked,
    DenoisingTask,
    StateSpace,
    chain_angles,
    chain_lengths,
    density_ledger,
    dihedral_angles,
    js_divergence,
    placeholder,
    torus_histogram,
)
from rapidash.generate.metrics import wasserstein
from rapidash.groups import Scalar
from rapidash.methods import Measurement, Split, Variant
from rapidash.symmetry import Ledger
from rapidash.tasks._cloud_denoiser import CloudDenoiser
from rapidash.tasks._point_inputs import network_ledger
from rapidash.tasks._split_sizes import check_split_sizes

_BEADS, _CELLS, _BLOCKS = 5, 24, 100
_BLOCKS_OF = {"train": slice(0, 75), "val": slice(75, 80), "test": slice(80, 100)}
_MILLI, _DEGREES = 1000.0, 180 / torch.pi


@dataclass(frozen=True)
class Ala2GenTask(DenoisingTask):
    """Conformations of alanine dipeptide at 300 K: positions of its five backbone beads, which are told apart.

    The frames are split by blocks of 100 (1 ns), 75 : 5 : 20, since neighboring frames are alike. Figures of samples,
    against all test frames: the Jensen-Shannon divergence of the histogram of (phi, psi) on 24 x 24 cells, the share
    with phi > 0 (mirror images of the common conformations), and the Wasserstein distance of the four bond lengths and
    of the three angles.

    Args:
        num_train: training frames, at most, evenly spaced; None: all.
        num_val, num_test: frames of validation and test that are noised, at most, each at 4 levels.
        num_samples: generated for the figures.
        sampling_steps: of the sampler that generates them.
        data_dir: folder or file; default: RAPIDASH_DATA.
        on_error: "skip" leaves bad frames out, counted and reported; "raise" stops at the first.
        verify: compare the checksum of the file.
    Raises: ValueError for sizes below 1, or fewer than two steps.
    Source: Wang et al., ACS Central Science 2019 (data).
    """

    num_train: int | None = None
    num_val: int = 250
    num_test: int = 500
    num_samples: int = 2000
    sampling_steps: int = 24
    data_dir: str | None = None
    on_error: OnError = "raise"
    verify: bool = True

    name: str = field(default="ala2-gen", init=False)
    dim: int = field(default=3, init=False)
    kinds = "bead"
    symbols = ("C", "N", "C", "C", "N")

    def __post_init__(self) -> None:
        check_split_sizes(self)
        self.sampler  # noqa: B018  (which checks the steps)
        if self.num_samples < 1:
            raise ValueError(f"num_samples must be at least 1, got {self.num_samples}")

    @property
    def space(self) -> StateSpace:
        """Positions alone."""
        return StateSpace(3)

    @cached_property
    def _frames(self) -> CloudDataset:
        data = ala2_dataset(data_dir=self.data_dir, on_error=self.on_error, verify=self.verify)
        names = ("pos", "bead")
        return CloudDataset(
            {name: data.tensors[name] for name in names}, {name: data.fields[name] for name in names}, data.num_points
        )

    def clouds(self, split: Split) -> CloudDataset:
        """The frames of a split.

        Raises: FileNotFoundError; DataError for a damaged file, or fewer than 100 frames.
        """
        frames = self._frames
        if len(frames) < _BLOCKS:
            raise DataError(
                f"{len(frames)} frames are too few: they are split by {_BLOCKS} blocks, of one frame at least"
            )
        blocks = torch.arange(len(frames)).tensor_split(_BLOCKS)
        order = torch.randperm(_BLOCKS, generator=seeded("ala2-gen", "blocks"))[_BLOCKS_OF[split]]
        found = torch.cat([blocks[block] for block in order.sort().values.tolist()])
        if split == "train" and self.num_train is not None and self.num_train < len(found):
            found = found[torch.linspace(0, len(found) - 1, self.num_train).long()]
        return frames.subset(found)

    def templates(
        self, indices: Int[Tensor, " B"], seed: int, constants: Float[Tensor, " K"], asked: Asked
    ) -> CloudDataset:
        """Five beads each."""
        asked.check_sizes(_BEADS, "conformations")
        num_points = torch.full((len(indices),), _BEADS)
        beads = torch.arange(_BEADS).repeat(len(indices))
        return placeholder(num_points, 3, "angstrom", {"bead": beads}, {"bead": Field(Scalar())})

    def bonds(self, samples: CloudDataset) -> Int[Tensor, "K 2"]:
        """Along the chain."""
        first = torch.arange(_BEADS * len(samples)).view(-1, _BEADS)[:, :-1].flatten()
        return torch.stack([first, first + 1], dim=1)

    def figures(self, clouds: CloudDataset) -> Iterable[Measurement]:
        """Figures of conformations against test frames; those of lengths and angles need finite positions."""
        chains, test = _chains(clouds), _chains(self.clouds("test"))
        cells, cells_of_test = (torus_histogram(*_torsions(data), _CELLS) for data in (chains, test))
        yield Measurement("JS divergence of (phi, psi)", js_divergence(cells, cells_of_test), "nats", better="lower")
        share = 100 * float((_torsions(chains)[0] > 0).double().mean())
        yield Measurement("share with phi > 0", share, "%", better="")
        is_good = bool(torch.isfinite(chains).all())
        bonds = _MILLI * _distance(chain_lengths(chains), chain_lengths(test)) if is_good else None
        angles = _DEGREES * _distance(chain_angles(chains), chain_angles(test)) if is_good else None
        yield Measurement("W1 of bond lengths", bonds, "mA", better="lower")
        yield Measurement("W1 of bond angles", angles, "deg", better="lower")

    def build(self, variant: Variant) -> nn.Module:
        """The network of a variant with fresh weights from torch's global generator."""
        return CloudDenoiser(variant, self.space, kinds="bead", num_kinds=_BEADS)

    def ledger(self, variant: Variant) -> Ledger:
        """Effective symmetry of a variant, and what it says of samples."""
        with torch.random.fork_rng():
            return density_ledger(network_ledger(self.build(variant)), variant)


def _chains(data: CloudDataset) -> Float[Tensor, "B 5 3"]:
    return data.tensors["pos"].double().view(-1, _BEADS, 3)


def _torsions(chains: Float[Tensor, "B 5 3"]) -> tuple[Tensor, Tensor]:
    """Phi and psi."""
    return dihedral_angles(chains[:, :4]), dihedral_angles(chains[:, 1:])


def _distance(values: Float[Tensor, "B K"], others: Float[Tensor, "B2 K"]) -> float:
    """The Wasserstein distance of each column, averaged."""
    columns = zip(values.T.numpy(), others.T.numpy())
    return sum(wasserstein(*pair) for pair in columns) / values.shape[1]
