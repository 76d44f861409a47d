"""The order of the training data, and what controls make of it, as functions of seed and step."""

import torch
from torch import Tensor

from rapidash._seed import seeded
from rapidash.data import Batch, Dataset
from rapidash.train._controls import Controls


class TrainingBatches:
    """The batch of every step: one permutation per epoch, changed by controls such as an augmentation.

    A batch depends on the seed and the step alone, so that a run continues where it stopped. An incomplete last batch
    of an epoch is left out, unless the data do not fill a single batch.

    Args:
        dataset: the training samples, at least one.
        batch_size: samples per batch.
        seed: of the order.
        device, dtype: of the batches. Controls change samples before they are rounded to ``dtype``.
        controls: what changes a batch; None: nothing.
    Raises: ValueError for an empty dataset.
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int,
        *,
        seed: int,
        device: torch.device,
        dtype: torch.dtype,
        controls: Controls | None = None,
    ) -> None:
        if len(dataset) == 0:
            raise ValueError("train_set has no samples: there is nothing to train on")
        self._dataset, self._seed, self._controls = dataset, seed, controls
        self._device, self._dtype = device, dtype
        self.batch_size = min(batch_size, len(dataset))
        self.steps_per_epoch = len(dataset) // self.batch_size
        self._epoch, self._order = -1, torch.empty(0, dtype=torch.long)

    def __getitem__(self, step: int) -> Batch:
        epoch, place = divmod(step, self.steps_per_epoch)
        first = place * self.batch_size
        batch = self._dataset.batch(self._permutation(epoch)[first : first + self.batch_size])
        if self._controls is not None:
            batch = self._controls.batch(batch, step)
        return batch.to(self._device, self._dtype)

    def _permutation(self, epoch: int) -> Tensor:
        if epoch != self._epoch:
            rng = seeded(self._seed, "order", epoch)
            self._epoch, self._order = epoch, torch.randperm(len(self._dataset), generator=rng)
        return self._order
