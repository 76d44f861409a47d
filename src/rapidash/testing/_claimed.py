"""The error of a model in the symmetry that its ledger claims exactly."""

import copy

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rapidash._seed import seeded
from rapidash.data import Batch, CloudBatch
from rapidash.groups import Group, MatrixGroup
from rapidash.measure import Action, equivariance_error
from rapidash.methods import Task, in_eval_mode
from rapidash.symmetry import Ledger

NUM_ELEMENTS = 6
EXACT = 1e-6  # relative error in float64 above which a symmetry that should be exact is not there


def moving_elements(group: MatrixGroup, batch: Batch, num: int = NUM_ELEMENTS) -> Float[Tensor, "G n n"]:
    """Random elements other than the identity, translations as long as the clouds are wide; none of a trivial group."""
    rng = seeded("claimed", group.name)
    if isinstance(group, Group):
        width = float(batch.pos.std(correction=0)) if isinstance(batch, CloudBatch) else 1.0
        drawn = group.sample(16 * num, generator=rng, scale=width or 1.0)
    else:
        drawn = group.sample(16 * num, generator=rng)
    is_moving = (drawn - group.identity()).abs().amax(dim=(1, 2)) > 1e-9
    return drawn[is_moving][:num]


def claimed_error(model: nn.Module, task: Task, batch: Batch, ledger: Ledger) -> float:
    """The largest relative error, on a float64 copy, over elements that the ledger claims exactly; 0 for no claim.

    Where the output is zero no error is defined, and 0 is returned.
    """
    if ledger.claimed_exactly is None or not len(elements := moving_elements(ledger.claimed_exactly, batch)):
        return 0.0
    twin, exact = in_float64(model), batch.to("cpu", torch.float64)
    with in_eval_mode(twin), torch.no_grad():
        is_zero = not twin(exact).any()
    if is_zero:
        return 0.0
    action = Action(ledger.claimed_exactly, outputs=task.output)
    return equivariance_error(twin, exact, action, elements=elements).max


def in_float64(model: nn.Module) -> nn.Module:
    """A copy on the CPU in eval mode."""
    return copy.deepcopy(model).to(device="cpu", dtype=torch.float64).eval()
