r"""
Energies and forces
===================

An invariant energy has equivariant forces: :math:`F_i = -\partial E / \partial x_i`. We train a network on the forces
of a toy potential, which needs the derivative of a derivative, and check that they turn with the molecule.
"""

# %%
# Four atoms that attract each other by a Morse potential, :math:`E = \sum_{i<j} (1 - e^{-(r_{ij} - 1)})^2`.

import torch

from rapidash.groups import Position, Vector, parse_group
from rapidash.measure import Action, equivariance_error
from rapidash.models import Rapidash

NUM_ATOMS, NUM_STEPS = 4, 200


def morse(pos: torch.Tensor) -> torch.Tensor:
    """Energy of each molecule; pos (B, atoms, 3)."""
    offsets = pos[:, :, None] - pos[:, None]
    i, j = torch.triu_indices(NUM_ATOMS, NUM_ATOMS, offset=1)
    return (1 - torch.exp(1 - offsets[:, i, j].norm(dim=-1))).square().sum(dim=1)


def molecules(num: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Positions and forces (B, atoms, 3): corners of a tetrahedron, moved at random."""
    corners = torch.tensor([[1.0, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / 2.5
    pos = corners + 0.25 * torch.randn(num, NUM_ATOMS, 3, generator=torch.Generator().manual_seed(seed))
    pos.requires_grad_()
    (gradient,) = torch.autograd.grad(morse(pos).sum(), pos)
    return pos.detach(), -gradient


# %%
# The network puts out one invariant scalar per molecule. With positions that need gradients the kernels are evaluated
# exactly, and can be differentiated as often as wanted.

torch.manual_seed(0)
network = Rapidash(
    symmetry="E(3)",
    space="R3",
    in_scalars=1,
    out_scalars=1,
    level="graph",
    channels=24,
    num_layers=2,
    basis_dim=16,
    basis_hidden_dim=16,
)


def forces(pos: torch.Tensor, *, create_graph: bool = False) -> torch.Tensor:
    """Forces of the network; pos (B, atoms, 3)."""
    flat = pos.flatten(0, 1).requires_grad_()
    batch = torch.arange(len(pos)).repeat_interleave(NUM_ATOMS)
    energy = network(flat, batch, scalars=flat.new_ones(len(flat), 1)).scalars.sum()
    (gradient,) = torch.autograd.grad(energy, flat, create_graph=create_graph)
    return -gradient.view_as(pos)


train_pos, train_forces = molecules(300, seed=1)
test_pos, test_forces = molecules(200, seed=2)
network.calibrate(
    train_pos[:50].flatten(0, 1), torch.arange(50).repeat_interleave(NUM_ATOMS), scalars=torch.ones(50 * NUM_ATOMS, 1)
)
optimizer = torch.optim.Adam(network.parameters(), lr=5e-3)
schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=5e-3, total_steps=NUM_STEPS)
for step in range(NUM_STEPS):
    chosen = torch.randint(0, len(train_pos), (32,), generator=torch.Generator().manual_seed(step))
    loss = (forces(train_pos[chosen], create_graph=True) - train_forces[chosen]).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    schedule.step()

error = (forces(test_pos) - test_forces).square().mean().sqrt()
print(f"test error of the forces {error:.3f}, their size {test_forces.square().mean().sqrt():.3f} (root mean square)")

# %%
# The forces of a molecule that is moved, turned or mirrored are the moved forces, to rounding, whatever was learned:

network.double().eval()
pos, parts = test_pos[0].double(), {"rotations": "SO(3)", "reflections": "O(3)", "everything": "E(3)"}
for name, group in parts.items():
    action = Action(parse_group(group, 3), Position(), Vector())
    rounding = equivariance_error(lambda p: forces(p[None])[0], pos, action).max
    print(f"{name:<12} {rounding:.1e}")
    assert rounding < 1e-12
assert error < 0.2 * test_forces.square().mean().sqrt()
