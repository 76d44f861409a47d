"""The base of tasks whose clouds are generated: clean clouds made noisy, and the denoising loss."""

from abc import ABC, abstractmethod
from collections.abc import Iterable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rapidash._seed import seeded
from rapidash.data import CloudBatch, CloudDataset, Field
from rapidash.generate._asked import Asked
from rapidash.generate._levels import LogNormalLevels
from rapidash.generate._network import LEVEL, noised
from rapidash.generate._noise import random_noise
from rapidash.generate._samplers import HeunSampler
from rapidash.generate._state import StateSpace, check_sizes, unit_length
from rapidash.geometry import centroids
from rapidash.groups import Position
from rapidash.methods import Measurement, Split

LEVELS_PER_CLOUD = 4  # of validation and test


class DenoisingTask(ABC):
    """Denoise clouds, and so generate them.

    A sample is a noisy cloud, with the clean state and the target of the network beside it. In validation and test each
    clean cloud is there at 4 levels, which lie in the quarters of a log-normal law (-1.2, 1.2), and its noise is always
    the same, so that validation selects by the denoising loss whatever the objective trains. The objective
    ``"denoising"`` draws levels and noise anew in every training step; without it the network learns from the fixed
    ones.

    A task is a frozen dataclass with the fields ``name`` and ``dim``; ``num_val`` and ``num_test``: clean clouds of
    these splits that are noised, at most; ``num_samples``: clouds that are generated for its figures, by a sampler of
    ``sampling_steps`` steps. Where points are told apart, ``kinds`` names the field of whole numbers that does it, and
    ``symbols`` the element of each kind, for files. ``has_atoms`` says that the points of samples are atoms, with their
    atomic numbers as the field ``z``.
    """

    metric: str = "denoising loss"
    unit: str = "1"
    name: str
    num_val: int
    num_test: int
    num_samples: int
    sampling_steps: int
    kinds: str | None = None
    symbols: tuple[str, ...] = ()
    has_atoms: bool = False

    @property
    @abstractmethod
    def space(self) -> StateSpace:
        """The space of the states."""

    @abstractmethod
    def clouds(self, split: Split) -> CloudDataset:
        """The clean clouds of a split: ``pos`` in the unit of the data, and what is given of a cloud.

        With a ``condition`` (B, 1) it is given, and dropped at times in training.
        """

    @abstractmethod
    def templates(
        self, indices: Int[Tensor, " B"], seed: int, constants: Float[Tensor, " K"], asked: Asked
    ) -> CloudDataset:
        """The samples with these numbers as far as they are given: as `clouds`, with positions that do not matter.

        Args:
            indices: numbers of the samples.
            seed: of the samples.
            constants: those of the training data, which the network kept, float64 on the CPU.
            asked: what is asked of these samples.
        Raises: ValueError for what the task cannot give.
        """

    @abstractmethod
    def figures(self, clouds: CloudDataset) -> Iterable[Measurement]:
        """Figures of generated clouds against test data; clouds that are not finite are not left out of any.

        A figure that has no value then is None.
        """

    @property
    def sampler(self) -> HeunSampler:
        """The sampler of the figures."""
        return HeunSampler(steps=self.sampling_steps)

    @property
    def output(self) -> Field:
        """The output of the network: velocities of states."""
        return self.space.field

    def decoded(self, samples: CloudDataset, constants: Float[Tensor, " K"]) -> CloudDataset:
        """Samples with what their generated scalars ``features`` say, such as the kind of an atom."""
        return samples

    def elements(self, samples: CloudDataset) -> list[str] | None:
        """The element of every point, for files and pictures; None where there are none."""
        if self.kinds is None or not self.symbols:
            return None
        return [self.symbols[kind] for kind in samples.tensors[self.kinds].tolist()]

    def bonds(self, samples: CloudDataset) -> Int[Tensor, "K 2"]:
        """Pairs of points of one cloud between which pictures have a line, numbered through all clouds."""
        return torch.zeros(0, 2, dtype=torch.long)

    def energies(self, clouds: CloudDataset) -> Float[Tensor, " B"] | None:
        """The energy E of every cloud in units of k_B T, where the density is known to be exp(-E); None elsewhere."""
        return None

    @property
    def num_own_constants(self) -> int:
        """Numbers of the training data that the task keeps beside those of `CONSTANTS`."""
        return 0

    def constants(self) -> Float[Tensor, " K"]:
        """The numbers of the training data that a network keeps, `CONSTANTS` first, float64.

        Raises: ValueError for a condition that most clouds share.
        """
        train = self.clouds("train")
        found = [unit_length(train)]
        if "condition" in train.tensors:
            given = train.tensors["condition"].double()
            low, middle, high = given.quantile(given.new_tensor([0.16, 0.5, 0.84])).tolist()
            if not low < high:
                raise ValueError(f"the condition is {middle:.4g} for most training clouds: there is nothing to ask for")
            found += [middle, (high - low) / 2, float(given.min()), float(given.max())]
        return torch.tensor(found, dtype=torch.float64)

    def states(self, clouds: CloudDataset, constants: Float[Tensor, " K"]) -> Float[Tensor, "N W"]:
        """The clean states of clouds, in the network's unit of length; tasks with scalars add them."""
        pos = clouds.tensors["pos"].double()
        batch = torch.repeat_interleave(torch.arange(len(clouds)), clouds.num_points)
        return (pos - centroids(pos, batch, len(clouds))[batch]) / constants[0]

    def dataset(self, split: Split) -> CloudDataset:
        """The noisy clouds of a split.

        Raises: ValueError for a cloud of one point.
        """
        train = self.clouds("train")
        data = train if split == "train" else self.clouds(split)
        check_sizes(data.num_points)
        constants, copies = self.constants(), 1 if split == "train" else LEVELS_PER_CLOUD
        most = {"train": len(data), "val": self.num_val, "test": self.num_test}[split]
        kept = torch.linspace(0, len(data) - 1, min(most, len(data))).long()
        data = data.subset(kept.repeat_interleave(copies))
        batch = data.batch(torch.arange(len(data)))
        rng = seeded(0, split, "noise")
        shares = torch.rand(len(data), generator=rng, dtype=torch.float64) + torch.arange(len(data)) % copies
        noise = random_noise(self.space, batch.batch, len(data), rng)
        clean, known = self.states(data, constants).to(batch.pos), constants.to(batch.pos).repeat(len(data), 1)
        batch = batch.with_tensor("clean", clean, self.space.field).with_tensor("constants", known, LEVEL)
        batch = noised(batch, self.space, LogNormalLevels().quantile(shares / copies), noise)
        return CloudDataset(batch.tensors, batch.fields, data.num_points)

    def loss(self, prediction: Float[Tensor, "N W"], batch: CloudBatch) -> Float[Tensor, ""]:
        """Mean of the errors."""
        return self.errors(prediction, batch).mean()

    def errors(self, prediction: Float[Tensor, "N W"], batch: CloudBatch) -> Float[Tensor, " B"]:
        """Mean square of F - T over the degrees of freedom of a cloud's positions, and the same of its scalars."""
        return self.space.mean_square(prediction - batch["target"], batch.batch, batch.num_clouds)


def placeholder(
    num_points: Int[Tensor, " B"], dim: int, unit: str, tensors: dict[str, Tensor], fields: dict[str, Field]
) -> CloudDataset:
    """Clouds of given sizes and fields whose positions, in a unit, are still to come."""
    pos = torch.zeros(int(num_points.sum()), dim)
    return CloudDataset({"pos": pos, **tensors}, {"pos": Field(Position(), unit), **fields}, num_points)
