"""The distance of any model's latent from one that moves by a known action: a measure of every run that asks for it."""

from collections.abc import Iterator

import torch

from rapidash._seed import seeded
from rapidash.data import Field
from rapidash.groups import (
    GridPermutation,
    Group,
    MatrixGroup,
    RegularCopies,
    Representation,
    Scalar,
    finite_table,
    grid_symmetries,
)
from rapidash.methods import Measurement, Subject
from rapidash.models import Rapidash
from rapidash.relax._latent_error import latent_error
from rapidash.relax._latent_layer import LatentWatch, latent_layer, latent_level

_SAMPLES = 64


def measure_latent(subject: Subject) -> Iterator[Measurement]:
    """`latent_error` of the layer that `LatentEquivariance` takes without a name, one random element for each sample.

    Two figures: under the action that belongs to the layer, permuted orientations for a Rapidash network with an
    orientation grid, otherwise copies of the regular representation of the group by which the task moves its test data
    (and what is left over stays); and under the trivial action, invariance. Nothing is measured of models without an
    obvious latent, or without a finite group.
    """
    model, task = subject.model, subject.task
    try:
        watch = LatentWatch(model, latent_layer(model))
    except ValueError:
        return
    found = _action(subject)
    if found is None:
        return
    group, name, known = found
    like = next(model.parameters())
    batch = subject.data.batch(torch.arange(min(_SAMPLES, len(subject.data)))).to(like.device, like.dtype)
    g = group.sample(batch.num_samples, generator=seeded(subject.seed, "latent error", task.name))
    latents = []
    for given in (batch, batch.transform(g)):
        with watch.watching(), torch.no_grad():
            model(given)
        latents.append(watch.take())
    here, there = latents
    if known is None:
        known = RegularCopies(finite_table(group), here.shape[-1] % len(finite_table(group)))
    for action, representation in ((name, known), ("trivial action", Scalar())):
        field = Field(representation, level=latent_level(here, batch))
        value = float(latent_error(batch.act(field, g, here), there))
        yield Measurement(
            f"latent error, {action}", value, "1", group.name, subject.moment, subject.view, better="lower"
        )


def _action(subject: Subject) -> tuple[MatrixGroup, str, Representation | None] | None:
    """The group, and how the latent is to move under it; None for the regular representation."""
    for module in subject.model.modules():
        if isinstance(module, Rapidash):
            if not len(module.grid):
                return None
            grid = module.grid.cpu()
            turns = Group(grid.shape[1], grid_symmetries(grid), translations=False)
            return turns, "permuted orientations", GridPermutation(grid)
    group = getattr(subject.task, "moves", None)
    if group is None or not group.is_finite or group.elements() is None:
        return None
    return group, "regular action", None
