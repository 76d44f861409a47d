"""
How many orientations?
======================

On R3xS2 the rotations hold exactly for the orientation grid and approximately for the rest. How good is the
approximation? We measure it against the number of orientations, for networks with fresh weights.
"""

# %%
# The error of the scalar output of one cloud under random rotations, averaged over three draws of the weights.

import matplotlib.pyplot as plt
import torch

from rapidash.groups import SO, Position, Scalar
from rapidash.measure import Action, equivariance_error
from rapidash.models import Rapidash

NUMBERS = {"fibonacci": [4, 6, 8, 12, 20, 32], "repulsion": [4, 6, 8, 12, 20, 32], "platonic": [4, 6, 8, 12, 20]}
generator = torch.Generator().manual_seed(0)
x = {"pos": torch.randn(10, 3, generator=generator).double(), "scalars": torch.ones(10, 1).double()}
action = Action(SO(3), inputs={"pos": Position(), "scalars": Scalar()}, outputs=Scalar())


def grid_error(grid: str, num_orientations: int, seed: int) -> float:
    """Relative equivariance error of a network with fresh weights."""
    torch.manual_seed(seed)
    network = Rapidash(
        symmetry="E(3)",
        num_orientations=num_orientations,
        grid=grid,
        in_scalars=1,
        level="node",
        channels=16,
        num_layers=2,
        basis_dim=16,
        basis_hidden_dim=16,
    )
    network.double().eval()
    zeros = torch.zeros(10, dtype=torch.long)
    network.calibrate(x["pos"], zeros, scalars=x["scalars"])
    return equivariance_error(
        lambda **given: network(**given).scalars, x, action, num_elements=8, normalization="variance"
    ).mean


errors = {
    grid: [sum(grid_error(grid, number, seed) for seed in range(3)) / 3 for number in numbers]
    for grid, numbers in NUMBERS.items()
}
for grid, values in errors.items():
    print(f"{grid:<10}" + "".join(f"{number:>4}: {value:.1e} " for number, value in zip(NUMBERS[grid], values)))

# %%
# More orientations help, and the three kinds of grid do not differ much. With a Platonic solid its own rotations hold
# exactly besides.

figure, axis = plt.subplots(figsize=(6, 4), layout="constrained")
for grid, marker in zip(errors, "os^"):
    axis.loglog(NUMBERS[grid], errors[grid], marker=marker, label=grid)
axis.set_xlabel("number of orientations")
axis.set_ylabel("equivariance error relative to the\nvariation of the output over points")
axis.set_xticks([4, 8, 16, 32], ["4", "8", "16", "32"])
axis.minorticks_off()
axis.grid(color="0.9")
axis.legend(title="grid")

# %%
# A study reports the same number before and after training: training on turned data (the method ``Augment("SO(3)")``),
# or a random turn of the grid in every step (``grid_rotation`` of the network), can train the error away or leave it.

assert errors["fibonacci"][-1] < 0.5 * errors["fibonacci"][0]
