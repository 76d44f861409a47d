"""Denoising as an objective: new levels and new noise in every training step."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, get_args

import torch
from torch import Tensor, nn

from rapidash._plain import check_fields
from rapidash.data import Batch, CloudBatch, Dataset, MovedDataset
from rapidash.generate._coupling import aligned, turns_to_noise
from rapidash.generate._levels import Law, parse_levels
from rapidash.generate._network import DenoisingNetwork, denoising_part, noised
from rapidash.generate._noise import random_noise
from rapidash.generate._pose import canonical_rotations
from rapidash.generate._task import DenoisingTask
from rapidash.methods import Control, Objective, OrbitAverage, Score, Step, Supervised

if TYPE_CHECKING:
    from rapidash.methods import Task

Coupling = Literal["independent", "aligned"]
Conditioning = Literal["scalar", "modulation"]
Pose = Literal["data", "canonical", "turned"]


@dataclass(frozen=True)
class Denoising(Objective):
    """Squared error of F at random noise levels, weighted as the law of the levels says; new noise in every step.

    Diffusion and flow matching differ in the law of the levels and their weights, and have one network and one target.
    Runs are scored by the denoising loss of the task at its fixed levels, without weights, whatever they trained with.

    Args:
        levels: ``"log-normal"``: diffusion with ln sigma ~ N(-1.2, 1.2^2), or flow matching with the time
            ``"uniform-time"`` or ``"logit-normal-time"``.
        coupling: of noise and data, ``"independent"``, or ``"aligned"``: the cloud is turned and points of one kind
            swapped towards their noise, see `aligned`.
        reflections: whether aligned clouds may be mirrored too.
        conditioning: how the network knows the level: ``"scalar"``: as an input of every point, or ``"modulation"``: as
            one that modulates the features before every block as well, see `LevelModulation`.
        drop_condition: share of the clouds that are trained without their condition, in [0, 1).
        pose: how every pose of samples becomes as likely as another, whatever the network is. ``"data"``: not at all;
            ``"canonical"``: clouds are learned and scored turned by `canonical_rotations`, and samples turned at
            random, so the denoising loss is that of an easier problem; ``"turned"``: only in sampling, the network sees
            the state of every cloud turned at random, anew in each call, and its output is turned back.
    Raises: ValueError for values outside the above, or a task that does not generate.
    Source: Karras et al., NeurIPS 2022; Lipman et al., "Flow Matching for Generative Modeling", ICLR 2023; Zhang et
        al., "SymDiff", arXiv 2410.06262 (turned states).
    """

    levels: Law = "log-normal"
    coupling: Coupling = "independent"
    reflections: bool = False
    conditioning: Conditioning = "scalar"
    drop_condition: float = 0.1
    pose: Pose = field(default="data", metadata={"absent": "data"})

    def __post_init__(self) -> None:
        check_fields(self)
        parse_levels(self.levels)
        choices = {"coupling": Coupling, "conditioning": Conditioning, "pose": Pose}
        for name, allowed in ((name, get_args(kind)) for name, kind in choices.items()):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {allowed}, got {getattr(self, name)!r}")
        if self.coupling == "aligned" and self.pose == "canonical":
            raise ValueError(
                "coupling='aligned' turns clouds towards their noise, pose='canonical' into one pose: take one"
            )
        if not 0 <= self.drop_condition < 1:
            raise ValueError(f"drop_condition must be in [0, 1), got {self.drop_condition}")

    def modify(self, model: nn.Module, task: "Task") -> nn.Module:
        """The model, modulated by the level where that is asked for.

        Raises: ValueError for a task that does not generate, or a network that cannot be modulated.
        """
        if not isinstance(task, DenoisingTask):
            raise ValueError(
                f"the objective 'denoising' needs a task that generates, such as 'ala2-gen': {task.name!r}"
            )
        if self.conditioning == "modulation":
            denoising_part(model).modulate()
        network = denoising_part(model)
        network.turns_samples, network.turns_states = self.pose == "canonical", self.pose == "turned"
        return model

    def control(self, model: nn.Module, total_steps: int) -> "NoiseControl":
        """Makes the batches noisy."""
        return NoiseControl(self, denoising_part(model))

    def step(self, model: nn.Module, task: "Task", batch: Batch, rng: torch.Generator) -> Step:
        """The weighted error of F."""
        assert isinstance(task, DenoisingTask)
        assert isinstance(batch, CloudBatch)
        prediction = model(batch)
        weight = parse_levels(self.levels).weight((4 * batch["level"][:, 0]).exp(), task.space.spread)
        return Step((weight * task.errors(prediction, batch)).mean(), prediction)

    def score(
        self,
        model: nn.Module,
        task: "Task",
        data: Dataset,
        *,
        train: Dataset,
        batch_size: int,
        seed: int = 0,
        average: OrbitAverage | None = None,
    ) -> Score:
        """The denoising loss, of the clouds in the pose that is learned."""
        if self.pose == "canonical":
            data = in_canonical_pose(data, denoising_part(model).space.dim)
        scorer = Supervised()
        return scorer.score(model, task, data, train=train, batch_size=batch_size, seed=seed, average=average)


class NoiseControl(Control):
    """Gives every training cloud a new level and new noise."""

    def __init__(self, objective: Denoising, network: DenoisingNetwork) -> None:
        self.objective, self.space, self.kinds = objective, network.space, network.kinds

    def batch(self, batch: Batch, rng: torch.Generator) -> Batch:
        """The clouds at new levels; of some the condition is dropped."""
        assert isinstance(batch, CloudBatch)
        shares = torch.rand(batch.num_clouds, generator=rng, dtype=torch.float64)
        noise = random_noise(self.space, batch.batch, batch.num_clouds, rng)
        if "condition" in batch.tensors and self.objective.drop_condition:
            is_dropped = torch.rand(batch.num_clouds, generator=rng) < self.objective.drop_condition
            batch = batch.with_tensor("condition", batch["condition"].masked_fill(is_dropped[:, None], torch.nan))
        if self.objective.pose == "canonical":
            batch = turned(batch, batch["clean"][:, : self.space.dim])
        if self.objective.coupling == "aligned":
            batch = batch.with_tensor("clean", self._aligned(batch, noise))
        return noised(batch, self.space, parse_levels(self.objective.levels).quantile(shares), noise)

    def _aligned(self, batch: CloudBatch, noise: Tensor) -> Tensor:
        clean = self.space.project(batch["clean"].double(), batch.batch, batch.num_clouds)
        sizes = batch.num_points.tolist()
        kinds = [None] * len(sizes) if self.kinds is None else batch[self.kinds].split(sizes)
        dim, reflections = self.space.dim, self.objective.reflections
        places = (clean[:, :dim], noise[:, :dim], batch.batch, batch.num_clouds)
        turns = turns_to_noise(*places, reflections=reflections)
        clouds = zip(clean.split(sizes), noise.split(sizes), kinds, turns)
        moved = [aligned(x, eps, dim, kinds=kind, reflections=reflections, turns=own) for x, eps, kind, own in clouds]
        return torch.cat(moved).to(batch["clean"])


def turned(batch: CloudBatch, clean: Tensor) -> CloudBatch:
    """Clouds turned into the canonical pose of their clean positions, with all that belongs to them."""
    return batch.transform(_motions(batch, clean))


def in_canonical_pose(data: Dataset, dim: int) -> Dataset:
    """Noisy clouds turned, noise and target too, so that the clean ones are in canonical pose."""
    batch = data.batch(torch.arange(len(data)))
    assert isinstance(batch, CloudBatch)
    return MovedDataset(data, _motions(batch, batch["clean"][:, :dim]))


def _motions(batch: CloudBatch, clean: Tensor) -> Tensor:
    """Elements (B, D + 1, D + 1) that turn every cloud into its canonical pose."""
    rotations = canonical_rotations(clean, batch.batch, batch.num_clouds)
    motions = torch.eye(rotations.shape[1] + 1).to(rotations).repeat(batch.num_clouds, 1, 1)
    motions[:, :-1, :-1] = rotations
    return motions
