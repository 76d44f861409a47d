"""
Breaking a symmetry with a frame
================================

Some tasks have a direction. How high is each point above the middle of its cloud? No network that cannot tell the
vertical from the horizontal can say. The symmetry can be broken by an input or by the kernels.
"""

# %%
# The targets change under every motion but translations, turns about the vertical and mirrors that contain it.

import torch

from rapidash.data import CloudBatch, CloudDataset, Field
from rapidash.groups import Position, Scalar
from rapidash.models import Rapidash
from rapidash.symmetry import GeometricInput, symmetry_ledger

NUM_POINTS, NUM_STEPS = 6, 40


def clouds(num: int, seed: int) -> CloudBatch:
    """Clouds of normally distributed points."""
    pos = torch.randn(num, NUM_POINTS, 3, generator=torch.Generator().manual_seed(seed))
    heights = pos[..., 2:] - pos[..., 2:].mean(dim=1, keepdim=True)
    fields = {"pos": Field(Position()), "height": Field(Scalar())}
    tensors = {"pos": pos.flatten(0, 1), "height": heights.flatten(0, 1)}
    return CloudDataset(tensors, fields, torch.full((num,), NUM_POINTS)).batch(torch.arange(num))


VERTICAL = GeometricInput("the vertical", "constant", "vectors", ((0.0, 0.0, 1.0),))
train_batch, test_batch = clouds(128, seed=0), clouds(128, seed=1)


def features(batch: CloudBatch, inputs: tuple[GeometricInput, ...]) -> dict[str, torch.Tensor | None]:
    """A constant 1 and the directions that are given to every point."""
    num_points = len(batch.pos)
    directions = [torch.tensor(entry.directions).expand(num_points, -1, -1) for entry in inputs]
    return {"scalars": torch.ones(num_points, 1), "vectors": torch.cat(directions, dim=1) if inputs else None}


def train(symmetry: str, inputs: tuple[GeometricInput, ...]) -> tuple[float, Rapidash]:
    """Test error, relative to the spread of the targets, of a network trained for a short time."""
    torch.manual_seed(0)
    network = Rapidash(
        symmetry=symmetry,
        num_orientations=6,
        grid="platonic",
        in_scalars=1,
        in_vectors=len(inputs),
        level="node",
        channels=16,
        num_layers=2,
        basis_dim=16,
        basis_hidden_dim=16,
    )
    network.calibrate(train_batch.pos, train_batch.batch, **features(train_batch, inputs))
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=NUM_STEPS)
    for _ in range(NUM_STEPS):
        heights = network(train_batch.pos, train_batch.batch, **features(train_batch, inputs)).scalars
        loss = (heights - train_batch["height"]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        heights = network(test_batch.pos, test_batch.batch, **features(test_batch, inputs)).scalars
    error = (heights - test_batch["height"]).square().mean().sqrt()
    return float(error / test_batch["height"].std()), network


# %%
# No break, an input that points up, kernels that see heights, and kernels that see everything; each with its ledger.

results = {}
for symmetry, inputs in [("E(3)", ()), ("E(3)", (VERTICAL,)), ("SO2(z)", ()), ("T(3)", ())]:
    error, network = train(symmetry, inputs)
    ledger = symmetry_ledger(network.symmetry, inputs)
    results[symmetry, len(inputs)] = error
    given = " + the vertical" if inputs else ""
    print(f"{symmetry + given:<20} relative test error {error:.2f}   effective symmetry {ledger.effective}")

# %%
# Without a direction the network can say nothing at all. An input vector suffices, and the ledger says what it costs:
# of E(3) are left the motions that keep the vertical. ``SO2(z)`` and ``T(3)`` build the direction into the kernels;
# ``T(3)`` gives up more than the task asks for.

assert results["E(3)", 0] > 0.9
assert results["E(3)", 1] < 0.5
