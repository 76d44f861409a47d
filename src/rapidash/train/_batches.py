"""The order of the training data and its augmentation, as functions of seed and step."""

import torch
from torch import Tensor

from rapidash._seed import seeded
from rapidash.data import CloudBatch, CloudDataset
from rapidash.groups import Group


class TrainingBatches:
    """The batch of every step: one permutation per epoch, one random group element per sample.

    A batch depends on the seed and the step alone, so that a run continues where it stopped. An incomplete last batch
    of an epoch is left out, unless the data do not fill a single batch.

    Args:
        dataset: the training clouds, at least one.
        batch_size: clouds per batch.
        seed: of order and augmentation.
        augment: group whose random elements move the samples, each its own; None: no augmentation.
        device, dtype: of the batches. Samples are moved before they are rounded to ``dtype``.
    Raises: ValueError for an empty dataset.
    """

    def __init__(
        self,
        dataset: CloudDataset,
        batch_size: int,
        *,
        seed: int,
        augment: Group | None,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        if len(dataset) == 0:
            raise ValueError("train_set has no clouds: there is nothing to train on")
        self._dataset, self._seed, self._augment = dataset, seed, augment
        self._device, self._dtype = device, dtype
        self.batch_size = min(batch_size, len(dataset))
        self.steps_per_epoch = len(dataset) // self.batch_size
        self._epoch, self._order = -1, torch.empty(0, dtype=torch.long)

    def __getitem__(self, step: int) -> CloudBatch:
        epoch, place = divmod(step, self.steps_per_epoch)
        first = place * self.batch_size
        batch = self._dataset.batch(self._permutation(epoch)[first : first + self.batch_size])
        if self._augment is not None:
            rng = seeded(self._seed, "augment", step)
            batch = batch.transform(self._augment.sample(self.batch_size, generator=rng))
        return batch.to(self._device, self._dtype)

    def _permutation(self, epoch: int) -> Tensor:
        if epoch != self._epoch:
            rng = seeded(self._seed, "order", epoch)
            self._epoch, self._order = epoch, torch.randperm(len(self._dataset), generator=rng)
        return self._order
